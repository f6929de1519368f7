"""What becomes of money that a bank took back for good, or gave back late.

The exchange's receivable says how much is missing (below zero) or too much (above). First what was
not paid on yet covers it; then, if the terms say that the payee bears it, their payouts are called
back; what the platform bears is a loss. Each has its own state, and none is believed before the
provider has confirmed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select

from ledger.accounts import balance
from ledger.posting import Posting, Transfer
from ledger.refusals import Refusal
from service.exchanges import money, store
from service.exchanges.advance import write
from service.exchanges.commands import Decision, PaymentDraft
from service.exchanges.decide import Rules
from service.exchanges.model import TERMINAL, Exchange
from service.exchanges.refusals import ExchangeNotFound
from service.ids import encode, uuid7
from service.payments import contests, payments
from service.payments.port import Status
from service.payments.tables import payment


class NothingMissing(Refusal):
    """The exchange has no open receivable."""

    code = "nothing_missing"


def close(
    connection: Connection, platform_id: UUID, exchange_id: UUID, collect_id: UUID, rules: Rules
) -> None:
    """After a chargeback has ended: cover what is missing, give on what is too much.

    The caller holds the exchange's lock. Nothing is done while another chargeback is open, or
    while the exchange still holds money that an outcome will account for.
    """
    exchange = store.load(connection, platform_id, [exchange_id], lock=True)[exchange_id]
    unit = exchange.money_unit
    if unit is None or exchange.state not in TERMINAL:
        return
    if contests.is_contested(connection, platform_id, exchange_id):
        return
    there = balance(connection, platform_id, money.receivable_account(exchange_id), unit)
    decision = Decision(exchange)
    if there < 0:
        _cover(connection, decision, -there, rules)
    elif there > 0:
        _give_on(connection, decision, collect_id, there)
    if decision.postings or decision.payments or decision.events:
        _write(connection, exchange, decision, rules)


def _cover(connection: Connection, decision: Decision, missing: int, rules: Rules) -> None:
    """Find what is missing: in refunds not sent yet, at the payee, or as the platform's loss."""
    exchange = decision.exchange
    waiting = _payments(connection, exchange, "refund", unsent=True)
    missing = _absorb(connection, decision, waiting, missing, rules)
    bearer = (exchange.terms.get("chargeback") or {}).get("borne_by", "platform")
    if bearer == "payee" and missing:
        waiting = _payments(connection, exchange, "payout", unsent=True)
        missing = _absorb(connection, decision, waiting, missing, rules)
        missing = call_back(connection, decision, missing)
        if missing:
            decision.note("receivable.open", amount=missing, unit=exchange.money_unit)
        return
    if missing:
        write_off(decision, missing, "chargeback")


def _absorb(
    connection: Connection,
    decision: Decision,
    waiting: Sequence[RowMapping],
    missing: int,
    rules: Rules,
) -> int:
    """Take from payments that were not sent yet; the rest of each is sent anew."""
    exchange = decision.exchange
    receivable = money.receivable_account(exchange.id)
    for row in waiting:
        part = min(missing, row["amount"])
        if not part:
            break
        payments.end_waiting(connection, row, Status.CANCELED, "charged_back", rules.now)
        transit, rest = f"transit:{row['id']}", row["amount"] - part
        moves = [Transfer(transit, receivable, part, row["unit"])]
        if rest:
            member = money.member_account(row["member_id"])
            moves.append(Transfer(transit, member, rest, row["unit"]))
        reference = money.reference(exchange.id)
        decision.postings.append(Posting(f"back:{row['id']}", row["kind"], tuple(moves), reference))
        if rest and row["kind"] == "payout":
            draft = PaymentDraft(
                id=uuid7(),
                kind="payout",
                member_id=row["member_id"],
                amount=rest,
                unit=row["unit"],
                provider=row["provider"],
                source_id=row["source_id"],
            )
            money.send(decision, draft)
        missing -= part
    return missing


def call_back(connection: Connection, decision: Decision, missing: int) -> int:
    """Ask the provider to call payouts back; return what no payout covers."""
    for row in _payments(connection, decision.exchange, "payout", unsent=False):
        part = min(missing, row["amount"] - row["reversal_asked"])
        if part <= 0:
            continue
        reversal = PaymentDraft(
            id=uuid7(),
            kind="reversal",
            member_id=row["member_id"],
            amount=part,
            unit=row["unit"],
            provider=row["provider"],
            payout_id=row["id"],
        )
        decision.payments.append(reversal)
        decision.note("reversal.asked", payment=encode("payment", reversal.id), amount=part)
        missing -= part
    return missing


def write_off(
    decision: Decision, amount: int, why: str, account: str = "expense:chargebacks"
) -> None:
    """Take an open receivable of the exchange as the platform's loss."""
    exchange = decision.exchange
    assert exchange.money_unit is not None
    receivable = money.receivable_account(exchange.id)
    move = Transfer(account, receivable, amount, exchange.money_unit)
    key = f"loss:{uuid7()}"
    decision.postings.append(Posting(key, "loss", (move,), money.reference(exchange.id)))
    decision.note("receivable.written_off", amount=amount, unit=exchange.money_unit, reason=why)


def bear(
    connection: Connection, platform_id: UUID, exchange_id: UUID, reason: str, rules: Rules
) -> int:
    """The platform bears what is missing on an exchange that has ended; return how much.

    Raises:
        NothingMissing: there is none, or a bank or a reversal may still bring it.
    """
    exchange = missing_on(connection, platform_id, exchange_id)
    assert exchange.money_unit is not None
    account = money.receivable_account(exchange_id)
    missing = -balance(connection, platform_id, account, exchange.money_unit)
    decision = Decision(exchange)
    write_off(decision, missing, reason)
    _write(connection, exchange, decision, rules)
    return missing


def missing_on(connection: Connection, platform_id: UUID, exchange_id: UUID) -> Exchange:
    """Return the exchange, locked, on which money is missing that nobody is bringing.

    Raises:
        ExchangeNotFound
        NothingMissing: there is none, or a bank or a reversal may still bring it.
    """
    exchange = store.load(connection, platform_id, [exchange_id], lock=True).get(exchange_id)
    if exchange is None:
        raise ExchangeNotFound("No exchange with this id.")
    if exchange.money_unit is None or exchange.state not in TERMINAL:
        raise NothingMissing("Money is missing only on exchanges that moved some and have ended.")
    unit = exchange.money_unit
    there = balance(connection, platform_id, money.receivable_account(exchange_id), unit)
    asked = connection.scalar(
        select(payment.c.id)
        .where(payment.c.platform_id == platform_id, payment.c.exchange_id == exchange_id)
        .where(payment.c.kind == "reversal", payment.c.settled_at.is_(None))
        .limit(1)
    )
    if (
        there >= 0
        or asked is not None
        or contests.is_contested(connection, platform_id, exchange_id)
    ):
        raise NothingMissing(
            "Nothing is missing on this exchange, or the bank or the payee may still bring it."
        )
    return exchange


def _give_on(connection: Connection, decision: Decision, collect_id: UUID, amount: int) -> None:
    """The bank gave back what the outcome had left with the payer: it is theirs."""
    exchange = decision.exchange
    assert exchange.money_unit is not None
    receivable = money.receivable_account(exchange.id)
    payer = money.member_account(exchange.payer_id)
    move = Transfer(receivable, payer, amount, exchange.money_unit)
    key = f"late:{uuid7()}"
    decision.postings.append(Posting(key, "late", (move,), money.reference(exchange.id)))
    collect = payments.find(connection, exchange.platform_id, collect_id)
    room = (collect["captured"] or collect["amount"]) - collect["refund_asked"]
    if room >= amount:
        refund = PaymentDraft(
            id=uuid7(),
            kind="refund",
            member_id=exchange.payer_id,
            amount=amount,
            unit=exchange.money_unit,
            provider=collect["provider"],
            collect_id=collect_id,
        )
        money.send(decision, refund)
    decision.note("chargeback.given_on", amount=amount, unit=exchange.money_unit)


def _payments(
    connection: Connection, exchange: Exchange, kind: str, *, unsent: bool
) -> Sequence[RowMapping]:
    """Return the exchange's payments of a kind, locked: never asked of the provider, or arrived."""
    query = (
        select(payment)
        .where(payment.c.platform_id == exchange.platform_id)
        .where(payment.c.exchange_id == exchange.id, payment.c.kind == kind)
        .order_by(payment.c.id)
        .with_for_update(key_share=True)
    )
    if unsent:
        # One that was taken up for asking once may have reached the provider, answer or not.
        query = query.where(payment.c.state == "submitting", payment.c.attempts == 0)
    else:
        query = query.where(payment.c.state == Status.SUCCEEDED)
    return connection.execute(query).mappings().all()


def _write(connection: Connection, exchange: Exchange, decision: Decision, rules: Rules) -> None:
    decision.exchange = replace(decision.exchange, version=exchange.version + 1)
    write(connection, exchange.platform_id, {exchange.id: exchange}, [decision], rules.now)
