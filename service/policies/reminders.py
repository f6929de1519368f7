"""When somebody who has not answered is reminded, before silence takes its course."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

#: How long before a deadline.
BEFORE: Final = (timedelta(hours=72), timedelta(hours=24))
#: Nobody is reminded within the first part of the time that they have.
QUIET_PART: Final = 4


def schedule(start: datetime, due: datetime) -> list[datetime]:
    """Return the instants at which reminders of a deadline are sent, soonest first.

    A time too short for the usual ones has one, in its middle.
    """
    if due <= start:
        return []
    earliest = start + (due - start) / QUIET_PART
    usual = [due - before for before in BEFORE if due - before >= earliest]
    return usual or [start + (due - start) / 2]


def notice(planned: Sequence[datetime], due: datetime) -> timedelta:
    """Return how much time the last reminder leaves at least, even when it was sent late."""
    return (due - planned[-1]) * 3 / 4
