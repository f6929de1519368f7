"""What becomes of money that a bank took back for good, or gave back late.

The exchange's receivable says how much is missing (below zero) or too much (above). First what was
not paid on yet covers it; then, if the terms say that the payee bears it, their payouts are called
back; what the platform bears is a loss. Each has its own state, and none is believed before the
provider has confirmed it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, func, select

from ledger import accounts
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
from service.payments import contests
from service.payments.answers import Answers
from service.payments.port import Status
from service.payments.tables import payment

#: What the platform bears of chargebacks.
_LOSSES: Final = "expense:chargebacks"


class NothingMissing(Refusal):
    """The exchange has no open receivable."""

    code = "nothing_missing"


def close(connection: Connection, platform_id: UUID, exchange_id: UUID, rules: Rules) -> None:
    """After a bank or a provider has decided: cover what is missing, give on what is too much.

    The caller holds the exchange's lock. Nothing is done while another chargeback is open, or
    while the exchange still holds money that an outcome will account for. What is being called
    back from a payee already is not missing a second time.
    """
    exchange = store.load(connection, platform_id, [exchange_id], lock=True)[exchange_id]
    unit = exchange.money_unit
    if unit is None or exchange.state not in TERMINAL:
        return
    if contests.is_contested(connection, platform_id, exchange_id):
        return
    there = balance(connection, platform_id, money.receivable_account(exchange_id), unit)
    decision = Decision(exchange)
    missing = -there - _coming(connection, exchange)
    if missing > 0:
        _cover(connection, decision, missing, rules)
    elif there > 0:
        _give_on(connection, decision, there)
    # Whatever no outcome has counted is accounted for now.
    decision.exchange = replace(exchange, charged_back=0)
    if decision.exchange != exchange or decision.postings or decision.payments or decision.events:
        _write(connection, exchange, decision, rules)


def share_surpluses(
    connection: Connection, platform_id: UUID, exchange_ids: Sequence[UUID], rules: Rules
) -> None:
    """After calls on payees have succeeded: where a bank gave back too meanwhile, give that on."""
    paths = {money.receivable_account(one): one for one in exchange_ids}
    for line in accounts.balances(connection, platform_id, list(paths)):
        if line.balance > 0:
            _share_surplus(connection, platform_id, paths[line.path], rules)


def _share_surplus(
    connection: Connection, platform_id: UUID, exchange_id: UUID, rules: Rules
) -> None:
    exchange = store.load(connection, platform_id, [exchange_id], lock=True)[exchange_id]
    assert exchange.money_unit is not None
    account = money.receivable_account(exchange_id)
    there = balance(connection, platform_id, account, exchange.money_unit)
    if there > 0 and not contests.is_contested(connection, platform_id, exchange_id):
        decision = Decision(exchange)
        _give_on(connection, decision, there)
        _write(connection, exchange, decision, rules)


def _coming(connection: Connection, exchange: Exchange) -> int:
    """Return the sum of the reversals under way."""
    query = select(func.coalesce(func.sum(payment.c.amount), 0)).where(
        payment.c.platform_id == exchange.platform_id,
        payment.c.exchange_id == exchange.id,
        payment.c.kind == "reversal",
        payment.c.settled_at.is_(None),
    )
    return int(connection.scalar(query) or 0)


def _cover(connection: Connection, decision: Decision, missing: int, rules: Rules) -> None:
    """Find what is missing: with the payer twice, at the payee, or as the platform's loss."""
    exchange = decision.exchange
    waiting = _payments(connection, exchange, "refund", unsent=True)
    missing = _absorb(connection, decision, waiting, missing, rules)
    # A refund that failed beside the chargeback is with the payer twice: by us and by the bank.
    missing = _take(connection, decision, exchange.payer_id, missing)
    bearer = (exchange.terms.get("chargeback") or {}).get("borne_by", "platform")
    if bearer == "payee" and missing:
        recover(connection, decision, missing, rules)
    elif missing:
        write_off(decision, missing, "chargeback")


def recover(connection: Connection, decision: Decision, missing: int, rules: Rules) -> None:
    """Take from the payee what was not paid on yet, then call back what was."""
    exchange = decision.exchange
    waiting = _payments(connection, exchange, "payout", unsent=True)
    missing = _absorb(connection, decision, waiting, missing, rules)
    missing = _take(connection, decision, exchange.payee_id, missing)
    missing = _call_back(connection, decision, missing)
    if missing:
        decision.note("receivable.open", amount=missing, unit=exchange.money_unit)


def _take(connection: Connection, decision: Decision, member_id: UUID, missing: int) -> int:
    """Take what the exchange left on a member's balance; return what is missing still."""
    exchange = decision.exchange
    assert exchange.money_unit is not None
    path, unit = money.member_account(member_id), exchange.money_unit
    left = _net(connection, exchange, path)
    part = min(missing, left, balance(connection, exchange.platform_id, path, unit))
    if part <= 0:
        return missing
    move = Transfer(path, money.receivable_account(exchange.id), part, unit)
    key = f"recovered:{uuid7()}"
    decision.postings.append(Posting(key, "recovered", (move,), money.reference(exchange.id)))
    return missing - part


def _net(connection: Connection, exchange: Exchange, path: str) -> int:
    """Return what the exchange's own postings have left on an account: credits less debits."""
    filed = accounts.postings(connection, exchange.platform_id, money.reference(exchange.id))
    moves = [move for one in filed for move in one.transfers if move.unit == exchange.money_unit]
    return sum(move.amount for move in moves if move.credit == path) - sum(
        move.amount for move in moves if move.debit == path
    )


def _absorb(
    connection: Connection,
    decision: Decision,
    waiting: Sequence[RowMapping],
    missing: int,
    rules: Rules,
) -> int:
    """Take from payments that were not sent yet; the rest of each is sent anew."""
    exchange = decision.exchange
    receivable, ended = money.receivable_account(exchange.id), Answers(rules.now)
    for row in waiting:
        part = min(missing, row["amount"])
        if not part:
            break
        ended.ended(row, Status.CANCELED, "charged_back")
        transit, rest = f"transit:{row['id']}", row["amount"] - part
        moves = [Transfer(transit, receivable, part, row["unit"])]
        if rest:
            member = money.member_account(row["member_id"])
            moves.append(Transfer(transit, member, rest, row["unit"]))
        reference = money.reference(exchange.id)
        decision.postings.append(Posting(f"back:{row['id']}", row["kind"], tuple(moves), reference))
        if rest:
            draft = PaymentDraft(
                id=uuid7(),
                kind=row["kind"],
                member_id=row["member_id"],
                amount=rest,
                unit=row["unit"],
                provider=row["provider"],
                collect_id=row["collect_id"],
                source_id=row["source_id"],
            )
            money.send(decision, draft)
        missing -= part
    ended.write(connection, exchange.platform_id)
    return missing


def _call_back(connection: Connection, decision: Decision, missing: int) -> int:
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


def write_off(decision: Decision, amount: int, why: str, account: str = _LOSSES) -> None:
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
    if (
        there >= 0
        or _coming(connection, exchange)
        or contests.is_contested(connection, platform_id, exchange_id)
    ):
        raise NothingMissing(
            "Nothing is missing on this exchange, or the bank or the payee may still bring it."
        )
    return exchange


def _give_on(connection: Connection, decision: Decision, amount: int) -> None:
    """The bank gave back, late, what others have borne meanwhile: it goes to them in turn.

    First the platform's loss is undone, then the payee gets what was taken from them, and what is
    left is the payer's, with whom the exchange's outcome had left it.
    """
    exchange = decision.exchange
    filed = accounts.postings(connection, exchange.platform_id, money.reference(exchange.id))
    lost = -_net(connection, exchange, _LOSSES)
    recovered = sum(
        move.amount
        for one in filed
        if one.kind in {"reversal", "recovered", "payout"}
        for move in one.transfers
        if move.credit == money.receivable_account(exchange.id)
        and move.debit != money.member_account(exchange.payer_id)
    )
    given = sum(
        move.amount
        for one in filed
        if one.kind == "late"
        for move in one.transfers
        if move.credit == money.member_account(exchange.payee_id)
    )
    platform = min(amount, max(0, lost))
    payee = min(amount - platform, max(0, recovered - given))
    if platform:
        _move_late(decision, _LOSSES, platform)
    if payee:
        _pay_late(decision, "payout", exchange.payee_id, payee, to_provider=exchange.payee_ready)
    if rest := amount - platform - payee:
        collect, _most = with_room(connection, exchange, rest)
        of = None if collect is None else collect["id"]
        _pay_late(decision, "refund", exchange.payer_id, rest, to_provider=of is not None, of=of)
    decision.note("chargeback.given_on", amount=amount, unit=exchange.money_unit)


def _move_late(decision: Decision, to: str, amount: int) -> None:
    exchange = decision.exchange
    assert exchange.money_unit is not None
    move = Transfer(money.receivable_account(exchange.id), to, amount, exchange.money_unit)
    key = f"late:{uuid7()}"
    decision.postings.append(Posting(key, "late", (move,), money.reference(exchange.id)))


def _pay_late(
    decision: Decision,
    kind: str,
    member_id: UUID,
    amount: int,
    *,
    to_provider: bool,
    of: UUID | None = None,
) -> None:
    """Owe a member what came late, and send it on if it can be."""
    exchange = decision.exchange
    assert exchange.money_unit is not None
    assert exchange.provider is not None
    _move_late(decision, money.member_account(member_id), amount)
    if to_provider:
        draft = PaymentDraft(
            id=uuid7(),
            kind=kind,
            member_id=member_id,
            amount=amount,
            unit=exchange.money_unit,
            provider=exchange.provider,
            collect_id=of,
        )
        money.send(decision, draft)


def with_room(
    connection: Connection, exchange: Exchange, amount: int
) -> tuple[RowMapping | None, int]:
    """Return the collection, locked, of which ``amount`` can still go back; and the most that can.

    What was refunded and what banks have taken is gone already.
    """
    rows = (
        connection.execute(
            select(payment)
            .where(payment.c.platform_id == exchange.platform_id)
            .where(payment.c.exchange_id == exchange.id, payment.c.kind == "collect")
            .where(payment.c.state == Status.SUCCEEDED)
            .order_by(payment.c.id)
            .with_for_update(key_share=True)
        )
        .mappings()
        .all()
    )
    taken = contests.taken(connection, exchange.platform_id, exchange.id)
    rooms = {
        row["id"]: (row["captured"] or row["amount"])
        - row["refund_asked"]
        - taken.get(row["id"], 0)
        for row in rows
    }
    found = next((row for row in rows if rooms[row["id"]] >= amount), None)
    return found, max(rooms.values(), default=0)


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
