"""The delivery log, and sending again: one event, or a range of the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select, text

from ledger.refusals import Refusal
from service.events.catalogue import PASSES, check_filter
from service.events.queue import AGAIN, SEND_AGAIN
from service.events.tables import webhook_attempt as attempt
from service.events.tables import webhook_delivery as delivery

#: How many events one replay sends at most.
MOST: Final = 10_000


class DeliveryNotFound(Refusal):
    """This endpoint was never to hear of such an event."""

    code = "webhook_delivery_not_found"


class ReplayTooLarge(Refusal):
    """A replay of more events than one replay sends."""

    code = "replay_too_large"


class ReplayRangeInvalid(Refusal):
    """A range of time that ends before it begins, or where it begins: it holds nothing."""

    code = "replay_range_invalid"


class EndpointDisabled(Refusal):
    """Nothing is sent to an endpoint that is disabled."""

    code = "webhook_endpoint_disabled"


def page(
    connection: Connection,
    platform_id: UUID,
    endpoint_id: UUID,
    *,
    limit: int,
    after: UUID | None = None,
    state: str | None = None,
) -> Sequence[RowMapping]:
    """Return up to ``limit`` deliveries to an endpoint, those of the newest events first."""
    query = select(delivery).where(
        delivery.c.platform_id == platform_id, delivery.c.endpoint_id == endpoint_id
    )
    if after is not None:
        query = query.where(delivery.c.event_id < after)
    if state is not None:
        query = query.where(delivery.c.state == state)
    query = query.order_by(delivery.c.event_id.desc()).limit(limit)
    return connection.execute(query).mappings().all()


def find(
    connection: Connection, platform_id: UUID, endpoint_id: UUID, event_id: UUID
) -> tuple[RowMapping, Sequence[RowMapping]]:
    """Return a delivery and its attempts, the last ones first, a hundred at most.

    Raises:
        DeliveryNotFound
    """
    of_row = (
        delivery.c.platform_id == platform_id,
        delivery.c.endpoint_id == endpoint_id,
        delivery.c.event_id == event_id,
    )
    row = connection.execute(select(delivery).where(*of_row)).mappings().one_or_none()
    if row is None:
        raise DeliveryNotFound("This endpoint has no delivery of such an event.")
    tried = select(attempt).where(
        attempt.c.platform_id == platform_id,
        attempt.c.endpoint_id == endpoint_id,
        attempt.c.event_id == event_id,
    )
    tried = tried.order_by(attempt.c.number.desc()).limit(100)
    return row, connection.execute(tried).mappings().all()


# Events that the endpoint's filter lets pass, also from before it was there. What waits anyway
# stays as it is, and so does, of a replay of failures, everything else.
_RANGE: Final = f"""
    FROM service.event AS e
    JOIN service.webhook_endpoint AS w ON w.platform_id = e.platform_id AND w.id = :endpoint_id
    LEFT JOIN service.webhook_delivery AS o ON o.platform_id = e.platform_id
      AND o.endpoint_id = w.id AND o.event_id = e.id
    WHERE e.platform_id = :platform_id AND {PASSES}
      AND e.at >= :since AND (CAST(:until AS timestamptz) IS NULL OR e.at < :until)
      AND (CAST(:types AS text[]) IS NULL
           OR CAST(:types AS text[]) && ARRAY['*', e.type, split_part(e.type, '.', 1) || '.*'])
      AND o.state IS DISTINCT FROM 'waiting' AND (NOT :only_failed OR o.state = 'failed')
"""
_COUNT: Final = text(f"SELECT count(*) FROM (SELECT {_RANGE} LIMIT :most + 1) AS found")  # noqa: S608
_REPLAY: Final = text(
    f"""
    INSERT INTO service.webhook_delivery AS d (platform_id, endpoint_id, event_id, type,
        exchange_id, sequence, state, next_at, created_at)
    SELECT e.platform_id, w.id, e.id, e.type, e.exchange_id, e.sequence, 'waiting', :now, :now
    {_RANGE}
    ON CONFLICT (platform_id, endpoint_id, event_id) DO UPDATE SET {AGAIN}
    WHERE d.state <> 'waiting'
    """
)


def replay(
    connection: Connection, endpoint: RowMapping, event_id: UUID, now: datetime
) -> RowMapping:
    """Send an event to an endpoint again, from the foot of the ladder; return the delivery.

    ``endpoint`` is locked by the caller.

    Raises:
        DeliveryNotFound
        EndpointDisabled
    """
    platform_id, endpoint_id = endpoint["platform_id"], endpoint["id"]
    find(connection, platform_id, endpoint_id, event_id)
    _check_enabled(endpoint)
    key = {"platform_id": platform_id, "endpoint_id": endpoint_id, "event_id": event_id}
    connection.execute(SEND_AGAIN, {**key, "now": now})
    row, _attempts = find(connection, platform_id, endpoint_id, event_id)
    return row


def replay_range(
    connection: Connection,
    endpoint: RowMapping,
    *,
    since: datetime,
    until: datetime | None,
    types: Sequence[str] | None,
    only_failed: bool,
    now: datetime,
) -> int:
    """Send what happened from ``since`` to before ``until`` to an endpoint (again).

    Both are instants of the platform's own time. ``types`` are as in an endpoint's filter, which
    counts besides. Returns how many events are sent.

    Raises:
        EndpointDisabled, UnknownEventType
        ReplayRangeInvalid: ``until`` is not after ``since``.
        ReplayTooLarge: there are more than :data:`MOST`; nothing is sent.
    """
    if until is not None and until <= since:
        raise ReplayRangeInvalid(
            "The range ends before it begins; send an until that is after since, or leave it out.",
            pointer="/until",
        )
    _check_enabled(endpoint)
    values = {
        "platform_id": endpoint["platform_id"],
        "endpoint_id": endpoint["id"],
        "since": since,
        "until": until,
        "types": check_filter(types, "/types") if types else None,
        "only_failed": only_failed,
        "now": now,
        "most": MOST,
    }
    if connection.execute(_COUNT, values).scalar_one() > MOST:
        raise ReplayTooLarge(
            f"One replay sends up to {MOST} events; take a shorter range.", pointer="/since"
        )
    return connection.execute(_REPLAY, values).rowcount


def _check_enabled(endpoint: RowMapping) -> None:
    if endpoint["enabled_at"] is None:
        raise EndpointDisabled("Nothing is sent to this endpoint; enable it first.")
