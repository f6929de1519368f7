"""The inbox of provider events: verified, stored once, answered; applied later by re-reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine, Update, text, update

from service import db
from service.payments.payments import LEASE
from service.payments.port import Event
from service.payments.tables import provider_event
from service.platforms.clocks import swept


@dataclass(frozen=True, slots=True)
class Received:
    """A stored event to follow up, and how often that was tried before."""

    platform_id: UUID
    provider: str
    event_id: str
    object_ref: str
    attempts: int
    topic: str
    account: str | None
    received_at: datetime
    #: How often in a row that failed for no reason of the provider's.
    failures: int = 0


def receive(
    connection: Connection, platform_id: UUID, provider: str, event: Event, now: datetime
) -> bool:
    """Store a verified event; return False if it was there already."""
    stored = connection.execute(
        text(
            "INSERT INTO service.provider_event "
            "(platform_id, provider, event_id, kind, object_ref, topic, account, "
            " received_at, try_at) "
            "VALUES (:platform_id, :provider, :event_id, :kind, :object_ref, :topic, :account, "
            " :now, :now) "
            "ON CONFLICT DO NOTHING"
        ),
        {
            "platform_id": platform_id,
            "provider": provider,
            "event_id": event.id,
            "kind": event.kind,
            "object_ref": event.object_ref,
            "topic": event.topic,
            "account": event.account,
            "now": now,
        },
    )
    return stored.rowcount == 1


_CLAIM: Final = swept(
    "provider_event.platform_id",
    "UPDATE service.provider_event AS p SET try_at = :until, attempts = p.attempts + 1 "
    "FROM (SELECT platform_id, provider, event_id FROM service.provider_event "
    "      WHERE try_at <= :now AND {of_scope} "
    "      ORDER BY try_at LIMIT :limit FOR UPDATE SKIP LOCKED) AS due "
    "WHERE p.platform_id = due.platform_id AND p.provider = due.provider "
    "AND p.event_id = due.event_id "
    "RETURNING p.platform_id, p.provider, p.event_id, p.object_ref, p.attempts, p.topic, "
    "p.account, p.received_at, p.failures",
)


def claim(
    engine: Engine, now: datetime, limit: int, only: UUID | None = None
) -> Sequence[Received]:
    """Take events to apply for the length of a lease; a crashed worker's come back after it."""
    with db.transaction(engine, db.SYSTEM) as connection:
        values = {"now": now, "until": now + LEASE, "limit": limit, "only": only}
        found = [Received(*row) for row in connection.execute(_CLAIM, values)]
    return sorted(found, key=lambda event: (event.received_at, event.event_id))


def applied(connection: Connection, events: Sequence[Received], now: datetime) -> None:
    """Mark events of one platform and provider as followed up."""
    ids = [event.event_id for event in events]
    connection.execute(_of(events[0], ids).values(applied_at=now, try_at=None))


def put_off(engine: Engine, event: Received, note: str, now: datetime) -> None:
    """Leave an event for later (1 second, doubling to a day) and keep the reason."""
    later = now + min(timedelta(seconds=2 ** min(event.attempts - 1, 20)), timedelta(days=1))
    with db.transaction(engine, event.platform_id) as connection:
        connection.execute(_of(event).values(note=note, try_at=later))


def refuse(engine: Engine, event: Received, reason: str, now: datetime) -> None:
    """Give an event up for good and keep the reason for the operator; nothing was booked."""
    with db.transaction(engine, event.platform_id) as connection:
        connection.execute(_of(event).values(note=reason, refused_at=now, try_at=None))


def _of(event: Received, ids: Sequence[str] | None = None) -> Update:
    return update(provider_event).where(
        provider_event.c.platform_id == event.platform_id,
        provider_event.c.provider == event.provider,
        provider_event.c.event_id.in_(ids or [event.event_id]),
        provider_event.c.applied_at.is_(None),
        provider_event.c.refused_at.is_(None),
    )
