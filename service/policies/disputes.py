"""From which amount a decision is read by a second person, and an appeal heard by three."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ledger.units import Unit

#: In whole units of money; what is given in hours, or in another unit of a community, weighs by
#: :data:`COMMUNITY` of them.
SECOND_FROM: Final = 200
PANEL_FROM: Final = 500
#: A community's units count as so many of money each: an hour of help is worth as much thought.
COMMUNITY: Final = 20
PANEL: Final = 3


@dataclass(frozen=True, slots=True)
class Weight:
    """How carefully a case is decided: known to both sides before it begins."""

    second: bool
    panel: int


def weigh(lines: Iterable[tuple[Unit, int]]) -> Weight:
    """Return the weight of a case about these amounts (minor units of each unit).

    Amounts of different units are not added up: the heaviest counts.
    """
    heaviest = 0
    for unit, amount in lines:
        whole = amount * (COMMUNITY if unit.community else 1) // 10**unit.exponent
        heaviest = max(heaviest, whole)
    return Weight(heaviest >= SECOND_FROM, PANEL if heaviest >= PANEL_FROM else 1)
