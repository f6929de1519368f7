"""One-tap links: whoever holds one acts as the member, on one exchange, until it ends.

A helper has links of their own, which say whose they are and open nothing once the helper has
ended: one to what they can help with, and one for each exchange that they opened there.

The token is 256 random bits and is kept nowhere but in the member's message; here is its SHA-256.
Instants are the platform's own.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select, text

from ledger.refusals import Refusal
from service import db
from service.ids import uuid7
from service.messages.tables import link
from service.platforms import members
from service.platforms.helpers import Helper

#: How long a link lasts at least, and how long after the deadline it is for.
LASTS: Final = timedelta(days=14)
AFTER_DEADLINE: Final = timedelta(days=1)
_TOKEN_LENGTH: Final = 43  # 256 bits in base 64 without padding


class LinkNotFound(Refusal):
    """The member has no such link."""

    code = "link_not_found"


class Standing(StrEnum):
    """Whether a link opens."""

    OPEN = "open"
    UNKNOWN = "unknown"
    ENDED = "ended"  # expired or revoked


@dataclass(frozen=True, slots=True)
class Found:
    """What a token opens. The ids are None for an unknown one, the last for a member's own."""

    standing: Standing
    platform_id: UUID | None = None
    link_id: UUID | None = None
    member_id: UUID | None = None
    exchange_id: UUID | None = None
    helper_id: UUID | None = None


def make(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    exchange_id: UUID,
    purpose: str,
    now: datetime,
    *,
    public_url: str,
    until: datetime | None = None,
) -> str:
    """Make a link and return its URL, which cannot be read again anywhere.

    It lasts 14 days, or to a day after the deadline ``until`` where that is later.
    """
    token = secrets.token_urlsafe(32)
    ends = now + LASTS
    if until is not None:
        ends = max(ends, until + AFTER_DEADLINE)
    _write(connection, platform_id, member_id, exchange_id, None, purpose, token, now, ends)
    return f"{public_url.rstrip('/')}/l/{token}"


def make_for_helper(
    connection: Connection,
    helper: Helper,
    exchange_id: UUID | None,
    now: datetime,
    *,
    public_url: str,
) -> str:
    """Make a link of a helper and return its URL: to one exchange, or (None) to all they can see.

    It ends with the helper, and to one exchange after 14 days at most.
    """
    token = secrets.token_urlsafe(32)
    ends = helper.ends_at if exchange_id is None else min(helper.ends_at, now + LASTS)
    key = (helper.platform_id, helper.member_id, exchange_id, helper.id)
    _write(connection, *key, "helper", token, now, ends)
    return f"{public_url.rstrip('/')}/{'h' if exchange_id is None else 'l'}/{token}"


def _write(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    exchange_id: UUID | None,
    helper_id: UUID | None,
    purpose: str,
    token: str,
    now: datetime,
    ends: datetime,
) -> None:
    row = {
        "platform_id": platform_id,
        "id": uuid7(),
        "member_id": member_id,
        "exchange_id": exchange_id,
        "helper_id": helper_id,
        "purpose": purpose,
        "hash": _hash(token),
        "created_at": now,
        "expires_at": ends,
    }
    db.insert_many(connection, link, [row])


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


# A link of a member who was erased, or whose platform's clock has passed it, opens nothing; nor
# does one of a helper who has ended.
_FIND: Final = text(
    "SELECT l.platform_id, l.id, l.member_id, l.exchange_id, l.helper_id, l.revoked_at IS NULL "
    "AND l.expires_at > service.platform_now(l.platform_id, :now) AND m.erased_at IS NULL "
    "AND (l.helper_id IS NULL OR h.ended_at IS NULL) AS open "
    "FROM service.link AS l JOIN service.member AS m "
    "ON m.platform_id = l.platform_id AND m.id = l.member_id LEFT JOIN service.helper AS h "
    "ON h.platform_id = l.platform_id AND h.id = l.helper_id WHERE l.hash = :hash"
)


def find(connection: Connection, token: str, now: datetime) -> Found:
    """Return what a token opens, in the system's scope; ``now`` is the real time."""
    if len(token) != _TOKEN_LENGTH or not token.isascii():
        return Found(Standing.UNKNOWN)
    values = {"hash": _hash(token), "now": now}
    row = connection.execute(_FIND, values).mappings().one_or_none()
    if row is None:
        return Found(Standing.UNKNOWN)
    standing = Standing.OPEN if row["open"] else Standing.ENDED
    return Found(
        standing,
        row["platform_id"],
        row["id"],
        row["member_id"],
        row["exchange_id"],
        row["helper_id"],
    )


_USED: Final = text(
    "UPDATE service.link SET last_used_at = :now WHERE platform_id = :platform_id AND id = :id"
)


def used(connection: Connection, found: Found, now: datetime) -> None:
    """Remember that a step was taken by a link; looking at its page is no use of it."""
    connection.execute(_USED, {"platform_id": found.platform_id, "id": found.link_id, "now": now})


def page(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    *,
    limit: int,
    after: UUID | None = None,
) -> Sequence[RowMapping]:
    """Return up to ``limit`` of a member's links, newest first.

    Raises:
        MemberNotFound: the platform has no such member.
    """
    members.find(connection, platform_id, member_id)
    query = select(link).where(link.c.platform_id == platform_id, link.c.member_id == member_id)
    if after is not None:
        query = query.where(link.c.id < after)
    return connection.execute(query.order_by(link.c.id.desc()).limit(limit)).mappings().all()


_REVOKE: Final = text(
    "UPDATE service.link SET revoked_at = coalesce(revoked_at, :now) "
    "WHERE platform_id = :platform_id AND member_id = :member_id "
    "AND (CAST(:id AS uuid) IS NULL OR id = :id) RETURNING *"
)


def revoke(
    connection: Connection, platform_id: UUID, member_id: UUID, link_id: UUID, now: datetime
) -> RowMapping:
    """End one link now, and return it; one that had ended stays as it was.

    Raises:
        LinkNotFound: the member has no such link.
    """
    values = {"platform_id": platform_id, "member_id": member_id, "id": link_id, "now": now}
    row = connection.execute(_REVOKE, values).mappings().one_or_none()
    if row is None:
        raise LinkNotFound("The member has no link with this id.")
    return row


def revoke_all(connection: Connection, platform_id: UUID, member_id: UUID, now: datetime) -> int:
    """End every link of a member; return how many there are, ended before or now."""
    members.find(connection, platform_id, member_id)
    values = {"platform_id": platform_id, "member_id": member_id, "id": None, "now": now}
    return len(connection.execute(_REVOKE, values).all())
