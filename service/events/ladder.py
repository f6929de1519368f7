"""When a delivery that failed is tried again. The ladder is Standard Webhooks', and published."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from random import SystemRandom
from typing import Final

#: How long after the attempt before each attempt is made; after the last, the delivery has failed.
LADDER: Final = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
#: Each wait is longer by up to this part, so that what failed together does not come together.
JITTER: Final = 0.1
#: An endpoint may ask for more time, but for no more than this.
LONGEST_WAIT: Final = timedelta(hours=24)
#: How long nothing is sent to an endpoint that is asked too much and does not say how long.
REST: Final = timedelta(seconds=30)

_random: Final = SystemRandom()


def next_at(
    failures: int, now: datetime, wanted: datetime | None = None, jitter: float | None = None
) -> datetime | None:
    """Return when to try again after ``failures`` failed attempts; None: it is given up.

    Args:
        wanted: no earlier than this, as the endpoint asked.
        jitter: between 0 and 1; chosen at random when not given.
    """
    if failures >= len(LADDER):
        return None
    part = _random.random() if jitter is None else jitter
    at = now + LADDER[failures] * (1 + JITTER * part)
    return at if wanted is None else max(at, wanted)


def retry_after(value: str | None, now: datetime) -> datetime | None:
    """Return the instant that a ``Retry-After`` header names (RFC 9110 §10.2.3); None without one.

    One that nobody can read is none. It is at most 24 hours ahead.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return now + min(timedelta(seconds=int(text[:9])), LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # no date, or one with a number beyond all measure
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max(at, now), now + LONGEST_WAIT)
