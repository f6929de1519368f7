"""Follow the outbox of all platforms: each reader takes every event once, in order.

A reader works on what it took in the transaction that moves its place, so an event is handled
exactly once however often its process dies. Two processes of one reader do not wait for each other:
the second finds nothing to take.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, RowMapping, text

_PLACE: Final = text(
    "SELECT tx::text AS tx, id FROM service.feed WHERE consumer = :consumer FOR UPDATE SKIP LOCKED"
)
# An event that commits late has a transaction id at or above the oldest one still running, so a
# reader who stops there never steps over it (ADR 5).
_TAKE: Final = text(
    "SELECT platform_id, id, type, exchange_id, member_id, sequence, data, at, tx::text AS tx "
    "FROM service.event AS e WHERE tx < pg_snapshot_xmin(pg_current_snapshot()) "
    # e.tx, the number: a bare tx would be the text above, in which 1000 comes before 999.
    "AND (tx, id) > (CAST(:tx AS xid8), CAST(:id AS uuid)) ORDER BY e.tx, e.id LIMIT :limit"
)
_MOVE: Final = text(
    "UPDATE service.feed SET tx = CAST(:tx AS xid8), id = :id WHERE consumer = :consumer"
)


def take(connection: Connection, consumer: str, limit: int) -> Sequence[RowMapping]:
    """Return up to ``limit`` next events for ``consumer`` and move its place behind them.

    In the system's scope. The rows carry ``platform_id, id, type, exchange_id, member_id, sequence,
    data, at``. Nothing is returned while another process holds the reader's place.
    """
    place = connection.execute(_PLACE, {"consumer": consumer}).mappings().one_or_none()
    if place is None:
        return []
    rows = connection.execute(_TAKE, {**place, "limit": limit}).mappings().all()
    if rows:
        last = rows[-1]
        connection.execute(_MOVE, {"consumer": consumer, "tx": last["tx"], "id": last["id"]})
    return rows
