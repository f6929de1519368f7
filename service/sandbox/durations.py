"""Lengths of time as text: ISO 8601's durations of weeks, days, hours, minutes and seconds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

#: Months and years are left out: they have no length of their own.
PATTERN: Final = (
    r"^P(?=[0-9T])(?:[0-9]{1,4}W)?(?:[0-9]{1,5}D)?"
    r"(?:T(?=[0-9])(?:[0-9]{1,6}H)?(?:[0-9]{1,8}M)?(?:[0-9]{1,9}S)?)?$"
)
_PARTS: Final = re.compile(
    r"P(?=[0-9T])(?:([0-9]{1,4})W)?(?:([0-9]{1,5})D)?"
    r"(?:T(?=[0-9])(?:([0-9]{1,6})H)?(?:([0-9]{1,8})M)?(?:([0-9]{1,9})S)?)?",
    re.ASCII,
)
_HAS_MONTHS: Final = re.compile(r"P[0-9]+[YM]", re.ASCII)


def read(text: str) -> timedelta:
    """Return the length of a duration such as ``P2D`` or ``PT6H30M``.

    Raises:
        ValueError: it is none.
    """
    found = _PARTS.fullmatch(text)
    if found is None:
        raise ValueError(_what_to_send(text))
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)


def _what_to_send(text: str) -> str:
    if "-" in text or "+" in text:
        return "has a sign; send a length of time without one, such as 'P1D': time goes forward"
    if _HAS_MONTHS.match(text):
        return "has months or years, which have no length of their own; send days, such as 'P30D'"
    return "is not a duration; send one such as 'P2D', 'PT6H' or 'P1DT30M'"


def say(length: timedelta) -> str:
    """Return a length as text, to the second: ``P2DT6H``, and ``PT0S`` for none."""
    days, rest = length.days, length.seconds
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    date = f"{days}D" if days else ""
    clock = "".join(
        f"{count}{letter}"
        for count, letter in ((hours, "H"), (minutes, "M"), (seconds, "S"))
        if count
    )
    if not date and not clock:
        return "PT0S"
    return f"P{date}{'T' if clock else ''}{clock}"
