"""Hours at which a member may be expected to act: by day where they live, and not on a holiday.

No deadline falls due, and no reminder is sent, outside of them. The holidays are the public ones of
a whole country, as the package ``holidays`` keeps them.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from holidays import country_holidays
from holidays.utils import list_supported_countries

#: From and until when, in the member's own time.
DECENT_FROM: Final = time(9)
DECENT_UNTIL: Final = time(20)
#: The time of day of what is moved to a day before.
_LAST_HOUR: Final = time(19)

_SUPPORTED: Final = frozenset(list_supported_countries(include_aliases=False))
#: Rounds in which hours that suit several members are looked for. Each moves by a night or a
#: holiday, so this is about a week; members at opposite ends of the world may have none.
_ROUNDS: Final = 16


@lru_cache(maxsize=4096)  # a batch, and each look at an exchange, asks for the same again
def next_decent(instant: datetime, zone: str, country: str) -> datetime:
    """Return ``instant`` if it is decent where the member lives, else the next 09:00 that is.

    Args:
        instant: with zone.
        zone: IANA time zone of the member, such as ``Europe/Paris``.
        country: ISO 3166-1 alpha-2; one without known holidays has none.
    """
    there = ZoneInfo(zone)
    local = instant.astimezone(there)
    day = local.date()
    if local.time() >= DECENT_UNTIL:
        day += timedelta(days=1)
    while day in _holidays(country, day.year):
        day += timedelta(days=1)
    if day == local.date() and local.time() >= DECENT_FROM:
        return instant
    return datetime.combine(day, DECENT_FROM, there).astimezone(UTC)


@lru_cache(maxsize=4096)
def last_decent(instant: datetime, zone: str, country: str) -> datetime:
    """Return ``instant`` if it is decent where the member lives, else the last such hour before.

    Args:
        instant, zone, country: as for :func:`next_decent`.
    """
    there = ZoneInfo(zone)
    local = instant.astimezone(there)
    day = local.date()
    if local.time() < DECENT_FROM:
        day -= timedelta(days=1)
    while day in _holidays(country, day.year):
        day -= timedelta(days=1)
    if day == local.date() and local.time() < DECENT_UNTIL:
        return instant
    return datetime.combine(day, _LAST_HOUR, there).astimezone(UTC)


def next_decent_for(instant: datetime, places: Collection[tuple[str, str]]) -> datetime:
    """Return the first instant from ``instant`` on that is decent in each (zone, country).

    Where the members' days share no hour, the first that is decent for one of them.
    """
    found = instant
    for _ in range(_ROUNDS):
        moved = max((next_decent(found, *place) for place in places), default=found)
        if moved == found:
            return found
        found = moved
    return min(next_decent(instant, *place) for place in places)


def last_decent_for(instant: datetime, places: Collection[tuple[str, str]]) -> datetime:
    """Return the last instant up to ``instant`` that is decent in each, as far as there is one."""
    found = instant
    for _ in range(_ROUNDS):
        moved = min((last_decent(found, *place) for place in places), default=found)
        if moved == found:
            return found
        found = moved
    return max(last_decent(instant, *place) for place in places)


@lru_cache(maxsize=2048)
def _holidays(country: str, year: int) -> frozenset[date]:
    if country not in _SUPPORTED:
        return frozenset()
    return frozenset(country_holidays(country, years=year))
