"""What is kept for how long, as data, and the deletion of what is older.

What is not named here is kept: the outbox, the ledger, exchanges, payments, chargebacks, outages,
reconciliations, what was given up, and the bare row of every message. Heartbeats go by themselves
(:mod:`service.operations.outages`).

Ids hold the real instant at which their row was made, so most rules walk each platform's primary
key from its oldest row: what is young is not read, and no index is kept for this alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import Engine, TextClause, text

from service import db
from service.ids import least_uuid7
from service.mediators import throttle

_log = structlog.get_logger(__name__)

#: So many rows at a time, so that no transaction is long.
_BATCH: Final = 5_000


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows of ``table`` that are kept for ``keep`` after they have served, and then deleted.

    ``delete`` takes ``:now`` and ``:keep``, ``:below`` (the least id of the instant ``keep`` ago)
    and ``:limit``, and leaves alone what somebody else holds or what still waits for something.
    """

    table: str
    keep: timedelta
    delete: TextClause


# Answers are kept for as long as their own row says (service.http.idempotency).
_ANSWERS: Final = text(
    """
    DELETE FROM service.idempotency AS i USING (
        SELECT platform_id, actor, key FROM service.idempotency
        WHERE expires_at <= CAST(:now AS timestamptz) - :keep
        ORDER BY expires_at LIMIT :limit FOR UPDATE SKIP LOCKED) AS old
    WHERE i.platform_id = old.platform_id AND i.actor = old.actor AND i.key = old.key
    """
)
# Their attempts go with them. What is replayed meanwhile begins its time anew.
_DELIVERIES: Final = text(
    """
    DELETE FROM service.webhook_delivery AS d USING (
        SELECT o.platform_id, o.endpoint_id, o.event_id
        FROM service.webhook_endpoint AS e CROSS JOIN LATERAL (
            SELECT w.platform_id, w.endpoint_id, w.event_id FROM service.webhook_delivery AS w
            WHERE w.platform_id = e.platform_id AND w.endpoint_id = e.id AND w.event_id < :below
              AND w.ended_at <= CAST(:now AS timestamptz) - :keep
            ORDER BY w.event_id LIMIT :limit FOR UPDATE SKIP LOCKED) AS o
        LIMIT :limit) AS old
    WHERE d.platform_id = old.platform_id AND d.endpoint_id = old.endpoint_id
      AND d.event_id = old.event_id
    """
)
# A platform's own clock may be ahead: what ended there is as old as it is there.
_OWN: Final = (
    "SELECT p.id, service.platform_now(p.id, :now) - CAST(:keep AS interval) AS before "
    "FROM service.platform AS p"
)
_TEXTS: Final = text(
    f"""
    DELETE FROM service.message_text AS t USING (
        SELECT o.platform_id, o.message_id FROM ({_OWN}) AS own CROSS JOIN LATERAL (
            SELECT w.platform_id, w.message_id FROM service.message_text AS w
            JOIN service.message AS m ON m.platform_id = w.platform_id AND m.id = w.message_id
            WHERE w.platform_id = own.id AND w.message_id < :below AND m.due_at IS NULL
              AND (m.sent_at IS NULL OR m.sent_at <= own.before)
            ORDER BY w.message_id LIMIT :limit FOR UPDATE OF w SKIP LOCKED) AS o
        LIMIT :limit) AS old
    WHERE t.platform_id = old.platform_id AND t.message_id = old.message_id
    """  # noqa: S608 - text of our own
)
_LINKS: Final = text(
    f"""
    DELETE FROM service.link AS l USING (
        SELECT o.platform_id, o.id FROM ({_OWN}) AS own CROSS JOIN LATERAL (
            SELECT w.platform_id, w.id FROM service.link AS w
            WHERE w.platform_id = own.id AND w.id < :below
              AND least(w.revoked_at, w.expires_at) <= own.before
            ORDER BY w.id LIMIT :limit FOR UPDATE SKIP LOCKED) AS o
        LIMIT :limit) AS old
    WHERE l.platform_id = old.platform_id AND l.id = old.id
    """  # noqa: S608
)
# What they did stays under their bare id.
_HELPERS: Final = text(
    f"""
    DELETE FROM service.helper_person AS p USING (
        SELECT o.platform_id, o.id FROM ({_OWN}) AS own CROSS JOIN LATERAL (
            SELECT w.platform_id, w.id FROM service.helper AS w
            JOIN service.helper_person AS q ON q.platform_id = w.platform_id AND q.helper_id = w.id
            WHERE w.platform_id = own.id AND w.id < :below
              AND least(w.ended_at, w.ends_at) <= own.before
            ORDER BY w.id LIMIT :limit FOR UPDATE OF w SKIP LOCKED) AS o
        LIMIT :limit) AS old
    WHERE p.platform_id = old.platform_id AND p.helper_id = old.id
    """  # noqa: S608
)
_MOVES: Final = text(
    """
    DELETE FROM service.clock_advance AS a USING (
        SELECT o.platform_id, o.id FROM service.platform AS p CROSS JOIN LATERAL (
            SELECT w.platform_id, w.id FROM service.clock_advance AS w
            WHERE w.platform_id = p.id AND w.id < :below
            ORDER BY w.id LIMIT :limit FOR UPDATE SKIP LOCKED) AS o
        LIMIT :limit) AS old
    WHERE a.platform_id = old.platform_id AND a.id = old.id
    """
)
# Refused ones stay, for whoever runs the instance.
_PROVIDER_EVENTS: Final = text(
    f"""
    DELETE FROM service.provider_event AS p USING (
        SELECT o.platform_id, o.provider, o.event_id FROM ({_OWN}) AS own CROSS JOIN LATERAL (
            SELECT w.platform_id, w.provider, w.event_id FROM service.provider_event AS w
            WHERE w.platform_id = own.id AND w.applied_at <= own.before
            ORDER BY w.applied_at LIMIT :limit FOR UPDATE SKIP LOCKED) AS o
        LIMIT :limit) AS old
    WHERE p.platform_id = old.platform_id AND p.provider = old.provider
      AND p.event_id = old.event_id
    """  # noqa: S608
)


def _of_signing_in(table: str, key: str, since: str) -> TextClause:
    """Delete rows of the instance by the instant since which they serve nothing any more."""
    return text(
        f"""
        DELETE FROM service.{table} WHERE {key} IN (
            SELECT {key} FROM service.{table}
            WHERE {since} <= CAST(:now AS timestamptz) - :keep ORDER BY {since} LIMIT :limit)
        """  # noqa: S608 - names of our own
    )


RULES: Final = (
    Rule("service.idempotency", timedelta(), _ANSWERS),
    # A range of the outbox can be replayed for ever; a single delivery, within this.
    Rule("service.webhook_delivery", timedelta(days=30), _DELIVERIES),
    Rule("service.message_text", timedelta(days=180), _TEXTS),
    Rule("service.link", timedelta(days=30), _LINKS),
    Rule("service.helper_person", timedelta(days=365), _HELPERS),
    Rule("service.clock_advance", timedelta(days=30), _MOVES),
    # Far longer than a provider sends an event again (Stripe: 3 days) or lists it (30 days): one
    # that came back would be followed up a second time, which changes nothing but costs a call.
    Rule("service.provider_event", timedelta(days=90), _PROVIDER_EVENTS),
    # Which networks a mediator's account knows is told by the tries; sessions take their refresh
    # secrets with them.
    Rule("service.sign_in_try", throttle.KEPT, _of_signing_in("sign_in_try", "id", "at")),
    Rule("service.invitation", throttle.KEPT, _of_signing_in("invitation", "hash", "expires_at")),
    Rule(
        "service.sign_in_session",
        throttle.KEPT,
        _of_signing_in("sign_in_session", "id", "expires_at"),
    ),
)


def forget(engine: Engine, now: datetime) -> None:
    """Delete what :data:`RULES` keep no longer at ``now``, the real time, of all platforms."""
    deleted = {rule.table: _forget(engine, rule, now) for rule in RULES}
    _log.info("forgotten", **{table: count for table, count in deleted.items() if count})


def _forget(engine: Engine, rule: Rule, now: datetime) -> int:
    values = {
        "now": now,
        "keep": rule.keep,
        "below": least_uuid7(now - rule.keep),
        "limit": _BATCH,
    }
    forgotten = 0
    while True:
        with db.transaction(engine, db.SYSTEM) as connection:
            count = connection.execute(rule.delete, values).rowcount
        forgotten += count
        if count < _BATCH:
            return forgotten
