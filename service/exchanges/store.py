"""Exchanges from and to the database, many at a time, one statement a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, delete, text

from service import db
from service.events import outbox
from service.exchanges import tables
from service.exchanges.commands import Decision
from service.exchanges.deadlines import deadlines
from service.exchanges.kinds import Kind, LegRole, Role
from service.exchanges.model import (
    Checkpoint,
    Code,
    Exchange,
    Leg,
    LegState,
    Proposal,
    Share,
    State,
)
from service.ids import encode, uuid7

_LOCK: Final = text(
    "SELECT * FROM service.exchange WHERE platform_id = :platform_id AND id = ANY(:ids) "
    "ORDER BY id FOR NO KEY UPDATE"
)
_READ: Final = text(
    "SELECT * FROM service.exchange WHERE platform_id = :platform_id AND id = ANY(:ids)"
)
# A second statement, so that under READ COMMITTED it sees what the lock had to wait for.
_PARTS: Final = text(
    """
    SELECT e.id,
           (SELECT jsonb_agg(to_jsonb(l) ORDER BY l.position) FROM service.leg l
             WHERE l.platform_id = e.platform_id AND l.exchange_id = e.id) AS legs,
           (SELECT jsonb_agg(to_jsonb(c) ORDER BY c.position) FROM service.checkpoint c
             WHERE c.platform_id = e.platform_id AND c.exchange_id = e.id) AS checkpoints
    FROM service.exchange e
    WHERE e.platform_id = :platform_id AND e.id = ANY(:ids)
    """
)


def load(
    connection: Connection, platform_id: UUID, ids: Sequence[UUID], *, lock: bool
) -> dict[UUID, Exchange]:
    """Return the exchanges that exist among ``ids``; with ``lock``, held in id order."""
    wanted = {"platform_id": platform_id, "ids": list(ids)}
    rows = connection.execute(_LOCK if lock else _READ, wanted).mappings().all()
    if not rows:
        return {}
    parts = {row.id: row for row in connection.execute(_PARTS, wanted)}
    return {
        row["id"]: from_row(row, parts[row["id"]].legs or [], parts[row["id"]].checkpoints)
        for row in rows
    }


def from_row(
    row: Mapping[str, Any], legs: Sequence[Mapping[str, Any]], points: Sequence[Mapping[str, Any]]
) -> Exchange:
    """Build the value from its rows."""
    return Exchange(
        platform_id=row["platform_id"],
        id=row["id"],
        kind=Kind(row["kind"]),
        state=State(row["state"]),
        version=row["version"],
        steps_version=row["steps_version"],
        payer_id=row["payer_id"],
        payee_id=row["payee_id"],
        external_id=row["external_id"],
        proposed_by=Role(row["proposed_by"]),
        payer_agreed_at=row["payer_agreed_at"],
        payee_agreed_at=row["payee_agreed_at"],
        terms=row["terms"],
        terms_hash=row["terms_hash"],
        provider=row["provider"],
        proposed_at=row["proposed_at"],
        legs=tuple(_leg(leg) for leg in legs),
        checkpoints=tuple(_checkpoint(point) for point in points),
        agreed_at=row["agreed_at"],
        funded_at=row["funded_at"],
        review_at=row["review_at"],
        closed_at=row["closed_at"],
        proposal=_proposal(row["proposal"]),
        collect_id=row["collect_id"],
        fund_attempts=row["fund_attempts"],
        event_sequence=row["event_sequence"],
    )


def _instant(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _leg(row: Mapping[str, Any]) -> Leg:
    share = None
    if row["state"] == LegState.SETTLED:
        share = Share(row["to_payer"], row["to_payee"], row["to_fees"])
    return Leg(
        id=UUID(row["id"]),
        position=row["position"],
        role=LegRole(row["role"]),
        checkpoint=row["checkpoint"],
        amount=row["amount"],
        unit=row["unit"],
        sort=row["sort"],
        payer_fee=row["payer_fee"],
        payee_fee=row["payee_fee"],
        state=LegState(row["state"]),
        share=share,
    )


def _checkpoint(row: Mapping[str, Any]) -> Checkpoint:
    code = None
    if row["code_digest"] is not None:
        code = Code(
            row["code_generation"],
            bytes.fromhex(row["code_digest"].removeprefix("\\x")),
            row["code_tries"],
            _instant(row["code_locked_at"]),
        )
    return Checkpoint(
        name=row["name"],
        position=row["position"],
        due_at=_instant(row["due_at"]),
        payer_at=_instant(row["payer_at"]),
        payee_at=_instant(row["payee_at"]),
        met_at=_instant(row["met_at"]),
        code=code,
    )


def _proposal(row: Mapping[str, Any] | None) -> Proposal | None:
    if row is None:
        return None
    return Proposal(
        id=UUID(row["id"]),
        kind=row["kind"],
        by=Role(row["by"]),
        to_payee={UUID(leg): amount for leg, amount in row["to_payee"].items()},
        expires_at=datetime.fromisoformat(row["expires_at"]),
    )


def _exchange_row(exchange: Exchange) -> dict[str, Any]:
    """The columns that a step may change, with the keys; the rest never changes."""
    proposal = exchange.proposal
    return {
        "platform_id": exchange.platform_id,
        "id": exchange.id,
        "state": exchange.state,
        "version": exchange.version,
        "proposed_by": exchange.proposed_by,
        "payer_agreed_at": exchange.payer_agreed_at,
        "payee_agreed_at": exchange.payee_agreed_at,
        "terms": exchange.terms,
        "terms_hash": exchange.terms_hash,
        "provider": exchange.provider,
        "proposed_at": exchange.proposed_at,
        "agreed_at": exchange.agreed_at,
        "funded_at": exchange.funded_at,
        "review_at": exchange.review_at,
        "closed_at": exchange.closed_at,
        "proposal": None
        if proposal is None
        else {
            "id": proposal.id,
            "kind": proposal.kind,
            "by": proposal.by,
            "to_payee": {str(leg): amount for leg, amount in proposal.to_payee.items()},
            "expires_at": proposal.expires_at,
        },
        "collect_id": exchange.collect_id,
        "fund_attempts": exchange.fund_attempts,
        "event_sequence": exchange.event_sequence,
    }


def _leg_row(exchange: Exchange, leg: Leg) -> dict[str, Any]:
    share = leg.share
    return {
        "platform_id": exchange.platform_id,
        "id": leg.id,
        "exchange_id": exchange.id,
        "position": leg.position,
        "role": leg.role,
        "checkpoint": leg.checkpoint,
        "amount": leg.amount,
        "unit": leg.unit,
        "sort": leg.sort,
        "payer_fee": leg.payer_fee,
        "payee_fee": leg.payee_fee,
        "state": leg.state,
        "to_payer": None if share is None else share.to_payer,
        "to_payee": None if share is None else share.to_payee,
        "to_fees": None if share is None else share.to_fees,
    }


def _checkpoint_row(exchange: Exchange, point: Checkpoint) -> dict[str, Any]:
    code = point.code
    return {
        "platform_id": exchange.platform_id,
        "exchange_id": exchange.id,
        "position": point.position,
        "name": point.name,
        "due_at": point.due_at,
        "payer_at": point.payer_at,
        "payee_at": point.payee_at,
        "met_at": point.met_at,
        "code_generation": None if code is None else code.generation,
        "code_digest": None if code is None else code.digest,
        "code_tries": 0 if code is None else code.wrong_tries,
        "code_locked_at": None if code is None else code.locked_at,
    }


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
                **_exchange_row(exchange),
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
    db.insert_many(
        connection, tables.leg, [_leg_row(e, leg) for e in exchanges for leg in e.legs]
    )
    db.insert_many(
        connection,
        tables.checkpoint,
        [_checkpoint_row(e, point) for e in exchanges for point in e.checkpoints],
    )
    _write_timers(connection, [], exchanges)
    _write_events(connection, platform_id, decisions, now)


class LostWrite(RuntimeError):
    """A row that was locked and read was not there to be updated: a bug of ours, never a refusal."""


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
        db.update_many(connection, tables.exchange, [_exchange_row(e) for e in exchanges]),
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
            delete(table).where(table.c.platform_id == platform_id, table.c.exchange_id.in_(ids))
        )
    db.insert_many(connection, tables.leg, [_leg_row(e, leg) for e in anew for leg in e.legs])
    db.insert_many(
        connection,
        tables.checkpoint,
        [_checkpoint_row(e, point) for e in anew for point in e.checkpoints],
    )


def _update_parts(
    connection: Connection, before: Mapping[UUID, Exchange], exchanges: Sequence[Exchange]
) -> None:
    legs, points = [], []
    for exchange in exchanges:
        old = before[exchange.id]
        if old.terms_hash != exchange.terms_hash:
            continue
        known = set(old.legs)
        legs += [_leg_row(exchange, leg) for leg in exchange.legs if leg not in known]
        seen = set(old.checkpoints)
        points += [_checkpoint_row(exchange, p) for p in exchange.checkpoints if p not in seen]
    _must_match(db.update_many(connection, tables.leg, legs), len(legs))
    keys = ("platform_id", "exchange_id", "position")
    _must_match(db.update_many(connection, tables.checkpoint, points, keys=keys), len(points))


_DELETE_TIMERS: Final = text(
    "DELETE FROM service.timer t USING unnest(:exchanges, :steps) AS gone(exchange_id, step) "
    "WHERE t.platform_id = :platform_id AND t.exchange_id = gone.exchange_id AND t.step = gone.step"
)


def _timers(exchange: Exchange) -> dict[tuple[UUID, str], datetime]:
    return {(exchange.id, line.step): line.due_at for line in deadlines(exchange)}


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
        exchange = decision.exchange
        decision.exchange = replace(
            exchange, event_sequence=exchange.event_sequence + len(decision.events)
        )


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
