"""How much a provider takes as evidence: each text cut to its length, free text first. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

#: Characters that a provider takes in one field and in all (Stripe, "Update a dispute").
FIELD_MOST: Final = 20_000
TOTAL_MOST: Final = 150_000


def lines_within(lines: Sequence[str], most: int) -> str:
    """Join lines; of too many, the first and the last stay and the middle says how many left."""
    whole = "\n".join(lines)
    if len(whole) <= most:
        return whole
    head: list[str] = []
    tail: list[str] = []
    room = most - 60
    for number in range(len(lines)):
        side, line = (
            (head, lines[number // 2]) if number % 2 == 0 else (tail, lines[-1 - number // 2])
        )
        if len(line) + 1 > room:
            break
        room -= len(line) + 1
        side.append(line)
    left_out = len(lines) - len(head) - len(tail)
    return "\n".join([*head, f"({left_out} further lines left out)", *reversed(tail)])


_CUT: Final = " […]"


def within(fields: Mapping[str, str]) -> dict[str, str]:
    """Keep each field and all together within their length; free text gives way first."""
    left = TOTAL_MOST
    kept: dict[str, str] = {}
    for name in sorted(fields, key=lambda one: (one == "uncategorized_text", one)):
        value, room = fields[name], min(FIELD_MOST, left)
        if len(value) > room:
            value = value[: max(0, room - len(_CUT))] + _CUT if room > len(_CUT) else ""
        if value:
            kept[name] = value
            left -= len(value)
    return kept
