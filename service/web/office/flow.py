"""Where the money of one exchange went: accounts as boxes, movements as arrows between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ledger.accounts import Posted

#: Columns from left to right: who pays, what is outside, what is held, who gets it, what is on its
#: way. An account of another sort stands with what is outside.
_COLUMNS: Final = {"payer": 0, "outside": 1, "hold": 2, "payee": 3, "transit": 4}
_BOX_WIDTH, _BOX_HEIGHT = 168, 56
_GAP_X, _GAP_Y, _EDGE = 84, 56, 12


@dataclass(frozen=True, slots=True)
class Box:
    """An account: where its box stands, and what kind of account it is."""

    path: str
    sort: str  # payer, payee, hold, transit, or outside
    x: int
    y: int
    width: int = _BOX_WIDTH
    height: int = _BOX_HEIGHT


@dataclass(frozen=True, slots=True)
class Arrow:
    """One movement, in order; ``number`` is written on the arrow and in the list below it."""

    number: int
    kind: str
    debit: str
    credit: str
    amount: int
    unit: str
    path: str
    label_x: int
    label_y: int


@dataclass(frozen=True, slots=True)
class Flow:
    """The whole drawing, in units of its own."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    width: int
    height: int


def draw(postings: Sequence[Posted], payer: str, payee: str) -> Flow:
    """Return the drawing; ``payer`` and ``payee`` are the paths of the members' accounts."""
    paths = dict.fromkeys(
        path for one in postings for moved in one.transfers for path in (moved.debit, moved.credit)
    )
    columns: dict[str, list[str]] = {sort: [] for sort in _COLUMNS}
    for path in paths:
        columns[_sort(path, payer, payee)].append(path)
    boxes = _boxes({sort: found for sort, found in columns.items() if found})
    arrows: list[Arrow] = []
    drawn: dict[tuple[str, str], int] = {}
    for posting in postings:
        for moved in posting.transfers:
            ends = (moved.debit, moved.credit)
            again = drawn.get(ends, 0) + drawn.get(ends[::-1], 0)
            drawn[ends] = drawn.get(ends, 0) + 1
            path, x, y = _curve(boxes[moved.debit], boxes[moved.credit], again)
            arrows.append(
                Arrow(
                    len(arrows) + 1,
                    posting.kind,
                    moved.debit,
                    moved.credit,
                    moved.amount,
                    moved.unit,
                    path,
                    x,
                    y,
                )
            )
    width = max((box.x + box.width for box in boxes.values()), default=0) + _EDGE
    height = max((box.y + box.height for box in boxes.values()), default=0) + _GAP_Y
    return Flow(tuple(boxes.values()), tuple(arrows), width, height)


def _sort(path: str, payer: str, payee: str) -> str:
    if path == payer:
        return "payer"
    if path == payee:
        return "payee"
    kind = path.partition(":")[0]
    return kind if kind in {"hold", "transit"} else "outside"


def _boxes(columns: dict[str, list[str]]) -> dict[str, Box]:
    found = {}
    for place, sort in enumerate(sorted(columns, key=_COLUMNS.__getitem__)):
        for row, path in enumerate(columns[sort]):
            x = _EDGE + place * (_BOX_WIDTH + _GAP_X)
            # Neighbours stand half a step apart, so that an arrow past a box does not run under it.
            y = _GAP_Y + row * (_BOX_HEIGHT + _GAP_Y) + (place % 2) * (_BOX_HEIGHT // 2)
            found[path] = Box(path, sort, x, y)
    return found


def _curve(start: Box, end: Box, again: int) -> tuple[str, int, int]:
    """Return an arrow's path and where its number stands; each more between two bows more."""
    forth = end.x > start.x
    x1 = start.x + (start.width if forth else 0)
    x2 = end.x + (0 if forth else end.width)
    bow = 18 * again * (1 if forth else -1)
    y1 = start.y + start.height // 2 + bow
    y2 = end.y + end.height // 2 + bow
    if start.x == end.x:  # one above the other: around the right side of both
        x1 = x2 = start.x + start.width
        bend = x1 + 48 + abs(bow)
        return f"M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}", x1 + 36, (y1 + y2) // 2
    middle = (x1 + x2) // 2
    far = abs(end.x - start.x) > _BOX_WIDTH + _GAP_X
    # Past the boxes between them: above.
    lift = (min(start.y, end.y) - _GAP_Y // 2 - (y1 + y2) // 2) if far else 0
    path = f"M{x1} {y1} C{middle} {y1 + lift} {middle} {y2 + lift} {x2} {y2}"
    return path, middle, (y1 + y2) // 2 + lift * 3 // 4
