"""Acts up to the moment when everything is held: agree, decline, counter, cancel, fund.

Each act has the same shape, ``(exchange, command, role, now, codes) -> Decision``, so that
``decide`` can name it beside its step. Pure: no database, no clock, no provider.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from service.exchanges import money
from service.exchanges.codes import CodeBook
from service.exchanges.commands import Command, Decision, PaymentDraft
from service.exchanges.confirmation import issue_code
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from service.exchanges.refusals import InvalidTerms, StaleTerms, StepNotAllowed
from service.ids import encode, uuid7


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
    assert exchange.provider is not None
    assert exchange.money_unit is not None
    payment = PaymentDraft(
        id=uuid7(),
        kind="collect",
        member_id=exchange.payer_id,
        amount=exchange.money_due,
        unit=exchange.money_unit,
        provider=exchange.provider,
        method=command.payment_method,
    )
    decision.payments.append(payment)
    decision.exchange = replace(decision.exchange, state=State.FUNDING, collect_id=payment.id)
    decision.note("exchange.funding", payment=encode("payment", payment.id))
    return decision


def payment_succeeded(
    exchange: Exchange, command: Command, _role: Role, now: datetime, codes: CodeBook
) -> Decision:
    """The provider holds the money: fill the holds; the members can meet."""
    payment_id = _collecting(exchange, command)
    decision = Decision(exchange)
    money.hold_money(decision, payment_id)
    activate(decision, now, codes)
    return decision


def payment_failed(
    exchange: Exchange, command: Command, _role: Role, _now: datetime, _codes: CodeBook
) -> Decision:
    """The payment did not come: hours held beside it go back, and the payer may try again."""
    payment_id = _collecting(exchange, command)
    decision = Decision(exchange)
    money.return_community(decision)
    decision.exchange = replace(decision.exchange, state=State.AGREED, collect_id=None)
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
    decision = Decision(exchange)
    assert exchange.collect_id is not None
    decision.cancel_collect = exchange.collect_id
    money.return_community(decision)
    decision.exchange = replace(decision.exchange, state=State.AGREED, collect_id=None)
    decision.note("exchange.payment_abandoned", payment=encode("payment", exchange.collect_id))
    return decision


def _collecting(exchange: Exchange, command: Command) -> UUID:
    if exchange.collect_id is None or exchange.collect_id != command.payment_id:
        raise StepNotAllowed("This payment is not the one the exchange waits for.")
    return exchange.collect_id


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
    decision.cancel_collect = exchange.collect_id
    decision.end(state, now, event, by)
    return decision


def _close(
    exchange: Exchange, state: State, now: datetime, event: str, by: Role | None = None
) -> Decision:
    decision = Decision(exchange)
    decision.end(state, now, event, by)
    return decision
