"""Payment rows: created with the step that needs them, moved on by what the provider answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    Connection,
    RowMapping,
    Select,
    or_,
    select,
    text,
    update,
)

from ledger.refusals import Refusal
from service import db
from service.payments.port import Status, own_payment
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
    these = (payment.c.platform_id == platform_id, db.among(payment.c.id, ids))
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
            .where(payment.c.platform_id == platform_id, db.among(payment.c.after_id, ids))
            .where(payment.c.waiting)
            .values(waiting=False, look_again_at=now)
        )


def set_free(
    connection: Connection, platform_id: UUID, ids: Sequence[UUID]
) -> Sequence[RowMapping]:
    """Return the collections that waited for the payments ``ids`` and can be submitted now."""
    # Of the same exchange: what waited and does no more is in no index by what it waited for.
    same = select(payment.c.exchange_id).where(
        payment.c.platform_id == platform_id, db.among(payment.c.id, ids)
    )
    query = select(payment).where(
        payment.c.platform_id == platform_id,
        payment.c.exchange_id.in_(same),
        db.among(payment.c.after_id, ids),
        payment.c.kind == "collect",
        payment.c.state == "submitting",
        payment.c.waiting.is_(False),
    )
    return connection.execute(query).mappings().all()


def followers(
    connection: Connection, platform_id: UUID, ids: Sequence[UUID]
) -> dict[UUID, list[RowMapping]]:
    """Return, locked, the payments to members that wait for those of ``ids``, by these."""
    query = (
        select(payment)
        .where(payment.c.platform_id == platform_id, db.among(payment.c.after_id, ids))
        .where(payment.c.waiting, payment.c.kind != "collect")
        .order_by(payment.c.id)
        .with_for_update(key_share=True)
    )
    found: dict[UUID, list[RowMapping]] = {}
    for row in connection.execute(query).mappings() if ids else ():
        found.setdefault(row["after_id"], []).append(row)
    return found


def lock_all(
    connection: Connection, platform_id: UUID, ids: Sequence[UUID]
) -> dict[UUID, RowMapping]:
    """Return the payments that exist among ``ids``, locked in id order."""
    query = _of_ids(platform_id, ids).order_by(payment.c.id).with_for_update(key_share=True)
    return {row["id"]: row for row in connection.execute(query).mappings()}


def find_all(
    connection: Connection, platform_id: UUID, ids: Collection[UUID]
) -> dict[UUID, RowMapping]:
    """Return the payments that exist among ``ids``."""
    if not ids:
        return {}
    rows = connection.execute(_of_ids(platform_id, ids)).mappings()
    return {row["id"]: row for row in rows}


def _of_ids(platform_id: UUID, ids: Collection[UUID]) -> Select[Any]:
    return select(payment).where(payment.c.platform_id == platform_id, db.among(payment.c.id, ids))


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


def of_refs(
    connection: Connection, platform_id: UUID, provider: str, refs: Collection[str]
) -> dict[str, RowMapping]:
    """Return the payments that the provider's references mean, of those that are ours."""
    own = {ref: own_payment(ref) for ref in refs}
    ids = [one for one in own.values() if one is not None]
    meant = db.among(payment.c.provider_ref, refs)
    query = select(payment).where(
        payment.c.platform_id == platform_id,
        payment.c.provider == provider,
        or_(meant, db.among(payment.c.id, ids)) if ids else meant,
    )
    rows = connection.execute(query).mappings().all()
    by_id = {row["id"]: row for row in rows}
    by_ref = {row["provider_ref"]: row for row in rows}
    found = {ref: by_ref.get(ref) if one is None else by_id.get(one) for ref, one in own.items()}
    return {ref: row for ref, row in found.items() if row is not None}


def _one(connection: Connection, query: Any) -> RowMapping:
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise PaymentNotFound("No payment with this id.")
    found: RowMapping = row
    return found


def mark_failure(
    connection: Connection, platform_id: UUID, ids: Sequence[UUID], failure: str
) -> None:
    """Keep what is wrong with locked payments that are not settled by that."""
    connection.execute(
        update(payment)
        .where(payment.c.platform_id == platform_id, db.among(payment.c.id, ids))
        .values(failure=failure)
    )


def mark_disputed(connection: Connection, row: RowMapping, since: datetime | None) -> None:
    """Say since when a bank contests a locked collection; None: it does not (any more)."""
    connection.execute(
        update(payment)
        .where(payment.c.platform_id == row["platform_id"], payment.c.id == row["id"])
        .values(disputed_at=since)
    )
