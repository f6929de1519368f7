"""Exchanges from and to the database, many at a time, one statement a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, delete, text

from service import db
from service.events import outbox
from service.exchanges import tables
from service.exchanges.commands import Decision
from service.exchanges.deadlines import looks
from service.exchanges.model import Exchange, Surroundings
from service.exchanges.rows import checkpoint_row, exchange_row, from_row, leg_row, surroundings
from service.ids import encode, uuid7
from service.payments import payees
from service.payments.payee import Readiness
from service.payments.sandbox import Sandbox

_LOCK: Final = text(
    "SELECT * FROM service.exchange WHERE platform_id = :platform_id AND id = ANY(:ids) "
    "ORDER BY id FOR NO KEY UPDATE"
)
# Under a lock a second statement, so that under READ COMMITTED it sees what the lock had to wait
# for. Without one the same statement reads the exchange too: a step that commits between two would
# be seen by half.
_PARTS: Final = """
    SELECT e.*,
           (SELECT jsonb_agg(to_jsonb(l) ORDER BY l.position) FROM service.leg l
             WHERE l.platform_id = e.platform_id AND l.exchange_id = e.id) AS legs,
           (SELECT jsonb_agg(to_jsonb(c) ORDER BY c.position) FROM service.checkpoint c
             WHERE c.platform_id = e.platform_id AND c.exchange_id = e.id) AS checkpoints,
           (SELECT d.cause FROM disputes.case d
             WHERE d.platform_id = e.platform_id AND d.id = e.case_id) AS case_cause,
           ARRAY[payer.time_zone, payer.country] AS payer_place,
           ARRAY[payee.time_zone, payee.country] AS payee_place,
           (SELECT jsonb_agg(jsonb_build_object(
                   'began_at', p.began_at, 'ended_at', p.ended_at, 'role', p.role))
              FROM (SELECT m.began_at, m.ended_at,
                           CASE m.member_id WHEN e.payer_id THEN 'payer' ELSE 'payee' END AS role
                      FROM service.member_pause m
                     WHERE m.platform_id = e.platform_id
                       AND m.member_id IN (e.payer_id, e.payee_id) AND m.ended_at > e.created_at
                    UNION ALL
                    SELECT o.began_at, o.ended_at, NULL
                      FROM service.outage o
                     -- Without a worker members can still act; and a platform that moves its own
                     -- clock was elsewhere in time.
                     WHERE o.kind <> 'worker' AND o.ended_at > e.created_at
                       AND NOT EXISTS (SELECT FROM service.platform_clock k
                                        WHERE k.platform_id = e.platform_id)) p
             WHERE e.closed_at IS NULL) AS pauses,
           (SELECT jsonb_object_agg(
                   CASE r.member_id WHEN e.payer_id THEN 'payer' ELSE 'payee' END,
                   r.state IN ('failed', 'bounced', 'suppressed'))
              FROM (SELECT DISTINCT ON (m.member_id) m.member_id, m.state, m.reason
                      FROM service.message m
                     WHERE m.platform_id = e.platform_id AND m.exchange_id = e.id
                       AND m.template = 'reminder' ORDER BY m.member_id, m.id DESC) r
             -- Whose address we were not given is reminded by the platform, by the same event.
             WHERE r.state IN ('failed', 'bounced', 'waiting', 'sending', 'held')
                OR r.state = 'suppressed' AND r.reason = 'no_channel') AS not_delivered
    FROM service.exchange e
    JOIN service.member payer ON payer.platform_id = e.platform_id AND payer.id = e.payer_id
    JOIN service.member payee ON payee.platform_id = e.platform_id AND payee.id = e.payee_id
    WHERE e.platform_id = :platform_id AND e.id = ANY(:ids)
    """
_WHOLE: Final = text(_PARTS)
_REST: Final = text(_PARTS.replace("e.*", "e.id", 1))


def load(
    connection: Connection, platform_id: UUID, ids: Sequence[UUID], *, lock: bool
) -> dict[UUID, Exchange]:
    """Return the exchanges that exist among ``ids``; with ``lock``, held in id order."""
    wanted = {"platform_id": platform_id, "ids": list(ids)}
    rows = connection.execute(_LOCK if lock else _WHOLE, wanted).mappings().all()
    if not rows:
        return {}
    rest = connection.execute(_REST, wanted).mappings().all() if lock else rows
    parts = {row["id"]: row for row in rest}
    payees_of = _readiness(connection, platform_id, rows, lock=lock)
    return {
        row["id"]: from_row(
            row,
            parts[row["id"]]["legs"] or [],
            parts[row["id"]]["checkpoints"],
            payees_of.get((row["provider"], row["payee_id"])),
            _around(parts[row["id"]]),
            parts[row["id"]]["case_cause"],
        )
        for row in rows
    }


def _around(row: RowMapping) -> Surroundings:
    return surroundings(
        row["payer_place"], row["payee_place"], row["pauses"] or [], row["not_delivered"] or {}
    )


@dataclass(frozen=True, slots=True)
class _Paying:
    name: str
    needs_account: bool


def _readiness(
    connection: Connection, platform_id: UUID, rows: Sequence[RowMapping], *, lock: bool
) -> dict[tuple[str, UUID], Readiness]:
    """Return whether payees can be paid by their provider; ``lock``: until the commit."""
    found = {}
    for name in sorted({row["provider"] for row in rows if row["provider"] is not None}):
        ids = {row["payee_id"] for row in rows if row["provider"] == name}
        # The sandbox alone pays members who have opened no account.
        paying = _Paying(name, needs_account=name != Sandbox.name)
        for member_id, ready in payees.readiness(
            connection, platform_id, ids, paying, lock=lock
        ).items():
            found[name, member_id] = ready
    return found


def insert(connection: Connection, decisions: Sequence[Decision], now: datetime) -> None:
    """Write new exchanges with their legs, checkpoints, timers and events."""
    if not decisions:
        return
    platform_id = decisions[0].exchange.platform_id
    _number_events(decisions)
    exchanges = [decision.exchange for decision in decisions]
    db.insert_many(
        connection,
        tables.exchange,
        [
            {
                **exchange_row(exchange),
                "kind": exchange.kind,
                "steps_version": exchange.steps_version,
                "payer_id": exchange.payer_id,
                "payee_id": exchange.payee_id,
                "external_id": exchange.external_id,
                "created_at": now,
            }
            for exchange in exchanges
        ],
    )
    db.insert_many(connection, tables.leg, [leg_row(e, leg) for e in exchanges for leg in e.legs])
    db.insert_many(
        connection,
        tables.checkpoint,
        [checkpoint_row(e, point) for e in exchanges for point in e.checkpoints],
    )
    _write_timers(connection, [], exchanges)
    _write_events(connection, platform_id, decisions, now)


class LostWrite(RuntimeError):
    """A row that was locked and read was not there to be updated: a bug, never a refusal."""


def update(
    connection: Connection,
    before: Mapping[UUID, Exchange],
    decisions: Sequence[Decision],
    now: datetime,
) -> None:
    """Write what steps changed on locked exchanges; ``before`` is what was loaded.

    Raises:
        LostWrite: fewer rows matched than were to change; the transaction must not commit.
    """
    if not decisions:
        return
    platform_id = decisions[0].exchange.platform_id
    _number_events(decisions)
    exchanges = [decision.exchange for decision in decisions]
    _must_match(
        db.update_many(connection, tables.exchange, [exchange_row(e) for e in exchanges]),
        len(exchanges),
    )
    _replace_terms(connection, platform_id, before, exchanges)
    _update_parts(connection, before, exchanges)
    db.insert_many(
        connection,
        tables.confirmation,
        [
            {
                "platform_id": platform_id,
                "id": uuid7(),
                "exchange_id": decision.exchange.id,
                "checkpoint": fact.checkpoint,
                "role": fact.role,
                "member_id": fact.member_id,
                "word": fact.word,
                "method": fact.method,
                "via": fact.via,
                "at": fact.at,
                "helper_id": fact.helper_id,
                "operator": fact.operator,
            }
            for decision in decisions
            for fact in decision.confirmations
        ],
    )
    _write_timers(connection, [before[e.id] for e in exchanges], exchanges)
    _write_events(connection, platform_id, decisions, now)


def _must_match(matched: int, wanted: int) -> None:
    if matched != wanted:
        raise LostWrite(f"{wanted} rows were to change, {matched} did")


def _replace_terms(
    connection: Connection,
    platform_id: UUID,
    before: Mapping[UUID, Exchange],
    exchanges: Sequence[Exchange],
) -> None:
    """A counter-offer brings legs and checkpoints of its own."""
    anew = [e for e in exchanges if e.terms_hash != before[e.id].terms_hash]
    if not anew:
        return
    ids = [exchange.id for exchange in anew]
    for table in (tables.leg, tables.checkpoint):
        connection.execute(
            delete(table).where(
                table.c.platform_id == platform_id, db.among(table.c.exchange_id, ids)
            )
        )
    db.insert_many(connection, tables.leg, [leg_row(e, leg) for e in anew for leg in e.legs])
    db.insert_many(
        connection,
        tables.checkpoint,
        [checkpoint_row(e, point) for e in anew for point in e.checkpoints],
    )


def _update_parts(
    connection: Connection, before: Mapping[UUID, Exchange], exchanges: Sequence[Exchange]
) -> None:
    legs, made, points = [], [], []
    for exchange in exchanges:
        old = before[exchange.id]
        if old.terms_hash != exchange.terms_hash:
            continue
        known, ids = set(old.legs), {leg.id for leg in old.legs}
        legs += [leg_row(exchange, leg) for leg in exchange.legs if leg not in known]
        made += [leg_row(exchange, leg) for leg in exchange.legs if leg.id not in ids]
        seen = set(old.checkpoints)
        points += [checkpoint_row(exchange, p) for p in exchange.checkpoints if p not in seen]
    # A claim about a part of a leg makes two of it; both belong to terms that stand.
    new = {row["id"] for row in made}
    legs = [row for row in legs if row["id"] not in new]
    db.insert_many(connection, tables.leg, made)
    _must_match(db.update_many(connection, tables.leg, legs), len(legs))
    keys = ("platform_id", "exchange_id", "position")
    _must_match(db.update_many(connection, tables.checkpoint, points, keys=keys), len(points))


_DELETE_TIMERS: Final = text(
    "DELETE FROM service.timer t USING "
    "unnest(CAST(:exchanges AS uuid[]), CAST(:steps AS text[])) AS gone(exchange_id, step) "
    "WHERE t.platform_id = :platform_id AND t.exchange_id = gone.exchange_id AND t.step = gone.step"
)


def _timers(exchange: Exchange) -> dict[tuple[UUID, str], datetime]:
    return {(exchange.id, step): at for step, at in looks(exchange).items()}


def _write_timers(
    connection: Connection, before: Sequence[Exchange], after: Sequence[Exchange]
) -> None:
    """Bring the timer rows from what ran before to what runs now."""
    old = {key: at for exchange in before for key, at in _timers(exchange).items()}
    new = {key: at for exchange in after for key, at in _timers(exchange).items()}
    platform_id = after[0].platform_id
    gone = [key for key, at in old.items() if new.get(key) != at]
    if gone:
        connection.execute(
            _DELETE_TIMERS,
            {
                "platform_id": platform_id,
                "exchanges": [exchange_id for exchange_id, _ in gone],
                "steps": [step for _, step in gone],
            },
        )
    db.insert_many(
        connection,
        tables.timer,
        [
            {"platform_id": platform_id, "exchange_id": key[0], "step": key[1], "due_at": at}
            for key, at in new.items()
            if old.get(key) != at
        ],
    )


def _number_events(decisions: Sequence[Decision]) -> None:
    """Count each exchange's events onward, before the count is written with the exchange."""
    for decision in decisions:
        decision.exchange = decision.exchange.recounted(events=len(decision.events))


def _write_events(
    connection: Connection, platform_id: UUID, decisions: Sequence[Decision], now: datetime
) -> None:
    rows = []
    for decision in decisions:
        exchange = decision.exchange
        first = exchange.event_sequence - len(decision.events) + 1
        facts = {
            "exchange": encode("exchange", exchange.id),
            "external_id": exchange.external_id,
            "state": exchange.state,
            "version": exchange.version,
        }
        rows += [
            outbox.NewEvent(draft.type, {**facts, **draft.data}, exchange.id, number)
            for number, draft in enumerate(decision.events, start=first)
        ]
    outbox.append(connection, platform_id, rows, now)
