"""Members: who takes part, known to the platform by its own ``external_id``.

What identifies the person (name, e-mail, phone) is kept apart and can be erased; exchanges and
books go on under the bare id (GDPR art. 17(3)(b): accounts are kept as the law says).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, delete, select, text, update

from ledger.refusals import Refusal
from service import db
from service.ids import encode, uuid7
from service.platforms.tables import member, member_person


class MemberNotFound(Refusal):
    """No such member on this platform."""

    code = "member_not_found"


class ExternalIdTaken(Refusal):
    """Another member of the platform has this ``external_id``."""

    code = "member_external_id_taken"


class MemberErased(Refusal):
    """The member's personal data was erased; there is nothing to change any more."""

    code = "member_erased"


@dataclass(frozen=True, slots=True)
class Member:
    """A member. ``name``, ``email`` and ``phone`` are None where unknown or erased.

    Whoever is ``assisted`` has more time in a dispute, and so has the other side.
    """

    id: UUID
    external_id: str | None
    locale: str
    time_zone: str
    country: str
    created_at: datetime
    erased_at: datetime | None
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    assisted: bool = False


_QUERY: Final = select(
    member, member_person.c.name, member_person.c.email, member_person.c.phone
).select_from(
    member.outerjoin(
        member_person,
        (member_person.c.platform_id == member.c.platform_id)
        & (member_person.c.member_id == member.c.id),
    )
)
_SETTINGS: Final = ("locale", "time_zone", "country", "assisted")
_PERSONAL: Final = ("name", "email", "phone")


def create(
    connection: Connection,
    platform_id: UUID,
    external_id: str,
    now: datetime,
    *,
    locale: str = "fr",
    time_zone: str = "Europe/Paris",
    country: str = "FR",
    name: str | None = None,
    email: str | None = None,
    phone: str | None = None,
    assisted: bool = False,
) -> Member:
    """Add a member.

    Raises:
        ExternalIdTaken: with the id of the member who has it.
    """
    query = select(member.c.id).where(
        member.c.platform_id == platform_id, member.c.external_id == external_id
    )
    taken = connection.execute(query).scalar_one_or_none()
    if taken is not None:
        raise ExternalIdTaken(
            "Another member has this external_id.",
            pointer="/external_id",
            member=encode("member", taken),
        )
    made = Member(
        uuid7(), external_id, locale, time_zone, country, now, None, name, email, phone, assisted
    )
    db.insert_many(
        connection,
        member,
        [
            {
                "platform_id": platform_id,
                "id": made.id,
                "external_id": external_id,
                "locale": locale,
                "time_zone": time_zone,
                "country": country,
                "assisted": assisted,
                "created_at": now,
            }
        ],
    )
    if any(value is not None for value in (name, email, phone)):
        _write_person(connection, platform_id, made)
    return made


def _write_person(connection: Connection, platform_id: UUID, one: Member) -> None:
    connection.execute(
        text(
            "INSERT INTO service.member_person (platform_id, member_id, name, email, phone) "
            "VALUES (:platform_id, :id, :name, :email, :phone) "
            "ON CONFLICT (platform_id, member_id) DO UPDATE SET name = EXCLUDED.name, "
            "email = EXCLUDED.email, phone = EXCLUDED.phone"
        ),
        {
            "platform_id": platform_id,
            "id": one.id,
            "name": one.name,
            "email": one.email,
            "phone": one.phone,
        },
    )


def find(connection: Connection, platform_id: UUID, member_id: UUID) -> Member:
    """Return one member.

    Raises:
        MemberNotFound: the platform has no such member.
    """
    found = find_many(connection, platform_id, [member_id]).get(member_id)
    if found is None:
        raise MemberNotFound("No member with this id.")
    return found


def find_many(
    connection: Connection, platform_id: UUID, ids: Collection[UUID], *, lock: bool = False
) -> dict[UUID, Member]:
    """Return the members that exist among ``ids``; with ``lock``, kept from being erased."""
    query = _QUERY.where(member.c.platform_id == platform_id, db.among(member.c.id, ids))
    if lock:
        query = query.order_by(member.c.id).with_for_update(read=True, key_share=True, of=member)
    rows = connection.execute(query).mappings()
    return {row["id"]: _member(row) for row in rows}


def page(
    connection: Connection,
    platform_id: UUID,
    *,
    limit: int,
    after: UUID | None = None,
    external_id: str | None = None,
) -> list[Member]:
    """Return up to ``limit`` members, newest first."""
    query = _QUERY.where(member.c.platform_id == platform_id)
    if after is not None:
        query = query.where(member.c.id < after)
    if external_id is not None:
        query = query.where(member.c.external_id == external_id)
    rows: Sequence[RowMapping] = (
        connection.execute(query.order_by(member.c.id.desc()).limit(limit)).mappings().all()
    )
    return [_member(row) for row in rows]


def change(
    connection: Connection, platform_id: UUID, member_id: UUID, changes: Mapping[str, Any]
) -> Member:
    """Set the given fields of locale, time zone, country, name, e-mail, phone and assistance.

    Raises:
        MemberNotFound, MemberErased
    """
    old = _lock(connection, platform_id, member_id)
    settings = {k: v for k, v in changes.items() if k in _SETTINGS}
    if settings:
        connection.execute(
            update(member)
            .where(member.c.platform_id == platform_id, member.c.id == member_id)
            .values(**settings)
        )
    known = {k: v for k, v in changes.items() if k in _SETTINGS + _PERSONAL}
    new = replace(old, **known)
    if any(field in changes for field in _PERSONAL):
        _write_person(connection, platform_id, new)
    return new


def erase(connection: Connection, platform_id: UUID, member_id: UUID, now: datetime) -> Member:
    """Destroy everything that says who the member is; the bare id stays in the books.

    Waits for exchanges that are being proposed with the member, so that the caller sees them.

    Raises:
        MemberNotFound, MemberErased
    """
    old = _lock(connection, platform_id, member_id, key_share=False)
    connection.execute(
        delete(member_person).where(
            member_person.c.platform_id == platform_id, member_person.c.member_id == member_id
        )
    )
    connection.execute(
        update(member)
        .where(member.c.platform_id == platform_id, member.c.id == member_id)
        .values(external_id=None, assisted=False, erased_at=now)
    )
    return Member(old.id, None, old.locale, old.time_zone, old.country, old.created_at, now)


def _lock(
    connection: Connection, platform_id: UUID, member_id: UUID, *, key_share: bool = True
) -> Member:
    connection.execute(
        select(member.c.id)
        .where(member.c.platform_id == platform_id, member.c.id == member_id)
        .with_for_update(key_share=key_share)
    )
    found = find(connection, platform_id, member_id)
    if found.erased_at is not None:
        raise MemberErased("This member's personal data was erased.")
    return found


def _member(row: RowMapping) -> Member:
    return Member(
        row["id"],
        row["external_id"],
        row["locale"],
        row["time_zone"],
        row["country"],
        row["created_at"],
        row["erased_at"],
        row["name"],
        row["email"],
        row["phone"],
        row["assisted"],
    )
