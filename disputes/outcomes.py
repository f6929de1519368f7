"""How a case can end: a closed list, each with the exact effect that both sides read before.

Nothing else moves value. What is not in the list cannot be written down, and no effect is
what is left over when nothing else fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from ledger.refusals import Refusal


class Side(StrEnum):
    """The two sides of what is disputed: who paid it in, and who would get it."""

    PAYER = "payer"
    PAYEE = "payee"

    @property
    def other(self) -> Side:
        """The other side."""
        return Side.PAYEE if self is Side.PAYER else Side.PAYER


class Outcome(StrEnum):
    """How a case ends."""

    TO_PAYER = "to_payer"
    TO_PAYEE = "to_payee"
    SPLIT = "split"
    #: The goods go back first; the payer's money follows when they have, and the payee's if not.
    RETURN_THEN_REFUND = "return_then_refund"
    #: The payee mends it, or does the work again; then it goes on as agreed.
    REPAIR = "repair"
    #: The payee did not come.
    NO_SHOW_PAYEE = "no_show_payee"
    #: The payer did not come.
    NO_SHOW_PAYER = "no_show_payer"
    #: The claimant takes the claim back: the exchange goes on as if it had not been made.
    WITHDRAWN = "withdrawn"
    #: What it was about found its end without it: confirmed by both after all, or back at the bank.
    MOOT = "moot"
    #: Nobody can tell. What the terms presume for this reason holds.
    CANNOT_DECIDE = "cannot_decide"


@dataclass(frozen=True, slots=True)
class Line:
    """A part of what is disputed. ``amount`` is in minor units of ``unit``, and can be split."""

    id: UUID
    unit: str
    amount: int


class Presumed(StrEnum):
    """Who gets what is disputed when nobody can tell."""

    PAYER = "payer"
    PAYEE = "payee"
    HALVES = "halves"


class SplitInvalid(Refusal):
    """A split that does not say for each line what the payee gets, within the line's amount."""

    code = "split_invalid"


#: Outcomes that move nothing by themselves.
MOVES_NOTHING: Final = frozenset({Outcome.WITHDRAWN, Outcome.MOOT, Outcome.REPAIR})
#: What the two sides can agree on, whatever the reason. A repair takes the will of who does it.
AGREEABLE: Final = frozenset(
    {
        Outcome.TO_PAYER,
        Outcome.TO_PAYEE,
        Outcome.SPLIT,
        Outcome.RETURN_THEN_REFUND,
        Outcome.REPAIR,
    }
)
#: Outcomes that a second person must agree to, whatever the amount.
UNUSUAL: Final = frozenset({Outcome.CANNOT_DECIDE, Outcome.NO_SHOW_PAYER, Outcome.NO_SHOW_PAYEE})


def effect(
    outcome: Outcome,
    lines: Sequence[Line],
    presumed: Presumed,
    split: Mapping[UUID, int] | None = None,
) -> dict[UUID, int]:
    """Return for each line what the payee gets, in minor units; the payer gets the rest.

    So the two always sum to the line, to the last cent.

    Args:
        presumed: what holds when nobody can tell, as the terms say.
        split: for :attr:`Outcome.SPLIT`, and only for it: the payee's part of every line.

    Raises:
        SplitInvalid: the split does not fit the lines.
        ValueError: the outcome moves nothing; a bug of the caller.
    """
    if outcome is Outcome.SPLIT:
        return _checked(lines, split)
    if split is not None:
        raise SplitInvalid(f"'{outcome}' has its effect already; only a split names amounts.")
    if outcome in MOVES_NOTHING:
        raise ValueError(f"{outcome} moves nothing")
    to_payee = {
        Outcome.TO_PAYER: Presumed.PAYER,
        Outcome.TO_PAYEE: Presumed.PAYEE,
        Outcome.RETURN_THEN_REFUND: Presumed.PAYER,
        Outcome.NO_SHOW_PAYEE: Presumed.PAYER,
        Outcome.NO_SHOW_PAYER: Presumed.PAYER,
        Outcome.CANNOT_DECIDE: presumed,
    }[outcome]
    return {line.id: _part(line, to_payee) for line in lines}


def _part(line: Line, to: Presumed) -> int:
    if to is Presumed.HALVES:
        return line.amount // 2  # the odd cent stays with who paid it
    return line.amount if to is Presumed.PAYEE else 0


def _checked(lines: Sequence[Line], split: Mapping[UUID, int] | None) -> dict[UUID, int]:
    given = dict(split or {})
    if set(given) != {line.id for line in lines}:
        raise SplitInvalid(
            f"{len(lines)} parts are disputed; say for each, and for nothing else, what goes to "
            "the payee.",
            lines=[str(line.id) for line in lines],
        )
    for line in lines:
        if not 0 <= given[line.id] <= line.amount:
            raise SplitInvalid(
                f"The payee can get 0 to {line.amount} of this part; the payer gets the rest.",
                line=str(line.id),
                amount=line.amount,
            )
    return given
