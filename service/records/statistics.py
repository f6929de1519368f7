"""The page of how disputes end: what the figures say, for whoever looks from a telephone.

Plain HTML that needs nothing else: no script, no picture, nothing from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from sqlalchemy import Connection, text

from disputes import figures
from disputes.figures import FEWEST, Quarter
from disputes.model import Stage
from ledger.refusals import Refusal
from service.records.catalogue import LANGUAGES, word, words

_STYLE: Final = (
    "body{margin:0;background:#fff;color:#1a1a1a;font:18px/1.5 Arial,Helvetica,sans-serif}"
    "main{max-width:38em;margin:0 auto;padding:20px}"
    "h1{font-size:26px;line-height:1.25}h2{font-size:20px;margin-top:28px}"
    "table{width:100%;border-collapse:collapse}"
    "th,td{padding:8px 4px;border-bottom:1px solid #767676;text-align:left;font-weight:normal}"
    "thead th{font-weight:bold}td,thead th+th{text-align:right}"
    "a{color:#0b4f6c}a:focus-visible{outline:4px solid #b34700;outline-offset:3px}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGES: Final = Environment(
    undefined=StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
)

#: What a browser may do with the page: show it, and keep it for an hour.
HEADERS: Final = {
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "referrer-policy": "no-referrer",
    "cache-control": "public, max-age=3600",
    "vary": "Accept-Language",
}


class QuarterNotOver(Refusal):
    """Its figures would still change; they are told when it is over."""

    code = "quarter_not_over"


class UnknownQuarter(Refusal):
    """It is no name of a quarter, such as 2027-Q1."""

    code = "unknown_quarter"


@dataclass(frozen=True, slots=True)
class Published:
    """The figures of one quarter."""

    quarter: Quarter
    figures: Mapping[str, Any]


#: What was under way as a quarter ended is written by then.
_SETTLED: Final = timedelta(days=1)
_LIVE: Final = text("SELECT id FROM service.platform WHERE mode = 'live'")


def published(connection: Connection, name: str | None, now: datetime) -> Published:
    """Return the figures of a quarter, by default of the last that is over (system's scope).

    Only live platforms are counted: what was played is no example of what is real.

    Raises:
        UnknownQuarter, QuarterNotOver
    """
    quarter = _newest(now) if name is None else figures.named(name)
    if quarter is None:
        raise UnknownQuarter("A quarter is named such as 2027-Q1.", pointer="/query/quarter")
    if quarter.until + _SETTLED > now:
        raise QuarterNotOver(
            "The figures of a quarter are told when it is over.",
            pointer="/query/quarter",
            newest=_newest(now).name,
        )
    platforms: list[UUID] = list(connection.scalars(_LIVE))
    return Published(quarter, figures.of_quarter(connection, platforms, quarter, now))


def _newest(now: datetime) -> Quarter:
    return figures.at(now - _SETTLED).before


def preferred(accept_language: str) -> str:
    """Return the language of the page for a browser."""
    for part in accept_language.split(","):
        language = part.split(";")[0].strip().lower().split("-")[0]
        if language in LANGUAGES:
            return language
    return LANGUAGES[0]


def page(shown: Published, language: str) -> str:
    """Return the page of a quarter."""
    said = words(language)["statistics"]
    last = shown.quarter.until - timedelta(days=1)
    intro = said["intro"].format(
        since=f"{shown.quarter.since:%Y-%m-%d}", until=f"{last:%Y-%m-%d}", fewest=FEWEST
    )
    tables = [{"heading": head, "rows": rows} for head, rows in _tables(shown.figures, language)]
    return _PAGES.get_template("statistics.html").render(
        language=language,
        title=said["title"],
        style=Markup(_STYLE),  # noqa: S704 - our own
        intro=intro,
        tables=tables,
        nothing=said["none"],
        what=said["what"],
        how_many=said["how_many"],
        before=shown.quarter.before.name,
        before_word=said["before"],
    )


def _tables(found: Mapping[str, Any], language: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each table that has something to say: its heading and its rows."""
    said: Mapping[str, str] = words(language)["statistics"]

    def many(count: int | None) -> str:
        return said["hidden"] if count is None else str(count)

    def days(median: float | None) -> str:
        return said["hidden"] if median is None else said["days"].format(days=_number(median))

    def percent(part: int | None) -> str:
        return said["hidden"] if part is None else said["percent"].format(percent=part)

    def _number(value: float) -> str:
        return str(value) if language == "en" else str(value).replace(".", ",")

    opened, closed, shares = found["opened"], found["closed"], found["shares"]
    if opened["cases"] == 0 and closed["cases"] == 0:
        return
    yield (
        said["cases"],
        [
            (said["opened"], many(opened["cases"])),
            (said["closed"], many(closed["cases"])),
            (said["median"], days(closed["median_days"])),
        ],
    )
    for group, codes in (("by_reason", "reasons"), ("by_outcome", "outcomes")):
        rows = sorted((word(language, codes, one), many(n)) for one, n in closed[group].items())
        if rows:
            yield said[group], rows
    by_reason = shares["by_reason"].items()
    parts = sorted((word(language, "reasons", one), percent(n)) for one, n in by_reason)
    if parts:
        yield said["shares"], [(said["all"], percent(shares["to_payee_percent"])), *parts]
    stages = [
        (word(language, "stages", stage), days(found["stages"][stage]["median_days"]))
        for stage in Stage
        if stage in found["stages"]
    ]
    if stages:
        yield said["stages"], stages
    yield said["way"], [(name, many(count)) for name, count in _way(found, said)]


def _way(found: Mapping[str, Any], said: Mapping[str, str]) -> Iterator[tuple[str, int | None]]:
    appeals, again = found["appeals"], found["decided_again"]
    yield said["appeals"], appeals["made"]
    for name in ("changed", "stood", "not_heard"):
        yield said[name], appeals[name]
    for group in ("late", "other_mediator"):
        for name, count in found[group].items():
            yield said[name], count
    yield said["again"], again["decisions"]
    for name in ("alike", "otherwise"):
        yield said[name], again[name]
