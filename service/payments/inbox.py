"""The inbox of provider events: verified, stored once, answered; applied later by re-reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine, text

from service import db
from service.payments.payments import LEASE
from service.payments.port import Event
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


_RECEIVE: Final = text(
    "INSERT INTO service.provider_event "
    "(platform_id, provider, event_id, kind, object_ref, topic, account, received_at, try_at) "
    "SELECT :platform_id, told.provider, told.id, told.kind, told.object_ref, told.topic, "
    "told.account, :now, :now "
    "FROM jsonb_to_recordset(CAST(:events AS jsonb)) AS told(provider text, id text, kind text, "
    "object_ref text, topic text, account text) "
    # Whoever stores the same ones in the same moment meets us at the same row, not crosswise.
    "ORDER BY told.provider, told.id "
    "ON CONFLICT DO NOTHING RETURNING provider, event_id"
)


def receive(
    connection: Connection, platform_id: UUID, events: Sequence[tuple[str, Event]], now: datetime
) -> set[tuple[str, str]]:
    """Store verified events, each with its provider's name, in one statement.

    Return the provider and the id of those that were not there already.
    """
    if not events:
        return set()
    told = [
        {
            "provider": provider,
            "id": event.id,
            "kind": event.kind,
            "object_ref": event.object_ref,
            "topic": event.topic,
            "account": event.account,
        }
        for provider, event in events
    ]
    values = {"platform_id": platform_id, "now": now, "events": orjson.dumps(told).decode()}
    return {(row.provider, row.event_id) for row in connection.execute(_RECEIVE, values)}


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


_APPLIED: Final = text(
    "UPDATE service.provider_event AS p SET applied_at = :now, try_at = NULL "
    "FROM unnest(CAST(:providers AS text[]), CAST(:ids AS text[])) AS e(provider, id) "
    "WHERE p.platform_id = :platform_id AND p.provider = e.provider AND p.event_id = e.id "
    "AND p.applied_at IS NULL AND p.refused_at IS NULL"
)
_PUT_OFF: Final = text(
    "UPDATE service.provider_event AS p SET note = e.note, try_at = e.at "
    "FROM unnest(CAST(:providers AS text[]), CAST(:ids AS text[]), CAST(:notes AS text[]), "
    "CAST(:at AS timestamptz[])) AS e(provider, id, note, at) "
    "WHERE p.platform_id = :platform_id AND p.provider = e.provider AND p.event_id = e.id "
    "AND p.applied_at IS NULL AND p.refused_at IS NULL"
)
_REFUSE: Final = text(
    "UPDATE service.provider_event AS p SET note = e.note, refused_at = :now, try_at = NULL "
    "FROM unnest(CAST(:providers AS text[]), CAST(:ids AS text[]), CAST(:notes AS text[])) "
    "AS e(provider, id, note) "
    "WHERE p.platform_id = :platform_id AND p.provider = e.provider AND p.event_id = e.id "
    "AND p.applied_at IS NULL AND p.refused_at IS NULL"
)


def applied(
    connection: Connection, platform_id: UUID, events: Sequence[Received], now: datetime
) -> None:
    """Mark events of one platform as followed up."""
    if events:
        connection.execute(_APPLIED, {**_ids(platform_id, events), "now": now})


def put_off(
    connection: Connection, platform_id: UUID, notes: Sequence[tuple[Received, str]], now: datetime
) -> None:
    """Leave events of one platform for later (1 second, doubling to a day), each with a reason."""
    if not notes:
        return
    events = [event for event, _ in notes]
    waits = [timedelta(seconds=2 ** min(event.attempts - 1, 20)) for event in events]
    values = {
        **_ids(platform_id, events),
        "notes": [note for _, note in notes],
        "at": [now + min(one, timedelta(days=1)) for one in waits],
    }
    connection.execute(_PUT_OFF, values)


def refuse(
    connection: Connection, platform_id: UUID, notes: Sequence[tuple[Received, str]], now: datetime
) -> None:
    """Give events of one platform up for good, each with a reason for the operator."""
    if notes:
        values = _ids(platform_id, [event for event, _ in notes])
        connection.execute(_REFUSE, {**values, "notes": [note for _, note in notes], "now": now})


def _ids(platform_id: UUID, events: Sequence[Received]) -> dict[str, object]:
    return {
        "platform_id": platform_id,
        "providers": [event.provider for event in events],
        "ids": [event.event_id for event in events],
    }
