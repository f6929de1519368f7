"""Clocks that stand still: while our own service was away, and while a member could not act."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

#: All pauses together put one deadline off by this at most, so that no exchange waits for ever.
MOST_PAUSE: Final = timedelta(days=30)
#: How much longer somebody has whose reminder came back, so that they can be reached otherwise.
UNREACHED_GRACE: Final = timedelta(hours=72)


def extend(
    start: datetime, length: timedelta, pauses: Iterable[tuple[datetime, datetime]]
) -> datetime:
    """Return when ``length`` of running time is over, for a clock that began at ``start``.

    Args:
        pauses: from and until when the clock stood still, in any order; they may overlap.
    """
    due = start + length
    latest = due + MOST_PAUSE
    counted = start
    for said, ended in sorted(pauses):
        began = max(said, counted)
        if began >= due:
            break
        if ended > began:
            due += ended - began
            counted = ended
    return min(due, latest)
