"""A claim about a part of a leg makes two of it: what is disputed, and what is not.

So each half has its one outcome, in its own time. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from ledger.posting import Posting, Transfer
from service.exchanges import money
from service.exchanges.commands import Decision
from service.exchanges.model import Leg
from service.exchanges.refusals import ClaimIncomplete
from service.ids import uuid7


def check_parts(legs: Mapping[UUID, Leg], parts: Mapping[UUID, int]) -> None:
    """Check that each part is a part of its leg.

    Raises:
        ClaimIncomplete: a part of nothing, or more than there is.
    """
    for index, (leg_id, amount) in enumerate(parts.items()):
        if not 1 <= amount <= legs[leg_id].amount:
            raise ClaimIncomplete(
                f"Of this leg, 1 to {legs[leg_id].amount} can be disputed.",
                pointer=f"/legs/{index}/amount",
                held=legs[leg_id].amount,
            )


def divide(decision: Decision, parts: Mapping[UUID, int]) -> dict[UUID, Leg]:
    """Divide held legs, and return the new ones with the disputed parts, by the old ones' ids.

    A leg that is disputed as a whole is left as it is. Fees are divided as the amount is; what
    cannot be divided stays with what is not disputed.
    """
    exchange = decision.exchange
    position = max(leg.position for leg in exchange.legs)
    made: dict[UUID, Leg] = {}
    for leg in exchange.held_legs:
        amount = parts.get(leg.id, leg.amount)
        if amount == leg.amount:
            continue
        position += 1
        made[leg.id] = replace(
            leg,
            id=uuid7(),
            position=position,
            amount=amount,
            payer_fee=leg.payer_fee * amount // leg.amount,
            payee_fee=leg.payee_fee * amount // leg.amount,
        )
    for old, part in made.items():
        leg = next(one for one in exchange.legs if one.id == old)
        rest = replace(
            leg,
            amount=leg.amount - part.amount,
            payer_fee=leg.payer_fee - part.payer_fee,
            payee_fee=leg.payee_fee - part.payee_fee,
        )
        decision.exchange = decision.exchange.with_legs({old: rest})
        move = Transfer(money.hold_account(leg), money.hold_account(part), part.held, leg.unit)
        reference = money.reference(exchange.id)
        decision.postings.append(Posting(f"divide:{part.id}", "divide", (move,), reference))
    legs = (*decision.exchange.legs, *made.values())
    decision.exchange = replace(decision.exchange, legs=legs)
    return made
