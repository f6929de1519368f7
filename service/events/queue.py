"""The deliveries that wait: claimed fairly, recorded in one statement for however many there are.

A claimed delivery stays ``waiting`` under a lease: if whoever took it dies, it is due again when
the lease ends, and the endpoint may hear of the event a second time under the same ``webhook-id``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from service.events import ladder
from service.events.courier import Result
from service.events.notices import Fate, judge
from service.ids import decode, encode
from service.operations import dead_letters, metrics

#: Longer than any attempt takes with its recording: nobody else tries meanwhile.
LEASE: Final = timedelta(seconds=60)
#: Answers of an endpoint that has too much to do, or whose gateway says so for it.
_THROTTLED: Final = frozenset({429, 502, 504})
_GONE: Final = 410

_DUE: Final = text(
    "SELECT EXISTS (SELECT FROM service.webhook_delivery WHERE next_at <= :now) AS due"
)
# The first few of each endpoint, and of these the first of all, then the second of all: whoever has
# much waiting does not come before whoever has little. One that fails is asked one at a time.
# However much waits, an endpoint costs the few rows at the head of an index: the subquery looks up
# one row and is no join, and what was locked is found again by its place.
_CLAIM: Final = text(
    """
    WITH due AS MATERIALIZED (
        SELECT d.place, w.url, w.secrets_sealed
        FROM service.webhook_endpoint AS w
        LEFT JOIN jsonb_to_recordset(:busy) AS b(id uuid, count integer) ON b.id = w.id
        CROSS JOIN LATERAL (
            SELECT c.ctid AS place, c.next_at
            FROM service.webhook_delivery AS c
            WHERE c.platform_id = w.platform_id AND c.endpoint_id = w.id AND c.state = 'waiting'
              AND c.next_at <= :now
              AND (c.exchange_id IS NULL OR c.sequence = (
                  SELECT p.sequence FROM service.webhook_delivery AS p
                  WHERE p.platform_id = c.platform_id AND p.endpoint_id = c.endpoint_id
                    AND p.exchange_id = c.exchange_id AND p.state = 'waiting'
                  ORDER BY p.sequence LIMIT 1))
            ORDER BY c.next_at, c.event_id
            LIMIT greatest(0, CASE WHEN w.failing_since IS NULL THEN :each ELSE 1 END
                - coalesce(b.count, 0))
            FOR UPDATE SKIP LOCKED
        ) AS d
        WHERE w.enabled_at IS NOT NULL AND (w.held_until IS NULL OR w.held_until <= :now)
        ORDER BY row_number() OVER (PARTITION BY w.id ORDER BY d.next_at), d.next_at
        LIMIT :limit
    ), took AS (
        UPDATE service.webhook_delivery AS t SET next_at = :until, taken = t.taken + 1
        FROM due WHERE t.ctid = due.place
        RETURNING t.platform_id, t.endpoint_id, t.event_id, t.taken, t.failures, due.url,
            due.secrets_sealed
    )
    SELECT took.endpoint_id, took.taken, took.failures, took.url, took.secrets_sealed,
        e.platform_id, e.id, e.type, e.exchange_id, e.member_id, e.sequence, e.data, e.at
    FROM took JOIN service.event AS e ON e.platform_id = took.platform_id AND e.id = took.event_id
    """
).bindparams(bindparam("busy", type_=JSONB))

# Whoever took a delivery after this one's lease was over has the say, and one whose endpoint was
# disabled meanwhile (without next_at) stays as it is. What follows in the same exchange waits for
# as long as this one, or no longer.
_RECORD: Final = text(
    """
    WITH r AS MATERIALIZED (
        SELECT * FROM jsonb_to_recordset(:rows) AS r(platform_id uuid, endpoint_id uuid,
            event_id uuid, exchange_id uuid, sequence integer, number integer, at timestamptz,
            status integer, error text, duration_ms integer, answer text, state text,
            next_at timestamptz, held_until timestamptz)
    ), log AS (
        INSERT INTO service.webhook_attempt (platform_id, endpoint_id, event_id, number, at,
            status, error, duration_ms, answer)
        SELECT platform_id, endpoint_id, event_id, number, at, status, error, duration_ms, answer
        FROM r ON CONFLICT DO NOTHING
    ), done AS (
        UPDATE service.webhook_delivery AS d
        SET state = r.state, ended_at = CASE WHEN r.state = 'waiting' THEN NULL ELSE r.at END,
            failures = d.failures + CASE WHEN r.state = 'delivered' THEN 0 ELSE 1 END,
            next_at = CASE WHEN d.next_at IS NULL THEN NULL ELSE r.next_at END
        FROM r
        WHERE d.platform_id = r.platform_id AND d.endpoint_id = r.endpoint_id
          AND d.event_id = r.event_id AND d.taken = r.number AND d.state = 'waiting'
        RETURNING d.platform_id, d.endpoint_id, d.event_id
    ), followers AS (
        UPDATE service.webhook_delivery AS f
        SET next_at = coalesce(r.next_at, r.at)
        FROM r
        WHERE r.exchange_id IS NOT NULL AND f.platform_id = r.platform_id
          AND f.endpoint_id = r.endpoint_id AND f.exchange_id = r.exchange_id
          AND f.sequence > r.sequence AND f.state = 'waiting' AND f.next_at IS NOT NULL
          AND NOT EXISTS (SELECT FROM r AS too WHERE too.platform_id = f.platform_id
              AND too.endpoint_id = f.endpoint_id AND too.event_id = f.event_id)
    ), outcome AS (
        SELECT platform_id, endpoint_id, bool_or(state = 'delivered') AS well, min(at) AS at,
            max(held_until) AS held_until
        FROM r GROUP BY platform_id, endpoint_id
    ), endpoint AS (
        UPDATE service.webhook_endpoint AS w
        SET failing_since = CASE WHEN o.well THEN NULL ELSE coalesce(w.failing_since, o.at) END,
            warned_at = CASE WHEN o.well THEN NULL ELSE w.warned_at END,
            held_until = greatest(w.held_until, o.held_until)
        FROM outcome AS o
        WHERE w.platform_id = o.platform_id AND w.id = o.endpoint_id
          AND (o.well = (w.failing_since IS NOT NULL)
               OR o.held_until > coalesce(w.held_until, '-infinity'))
    )
    SELECT platform_id, endpoint_id, event_id FROM done
    """
).bindparams(bindparam("rows", type_=JSONB))
# Nothing of an endpoint that is held is looked at before. Once for each rest: until it is over,
# nothing is sent that could ask for another.
_HOLD: Final = text(
    """
    UPDATE service.webhook_delivery AS d SET next_at = w.held_until
    FROM service.webhook_endpoint AS w
    WHERE w.id = ANY(:held) AND d.platform_id = w.platform_id AND d.endpoint_id = w.id
      AND d.next_at < w.held_until
    """
)
#: In SQL: what is set where delivery ``d`` is to be sent again, from the foot of the ladder.
AGAIN: Final = (
    "state = 'waiting', next_at = :now, failures = 0, ended_at = NULL, replays = d.replays + 1"
)
#: Sends one delivery again, to an endpoint that is enabled and will be until this is committed.
SEND_AGAIN: Final = text(
    f"UPDATE service.webhook_delivery AS d SET {AGAIN} "  # noqa: S608 - names of our own
    "WHERE platform_id = :platform_id AND endpoint_id = :endpoint_id AND event_id = :event_id "
    "AND EXISTS (SELECT FROM service.webhook_endpoint AS w WHERE w.platform_id = :platform_id "
    "AND w.id = :endpoint_id AND w.enabled_at IS NOT NULL FOR KEY SHARE)"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A claimed delivery and what came of it."""

    row: RowMapping
    result: Result
    at: datetime

    @property
    def next_at(self) -> datetime | None:
        """When it is tried again; None: it was delivered, or is given up."""
        if self.result.delivered:
            return None
        return ladder.next_at(self.row["failures"] + 1, self.at, self.result.wanted_at)


def is_due(connection: Connection, now: datetime) -> bool:
    """Tell whether anything may be due: one look at the head of an index."""
    return bool(connection.execute(_DUE, {"now": now}).scalar_one())


def claim(
    connection: Connection, now: datetime, limit: int, each: int, busy: Mapping[UUID, int]
) -> Sequence[RowMapping]:
    """Take up to ``limit`` deliveries that are due, under a lease; return each with its event.

    Args:
        each: at most so many of one endpoint are on their way at a time.
        busy: how many are, by endpoint, in this process.
    """
    if not is_due(connection, now):
        return []
    counts = [{"id": str(endpoint), "count": count} for endpoint, count in busy.items()]
    values = {"now": now, "until": now + LEASE, "limit": limit, "each": each, "busy": counts}
    return connection.execute(_CLAIM, values).mappings().all()


def record(connection: Connection, attempts: Sequence[Attempt], now: datetime) -> None:
    """Write what came of attempts; disable endpoints and give deliveries up where it is time."""
    if not attempts:
        return
    ends = [(one, one.next_at) for one in attempts]
    rows = [_line(one, next_at) for one, next_at in ends]
    written = {
        (row.endpoint_id, row.event_id) for row in connection.execute(_RECORD, {"rows": rows})
    }
    held = {one.row["endpoint_id"] for one in attempts if one.result.status in _THROTTLED}
    if held:
        connection.execute(_HOLD, {"held": list(held)})
    failed = []
    for one, next_at in ends:
        outcome = _state(one.result, next_at)
        metrics.webhook_deliveries.labels(
            {"delivered": outcome, "waiting": "failed", "failed": "given_up"}[outcome]
        ).inc()
        if outcome == "failed" and (one.row["endpoint_id"], one.row["id"]) in written:
            _give_up(connection, one, now)
        if outcome != "delivered":
            failed.append(one)
    judge(
        connection,
        [
            Fate(one.row["platform_id"], one.row["endpoint_id"], _words(one), _is_gone(one))
            for one in failed
        ],
        now,
    )


def _line(one: Attempt, next_at: datetime | None) -> dict[str, Any]:
    row, result = one.row, one.result
    held_until = None
    if result.status in _THROTTLED:
        held_until = result.wanted_at or one.at + ladder.REST
    return {
        "platform_id": str(row["platform_id"]),
        "endpoint_id": str(row["endpoint_id"]),
        "event_id": str(row["id"]),
        "exchange_id": row["exchange_id"] and str(row["exchange_id"]),
        "sequence": row["sequence"],
        "number": row["taken"],
        "at": one.at.isoformat(),
        "status": result.status,
        "error": result.error,
        "duration_ms": result.duration_ms,
        "answer": result.answer,
        "state": _state(result, next_at),
        "next_at": next_at and next_at.isoformat(),
        "held_until": held_until and held_until.isoformat(),
    }


def _state(result: Result, next_at: datetime | None) -> str:
    if result.delivered:
        return "delivered"
    return "failed" if next_at is None else "waiting"


def _is_gone(one: Attempt) -> bool:
    return one.result.status == _GONE


def _words(one: Attempt) -> str:
    return one.result.error or f"answered {one.result.status}"


def _give_up(connection: Connection, one: Attempt, now: datetime) -> None:
    subject = {
        "endpoint": encode("webhook_endpoint", one.row["endpoint_id"]),
        "event": encode("event", one.row["id"]),
    }
    dead_letters.record(
        connection, one.row["platform_id"], "webhook", subject, _words(one), now, one.row["taken"]
    )


def _again(
    connection: Connection, platform_id: UUID, subject: Mapping[str, Any], now: datetime
) -> bool:
    """Take up a dead letter; an endpoint that is disabled or deleted leaves nothing to do."""
    values = {
        "platform_id": platform_id,
        "endpoint_id": decode("webhook_endpoint", subject["endpoint"]),
        "event_id": decode("event", subject["event"]),
        "now": now,
    }
    return connection.execute(SEND_AGAIN, values).rowcount > 0


dead_letters.register("webhook", _again)
