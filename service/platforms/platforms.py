"""Tenants: each a live platform and its sandbox twin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select, update

from ledger.refusals import Refusal
from service import db
from service.ids import uuid7
from service.platforms.tables import platform

Mode = Literal["live", "sandbox"]


class PlatformNotFound(Refusal):
    """No such platform on this instance."""

    code = "platform_not_found"


@dataclass(frozen=True, slots=True)
class Platform:
    """A tenant. ``twin_id`` is the same platform in the other mode.

    ``phone``: where its members can talk to somebody, in the international form.
    """

    id: UUID
    name: str
    mode: Mode
    twin_id: UUID
    created_at: datetime
    phone: str | None = None


def create(connection: Connection, name: str, now: datetime) -> tuple[Platform, Platform]:
    """Create a platform (in the system's scope); return its live tenant and its sandbox."""
    live_id, sandbox_id = uuid7(), uuid7()
    live = Platform(live_id, name, "live", sandbox_id, now)
    sandbox = Platform(sandbox_id, name, "sandbox", live_id, now)
    db.insert_many(
        connection,
        platform,
        [
            {
                "id": one.id,
                "name": one.name,
                "mode": one.mode,
                "twin_id": one.twin_id,
                "created_at": now,
            }
            for one in (live, sandbox)
        ],
    )
    return live, sandbox


def find(connection: Connection, platform_id: UUID) -> Platform:
    """Return one platform.

    Raises:
        PlatformNotFound: there is none, or it is not the one of this transaction.
    """
    query = select(platform).where(platform.c.id == platform_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise PlatformNotFound("No platform with this id.")
    return _platform(row)


def change(connection: Connection, platform_id: UUID, phone: str | None) -> Platform:
    """Set where a platform's members can talk to somebody; None: nowhere.

    Raises:
        PlatformNotFound
    """
    connection.execute(update(platform).where(platform.c.id == platform_id).values(phone=phone))
    return find(connection, platform_id)


def page(connection: Connection, *, limit: int, after: UUID | None = None) -> list[Platform]:
    """Return up to ``limit`` platforms, newest first (in the system's scope)."""
    query = select(platform).order_by(platform.c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(platform.c.id < after)
    rows: Sequence[RowMapping] = connection.execute(query).mappings().all()
    return [_platform(row) for row in rows]


def _platform(row: RowMapping) -> Platform:
    return Platform(
        row["id"], row["name"], row["mode"], row["twin_id"], row["created_at"], row["phone"]
    )
