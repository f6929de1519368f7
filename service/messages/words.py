"""Amounts, instants and names as a member reads them, in their language and their time zone."""

from __future__ import annotations

import copy
import re
import tomllib
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date
from babel.numbers import NumberPattern
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from ledger.units import Unit

_FOLDER: Final = Path(__file__).parent / "templates"
#: How each language writes figures and days. British habits for English: the 24-hour clock and
#: days before months, as in the rest of Europe.
_BABEL: Final = {"fr": "fr", "en": "en_GB", "br": "br"}
#: The languages in which every message exists; the first is for members of any other.
LOCALES: Final = tuple(_BABEL)
_LONGEST: Final = 120
_GAP: Final = re.compile(r" {2,}")

#: What a template does not get is a mistake of ours that must not be sent.
plain: Final = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - plain text
pages: Final = Environment(
    undefined=StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    loader=FileSystemLoader(_FOLDER),
)


@lru_cache(maxsize=64)
def catalogue(locale: str, name: str) -> Mapping[str, Any]:
    """Return the file ``templates/<locale>/<name>.toml``, typeset."""
    return read(_FOLDER / locale / f"{name}.toml", locale)


def read(file: Path, locale: str) -> Mapping[str, Any]:
    """Return a catalogue of words, every one of them typeset as its language is."""
    found: Mapping[str, Any] = _typeset(tomllib.loads(file.read_text(encoding="utf-8")), locale)
    return found


def _typeset(found: Any, locale: str) -> Any:
    if isinstance(found, dict):
        return {key: _typeset(value, locale) for key, value in found.items()}
    return typeset(found, locale) if isinstance(found, str) else found


#: Where French joins a sign to its word, as Breton does with quotation marks: by a space that never
#: breaks and is narrow.
_JOINED: Final = re.compile(r" (?=[;:!?»])|(?<=«) ")


def typeset(said: str, locale: str) -> str:
    """Return our own words as printers of the language set them (Lexique de l'Imprimerie)."""
    return _JOINED.sub("\u202f", said) if locale in {"fr", "br"} else said


def fill(template: str, variables: Mapping[str, Any]) -> str:
    """Return a plain-text template with its variables put in.

    Raises:
        jinja2.UndefinedError: it names one that is not there.
    """
    written = _ready(template).render(variables)
    return _beginning().sub(lambda found: found[1] + found[2].capitalize(), written)


@lru_cache(maxsize=2048)
def _ready(template: str) -> Template:
    return plain.from_string(template)


@lru_cache(maxsize=1)
def _beginning() -> re.Pattern[str]:
    """Match the words for somebody without a name where a sentence begins."""
    somebody = "|".join(re.escape(catalogue(one, "words")["somebody"]) for one in LOCALES)
    return re.compile(rf"(^\s*|[.!?]\s+)({somebody})", re.MULTILINE)


_TURNS: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_BREAKS: Final = frozenset({"Cc", "Zl", "Zp"})


def harmless(given: str) -> str:
    """Return somebody's own text whole, with its lines, and nothing in it that is not to be read.

    No control characters, and nothing that turns the direction of writing.
    """
    return "".join(
        letter if letter == "\n" or unicodedata.category(letter) not in _BREAKS else " "
        for letter in given.replace("\r\n", "\n")
        if unicodedata.bidirectional(letter) not in _TURNS
    )


def clean(given: str) -> str:
    """Return somebody's own text so that it can do no harm inside of ours.

    One line, of a length that leaves room for ours; nothing that is not to be read, and no address
    that a mail program would make a link of.
    """
    line = " ".join(harmless(given).replace("://", ": //").split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1].rstrip()}…"


def amount(minor: int, unit: Unit, locale: str) -> str:
    """Return ``minor`` units as the language writes them, with every decimal of the unit."""
    language = Locale.parse(_BABEL[locale])
    value = Decimal(unit.decimal(minor))
    if unit.community:
        number = _exact(language.decimal_formats[None], unit).apply(value, language)
        return f"{number} {clean(unit.name)}"
    pattern = _exact(language.currency_formats["standard"], unit)
    written: str = pattern.apply(value, language, currency=unit.code, currency_digits=False)
    return written


def _exact(pattern: NumberPattern, unit: Unit) -> NumberPattern:
    # How many decimals a unit has is ISO 4217's to say; the language's pattern has its own idea.
    exact = copy.copy(pattern)
    exact.frac_prec = (unit.exponent, unit.exponent)
    return exact


def several(amounts: Mapping[str, int], units: Mapping[str, Unit], locale: str) -> str | None:
    """Return amounts of several units in one phrase, or None when all are nothing."""
    parts = [amount(minor, units[code], locale) for code, minor in amounts.items() if minor]
    joined: str = catalogue(locale, "words")["and"].join(parts)
    return joined or None


#: Days and hours as each language says them; ``_of_day`` writes the first of a month.
_DAYS: Final = {"fr": "EEEE {} MMMM y", "en": "EEEE {} MMMM y", "br": "EEEE {} 'a' 'viz' MMMM y"}
_FIRST: Final = {"fr": "1'er'", "en": "1", "br": "1'añ'"}
_HOURS: Final = {"fr": "{0}\u202fh\u202f{1:02}", "en": "{0:02}:{1:02}", "br": "{0}e{1:02}"}


def day(at: datetime, zone: str, locale: str) -> str:
    """Return the day of an instant in the member's own time: ``lundi 1er juin 2026``."""
    there = at.astimezone(ZoneInfo(zone))
    pattern = _DAYS[locale].format(_FIRST[locale] if there.day == 1 else "d")
    written: str = format_date(there, pattern, locale=_BABEL[locale])
    return written


def hour(at: datetime, zone: str, locale: str) -> str:
    """Return the hour of an instant in the member's own time: ``14 h 30``."""
    there = at.astimezone(ZoneInfo(zone))
    return _HOURS[locale].format(there.hour, there.minute)


def instant(at: datetime, zone: str, locale: str) -> str:
    """Return an instant in the member's own time: the day in full, and the hour."""
    when = {"date": day(at, zone, locale), "time": hour(at, zone, locale)}
    return fill(catalogue(locale, "words")["at"], when)


def checkpoint(name: str | None, locale: str) -> str | None:
    """Return a checkpoint as members call it; a milestone that they named is called so."""
    if name is None:
        return None
    known: str | None = catalogue(locale, "words")["checkpoints"].get(name)
    return known or clean(name.replace("-", " ").replace("_", " "))


def paragraphs(written: str) -> Sequence[str]:
    """Return the paragraphs of a text, each on one line, without empty ones.

    A sentence that was not said leaves no gap between its neighbours.
    """
    lines = (_GAP.sub(" ", part.replace("\n", " ")).strip() for part in written.split("\n\n"))
    return [line for line in lines if line]
