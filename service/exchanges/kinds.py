"""The kinds of exchange, as data: their checkpoints, the legs they allow, who shows the code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What members may exchange."""

    SALE = "sale"
    SERVICE = "service"
    RENTAL = "rental"
    LOAN = "loan"
    HELP = "help"
    MIXED = "mixed"
    GIFT = "gift"


class Role(StrEnum):
    """A member's side of an exchange."""

    PAYER = "payer"
    PAYEE = "payee"

    @property
    def other(self) -> Role:
        """The other side."""
        return Role.PAYEE if self is Role.PAYER else Role.PAYER


class LegRole(StrEnum):
    """Where a leg goes when its checkpoint is met: a price to the payee, a deposit back."""

    PRICE = "price"
    DEPOSIT = "deposit"


@dataclass(frozen=True, slots=True)
class Shape:
    """What the terms of one kind must look like.

    ``checkpoints`` is empty where the parties name their own milestones. ``prices`` and
    ``deposits`` are the least and most legs of that role; ``price_at`` and ``deposit_at`` the
    checkpoint each hangs on (``None``: any). ``needs`` names the sorts of unit that must occur.
    """

    checkpoints: tuple[str, ...]
    prices: tuple[int, int]
    deposits: tuple[int, int]
    price_at: str | None = None
    deposit_at: str | None = None
    needs: frozenset[str] = frozenset()
    forbids: frozenset[str] = frozenset()


MOST_LEGS: Final = 20

SHAPES: Final = {
    Kind.SALE: Shape(("handover",), (1, MOST_LEGS), (0, 0), price_at="handover"),
    Kind.SERVICE: Shape((), (1, MOST_LEGS), (0, 0)),
    Kind.RENTAL: Shape(
        ("handover", "return"), (1, 10), (1, 10), price_at="handover", deposit_at="return"
    ),
    Kind.LOAN: Shape(("handover", "return"), (0, 0), (0, 10), deposit_at="return"),
    Kind.HELP: Shape(("done",), (1, 10), (0, 0), price_at="done", forbids=frozenset({"money"})),
    Kind.MIXED: Shape(
        ("done",), (2, MOST_LEGS), (0, 0), price_at="done", needs=frozenset({"money", "community"})
    ),
    Kind.GIFT: Shape(("handover",), (0, 0), (0, 0)),
}


def shows_code(kind: Kind, checkpoint: str) -> Role:
    """Return who holds the hand-over code: the side that gives something up at ``checkpoint``.

    At the return of a rental or a loan that is the lender (payee), who lets the deposit go;
    everywhere else the payer, also at a milestone that happens to be called so.
    """
    returns = kind in {Kind.RENTAL, Kind.LOAN} and checkpoint == "return"
    return Role.PAYEE if returns else Role.PAYER
