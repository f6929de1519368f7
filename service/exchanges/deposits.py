"""Deposits that the payer's bank blocks: renewed, or taken before the block ends.

A deposit is never lost in silence.

Each act has the same shape, ``(exchange, command, role, now, codes) -> Decision``, so that
``decide`` can name it beside its step. Pure: no database, no clock, no provider.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from ledger.posting import Posting, Transfer
from service.exchanges import money
from service.exchanges.codes import CodeBook
from service.exchanges.commands import Command, Decision, PaymentDraft
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, Leg, LegState, State
from service.exchanges.refusals import StepNotAllowed
from service.ids import encode, uuid7


def authorisation(exchange: Exchange, command: Command) -> PaymentDraft:
    """Return the payment that asks the payer's bank to block the deposits."""
    assert exchange.provider is not None
    assert exchange.money_unit is not None
    again = any(leg.strategy == "reauthorise" for leg in exchange.deposit_legs)
    return PaymentDraft(
        id=uuid7(),
        kind="collect",
        member_id=exchange.payer_id,
        amount=sum(leg.held for leg in exchange.deposit_legs),
        unit=exchange.money_unit,
        provider=exchange.provider,
        method=command.payment_method,
        capture="manual",
        hosted=command.hosted,
        return_url=command.return_url,
        # What the payer agreed to block anew must be there to be asked again.
        save_method=command.save_method or again,
    )


def renew_deposit(
    exchange: Exchange, command: Command, _role: Role, _now: datetime, _codes: CodeBook
) -> Decision:
    """The block ends soon: ask the bank anew, without the payer, as they agreed to."""
    return _ask_anew(exchange, replace(command, hosted=False), off_session=True)


def authorise_again(
    exchange: Exchange, command: Command, _role: Role, _now: datetime, _codes: CodeBook
) -> Decision:
    """The payer themselves has the deposit blocked anew: what the bank wanted them for."""
    return _ask_anew(exchange, command, off_session=False)


def _ask_anew(exchange: Exchange, command: Command, *, off_session: bool) -> Decision:
    draft = authorisation(exchange, command)
    draft = replace(draft, replaces=exchange.deposit_id, off_session=off_session)
    decision = Decision(replace(exchange, deposit_renewal_id=draft.id))
    if exchange.deposit_renewal_id is not None:
        decision.cancel.append(exchange.deposit_renewal_id)
    decision.payments.append(draft)
    decision.note("deposit.renewing", payment=encode("payment", draft.id))
    return decision


def deposit_renewed(
    exchange: Exchange, command: Command, _role: Role, _now: datetime, _codes: CodeBook
) -> Decision:
    """A new block stands: it takes the old one's place, which is then set free."""
    new, old = command.payment_id, exchange.deposit_id
    if new is None or old is None or exchange.deposit_renewal_id != new or not _blocked(exchange):
        raise StepNotAllowed("This block is not the one the exchange waits for.")
    legs = _blocked(exchange)
    amount, unit = sum(leg.held for leg in legs), legs[0].unit
    decision = Decision(
        replace(
            exchange.with_legs({leg.id: replace(leg, collect_id=new) for leg in legs}),
            deposit_id=new,
            deposit_until=command.capture_before,
            deposit_renewal_id=None,
        )
    )
    # Both stand at the bank until the old one is freed: its worth waits in its own transit.
    move = Transfer(money.blocked_account(exchange), f"transit:{old}", amount, unit)
    reference = money.reference(exchange.id)
    decision.postings.append(Posting(f"authorise:{new}", "authorise", (move,), reference))
    decision.cancel.append(old)
    decision.note("deposit.authorised", payment=encode("payment", new))
    return decision


def take_deposit(
    exchange: Exchange, _command: Command, _role: Role, _now: datetime, _codes: CodeBook
) -> Decision:
    """The block ends soon and nothing replaced it: take the deposit; it goes back at the return."""
    assert exchange.deposit_id is not None
    legs = _blocked(exchange)
    decision = Decision(replace(exchange, deposit_until=None, deposit_renewal_id=None))
    decision.capture[exchange.deposit_id] = sum(leg.held for leg in legs)
    if exchange.deposit_renewal_id is not None:
        decision.cancel.append(exchange.deposit_renewal_id)
    decision.note("deposit.taking", payment=encode("payment", exchange.deposit_id))
    return decision


def deposit_lapsed(
    exchange: Exchange, command: Command, _role: Role, _now: datetime, _codes: CodeBook
) -> Decision:
    """The bank blocks the deposit no more, against every plan: both sides are told at once.

    There is nothing left to hold, so the leg ends as what it is: back with the payer.
    """
    payment_id = command.payment_id
    legs = [leg for leg in exchange.held_legs if leg.collect_id == payment_id]
    if payment_id is None or not legs:
        raise StepNotAllowed("This block holds nothing of the exchange.")
    amount, unit = sum(leg.held for leg in legs), legs[0].unit
    decision = Decision(replace(exchange, proposal=None))
    payer = money.member_account(exchange.payer_id)
    reference = money.reference(exchange.id)
    settled = {}
    for leg in legs:
        share = money.all_to_payer(leg)
        back = Transfer(money.hold_account(leg), payer, leg.held, leg.unit)
        decision.postings.append(Posting(f"outcome:{leg.id}", "outcome", (back,), reference))
        settled[leg.id] = replace(leg, state=LegState.SETTLED, share=share, disputed=False)
    gone = Transfer(payer, money.blocked_account(exchange), amount, unit)
    decision.postings.append(Posting(f"freed:{payment_id}", "freed", (gone,), reference))
    decision.exchange = replace(
        decision.exchange.with_legs(settled), deposit_until=None, deposit_renewal_id=None
    )
    if exchange.deposit_renewal_id is not None:
        decision.cancel.append(exchange.deposit_renewal_id)
    decision.note("deposit.lapsed", payment=encode("payment", payment_id), amount=amount, unit=unit)
    return decision


def _blocked(exchange: Exchange) -> list[Leg]:
    return [leg for leg in exchange.held_legs if exchange.is_blocked(leg)]


def waits_for(exchange: Exchange, payment_id: UUID) -> str | None:
    """Return the step that a block which now stands takes, or None: nobody waits for it."""
    if exchange.state is State.FUNDING and exchange.deposit_id == payment_id:
        return "deposit_authorised"
    if exchange.deposit_renewal_id == payment_id and exchange.deposit_until is not None:
        return "deposit_renewed"
    return None
