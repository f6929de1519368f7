"""What the file and the journal of a case say, as lines that a person reads.

Both are JSON made for machines: codes, minor units, ids. Here codes are words, amounts have their
decimals, and instants are written out; what has no word yet stands as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ledger.units import Unit
from service.records.catalogue import word, words

#: What group of words the codes under a name belong to.
_GROUPS: Final[Mapping[str, str]] = {
    "outcome": "outcomes",
    "reason": "reasons",
    "cause": "causes",
    "ground": "grounds",
    "reason_code": "grounds",
    "sort": "sorts",
    "kind": "kinds",
    "by": "sides",
    "borne_by": "sides",
    **dict.fromkeys(("role", "checkpoint", "name", "word", "method", "via", "part"), "values"),
}
#: Amounts that stand beside an ``amount`` and have its unit.
_AMOUNTS: Final = ("amount", "payer_fee", "payee_fee")
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)")


def instant(at: str) -> str:
    """Return an instant as people read it, to the second, in UTC."""
    return f"{datetime.fromisoformat(at).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one case's JSON in a language.

    ``decimals`` by unit; ``legs``: public name and unit of what is disputed, by its id.
    """

    language: str
    decimals: Mapping[str, int]
    legs: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, export: Mapping[str, Any], language: str) -> Reader:
        """Return a reader of an export."""
        legs = {line["id"]: (line["leg"], line["unit"]) for line in export["lines"]}
        return cls(language, export["units"], legs)

    def amount(self, minor: int, unit: str) -> str:
        """Return an amount with its decimals, in figures as the language writes them."""
        decimals = self.decimals.get(unit)
        if decimals is None:
            return f"{minor} / {unit}"
        written = Unit(unit, decimals, unit).format(minor)
        return written if self.language == "en" else written.replace(".", ",")

    def entry(self, type_: str) -> str:
        """Return the word for what a line of the journal says happened."""
        return word(self.language, "entries", type_)

    def actor(self, actor: str) -> str:
        """Return who did it; mediators are named as the journal names them."""
        who, colon, id_ = actor.partition(":")
        return f"{word(self.language, 'actors', who)}{f' {id_}' if colon else ''}"

    def lines(self, value: Any, indent: int = 0) -> Iterator[tuple[str, int]]:
        """Yield what a JSON object or list says, with how far in each line stands."""
        if isinstance(value, dict):
            for name, inner in value.items():
                if name != "unit" or not isinstance(value.get("amount"), int):
                    yield from self._named(name, inner, value, indent)
            return
        for number, inner in enumerate(value, start=1):
            yield from self._item(f"{number}.", inner, indent)

    def _named(
        self, name: str, inner: Any, beside: Mapping[str, Any], indent: int
    ) -> Iterator[tuple[str, int]]:
        key = word(self.language, "keys", name)
        unit = beside.get("unit")
        if name in _AMOUNTS and isinstance(unit, str) and isinstance(inner, int):
            if inner or name == "amount":
                yield f"{key}{self._colon} {self.amount(inner, unit)}", indent
        elif name in self.legs and isinstance(inner, int):
            leg, of = self.legs[name]
            yield f"{leg}{self._colon} {self.amount(inner, of)}", indent
        else:
            yield from self._item(f"{key}{self._colon}", inner, indent, name)

    def _item(
        self, head: str, inner: Any, indent: int, name: str = ""
    ) -> Iterator[tuple[str, int]]:
        if isinstance(inner, list) and not any(isinstance(one, dict | list) for one in inner):
            inner = ", ".join(self._scalar(name, one) for one in inner)
        if isinstance(inner, dict | list):
            if inner:
                yield head, indent
                yield from self.lines(inner, indent + 1)
        elif inner is not None and inner != "":
            yield f"{head} {self._scalar(name, inner)}", indent

    def _scalar(self, name: str, value: Any) -> str:
        if isinstance(value, bool):
            return str(words(self.language)["yes" if value else "no"])
        if not isinstance(value, str):
            return str(value)
        if _INSTANT.fullmatch(value):
            return instant(value)
        group = _GROUPS.get(name)
        return value if group is None else word(self.language, group, value)

    @property
    def _colon(self) -> str:
        return "\u00a0:" if self.language == "fr" else ":"
