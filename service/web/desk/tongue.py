"""How the desk says codes, instants and amounts, in the language of whoever sits at it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.dates import format_timedelta
from sqlalchemy import Connection

from ledger import units
from ledger.units import Unit
from service.messages import words
from service.records import catalogue
from service.web.words import amount

#: Mediators have no time zone of their own; every page says whose hours these are.
ZONE: Final = "Europe/Paris"
_BABEL: Final = {"fr": "fr", "en": "en_GB", "br": "br"}
_MINUTE, _HOUR, _DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


# A list says the same few of these again and again, and each takes a good part of a millisecond.
@lru_cache(maxsize=4096)
def _instant(at: datetime, locale: str) -> str:
    return words.instant(at, ZONE, locale)


@lru_cache(maxsize=1024)
def _left(rough: timedelta, locale: str) -> str:
    said: str = format_timedelta(rough, add_direction=True, threshold=2, locale=_BABEL[locale])
    return said


@dataclass(frozen=True, slots=True)
class Tongue:
    """One of the languages of pages."""

    locale: str

    def word(self, group: str, code: str | None) -> str:
        """Return the word of a code, as the records of a case have it."""
        return "" if code is None else catalogue.word(self.locale, group, str(code))

    def question(self, code: str | None) -> str:
        """Return a question of a reason, as the side that it is asked of reads it."""
        return (
            "" if code is None else str(words.catalogue(self.locale, "disputes")["questions"][code])
        )

    def instant(self, at: datetime | str | None) -> str:
        """Return an instant as people read it: the day in full, and the hour."""
        if at is None:
            return ""
        when = datetime.fromisoformat(at) if isinstance(at, str) else at
        return _instant(when, self.locale)

    def hour(self, at: datetime) -> str:
        """Return the hour of an instant."""
        return words.hour(at, ZONE, self.locale)

    def left(self, at: datetime, now: datetime) -> str:
        """Return how long it is to an instant, or since: ``dans 3 jours``."""
        there: timedelta = at - now
        # To the minute within two hours, to the hour within two days, and to the day beyond.
        far = abs(there)
        step = _DAY if far >= 2 * _DAY else _HOUR if far >= 2 * _HOUR else _MINUTE
        rough = (there // step) * step
        return _left(rough, self.locale)

    def lasting(self, time: timedelta) -> str:
        """Return a length of time: ``3 jours``."""
        said: str = format_timedelta(time, threshold=2, locale=_BABEL[self.locale])
        return said


@dataclass(frozen=True, slots=True)
class Purse:
    """Says amounts of one platform's units."""

    locale: str
    units: Mapping[str, Unit]

    def say(self, minor: int, code: str) -> str:
        """Return an amount as people read it."""
        return amount(minor, self.units[code], self.locale)

    def input(self, minor: int, code: str) -> str:
        """Return an amount as it stands in a field: figures, with the language's decimal sign."""
        found = self.units[code].decimal(minor)
        return found if self.locale == "en" else found.replace(".", ",")

    def name(self, code: str) -> str:
        """Return what the unit is called beside a field."""
        unit = self.units[code]
        return words.clean(unit.name) if unit.community else code


def purse(connection: Connection, platform_id: UUID, codes: Iterable[str], locale: str) -> Purse:
    """Return what says amounts of these units of a platform."""
    return Purse(locale, units.find_many(connection, platform_id, set(codes)))


def midnight(now: datetime) -> datetime:
    """Return when today ends where the desk is."""
    there = now.astimezone(ZoneInfo(ZONE))
    return (there + _DAY).replace(hour=0, minute=0, second=0, microsecond=0)
