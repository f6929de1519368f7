"""Acts when the payer's bank contests a payment: freeze what is unpaid, and what follows.

What the bank takes back is counted on the exchange at once (``charged_back``): whatever outcome the
holds find later, at the hold limit too, never gives the payer the same money twice.

Each act has the same shape, ``(exchange, command, role, now, codes) -> Decision``, so that
``decide`` can name it beside its step. Pure: no database, no clock, no provider.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from service.exchanges import claims, money
from service.exchanges.codes import CodeBook
from service.exchanges.commands import Command, Decision
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State


def freeze(
    exchange: Exchange, command: Command, _role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Nothing is released any more; an open offer to settle lapses with that."""
    decision = Decision(
        replace(
            exchange,
            frozen_at=exchange.frozen_at or now,
            charged_back=exchange.charged_back + command.amount,
            contested_id=command.payment_id or exchange.contested_id,
            proposal=None,
        )
    )
    if exchange.frozen_at is None:
        decision.note("exchange.frozen", reason=command.failure)
        claims.open_by_bank(decision, command.failure, now)
    return decision


def unfreeze(
    exchange: Exchange, command: Command, _role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """The bank found for us, or took nothing: what it had taken back is there again."""
    left = max(0, exchange.charged_back - command.amount)
    decision = Decision(replace(exchange, charged_back=left))
    if not command.keep_frozen and exchange.frozen_at is not None:
        decision.exchange = replace(decision.exchange, frozen_at=None, resumed_at=now)
        decision.note("exchange.unfrozen")
        claims.after_the_bank(decision, now, codes)
    return decision


def charged_back(
    exchange: Exchange, command: Command, _role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """The bank gave the money to the payer for good.

    If that was all the money held, the exchange is over and everything beside it goes home too. If
    it was a part, the exchange goes on over the rest, and the payer's part of any outcome counts
    what they have already.
    """
    goes_on = exchange.frozen_at is not None and not command.keep_frozen
    decision = Decision(replace(exchange, frozen_at=None, resumed_at=now) if goes_on else exchange)
    whole = sum(leg.held for leg in exchange.held_legs if leg.collect_id == exchange.contested_id)
    decision.note("exchange.charged_back", amount=command.amount, unit=exchange.money_unit)
    if whole and exchange.charged_back >= whole:
        money.settle(decision, {leg.id: 0 for leg in exchange.held_legs}, by_silence=True)
        decision.exchange = replace(decision.exchange, proposal=None, frozen_at=None)
        decision.end(State.REFUNDED, now, "exchange.refunded")
    elif goes_on:
        claims.after_the_bank(decision, now, codes)
    return decision
