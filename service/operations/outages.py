"""Who is alive, and when we were away: deadlines do not run while members could not act.

Each process beats every :data:`BEAT`. When no API was seen for :data:`SHORTEST`, an outage from the
last beat on is recorded, and grows while it lasts. Whoever beats first after the whole machine was
away records the gap it finds, so nobody has to be up for an outage to count; a planned stop counts
as well. Everything here is in the system's scope.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select, text

from ledger.refusals import Refusal
from service.ids import uuid7
from service.operations.tables import outage

Process = Literal["api", "worker"]
Kind = Literal["api", "worker", "mail", "provider"]

#: How often a process beats.
BEAT: Final = timedelta(seconds=10)
#: What is shorter is no outage: a restart, a slow moment.
SHORTEST: Final = timedelta(minutes=3)
#: A process that was not seen for so long is forgotten; the last of its kind is kept.
FORGET: Final = timedelta(days=1)

_WORDS: Final[dict[Process, str]] = {
    "api": "no API process was seen",
    "worker": "no worker was seen",
}


def process_name(kind: Process) -> str:
    """Return a name for this process that no other has."""
    return f"{kind}:{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class InvalidOutage(Refusal):
    """An outage that ends before it begins, is too short or too long, or is not over."""

    code = "invalid_outage"


_LAST: Final = text("SELECT max(seen_at) FROM service.heartbeat WHERE kind = :kind")
_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtext('tierce.outage'))")
_BEAT: Final = text(
    "INSERT INTO service.heartbeat AS h (process, kind, seen_at, started_at) "
    "VALUES (:process, :kind, :now, :now) ON CONFLICT (process) DO UPDATE "
    "SET seen_at = greatest(h.seen_at, EXCLUDED.seen_at)"
)
_FORGET: Final = text(
    "DELETE FROM service.heartbeat AS h WHERE h.seen_at < :before AND EXISTS ("
    "SELECT FROM service.heartbeat AS n WHERE n.kind = h.kind AND n.seen_at > h.seen_at)"
)
_RECORD: Final = text(
    "INSERT INTO service.outage AS o (id, kind, began_at, ended_at, reason, recorded_at) "
    "VALUES (:id, :kind, :began_at, :ended_at, :reason, :now) "
    "ON CONFLICT (kind, began_at) DO UPDATE SET ended_at = EXCLUDED.ended_at "
    "WHERE o.ended_at < EXCLUDED.ended_at RETURNING o.id"
)


def beat(connection: Connection, process: str, kind: Process, now: datetime) -> bool:
    """Say that a process is alive; return whether it found that its kind had been away.

    Args:
        process: names it, and nobody else, for as long as it lives.
    """
    away = _gap(connection, kind, now)
    connection.execute(_BEAT, {"process": process, "kind": kind, "now": now})
    return away


def watch(connection: Connection, now: datetime) -> bool:
    """Record an outage of the API that lasts, or let it grow; return whether there is one.

    The worker calls it, who may be alive while no API is. It also forgets processes that are gone.
    """
    connection.execute(_FORGET, {"before": now - FORGET})
    return _gap(connection, "api", now)


def _gap(connection: Connection, kind: Process, now: datetime) -> bool:
    last: datetime | None = connection.execute(_LAST, {"kind": kind}).scalar()
    if last is None or now - last < SHORTEST:
        return False  # an instance that never had one was not away
    connection.execute(_LOCK)
    # Who came first may have beaten meanwhile.
    last = connection.execute(_LAST, {"kind": kind}).scalar_one()
    if now - last < SHORTEST:
        return False
    _write(connection, kind, last, now, _WORDS[kind], now)
    return True


def _write(
    connection: Connection,
    kind: str,
    began_at: datetime,
    ended_at: datetime,
    reason: str,
    now: datetime,
) -> None:
    values = {
        "id": uuid7(),
        "kind": kind,
        "began_at": began_at,
        "ended_at": ended_at,
        "reason": reason,
        "now": now,
    }
    connection.execute(_RECORD, values)


#: One that is recorded by hand is over, and not longer than this.
_LONGEST: Final = timedelta(days=30)


def record(
    connection: Connection,
    kind: Kind,
    began_at: datetime,
    ended_at: datetime,
    reason: str,
    now: datetime,
) -> RowMapping:
    """Record by hand an outage that is over; return it. The same again only makes it longer.

    Raises:
        InvalidOutage: its instants cannot be.
    """
    if ended_at > now:
        raise InvalidOutage("An outage is recorded once it is over.", pointer="/ended_at")
    if ended_at - began_at < SHORTEST:
        raise InvalidOutage("An outage lasts three minutes or more.", pointer="/began_at")
    if ended_at - began_at > _LONGEST:
        raise InvalidOutage("An outage of more than thirty days is not one.", pointer="/began_at")
    _write(connection, kind, began_at, ended_at, reason, now)
    query = select(outage).where(outage.c.kind == kind, outage.c.began_at == began_at)
    return connection.execute(query).mappings().one()


def page(connection: Connection, *, limit: int, after: UUID | None = None) -> Sequence[RowMapping]:
    """Return up to ``limit`` outages, the last recorded first."""
    query = select(outage).order_by(outage.c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(outage.c.id < after)
    return connection.execute(query).mappings().all()


def last_seen(connection: Connection) -> dict[str, datetime]:
    """Return when each kind of process was last seen."""
    rows = connection.execute(
        text("SELECT kind, max(seen_at) AS seen_at FROM service.heartbeat GROUP BY kind")
    )
    return {row.kind: row.seen_at for row in rows}
