"""Acts up to the moment when everything is held: agree, decline, counter, cancel, fund.

Each act has the same shape, ``(exchange, command, role, now, codes) -> Decision``, so that
``decide`` can name it beside its step. Pure: no database, no clock, no provider.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from service.exchanges import deposits, money
from service.exchanges.codes import CodeBook
from service.exchanges.commands import Command, Decision, PaymentDraft
from service.exchanges.confirmation import issue_code
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from service.exchanges.refusals import InvalidTerms, StaleTerms, StepNotAllowed
from service.ids import encode, uuid7
from service.policies.windows import REVERSAL_TAIL


def agree(
    exchange: Exchange, command: Command, role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """The other side agrees; with nothing to pay in, the exchange is active at once."""
    if command.terms_hash is not None and command.terms_hash != exchange.terms_hash:
        raise StaleTerms(
            "The terms have changed since you read them: read the exchange again.",
            pointer="/terms_hash",
            terms_hash=exchange.terms_hash,
        )
    if role is Role.PAYER:
        exchange = replace(exchange, payer_agreed_at=now)
    else:
        exchange = replace(exchange, payee_agreed_at=now)
    decision = Decision(replace(exchange, state=State.AGREED, agreed_at=now))
    decision.note("exchange.agreed", by=role, terms_hash=exchange.terms_hash)
    if not exchange.legs:
        activate(decision, now, codes)
    return decision


def decline(
    exchange: Exchange, _command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """The other side says no; nothing was paid."""
    return _close(exchange, State.DECLINED, now, "exchange.declined", by=role)


def counter_offer(
    exchange: Exchange, command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Put other terms on the table: now the other side has to answer."""
    checked = command.terms
    assert checked is not None
    if checked.terms["kind"] != exchange.kind:
        raise InvalidTerms(
            f"A counter-offer is for the same kind of exchange: this is a {exchange.kind}. "
            "For another kind, decline and propose anew.",
            pointer="/terms/kind",
        )
    decision = Decision(
        replace(
            exchange,
            proposed_by=role,
            payer_agreed_at=now if role is Role.PAYER else None,
            payee_agreed_at=now if role is Role.PAYEE else None,
            terms=checked.terms,
            terms_hash=checked.terms_hash,
            provider=checked.terms["provider"],
            legs=checked.legs,
            checkpoints=checked.checkpoints,
            proposed_at=now,
        )
    )
    decision.note("exchange.counter_offered", by=role, terms_hash=checked.terms_hash)
    return decision


def cancel(
    exchange: Exchange, _command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Either side alone may leave before anything is held; a payment in flight is called back."""
    return _close_unfunded(exchange, State.CANCELLED, now, "exchange.cancelled", by=role)


def expire(
    exchange: Exchange, _command: Command, _role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Time ran out before anything was held."""
    return _close_unfunded(exchange, State.EXPIRED, now, "exchange.expired")


def fund(
    exchange: Exchange, command: Command, _role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """Hold the payer's community units and ask the provider to collect the money, if any."""
    exchange = replace(exchange, fund_attempts=exchange.fund_attempts + 1)
    decision = Decision(exchange)
    money.hold_community(decision)
    if not exchange.money_due:
        activate(decision, now, codes)
        return decision
    deposit = deposits.authorisation(exchange, command) if exchange.deposit_legs else None
    price = _price(exchange, command, deposit)
    decision.payments += [one for one in (deposit, price) if one is not None]
    decision.exchange = replace(
        decision.exchange,
        state=State.FUNDING,
        collect_id=None if price is None else price.id,
        deposit_id=None if deposit is None else deposit.id,
    )
    decision.note(
        "exchange.funding",
        payments=[encode("payment", payment.id) for payment in decision.payments],
    )
    return decision


def _price(
    exchange: Exchange, command: Command, deposit: PaymentDraft | None
) -> PaymentDraft | None:
    """What is taken at once. Only a block that stands makes it worth taking: it is asked first."""
    amount = sum(leg.held for leg in exchange.charged_legs)
    if not amount:
        return None
    assert exchange.provider is not None
    assert exchange.money_unit is not None
    return PaymentDraft(
        id=uuid7(),
        kind="collect",
        member_id=exchange.payer_id,
        amount=amount,
        unit=exchange.money_unit,
        provider=exchange.provider,
        method=command.payment_method,
        hosted=command.hosted,
        return_url=command.return_url,
        save_method=command.save_method,
        after_id=None if deposit is None else deposit.id,
    )


def payment_succeeded(
    exchange: Exchange, command: Command, _role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """The provider holds the money: fill the holds; the members can meet."""
    payment_id = _collecting(exchange, command)
    if payment_id != exchange.collect_id:
        raise StepNotAllowed("A deposit is blocked before it is taken.")
    decision = Decision(exchange)
    money.hold_money(decision, payment_id)
    tail = REVERSAL_TAIL.get(command.method_kind or "card", max(REVERSAL_TAIL.values()))
    decision.exchange = replace(decision.exchange, reversible_until=now + tail)
    activate(decision, now, codes)
    return decision


def deposit_authorised(
    exchange: Exchange, command: Command, _role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """The payer's bank blocks the deposit; now the price is asked for, if there is one."""
    payment_id = _collecting(exchange, command)
    decision = Decision(replace(exchange, deposit_until=command.capture_before))
    decision.note("deposit.authorised", payment=encode("payment", payment_id))
    if exchange.collect_id is not None:
        money.await_price(decision, payment_id)
    else:
        money.hold_authorised(decision, payment_id)
        activate(decision, now, codes)
    return decision


def payment_failed(
    exchange: Exchange, command: Command, _role: Role, _now: datetime, _codes: CodeBook
) -> Decision:
    """The payment did not come: hours held beside it go back, and the payer may try again."""
    payment_id = _collecting(exchange, command)
    decision = _give_up(exchange, but=payment_id)
    decision.note(
        "exchange.funding_failed", payment=encode("payment", payment_id), failure=command.failure
    )
    return decision


def abandon_payment(
    exchange: Exchange, _command: Command, _role: Role, _now: datetime, _codes: CodeBook
) -> Decision:
    """The payer gives a payment up before it came: another can be tried at once.

    The provider is asked to call it back; if it comes all the same, it goes straight back.
    """
    decision = _give_up(exchange)
    gone = [encode("payment", payment_id) for payment_id in decision.cancel]
    decision.note("exchange.payment_abandoned", payments=gone)
    return decision


def _give_up(exchange: Exchange, but: UUID | None = None) -> Decision:
    """Back to where the payer can try again; what was asked for (``but`` one) is called back."""
    decision = Decision(exchange)
    decision.cancel += _asked(exchange, but)
    money.return_community(decision)
    decision.exchange = replace(
        decision.exchange, state=State.AGREED, collect_id=None, deposit_id=None, deposit_until=None
    )
    return decision


def _asked(exchange: Exchange, but: UUID | None = None) -> list[UUID]:
    asked = (exchange.deposit_id, exchange.collect_id)
    return [payment_id for payment_id in asked if payment_id not in {None, but}]


def _collecting(exchange: Exchange, command: Command) -> UUID:
    if command.payment_id is None or command.payment_id not in _asked(exchange):
        raise StepNotAllowed("This payment is not the one the exchange waits for.")
    return command.payment_id


def activate(decision: Decision, now: datetime, codes: CodeBook) -> None:
    """Everything is held: start the clocks and issue the first hand-over code."""
    decision.exchange = replace(decision.exchange, state=State.ACTIVE, funded_at=now)
    issue_code(decision, codes)
    decision.note("exchange.active")


def _close_unfunded(
    exchange: Exchange, state: State, now: datetime, event: str, by: Role | None = None
) -> Decision:
    decision = Decision(exchange)
    money.return_community(decision)
    decision.cancel += _asked(exchange)
    decision.end(state, now, event, by)
    return decision


def _close(
    exchange: Exchange, state: State, now: datetime, event: str, by: Role | None = None
) -> Decision:
    decision = Decision(exchange)
    decision.end(state, now, event, by)
    return decision
