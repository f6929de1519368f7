"""The words of pages, as data: one folder for each language, one file for each page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from babel.numbers import format_decimal
from babel.units import format_unit

from ledger.units import Unit
from service.messages import words
from service.messages.words import LOCALES

FOLDER: Final = Path(__file__).parent / "words"
#: How each language calls itself, for the switch.
NAMES: Final = {"fr": "Français", "en": "English", "br": "Brezhoneg"}
#: What platforms call an hour; it is said in the reader's own language instead.
_HOURS: Final = frozenset({"hour", "hours", "heure", "heures", "eur", "eurioù"})
_BABEL: Final = {"fr": "fr", "en": "en_GB", "br": "br"}


@lru_cache(maxsize=64)
def catalogue(locale: str, name: str) -> Mapping[str, Any]:
    """Return the file ``words/<locale>/<name>.toml``, typeset."""
    return words.read(FOLDER / locale / f"{name}.toml", locale)


def language(asked: str | None, own: str) -> str:
    """Return the language of a page: the one asked for, or else the reader's own."""
    if asked in LOCALES:
        return asked
    return own if own in LOCALES else LOCALES[0]


def preferred(accept_language: str) -> str:
    """Return the language to use with somebody of whom nothing is known but their browser."""
    for part in accept_language.split(","):
        found = part.split(";")[0].strip().lower().split("-")[0]
        if found in LOCALES:
            return found
    return LOCALES[0]


@dataclass(frozen=True, slots=True)
class Speech:
    """Says things in one language, with the facts of one page.

    ``variables`` are plain text; a page escapes what is said as a whole.
    """

    locale: str
    file: str
    variables: Mapping[str, Any]

    def has(self, name: str) -> bool:
        """Tell whether there are words for ``name``: ``group.key``."""
        group, _dot, key = name.rpartition(".")
        found = catalogue(self.locale, self.file)
        return key in (found.get(group, {}) if group else found)

    def __call__(self, name: str, /, **more: Any) -> str:
        """Return the words called ``name`` (``group.key``), filled.

        Raises:
            KeyError, jinja2.UndefinedError: a mistake of ours.
        """
        group, _dot, key = name.rpartition(".")
        found = catalogue(self.locale, self.file)
        template: str = (found[group] if group else found)[key]
        return words.fill(template, {**self.variables, **more}) if "{" in template else template


def community(minor: int, unit: Unit, locale: str) -> str:
    """Return an amount of a community's unit as people say it: ``2 heures``, ``1,5 heure``."""
    value = Decimal(unit.decimal(minor))
    if unit.name.strip().lower() in _HOURS:
        said: str = format_unit(value, "duration-hour", locale=_BABEL[locale])
        return said
    return f"{format_decimal(value, locale=_BABEL[locale])}\u202f{words.clean(unit.name)}"


def amount(minor: int, unit: Unit, locale: str) -> str:
    """Return an amount: money to its last decimal, what is no money as people say it."""
    if unit.community:
        return community(minor, unit, locale)
    return words.amount(minor, unit, locale)


def telephone(number: str) -> str:
    """Return a telephone number as people write it: ``+33298000000`` is ``02 98 00 00 00``."""
    digits = number.removeprefix("+33")
    if number.startswith("+33") and len(digits) == 9:
        digits = f"0{digits}"
        return "\u00a0".join(digits[at : at + 2] for at in range(0, 10, 2))
    return number


def listed(parts: list[str], locale: str) -> str | None:
    """Return several phrases in one, or None without any."""
    joined: str = words.catalogue(locale, "words")["and"].join(parts)
    return joined or None
