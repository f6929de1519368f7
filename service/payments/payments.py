"""Payment rows: created with the step that needs them, moved on by what the provider answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select, text, update

from disputes.mediators import instrument
from ledger.refusals import Refusal
from service import db
from service.payments.port import FINAL, Object, Status, own_payment
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
    capture: str = "automatic"
    hosted: bool = False
    return_url: str | None = None
    save_method: bool = False
    off_session: bool = False
    replaces: UUID | None = None
    source_id: UUID | None = None
    payout_id: UUID | None = None
    after_id: UUID | None = None


#: The process that wrote the row calls the provider itself; the sweep leaves it that long.
LEASE: Final = timedelta(seconds=15)
#: A pending payment is looked at again this often, should its event be lost; doubling each time.
FIRST_LOOK: Final = timedelta(minutes=1)
LAST_LOOK: Final = timedelta(hours=6)
#: What is wanted and not done yet (a capture, a cancel) is asked for again at least this often.
WANTED_LOOK: Final = timedelta(minutes=10)


def look_again(attempts: int, now: datetime) -> datetime:
    """Return when to ask the provider next: 1 minute, doubling to 6 hours at most."""
    doubled: timedelta = FIRST_LOOK * (1 << min(attempts, 12))
    return now + min(doubled, LAST_LOOK)


_OPEN: Final = text(
    "SELECT id FROM service.payment WHERE platform_id = :platform_id AND id = ANY(:ids) "
    "AND settled_at IS NULL"
)


def create(
    connection: Connection, platform_id: UUID, new: Sequence[NewPayment], now: datetime
) -> None:
    """Write payments as ``submitting`` and count what goes back against what it came from.

    One that follows another (``after_id``) waits while that one is under way.

    Raises:
        sqlalchemy.exc.IntegrityError: refunds would sum to more than the collection, or reversals
            to more than the payout (our bug; the database refuses).
    """
    if not new:
        return
    made = {row.id for row in new}
    others = {row.after_id for row in new if row.after_id is not None and row.after_id not in made}
    under_way = made | (
        set(connection.scalars(_OPEN, {"platform_id": platform_id, "ids": list(others)}))
        if others
        else set()
    )
    db.insert_many(
        connection,
        payment,
        [_fresh(platform_id, row, row.after_id in under_way, now) for row in new],
    )
    _count(connection, platform_id, new, "refund_asked", "collect_id")
    _count(connection, platform_id, new, "reversal_asked", "payout_id")


def _fresh(platform_id: UUID, row: NewPayment, waiting: bool, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {"platform_id": platform_id, **asdict(row), "state": "submitting"}
    # A collection is submitted by the request that waits for it; the rest by the sweep.
    first = now + LEASE if row.kind == "collect" and not row.off_session else now
    values["waiting"] = waiting
    values["look_again_at"] = None if waiting else first
    values["created_at"] = now
    return values


def _count(
    connection: Connection, platform_id: UUID, new: Sequence[NewPayment], column: str, of: str
) -> None:
    back = [(getattr(row, of), row.amount) for row in new if getattr(row, of) is not None]
    if back:
        connection.execute(
            text(
                f"UPDATE service.payment AS p SET {column} = p.{column} + r.amount "  # noqa: S608 - ours
                "FROM (SELECT id, sum(amount)::bigint AS amount "
                "      FROM unnest(CAST(:ids AS uuid[]), CAST(:amounts AS bigint[])) "
                "      AS r(id, amount) GROUP BY id) AS r "
                "WHERE p.platform_id = :platform_id AND p.id = r.id"
            ),
            {
                "platform_id": platform_id,
                "ids": [payment_id for payment_id, _ in back],
                "amounts": [amount for _, amount in back],
            },
        )


def want_cancel(
    connection: Connection, platform_id: UUID, ids: Sequence[UUID], now: datetime
) -> None:
    """Mark collections in flight that nobody wants any more; the sweep calls them back.

    One that waited for another was never asked for, and is simply canceled.
    """
    if not ids:
        return
    these = (payment.c.platform_id == platform_id, payment.c.id.in_(ids))
    connection.execute(
        update(payment)
        .where(*these, payment.c.waiting)
        .values(state=Status.CANCELED, waiting=False, settled_at=now)
    )
    connection.execute(
        update(payment)
        .where(*these, payment.c.settled_at.is_(None))
        .values(cancel_wanted=True, look_again_at=now)
    )


def want_capture(
    connection: Connection, platform_id: UUID, amounts: Mapping[UUID, int], now: datetime
) -> None:
    """Decide how much of each authorisation is to be taken; the sweep asks the provider."""
    rows = [
        {"platform_id": platform_id, "id": one, "capture_wanted": amount, "look_again_at": now}
        for one, amount in amounts.items()
    ]
    if db.update_many(connection, payment, rows) != len(rows):
        raise PaymentNotFound("An authorisation to be taken is not there.")


def release(connection: Connection, platform_id: UUID, ids: Sequence[UUID], now: datetime) -> None:
    """Let what waited for the payments ``ids`` be asked of the provider."""
    if ids:
        connection.execute(
            update(payment)
            .where(payment.c.platform_id == platform_id, payment.c.after_id.in_(ids))
            .where(payment.c.waiting)
            .values(waiting=False, look_again_at=now)
        )


def set_free(connection: Connection, platform_id: UUID, payment_id: UUID) -> Sequence[RowMapping]:
    """Return the collections that waited for this payment and can be submitted now."""
    query = select(payment).where(
        payment.c.platform_id == platform_id,
        payment.c.after_id == payment_id,
        payment.c.kind == "collect",
        payment.c.state == "submitting",
        payment.c.waiting.is_(False),
    )
    return connection.execute(query).mappings().all()


def followers(connection: Connection, platform_id: UUID, payment_id: UUID) -> Sequence[RowMapping]:
    """Return, locked, the payments to members that wait for this one."""
    query = (
        select(payment)
        .where(payment.c.platform_id == platform_id, payment.c.after_id == payment_id)
        .where(payment.c.waiting, payment.c.kind != "collect")
        .order_by(payment.c.id)
        .with_for_update(key_share=True)
    )
    return connection.execute(query).mappings().all()


def end_waiting(
    connection: Connection, row: RowMapping, state: Status, failure: str | None, now: datetime
) -> None:
    """Settle a payment that was never asked of the provider, by what became of another."""
    connection.execute(
        update(payment)
        .where(payment.c.platform_id == row["platform_id"], payment.c.id == row["id"])
        .values(state=state, failure=failure, waiting=False, look_again_at=None, settled_at=now)
    )
    if state is not Status.SUCCEEDED:
        uncount(connection, row)


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


def of_ref(connection: Connection, platform_id: UUID, provider: str, ref: str) -> RowMapping | None:
    """Return the payment that the provider's reference ``ref`` means, if it is one of ours."""
    own = own_payment(ref)
    which = payment.c.provider_ref == ref if own is None else payment.c.id == own
    query = select(payment).where(
        payment.c.platform_id == platform_id, payment.c.provider == provider, which
    )
    return connection.execute(query).mappings().one_or_none()


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
    values: dict[str, Any] = {
        "state": seen.status,
        "provider_ref": seen.ref,
        "next_action": dict(seen.next_action) if seen.next_action else None,
        "failure": seen.failure,
        "settled_at": now if settled else None,
        "attempts": row["attempts"] + 1,
        "look_again_at": None if settled else _next_look(row, now),
    }
    stood = seen.status in {Status.AUTHORISED, Status.SUCCEEDED} and row["capture"] == "manual"
    if stood and row["authorised_at"] is None:
        values["authorised_at"] = now
    if seen.capture_before is not None:
        values["capture_before"] = seen.capture_before
    if seen.status is Status.SUCCEEDED and row["capture"] == "manual":
        values["captured"] = seen.captured
    if seen.saved_method is not None:
        values["saved_method"] = seen.saved_method
    if seen.instrument is not None:
        values["instrument"] = instrument(seen.instrument)
    connection.execute(
        update(payment)
        .where(payment.c.platform_id == row["platform_id"], payment.c.id == row["id"])
        .values(**values)
    )
    if settled and seen.status is not Status.SUCCEEDED:
        uncount(connection, row)
    return settled


def record_return(connection: Connection, row: RowMapping, seen: Object, now: datetime) -> bool:
    """Write that what had gone out came back later; tell whether that is news.

    Banks return refunds days after they took them; the payment itself stays what it was.
    """
    went = row["state"] == Status.SUCCEEDED and row["kind"] in {"refund", "payout"}
    if not went or row["returned_at"] is not None or seen.status is not Status.FAILED:
        return False
    connection.execute(
        update(payment)
        .where(payment.c.platform_id == row["platform_id"], payment.c.id == row["id"])
        .values(returned_at=now, failure=seen.failure)
    )
    uncount(connection, row)
    return True


def _next_look(row: RowMapping, now: datetime) -> datetime:
    """When to ask again; at once for what was first answered after nobody wanted it any more."""
    if not row["cancel_wanted"] and row["capture_wanted"] is None:
        return look_again(row["attempts"], now)
    if row["provider_ref"] is None:
        return now
    return min(look_again(row["attempts"], now), now + WANTED_LOOK)


def uncount(connection: Connection, row: RowMapping) -> None:
    """A refund or reversal that failed, or came back, leaves room for another."""
    for column, of in (("refund_asked", "collect_id"), ("reversal_asked", "payout_id")):
        if row[of] is not None:
            connection.execute(
                update(payment)
                .where(payment.c.platform_id == row["platform_id"], payment.c.id == row[of])
                .values({column: payment.c[column] - row["amount"]})
            )


def mark_failure(connection: Connection, row: RowMapping, failure: str) -> None:
    """Keep what is wrong with a locked payment that is not settled by that."""
    connection.execute(
        update(payment)
        .where(payment.c.platform_id == row["platform_id"], payment.c.id == row["id"])
        .values(failure=failure)
    )


def mark_disputed(connection: Connection, row: RowMapping, since: datetime | None) -> None:
    """Say since when a bank contests a locked collection; None: it does not (any more)."""
    connection.execute(
        update(payment)
        .where(payment.c.platform_id == row["platform_id"], payment.c.id == row["id"])
        .values(disputed_at=since)
    )


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
    uncount(connection, row)
    return True
