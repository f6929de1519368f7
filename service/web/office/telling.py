"""How the office writes amounts, instants and accounts: short, and the same on every page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

from babel.dates import format_date, format_datetime
from sqlalchemy import Connection

from ledger import units
from ledger.units import Unit
from service.ids import encode
from service.platforms import members
from service.platforms.members import Member
from service.web.words import amount

_BABEL: Final = {"fr": "fr", "en": "en_GB", "br": "br"}


class Teller:
    """Writes what one page shows, with the units and members that it looked up once."""

    def __init__(self, connection: Connection, platform_id: UUID, locale: str) -> None:
        """Read for a page of this platform, in this language."""
        self._connection = connection
        self._platform_id = platform_id
        self._locale = locale
        self._units: dict[str, Unit] = {}
        self._members: Mapping[UUID, Member] = {}

    def know(self, codes: Iterable[str], people: Iterable[UUID] = ()) -> None:
        """Look up what the page will write."""
        wanted = set(codes) - self._units.keys()
        self._units |= units.find_many(self._connection, self._platform_id, wanted)
        ids = set(people) - self._members.keys()
        found = members.find_many(self._connection, self._platform_id, ids) if ids else {}
        self._members = {**self._members, **found}

    def amount(self, minor: int, code: str) -> str:
        """Write minor units of a unit."""
        self.know([code])
        return amount(minor, self._units[code], self._locale)

    def at(self, instant: datetime | None) -> str:
        """Write an instant in UTC, as every page of the office says."""
        if instant is None:
            return "—"
        written: str = format_datetime(
            instant.astimezone(UTC), "short", locale=_BABEL[self._locale]
        )
        return written

    def day(self, day: date) -> str:
        """Write a day."""
        written: str = format_date(day, "medium", locale=_BABEL[self._locale])
        return written

    def member(self, member_id: UUID) -> str:
        """Write who somebody is: their name, or what the platform calls them."""
        found = self._members.get(member_id)
        if found is None:
            return encode("member", member_id)
        return found.name or found.external_id or encode("member", member_id)
