"""Precedents: decisions that others can go by, published without what tells whose they were.

Words are a person's, who edits them for the purpose. A machine only refuses what must not be in
them: names and addresses of the people, numbers that lead to somebody, and amounts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from ledger.refusals import Refusal

#: A text has so many characters: enough to be of use, and no whole file.
SHORTEST: Final = 100
LONGEST: Final = 8_000

#: Of names, these are words that stand in every text.
_PARTICLES: Final = frozenset(
    [
        "al",
        "an",
        "ar",
        "da",
        "das",
        "de",
        "del",
        "den",
        "der",
        "des",
        "di",
        "do",
        "dos",
        "du",
        "el",
        "la",
        "las",
        "le",
        "les",
        "lo",
        "los",
        "of",
        "van",
        "von",
    ]
)
_PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    "an e-mail address": re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+"),
    "an address on the web": re.compile(r"(?:https?://|www\.)\S+", re.IGNORECASE),
    # Eight digits or more, however they are set apart: telephone, card, bank account, parcel.
    "a long number": re.compile(r"(?:\+|\b)\d(?:[\s().\-/]{0,3}\d){7,}"),
    "a bank account": re.compile(r"\b[A-Z]{2}\d{2}(?:\s?[A-Z0-9]{4}){2,}"),
    "an id of this service": re.compile(r"\b[a-z]{2,4}_[0-9a-hjkmnp-tv-z]{26}\b"),
    "an id": re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE),
    "an amount of money": re.compile(
        r"\d[\d\s.,\u00a0\u202f]*(?:€|\$|£|EUR\b|euros?\b)|(?:€|\$|£|EUR\b)\s?\d", re.IGNORECASE
    ),
}


class PrecedentRefused(Refusal):
    """The text tells who it was about, or is too short or too long."""

    code = "precedent_refused"


class PrecedentTaken(Refusal):
    """There is one of this case in this language already: withdraw it first."""

    code = "precedent_taken"


class PrecedentNotFound(Refusal):
    """No such precedent, or it was withdrawn."""

    code = "precedent_not_found"


@dataclass(frozen=True, slots=True)
class Precedent:
    """A published decision. ``to_payee``: what the payee got of each part, in whole percent."""

    id: UUID
    of_case: bytes
    mode: str
    language: str
    kind: str
    reason: str
    outcome: str
    reason_code: str
    to_payee: tuple[int, ...]
    asked: str
    text: str
    published_at: datetime
    published_by: UUID


def percent(part: int, whole: int) -> int:
    """Return what ``part`` is of ``whole`` in whole percent, without ever saying all or nothing
    of what was neither.
    """
    if whole == 0 or part in {0, whole}:
        return 100 if part == whole else 0
    return min(99, max(1, (part * 200 + whole) // (2 * whole)))


def check_text(field: str, written: str, names: Collection[str], others: Collection[str]) -> None:
    """Check that a text tells nobody's name, address or number, and no amount.

    Args:
        field: which one it is, for the answer.
        names: of people; each of their words is looked for.
        others: addresses and numbers of these people, and names of platforms, looked for whole,
            however they are spaced.

    Raises:
        PrecedentRefused: what was found; names are not repeated.
    """
    if not SHORTEST <= len(written.strip()) <= LONGEST:
        raise PrecedentRefused(
            f"A text of {SHORTEST} to {LONGEST} characters is of use to others.",
            pointer=f"/{field}",
        )
    written = _plain(written)
    found = [what for what, pattern in _PATTERNS.items() if pattern.search(written)]
    if _names_somebody(written, names):
        found.append("a name")
    bare = _bare(written)
    if any(_bare(other) in bare for other in others if len(_bare(other)) >= 6):
        found.append("an address, a number or a name")
    if found:
        raise PrecedentRefused(
            f"The text holds {', '.join(found)}: tell it without, such as 'the seller', 'most of "
            "the price', 'in spring'.",
            pointer=f"/{field}",
            found=found,
        )


def _names_somebody(written: str, names: Collection[str]) -> bool:
    """Tell whether a word of a name is in the text; short ones only where they have a capital."""
    words = re.findall(r"[^\W\d_]+", written)
    folded = {_folded(word) for word in words}
    capitals = {_folded(word) for word in words if word[0].isupper()}
    for name in names:
        for part in re.findall(r"[^\W\d_]+", name):
            one = _folded(part)
            if len(one) < 2 or one in _PARTICLES:
                continue
            if one in (folded if len(one) >= 4 else capitals):
                return True
    return False


def _plain(written: str) -> str:
    """Return a text as it is seen: letters with their accents, and nothing that is invisible."""
    whole = unicodedata.normalize("NFKC", written)
    return "".join(letter for letter in whole if unicodedata.category(letter) != "Cf")


def _folded(word: str) -> str:
    """Return a word without accents and capitals."""
    apart = unicodedata.normalize("NFKD", word.casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def _bare(written: str) -> str:
    return "".join(letter for letter in _folded(written) if letter.isalnum() or letter == "@")


_COLUMNS: Final = tuple(one.name for one in fields(Precedent))
_INSERT: Final = text(
    f"INSERT INTO disputes.precedent ({', '.join(_COLUMNS)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
)
_SHOWN: Final = (
    f"SELECT {', '.join(_COLUMNS)} FROM disputes.precedent "  # noqa: S608 - our own names
    "WHERE withdrawn_at IS NULL"
)
_WITHDRAW: Final = text(
    "UPDATE disputes.precedent SET withdrawn_at = :now, withdrawn_by = :by, withdrawn_why = :why "
    "WHERE id = :id AND withdrawn_at IS NULL"
)


def publish(connection: Connection, precedent: Precedent) -> None:
    """Write a precedent whose texts were checked.

    Raises:
        PrecedentTaken
    """
    values = {name: getattr(precedent, name) for name in _COLUMNS}
    try:
        with connection.begin_nested():
            connection.execute(_INSERT, values | {"to_payee": list(precedent.to_payee)})
    except IntegrityError as error:
        if "uq_precedent_of_case" not in str(error.orig):
            raise
        raise PrecedentTaken(
            "This case has a precedent in this language already; withdraw it first."
        ) from None


def withdraw(connection: Connection, id_: UUID, by: UUID, why: str, now: datetime) -> None:
    """Show a precedent no more; it stays on record with the reason.

    Raises:
        PrecedentNotFound
    """
    values = {"id": id_, "by": by, "why": why, "now": now}
    if connection.execute(_WITHDRAW, values).rowcount == 0:
        raise PrecedentNotFound("No precedent with this id.")


def find(connection: Connection, id_: UUID) -> Precedent:
    """Return a precedent that stands.

    Raises:
        PrecedentNotFound
    """
    row = connection.execute(text(f"{_SHOWN} AND id = :id"), {"id": id_}).one_or_none()
    if row is None:
        raise PrecedentNotFound("No precedent with this id.")
    return _of(row)


def page(
    connection: Connection,
    *,
    mode: str,
    limit: int,
    after: UUID | None = None,
    filters: Mapping[str, str] | None = None,
) -> Sequence[Precedent]:
    """Return up to ``limit`` precedents that stand, newest first, older than ``after``.

    ``filters``: equal to, by kind, reason, outcome, reason_code or language.
    """
    values: dict[str, Any] = {"mode": mode, "limit": limit, **(filters or {})}
    query = f"{_SHOWN} AND mode = :mode"
    for name in filters or {}:
        assert name in _COLUMNS
        query += f" AND {name} = :{name}"
    if after is not None:
        query, values["after"] = f"{query} AND id < :after", after
    rows = connection.execute(text(f"{query} ORDER BY id DESC LIMIT :limit"), values)
    return [_of(row) for row in rows]


def _of(row: Any) -> Precedent:
    values = row._asdict()
    values |= {"of_case": bytes(row.of_case), "to_payee": tuple(row.to_payee)}
    return Precedent(**values)
