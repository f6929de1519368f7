"""What follows from a provider's word on a payment: for the exchange, its holds and its members."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from ledger.posting import Posting, Status, Transfer, post
from service.events import outbox
from service.exchanges import money, store
from service.exchanges.advance import BrokenBooks, write
from service.exchanges.commands import PROVIDER, Command, Decision, PaymentDraft
from service.exchanges.decide import Rules, take
from service.exchanges.model import Exchange, State
from service.ids import encode, uuid7
from service.payments import payments
from service.payments.port import Object
from service.payments.port import Status as Seen


class AmountDiffers(RuntimeError):
    """The provider's object is not for the amount that was asked: never booked, always an alert."""


def report(
    connection: Connection,
    platform_id: UUID,
    payment_id: UUID,
    seen: Object | str,
    rules: Rules,
) -> None:
    """Record where a payment stands (an object, or the code of a final refusal) and act on it.

    Locks in the order of every use case: the exchange, then the payment, then accounts.

    Raises:
        PaymentNotFound: no such payment.
        AmountDiffers: the object speaks of another amount or unit.
    """
    peek = payments.find(connection, platform_id, payment_id)
    exchange = None
    if peek["exchange_id"] is not None:
        locked = store.load(connection, platform_id, [peek["exchange_id"]], lock=True)
        exchange = locked[peek["exchange_id"]]
    row = payments.lock(connection, platform_id, payment_id)
    if isinstance(seen, str):
        settled = payments.record_refusal(connection, row, seen, rules.now)
        succeeded, failure = False, seen
    else:
        if (seen.amount, seen.unit) != (row["amount"], row["unit"]):
            raise AmountDiffers(
                f"payment {payment_id}: asked {row['amount']} {row['unit']}, "
                f"the provider has {seen.amount} {seen.unit}"
            )
        settled = payments.record(connection, row, seen, rules.now)
        succeeded, failure = seen.status is Seen.SUCCEEDED, seen.failure or seen.status
    if not settled:
        return
    if exchange is None:
        _settle_alone(connection, row, succeeded, failure, rules.now)
    elif row["kind"] == "collect":
        _collected(connection, exchange, row, succeeded, failure, rules)
    else:
        decision = Decision(exchange)
        decision.postings.append(_sent(row) if succeeded else _came_back(row))
        decision.note(*_told(row, succeeded), **_facts(row, succeeded, failure))
        _write(connection, exchange, decision, rules.now)


def _write(connection: Connection, exchange: Exchange, decision: Decision, now: datetime) -> None:
    if decision.exchange.version == exchange.version:
        decision.exchange = replace(decision.exchange, version=exchange.version + 1)
    write(connection, exchange.platform_id, {exchange.id: exchange}, [decision], now)


def _collected(
    connection: Connection,
    exchange: Exchange,
    row: RowMapping,
    succeeded: bool,
    failure: str,
    rules: Rules,
) -> None:
    """Money came or did not. If nobody waits for it any more, it goes straight back."""
    waiting = exchange.state is State.FUNDING and exchange.collect_id == row["id"]
    if waiting:
        step = "payment_succeeded" if succeeded else "payment_failed"
        command = Command(exchange.id, step, PROVIDER, payment_id=row["id"], failure=failure)
        _write(connection, exchange, take(exchange, command, rules), rules.now)
    elif succeeded:
        _write(connection, exchange, _too_late(exchange, row), rules.now)


def _too_late(exchange: Exchange, row: RowMapping) -> Decision:
    decision = Decision(exchange)
    decision.postings.append(
        Posting(
            key=f"collect:{row['id']}",
            kind="collect",
            transfers=(
                Transfer(
                    f"provider:{row['provider']}",
                    money.member_account(row["member_id"]),
                    row["amount"],
                    row["unit"],
                ),
            ),
            reference=money.reference(exchange.id),
        )
    )
    refund = PaymentDraft(
        id=uuid7(),
        kind="refund",
        member_id=row["member_id"],
        amount=row["amount"],
        unit=row["unit"],
        provider=row["provider"],
        collect_id=row["id"],
    )
    money.send(decision, refund)
    decision.note(
        "payment.late",
        payment=encode("payment", row["id"]),
        refund=encode("payment", refund.id),
    )
    return decision


def _sent(row: RowMapping) -> Posting:
    """The provider confirmed: what was in transit has left what it holds for us."""
    return _out_of_transit(row, f"sent:{row['id']}", f"provider:{row['provider']}")


def _came_back(row: RowMapping) -> Posting:
    """It did not arrive: the member is owed it again."""
    return _out_of_transit(row, f"back:{row['id']}", money.member_account(row["member_id"]))


def _out_of_transit(row: RowMapping, key: str, account: str) -> Posting:
    exchange_id = row["exchange_id"]
    return Posting(
        key=key,
        kind=row["kind"],
        transfers=(Transfer(f"transit:{row['id']}", account, row["amount"], row["unit"]),),
        reference=None if exchange_id is None else money.reference(exchange_id),
    )


def _told(row: RowMapping, succeeded: bool) -> tuple[str]:
    return (f"{row['kind']}.{'succeeded' if succeeded else 'failed'}",)


def _facts(row: RowMapping, succeeded: bool, failure: str) -> dict[str, Any]:
    return {
        "payment": encode("payment", row["id"]),
        "member": encode("member", row["member_id"]),
        "amount": row["amount"],
        "unit": row["unit"],
        **({} if succeeded else {"failure": failure}),
    }


def _settle_alone(
    connection: Connection,
    row: RowMapping,
    succeeded: bool,
    failure: str,
    now: datetime,
) -> None:
    """A payout that a member's balance asked for, outside of any exchange."""
    posting = _sent(row) if succeeded else _came_back(row)
    (result,) = post(connection, row["platform_id"], [posting], now)
    if result.status is not Status.CREATED:
        raise BrokenBooks(f"posting {posting.key}: {result.status}")
    event = outbox.NewEvent(
        *_told(row, succeeded), _facts(row, succeeded, failure), member_id=row["member_id"]
    )
    outbox.append(connection, row["platform_id"], [event], now)
