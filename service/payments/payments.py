"""Payment rows: created with the step that needs them, moved on by what the provider answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select, text, update

from ledger.refusals import Refusal
from service import db
from service.payments.port import FINAL, Object, Status
from service.payments.tables import payment


class PaymentNotFound(Refusal):
    """No such payment on this platform."""

    code = "payment_not_found"


@dataclass(frozen=True, slots=True)
class NewPayment:
    """A payment to be asked of a provider: ``amount`` minor units of ``unit``."""

    id: UUID
    kind: str
    exchange_id: UUID | None
    member_id: UUID
    provider: str
    amount: int
    unit: str
    collect_id: UUID | None = None
    method: str | None = None


#: The process that wrote the row calls the provider itself; the sweep leaves it that long.
LEASE: Final = timedelta(seconds=15)
#: A pending payment is looked at again this often, should its event be lost; doubling each time.
FIRST_LOOK: Final = timedelta(minutes=1)
LAST_LOOK: Final = timedelta(hours=6)


def look_again(attempts: int, now: datetime) -> datetime:
    """Return when to ask the provider next: 1 minute, doubling to 6 hours at most."""
    doubled: timedelta = FIRST_LOOK * (1 << min(attempts, 12))
    return now + min(doubled, LAST_LOOK)


def create(
    connection: Connection, platform_id: UUID, new: Sequence[NewPayment], now: datetime
) -> None:
    """Write payments as ``submitting`` and count refunds against what was collected.

    Raises:
        sqlalchemy.exc.IntegrityError: refunds would sum to more than the collection (our bug; the
            database refuses).
    """
    db.insert_many(
        connection,
        payment,
        [
            {
                "platform_id": platform_id,
                "id": row.id,
                "kind": row.kind,
                "exchange_id": row.exchange_id,
                "member_id": row.member_id,
                "provider": row.provider,
                "amount": row.amount,
                "unit": row.unit,
                "collect_id": row.collect_id,
                "method": row.method,
                "state": "submitting",
                # A collection is submitted by the request that waits for it; the rest by the sweep.
                "look_again_at": now + LEASE if row.kind == "collect" else now,
                "created_at": now,
            }
            for row in new
        ],
    )
    refunds = [row for row in new if row.collect_id is not None]
    if refunds:
        connection.execute(
            text(
                "UPDATE service.payment AS p SET refund_asked = p.refund_asked + r.amount "
                "FROM (SELECT id, sum(amount)::bigint AS amount "
                "      FROM unnest(CAST(:ids AS uuid[]), CAST(:amounts AS bigint[])) "
                "      AS r(id, amount) GROUP BY id) AS r "
                "WHERE p.platform_id = :platform_id AND p.id = r.id"
            ),
            {
                "platform_id": platform_id,
                "ids": [row.collect_id for row in refunds],
                "amounts": [row.amount for row in refunds],
            },
        )


def want_cancel(
    connection: Connection, platform_id: UUID, ids: Sequence[UUID], now: datetime
) -> None:
    """Mark collections in flight that nobody wants any more; the sweep calls them back."""
    if ids:
        connection.execute(
            update(payment)
            .where(
                payment.c.platform_id == platform_id,
                payment.c.id.in_(ids),
                payment.c.settled_at.is_(None),
            )
            .values(cancel_wanted=True, look_again_at=now)
        )


def lock(connection: Connection, platform_id: UUID, payment_id: UUID) -> RowMapping:
    """Return the payment's row, locked.

    Raises:
        PaymentNotFound: there is none.
    """
    query = (
        select(payment)
        .where(payment.c.platform_id == platform_id, payment.c.id == payment_id)
        .with_for_update(key_share=True)
    )
    return _one(connection, query)


def find(connection: Connection, platform_id: UUID, payment_id: UUID) -> RowMapping:
    """Return the payment's row.

    Raises:
        PaymentNotFound: there is none.
    """
    query = select(payment).where(payment.c.platform_id == platform_id, payment.c.id == payment_id)
    return _one(connection, query)


def _one(connection: Connection, query: Any) -> RowMapping:
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise PaymentNotFound("No payment with this id.")
    found: RowMapping = row
    return found


def record(connection: Connection, row: RowMapping, seen: Object, now: datetime) -> bool:
    """Write what the provider answered on a locked row; tell whether this settled the payment.

    A settled payment never moves again, so an old event that comes late changes nothing.
    """
    if row["settled_at"] is not None:
        return False
    settled = seen.status in FINAL
    connection.execute(
        update(payment)
        .where(payment.c.platform_id == row["platform_id"], payment.c.id == row["id"])
        .values(
            state=seen.status,
            provider_ref=seen.ref,
            next_action=dict(seen.next_action) if seen.next_action else None,
            failure=seen.failure,
            settled_at=now if settled else None,
            attempts=row["attempts"] + 1,
            look_again_at=None if settled else _next_look(row, now),
        )
    )
    return settled


def _next_look(row: RowMapping, now: datetime) -> datetime:
    """A payment that nobody wants any more is called back at once, not when it would be due."""
    return now if row["cancel_wanted"] else look_again(row["attempts"], now)


def record_refusal(connection: Connection, row: RowMapping, failure: str, now: datetime) -> bool:
    """Write that the provider will never take the request; tell whether this settled it."""
    if row["settled_at"] is not None:
        return False
    connection.execute(
        update(payment)
        .where(payment.c.platform_id == row["platform_id"], payment.c.id == row["id"])
        .values(
            state=Status.FAILED,
            failure=failure,
            next_action=None,
            settled_at=now,
            attempts=row["attempts"] + 1,
            look_again_at=None,
        )
    )
    return True
