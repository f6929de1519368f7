"""Members' own accounts at the payment provider, to which released money is sent.

Row first, then the call, then what it answered: a row without ``account_ref`` is an account being
opened, which the next call or sweep finishes (the provider's key is the member). What an account
may do is never believed from an event, only read again; the consequences for the money that waits
are composed in ``service/exchanges/payouts.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, Select, select, text, update

from service import db
from service.events import outbox
from service.ids import encode
from service.payments.payee import (
    Payee,
    PayoutAccountElsewhere,
    Readiness,
    UnknownProviderObject,
    payout_notice,
    readiness_of,
)
from service.payments.payee_tables import payee_account
from service.payments.payments import LEASE, look_again
from service.payments.port import Account
from service.platforms import members
from service.platforms.clocks import swept

#: An account that lacks something is looked at this often, should its events be lost; and one
#: that lacks nothing, or is closed for good.
UNREADY_LOOK: Final = timedelta(days=1)
READY_LOOK: Final = timedelta(days=7)


class AccountDiffers(RuntimeError):
    """The provider answered one member with two accounts: never recorded, always an alert."""


class Paying(Protocol):
    """What readiness depends on: a provider's name, and whether it pays to accounts alone."""

    @property
    def name(self) -> str:
        """The provider's name, as on our rows."""

    @property
    def needs_account(self) -> bool:
        """Whether nobody can be paid without an account of their own."""


def readiness(
    connection: Connection,
    platform_id: UUID,
    member_ids: Collection[UUID],
    provider: Paying,
    *,
    lock: bool = False,
) -> dict[UUID, Readiness]:
    """Return for each of the members whether ``provider`` can send money to them.

    With ``lock`` accounts that exist cannot become ready, or cease to be, before the transaction
    ends: what it decides to leave waiting is there when the account's change pays what waits.
    """
    query = (
        select(payee_account)
        .where(payee_account.c.platform_id == platform_id)
        .where(payee_account.c.provider == provider.name)
        .where(db.among(payee_account.c.member_id, member_ids))
        .order_by(payee_account.c.member_id)
    )
    if lock:
        query = query.with_for_update(read=True)
    rows = connection.execute(query).mappings()
    found = {row["member_id"]: readiness_of(_payee(row)) for row in rows}
    nobody = (
        Readiness(ready=False, reason="no_account")
        if provider.needs_account
        else Readiness(ready=True)
    )
    return {member_id: found.get(member_id, nobody) for member_id in member_ids}


def find(connection: Connection, platform_id: UUID, member_id: UUID, provider: str) -> Payee | None:
    """Return the member's account at ``provider``, if there is one or one is being opened."""
    row = connection.execute(_of_member(platform_id, member_id, provider)).mappings().one_or_none()
    return None if row is None else _payee(row)


def find_all(
    connection: Connection, platform_id: UUID, member_ids: Collection[UUID]
) -> dict[tuple[UUID, str], Payee]:
    """Return the accounts of members, by member and provider, where there are any."""
    if not member_ids:
        return {}
    query = select(payee_account).where(
        payee_account.c.platform_id == platform_id,
        db.among(payee_account.c.member_id, member_ids),
    )
    rows = connection.execute(query).mappings()
    return {(row["member_id"], row["provider"]): _payee(row) for row in rows}


def account_ref(
    connection: Connection, platform_id: UUID, member_id: UUID, provider: str
) -> str | None:
    """Return the provider's own id of the member's account, or None without one."""
    found = find(connection, platform_id, member_id, provider)
    return None if found is None else found.account_ref


def of_ref(connection: Connection, platform_id: UUID, provider: str, ref: str) -> Payee:
    """Return the account of this platform that the provider calls ``ref``.

    Raises:
        UnknownProviderObject: it is another platform's, nobody's, or not recorded yet: an event
            may come before the answer to the call that opened the account.
    """
    row = connection.execute(_of_ref(platform_id, provider, ref)).mappings().one_or_none()
    if row is None:
        raise UnknownProviderObject("This platform has no such account.", account=ref)
    return _payee(row)


_BEGIN: Final = text(
    "INSERT INTO service.payee_account AS a "
    "(platform_id, member_id, provider, country, opened_at, look_again_at) "
    "VALUES (:platform_id, :member_id, :provider, :country, :now, :later) "
    "ON CONFLICT (platform_id, member_id, provider) DO UPDATE SET country = EXCLUDED.country, "
    "failure = NULL, opened_at = EXCLUDED.opened_at, look_again_at = EXCLUDED.look_again_at, "
    # What the provider refused may be asked for again, in another country too.
    "attempts = 0, failures = 0, version = a.version + 1 WHERE a.failure IS NOT NULL"
)


def begin(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    provider: str,
    country: str,
    now: datetime,
) -> Payee:
    """Write down that an account is to be opened in ``country`` (ISO 3166-1 alpha-2); return it.

    Again returns what is there.

    Raises:
        MemberNotFound, MemberErased
        PayoutAccountElsewhere: with the country of the account that is there.
    """
    member = members.find_many(connection, platform_id, [member_id], lock=True).get(member_id)
    if member is None:
        raise members.MemberNotFound("No member with this id.")
    if member.erased_at is not None:
        raise members.MemberErased("This member's personal data was erased.")
    connection.execute(
        _BEGIN,
        {
            "platform_id": platform_id,
            "member_id": member_id,
            "provider": provider,
            "country": country,
            "now": now,
            "later": now + LEASE,
        },
    )
    found = find(connection, platform_id, member_id, provider)
    assert found is not None
    if found.country != country:
        raise PayoutAccountElsewhere(
            f"The member's account is in {found.country}; providers do not move one.",
            pointer="/country",
            country=found.country,
        )
    return found


@dataclass(frozen=True, slots=True)
class Change:
    """An account before and after something was written about it."""

    before: Payee
    after: Payee


def record_opened(
    connection: Connection, opening: Payee, seen: Account, now: datetime
) -> Change | None:
    """Write the account that the provider opened; None when somebody else wrote meanwhile.

    Raises:
        AccountDiffers: the member has another account already.
    """
    before = _lock(connection, opening)
    if before.account_ref is not None and before.account_ref != seen.ref:
        raise AccountDiffers(
            f"member {opening.member_id} has {before.account_ref}, {opening.provider} "
            f"answered {seen.ref}"
        )
    return _record(connection, opening, before, seen, now)


def record_refused(
    connection: Connection, opening: Payee, failure: str, now: datetime
) -> Payee | None:
    """Write that the provider will not open the account; None when it is open all the same."""
    before = _lock(connection, opening)
    if before.version != opening.version or before.account_ref is not None:
        return None
    after = _write(connection, replace(before, failure=failure), None)
    facts = {**_facts(after), "failure": failure}
    event = outbox.NewEvent("payee.refused", facts, member_id=after.member_id)
    outbox.append(connection, after.platform_id, [event], now)
    return after


def record(connection: Connection, asked: Payee, seen: Account, now: datetime) -> Change | None:
    """Write how the provider sees the account ``asked`` about, and tell what changed.

    None when somebody else wrote since then: what was seen may be older, so ask again.

    Raises:
        AccountDiffers: the answer is about another account.
    """
    if seen.ref != asked.account_ref:
        raise AccountDiffers(f"asked about {asked.account_ref}, told about {seen.ref}")
    return _record(connection, asked, _lock(connection, asked), seen, now)


def _record(
    connection: Connection, asked: Payee, before: Payee, seen: Account, now: datetime
) -> Change | None:
    after = replace(
        before,
        account_ref=seen.ref,
        failure=None,
        ready=seen.ready,
        bank_ready=seen.bank_ready,
        submitted=seen.submitted,
        due=tuple(seen.due),
        due_by=seen.due_by,
        disabled_reason=seen.disabled_reason,
        seen_at=now,
    )
    if before.version != asked.version:
        same = replace(after, seen_at=before.seen_at) == before
        return Change(before, before) if same else None
    lacks_nothing = (after.ready and not after.due) or after.barred
    after = _write(connection, after, now + (READY_LOOK if lacks_nothing else UNREADY_LOOK))
    outbox.append(connection, after.platform_id, _events(before, after), now)
    return Change(before, after)


def _events(before: Payee, after: Payee) -> list[outbox.NewEvent]:
    """Tell members what is news to them, and only that."""
    told = []
    if after.ready and not before.ready:
        told.append("payee.ready")
    stopped = before.ready and not after.ready
    barred = after.barred and after.disabled_reason != before.disabled_reason
    if stopped or barred:
        told.append("payee.disabled")
    if after.due and (after.due, after.due_by) != (before.due, before.due_by):
        told.append("payee.requirements_due")
    facts = _facts(after)
    return [outbox.NewEvent(kind, facts, member_id=after.member_id) for kind in told]


def _facts(one: Payee) -> dict[str, Any]:
    notice = payout_notice(readiness_of(one))
    return {
        "member": encode("member", one.member_id),
        "provider": one.provider,
        "ready": one.ready,
        "due": list(one.due),
        "due_by": one.due_by,
        "reason": one.disabled_reason,
        "notice": None if notice is None else notice["words"],
    }


@dataclass(frozen=True, slots=True)
class Due:
    """An account to be looked at again; without ``account_ref``, to be opened at last."""

    platform_id: UUID
    member_id: UUID
    provider: str
    account_ref: str | None
    attempts: int


_CLAIM: Final = swept(
    "payee_account.platform_id",
    "UPDATE service.payee_account AS a SET look_again_at = :until, attempts = a.attempts + 1 FROM ("
    " SELECT platform_id, member_id, provider FROM service.payee_account"
    " WHERE look_again_at <= :now AND {of_scope}"
    " ORDER BY look_again_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED) AS due "
    "WHERE a.platform_id = due.platform_id AND a.member_id = due.member_id "
    "AND a.provider = due.provider "
    "RETURNING a.platform_id, a.member_id, a.provider, a.account_ref, a.attempts",
)


def due_for_a_look(
    engine: Engine, now: datetime, limit: int, only: UUID | None = None
) -> Sequence[Due]:
    """Take accounts to open or to read again for the length of a lease; ``only`` of a platform.

    An event that was lost is made good here within a day; a crashed process's come back.
    """
    with db.transaction(engine, db.SYSTEM) as connection:
        values = {"now": now, "until": now + LEASE, "limit": limit, "only": only}
        found = [Due(*row) for row in connection.execute(_CLAIM, values)]
    return sorted(found, key=lambda one: one.member_id)


def put_off(engine: Engine, due: Due, now: datetime) -> None:
    """Leave an account for later: an opening soon, a look the next day."""
    opening = due.account_ref is None
    later = look_again(due.attempts, now) if opening else now + UNREADY_LOOK
    with db.transaction(engine, due.platform_id) as connection:
        connection.execute(
            update(payee_account)
            .where(payee_account.c.platform_id == due.platform_id)
            .where(payee_account.c.member_id == due.member_id)
            .where(payee_account.c.provider == due.provider)
            .where(payee_account.c.look_again_at.is_not(None))
            .values(look_again_at=later)
        )


def let_go(connection: Connection, platform_id: UUID, member_id: UUID) -> None:
    """Follow the accounts of a member no more whose person was erased; the bare ids stay."""
    of_member = (payee_account.c.platform_id == platform_id, payee_account.c.member_id == member_id)
    connection.execute(update(payee_account).where(*of_member).values(look_again_at=None))
    connection.execute(
        update(payee_account)
        .where(*of_member, payee_account.c.account_ref.is_(None))
        .values(failure="member_erased")
    )


def _of_member(platform_id: UUID, member_id: UUID, provider: str) -> Select[Any]:
    return select(payee_account).where(
        payee_account.c.platform_id == platform_id,
        payee_account.c.member_id == member_id,
        payee_account.c.provider == provider,
    )


def _of_ref(platform_id: UUID, provider: str, ref: str) -> Select[Any]:
    return select(payee_account).where(
        payee_account.c.platform_id == platform_id,
        payee_account.c.provider == provider,
        payee_account.c.account_ref == ref,
    )


def _lock(connection: Connection, one: Payee) -> Payee:
    query = _of_member(one.platform_id, one.member_id, one.provider).with_for_update()
    return _payee(connection.execute(query).mappings().one())


_WRITTEN: Final = (
    "account_ref",
    "failure",
    "ready",
    "bank_ready",
    "submitted",
    "due_by",
    "disabled_reason",
    "seen_at",
)


def _write(connection: Connection, one: Payee, look_again_at: datetime | None) -> Payee:
    """Write a locked account as it is from now on."""
    after = replace(one, version=one.version + 1)
    connection.execute(
        update(payee_account)
        .where(payee_account.c.platform_id == one.platform_id)
        .where(payee_account.c.member_id == one.member_id)
        .where(payee_account.c.provider == one.provider)
        .values(
            {name: getattr(after, name) for name in _WRITTEN}
            | {"due": list(after.due), "version": after.version}
            | {"look_again_at": look_again_at, "attempts": 0, "failures": 0}
        )
    )
    return after


_READ: Final = tuple(field.name for field in fields(Payee))


def _payee(row: RowMapping) -> Payee:
    return Payee(**{name: row[name] for name in _READ} | {"due": tuple(row["due"])})
