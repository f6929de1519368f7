"""What an outcome would move, laid out so that whoever decides sees the sum that holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from disputes.model import Case
from disputes.outcomes import MOVES_NOTHING, Outcome
from service.web.desk.tongue import Purse

#: What is carried out only when something else has come of it.
LATER = frozenset({Outcome.RETURN_THEN_REFUND, Outcome.REPAIR})


@dataclass(frozen=True, slots=True)
class Share:
    """How a part of what is disputed is shared, in words; ``name`` is the part's."""

    name: str
    whole: str
    to_payer: str
    to_payee: str


@dataclass(frozen=True, slots=True)
class Effect:
    """What an outcome would move: each part, and the sums of each unit."""

    outcome: Outcome
    shares: tuple[Share, ...]
    totals: tuple[Share, ...]
    #: Nothing moves by it, or not before something else.
    waits: bool


def effect(
    case: Case,
    outcome: Outcome,
    to_payee: Mapping[UUID, int],
    purse: Purse,
    names: Mapping[UUID, str],
) -> Effect:
    """Return an outcome's effect; what the payee does not get of a part goes to the payer."""
    if outcome in MOVES_NOTHING or not to_payee:
        return Effect(outcome, (), (), waits=True)
    shares = tuple(
        Share(
            names[line.id],
            purse.say(line.amount, line.unit),
            purse.say(line.amount - to_payee[line.id], line.unit),
            purse.say(to_payee[line.id], line.unit),
        )
        for line in case.lines
    )
    totals = []
    for unit in sorted({line.unit for line in case.lines}):
        lines = [line for line in case.lines if line.unit == unit]
        whole = sum(line.amount for line in lines)
        payee = sum(to_payee[line.id] for line in lines)
        said = (purse.say(amount, unit) for amount in (whole, whole - payee, payee))
        totals.append(Share(purse.name(unit), *said))
    return Effect(outcome, shares, tuple(totals), waits=outcome in LATER)
