"""Turn events into deliveries: one row for each event and endpoint that is to hear of it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from service.events import feed
from service.events.catalogue import PASSES

CONSUMER: Final = "webhooks"
#: How many events one step takes.
BATCH: Final = 1_000

# Transactions end in another order than they begin, so of one exchange an earlier event can stand
# behind a later one in the feed. Both are there when the later is taken; where the batch ends
# between them, the earlier is fetched too, or an endpoint could get them in the wrong order.
# An event is for the endpoints that were enabled when it was written: its id, in real time, says
# when. While an endpoint does not take what an exchange said before, or is held, it waits as long.
# Whoever disables or deletes an endpoint locks it and then parks or cancels what waits for it. They
# are waited for, or wait: nothing is left that is due at an endpoint that takes nothing.
_INSERT: Final = text(
    f"""
    WITH taken AS (
        SELECT * FROM jsonb_to_recordset(:events)
            AS t(platform_id uuid, id uuid, type text, exchange_id uuid, sequence integer)
    ), e AS (
        SELECT * FROM taken
        UNION
        SELECT b.platform_id, b.id, b.type, b.exchange_id, b.sequence
        FROM taken AS t JOIN service.event AS b ON b.platform_id = t.platform_id
            AND b.exchange_id = t.exchange_id AND b.sequence < t.sequence
        WHERE :full AND (b.tx, b.id) >
            (SELECT f.tx, f.id FROM service.feed AS f WHERE f.consumer = :consumer)
    ), w AS MATERIALIZED (
        SELECT * FROM service.webhook_endpoint
        WHERE platform_id IN (SELECT t.platform_id FROM taken AS t) AND enabled_at IS NOT NULL
        ORDER BY platform_id, id FOR KEY SHARE
    )
    INSERT INTO service.webhook_delivery (platform_id, endpoint_id, event_id, type, exchange_id,
        sequence, state, next_at, created_at)
    SELECT e.platform_id, w.id, e.id, e.type, e.exchange_id, e.sequence, 'waiting',
        greatest(:now, w.held_until, (SELECT max(p.next_at) FROM service.webhook_delivery AS p
            WHERE p.platform_id = e.platform_id AND p.endpoint_id = w.id
              AND p.exchange_id = e.exchange_id AND p.state = 'waiting' AND p.failures > 0)), :now
    FROM e JOIN w ON w.platform_id = e.platform_id
        AND date_trunc('milliseconds', w.enabled_at) <= uuid_extract_timestamp(e.id)
        AND {PASSES}
    ON CONFLICT (platform_id, endpoint_id, event_id) DO NOTHING
    """  # noqa: S608 - a condition of our own
).bindparams(bindparam("events", type_=JSONB))


def fan_out(connection: Connection, now: datetime) -> int:
    """Take the next events and write their deliveries; return how many events were taken.

    In the system's scope. Nothing is taken while another process is at it.
    """
    events = feed.take(connection, CONSUMER, BATCH)
    if events:
        rows = [
            {
                "platform_id": str(event["platform_id"]),
                "id": str(event["id"]),
                "type": event["type"],
                "exchange_id": event["exchange_id"] and str(event["exchange_id"]),
                "sequence": event["sequence"],
            }
            for event in events
        ]
        values = {"events": rows, "now": now, "consumer": CONSUMER, "full": len(rows) >= BATCH}
        connection.execute(_INSERT, values)
    return len(events)
