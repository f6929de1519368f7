"""A picture of amounts over days, laid out here so that a page needs no script to draw it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger.history import Day

#: The drawing's own units; it grows and shrinks with the page.
WIDTH: Final = 720
HEIGHT: Final = 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 8, 8, 8


@dataclass(frozen=True, slots=True)
class Chart:
    """A line and the area below it, as SVG paths; rules stand at ``top``, half of it and none."""

    line: str
    area: str
    rules: tuple[int, ...]
    top: int
    last_y: int
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    base: int = HEIGHT - _BOTTOM


def draw(days: Sequence[Day]) -> Chart:
    """Return the picture of ``days``, of which there are two at least, oldest first."""
    top = _round_up(max(1, *(one.balance for one in days)))
    low = min(0, *(one.balance for one in days))
    span = top - low
    plot = HEIGHT - _TOP - _BOTTOM

    def y(amount: int) -> int:
        return _TOP + (top - amount) * plot // span

    step = (WIDTH - _LEFT - _RIGHT) / (len(days) - 1)
    points = [(round(_LEFT + at * step), y(one.balance)) for at, one in enumerate(days)]
    line = "M" + " L".join(f"{x} {height}" for x, height in points)
    area = f"{line} L{points[-1][0]} {y(0)} L{points[0][0]} {y(0)} Z"
    rules = tuple(y(top * part // 2) for part in (0, 1, 2))
    return Chart(line, area, rules, top, points[-1][1])


def _round_up(amount: int) -> int:
    """Return the next amount whose figures are easy: 1, 2 or 5, and zeros."""
    power = 1
    while power * 10 <= amount:
        power *= 10
    return next(power * figure for figure in (1, 2, 5, 10) if power * figure >= amount)
