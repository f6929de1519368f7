"""The end of answers kept under idempotency keys: after their time they are forgotten."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Engine, text

from service import db

#: So many at a time, so that no transaction is long.
_BATCH: Final = 5_000

_FORGET: Final = text(
    "DELETE FROM service.idempotency AS i USING ("
    " SELECT platform_id, actor, key FROM service.idempotency WHERE expires_at <= :now"
    " ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED) AS old "
    "WHERE i.platform_id = old.platform_id AND i.actor = old.actor AND i.key = old.key"
)


def forget(engine: Engine, now: datetime) -> int:
    """Delete every answer whose time is over; return how many there were."""
    forgotten = 0
    while True:
        with db.transaction(engine, db.SYSTEM) as connection:
            count = connection.execute(_FORGET, {"now": now, "limit": _BATCH}).rowcount
        forgotten += count
        if count < _BATCH:
            return forgotten
