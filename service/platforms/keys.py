"""API keys: made, rotated with an overlap, revoked, and recognised.

A key is 256 random bits, so its plain SHA-256 is enough to keep (nothing to guess or to salt).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select, text, update

from ledger.refusals import Refusal
from service import db
from service.ids import uuid7
from service.platforms import scopes as scope_list
from service.platforms.platforms import Mode
from service.platforms.tables import api_key

#: How long a rotated key still works unless the caller says otherwise.
OVERLAP: Final = timedelta(hours=24)
#: Last use is written at most this often.
USE_NOTED_EVERY: Final = timedelta(minutes=1)


class KeyNotFound(Refusal):
    """No such API key on this platform."""

    code = "api_key_not_found"


class KeyEnded(Refusal):
    """The key is revoked, expired or rotated already."""

    code = "api_key_ended"


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without its secret. ``hint`` is the secret's beginning, for people to tell."""

    platform_id: UUID
    id: UUID
    label: str
    hint: str
    scopes: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    rotated_to: UUID | None = None

    def works(self, now: datetime) -> bool:
        """Tell whether the key opens anything at ``now``."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def create(
    connection: Connection,
    platform_id: UUID,
    mode: Mode,
    label: str,
    scopes: Collection[str],
    now: datetime,
) -> tuple[Key, str]:
    """Make a key; return it and its secret, which is shown this once.

    Raises:
        UnknownScope
    """
    secret = f"tk_{mode}_{secrets.token_urlsafe(32)}"
    key = Key(platform_id, uuid7(), label, secret[:14], tuple(scope_list.check(scopes)), now)
    db.insert_many(
        connection,
        api_key,
        [
            {
                "platform_id": platform_id,
                "id": key.id,
                "label": label,
                "hint": key.hint,
                "hash": _hash(secret),
                "scopes": list(key.scopes),
                "created_at": now,
            }
        ],
    )
    return key, secret


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def find(connection: Connection, platform_id: UUID, key_id: UUID) -> Key:
    """Return one key.

    Raises:
        KeyNotFound
    """
    return _find(connection, platform_id, key_id, lock=False)


def _find(connection: Connection, platform_id: UUID, key_id: UUID, *, lock: bool) -> Key:
    query = select(api_key).where(api_key.c.platform_id == platform_id, api_key.c.id == key_id)
    if lock:
        query = query.with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise KeyNotFound("No API key with this id.")
    return _key(row)


def page(
    connection: Connection, platform_id: UUID, *, limit: int, after: UUID | None = None
) -> list[Key]:
    """Return up to ``limit`` keys, newest first."""
    query = select(api_key).where(api_key.c.platform_id == platform_id)
    if after is not None:
        query = query.where(api_key.c.id < after)
    rows: Sequence[RowMapping] = (
        connection.execute(query.order_by(api_key.c.id.desc()).limit(limit)).mappings().all()
    )
    return [_key(row) for row in rows]


def rotate(
    connection: Connection,
    platform_id: UUID,
    key_id: UUID,
    mode: Mode,
    now: datetime,
    overlap: timedelta = OVERLAP,
) -> tuple[Key, str]:
    """Replace a key by a new one with the same label and scopes; the old works for ``overlap``.

    Raises:
        KeyNotFound, KeyEnded
    """
    old = _find(connection, platform_id, key_id, lock=True)
    if not old.works(now) or old.rotated_to is not None:
        raise KeyEnded("This key is revoked, expired or rotated already.")
    new, secret = create(connection, platform_id, mode, old.label, old.scopes, now)
    connection.execute(
        update(api_key)
        .where(api_key.c.platform_id == platform_id, api_key.c.id == key_id)
        .values(expires_at=now + overlap, rotated_to=new.id)
    )
    return new, secret


def revoke(connection: Connection, platform_id: UUID, key_id: UUID, now: datetime) -> Key:
    """End a key at once; revoking it again changes nothing.

    Raises:
        KeyNotFound
    """
    old = _find(connection, platform_id, key_id, lock=True)
    if old.revoked_at is None:
        connection.execute(
            update(api_key)
            .where(api_key.c.platform_id == platform_id, api_key.c.id == key_id)
            .values(revoked_at=now)
        )
    return _find(connection, platform_id, key_id, lock=False)


_RECOGNISE: Final = text(
    "SELECT k.*, p.mode FROM service.api_key k JOIN service.platform p ON p.id = k.platform_id "
    "WHERE k.hash = :hash"
)


def recognise(connection: Connection, secret: str, now: datetime) -> tuple[Key, Mode] | None:
    """Return the working key behind ``secret`` (in the system's scope), or None.

    Notes the use, at most once a minute.
    """
    wanted = _hash(secret)
    row = connection.execute(_RECOGNISE, {"hash": wanted}).mappings().one_or_none()
    if row is None or not hmac.compare_digest(row["hash"], wanted):
        return None
    key = _key(row)
    if not key.works(now):
        return None
    if key.last_used_at is None or now - key.last_used_at >= USE_NOTED_EVERY:
        connection.execute(
            update(api_key)
            .where(api_key.c.platform_id == key.platform_id, api_key.c.id == key.id)
            .values(last_used_at=now)
        )
    return key, row["mode"]


def _key(row: RowMapping) -> Key:
    return Key(
        row["platform_id"],
        row["id"],
        row["label"],
        row["hint"],
        tuple(row["scopes"]),
        row["created_at"],
        row["last_used_at"],
        row["expires_at"],
        row["revoked_at"],
        row["rotated_to"],
    )
