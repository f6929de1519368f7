"""Members' money on its way from their accounts at the provider to their banks.

It is theirs already and stands in no book of ours; it is followed so that they can be told that it
has come, or why it did not. A bank may send back what was told as paid days later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, select, text, update

from service import db
from service.events import outbox
from service.ids import encode, uuid7
from service.payments import payees
from service.payments.payee import Payee
from service.payments.payee_tables import bank_payout
from service.payments.payments import LEASE
from service.payments.port import BankPayout, Provider, Status
from service.platforms.clocks import swept

#: One under way is looked at this often, should its event be lost.
PENDING_LOOK: Final = timedelta(days=1)
#: One that has come is looked at once more, after the time in which banks send money back.
PAID_LOOK: Final = timedelta(days=7)

#: How far along a status is; what is seen never goes back.
_RANK: Final = {Status.PENDING: 0, Status.SUCCEEDED: 1, Status.FAILED: 2, Status.CANCELED: 2}
_TOLD: Final = {
    Status.SUCCEEDED: "bank_payout.paid",
    Status.FAILED: "bank_payout.failed",
    Status.CANCELED: "bank_payout.canceled",
}


class PayoutDiffers(RuntimeError):
    """The provider's answer is about another account or amount: never recorded, always an alert."""


def follow_bank_payout(
    engine: Engine,
    provider: Provider,
    platform_id: UUID,
    account_ref: str,
    ref: str,
    now: datetime,
) -> None:
    """Read a payout to a bank again, outside of any transaction, and write where it stands.

    Raises:
        UnknownProviderObject: the account is not of this platform; the provider is not asked.
        ProviderUnavailable: ask again later.
        PayoutDiffers: the answer is about something else.
    """
    with db.transaction(engine, platform_id) as connection:
        payee = payees.of_ref(connection, platform_id, provider.name, account_ref)
    db.outside_transaction()
    seen = provider.retrieve_bank_payout(platform_id, account_ref, ref)
    if (seen.ref, seen.account_ref) != (ref, account_ref):
        raise PayoutDiffers(f"asked about {ref} of {account_ref}, told about {seen.ref}")
    with db.transaction(engine, platform_id) as connection:
        record(connection, payee, seen, now)


_INSERT: Final = text(
    "INSERT INTO service.bank_payout (platform_id, id, provider, ref, account_ref, member_id, "
    "status, amount, unit, seen_at) VALUES (:platform_id, :id, :provider, :ref, :account_ref, "
    ":member_id, 'pending', :amount, :unit, :now) ON CONFLICT (platform_id, provider, ref) "
    "DO NOTHING"
)


def record(connection: Connection, payee: Payee, seen: BankPayout, now: datetime) -> None:
    """Write where a payout to the payee's bank stands, and tell the member when that is news.

    Raises:
        PayoutDiffers: it was of another account or amount before.
    """
    connection.execute(
        _INSERT,
        {
            "platform_id": payee.platform_id,
            "id": uuid7(),
            "provider": payee.provider,
            "ref": seen.ref,
            "account_ref": seen.account_ref,
            "member_id": payee.member_id,
            "amount": seen.amount,
            "unit": seen.unit,
            "now": now,
        },
    )
    of_ref = (
        bank_payout.c.platform_id == payee.platform_id,
        bank_payout.c.provider == payee.provider,
        bank_payout.c.ref == seen.ref,
    )
    before = (
        connection.execute(select(bank_payout).where(*of_ref).with_for_update()).mappings().one()
    )
    asked = (before["account_ref"], before["amount"], before["unit"])
    if asked != (seen.account_ref, seen.amount, seen.unit):
        raise PayoutDiffers(f"bank payout {seen.ref} was of {asked}, and is of another now")
    status = max(Status(before["status"]), _known(seen.status), key=_RANK.__getitem__)
    changed = status != before["status"]
    connection.execute(
        update(bank_payout)
        .where(*of_ref)
        .values(
            status=status,
            arrives_at=seen.arrives_at,
            failure=seen.failure if status is Status.FAILED else None,
            seen_at=now,
            attempts=0,
            failures=0,
            look_again_at=_next_look(status, changed, now),
        )
    )
    if changed:
        event = outbox.NewEvent(_TOLD[status], _facts(payee, seen), member_id=payee.member_id)
        outbox.append(connection, payee.platform_id, [event], now)


def _known(status: Status) -> Status:
    """A payout that the bank still thinks about is on its way, whatever it is called."""
    return status if status in _RANK else Status.PENDING


def _next_look(status: Status, changed: bool, now: datetime) -> datetime | None:
    if status is Status.PENDING:
        return now + PENDING_LOOK
    return now + PAID_LOOK if status is Status.SUCCEEDED and changed else None


def _facts(payee: Payee, seen: BankPayout) -> dict[str, Any]:
    return {
        "member": encode("member", payee.member_id),
        "provider_ref": seen.ref,
        "amount": seen.amount,
        "unit": seen.unit,
        "arrives_at": seen.arrives_at,
        "failure": seen.failure,
    }


def page(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    *,
    limit: int,
    after: UUID | None = None,
) -> Sequence[RowMapping]:
    """Return up to ``limit`` of a member's payouts to their bank, the newest first."""
    query = select(bank_payout).where(
        bank_payout.c.platform_id == platform_id, bank_payout.c.member_id == member_id
    )
    if after is not None:
        query = query.where(bank_payout.c.id < after)
    return connection.execute(query.order_by(bank_payout.c.id.desc()).limit(limit)).mappings().all()


def under_way(connection: Connection, platform_id: UUID, member_id: UUID) -> str | None:
    """Return the provider's id of a payout to the member's bank that has not come yet, if any."""
    return connection.scalar(
        select(bank_payout.c.ref)
        .where(bank_payout.c.platform_id == platform_id, bank_payout.c.member_id == member_id)
        .where(bank_payout.c.status == Status.PENDING)
        .limit(1)
    )


@dataclass(frozen=True, slots=True)
class Due:
    """A payout to a bank that is to be looked at again."""

    platform_id: UUID
    provider: str
    account_ref: str
    ref: str


_CLAIM: Final = swept(
    "bank_payout.platform_id",
    "UPDATE service.bank_payout AS b SET look_again_at = :until, attempts = b.attempts + 1 FROM ("
    " SELECT platform_id, id FROM service.bank_payout WHERE look_again_at <= :now"
    " AND {of_scope}"
    " ORDER BY look_again_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED) AS due "
    "WHERE b.platform_id = due.platform_id AND b.id = due.id "
    "RETURNING b.platform_id, b.provider, b.account_ref, b.ref",
)


def due_for_a_look(
    engine: Engine, now: datetime, limit: int, only: UUID | None = None
) -> Sequence[Due]:
    """Take payouts to look at again for the length of a lease; ``only`` of a platform."""
    with db.transaction(engine, db.SYSTEM) as connection:
        values = {"now": now, "until": now + LEASE, "limit": limit, "only": only}
        found = [Due(*row) for row in connection.execute(_CLAIM, values)]
    return sorted(found, key=lambda one: one.ref)


def put_off(engine: Engine, due: Due, now: datetime) -> None:
    """Leave a payout for the next day."""
    with db.transaction(engine, due.platform_id) as connection:
        connection.execute(
            update(bank_payout)
            .where(bank_payout.c.platform_id == due.platform_id, bank_payout.c.ref == due.ref)
            .where(bank_payout.c.provider == due.provider)
            .where(bank_payout.c.look_again_at.is_not(None))
            .values(look_again_at=now + PENDING_LOOK)
        )
