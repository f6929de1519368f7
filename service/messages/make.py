"""Turn events into messages: whom each tells what, as rows that wait to be sent.

The events are taken from the outbox, and the messages written, in one transaction: an event makes
its messages once, whoever dies when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from service import db
from service.events import feed
from service.exchanges.kinds import Kind, Role, shows_code
from service.ids import decode, encode, uuid7
from service.messages.rules import KEPT, RULES, Tell, To
from service.operations import dead_letters

_log = structlog.get_logger(__name__)

#: How many events one transaction takes, and how many transactions one round makes.
BATCH: Final = 500
ROUNDS: Final = 20

# One row for each event that concerns an exchange, in one statement for all platforms.
_EXCHANGES: Final = text(
    """
    SELECT w.event_id, e.id, e.kind, e.payer_id, e.payee_id,
        EXISTS (SELECT FROM service.leg AS l
                WHERE l.platform_id = e.platform_id AND l.exchange_id = e.id) AS has_legs,
        EXISTS (SELECT FROM service.checkpoint AS c
                WHERE c.platform_id = e.platform_id AND c.exchange_id = e.id
                  AND c.name = w.checkpoint AND c.met_at IS NOT NULL) AS met,
        (SELECT c.name FROM service.checkpoint AS c
         WHERE c.platform_id = e.platform_id AND c.exchange_id = e.id AND c.met_at IS NULL
         ORDER BY c.position LIMIT 1) AS current,
        EXISTS (SELECT FROM disputes.case AS c
                WHERE c.platform_id = e.platform_id AND c.subject_id = e.id
                  AND c.settlement IS NOT NULL AND c.closed_at = w.at) AS by_case,
        (SELECT c.cause FROM disputes.case AS c
         WHERE c.platform_id = e.platform_id AND c.id = w.case_id) AS case_cause
    FROM jsonb_to_recordset(:wanted) AS w
        (platform_id uuid, event_id uuid, exchange_id uuid, checkpoint text, case_id uuid,
         at timestamptz)
    JOIN service.exchange AS e ON e.platform_id = w.platform_id AND e.id = w.exchange_id
    """
).bindparams(bindparam("wanted", type_=JSONB))

_INSERT: Final = text(
    """
    INSERT INTO service.message (platform_id, id, member_id, exchange_id, event_id, template,
        category, urgent, facts, state, made_at, due_at, helper_id)
    SELECT r.platform_id, r.id, r.member_id, r.exchange_id, r.event_id, r.template, r.category,
        r.urgent, r.facts, 'waiting', r.made_at, r.due_at, r.helper_id
    FROM jsonb_to_recordset(:rows) AS r
        (platform_id uuid, id uuid, member_id uuid, exchange_id uuid, event_id uuid, template text,
         category text, urgent boolean, facts jsonb, made_at timestamptz, due_at timestamptz,
         helper_id uuid)
    ON CONFLICT (platform_id, event_id, member_id, template) DO NOTHING
    """
).bindparams(bindparam("rows", type_=JSONB))

_EVENT: Final = text(
    "SELECT platform_id, id, type, exchange_id, member_id, data, at FROM service.event "
    "WHERE platform_id = :platform_id AND id = :id"
)

_DUE_AGAIN: Final = text(
    "UPDATE service.message SET state = 'waiting', reason = NULL, due_at = :now, attempts = 0 "
    "WHERE platform_id = :platform_id AND id = :id AND state = 'failed'"
)


def make(engine: Engine, now: datetime) -> int:
    """Take the next events and write the messages they call for; return how many events.

    An event that cannot be turned into messages becomes a dead letter and holds nothing up.
    """
    taken = 0
    for _ in range(ROUNDS):
        count = _batch(engine, now)
        taken += count
        if count < BATCH:
            break
    return taken


def _batch(engine: Engine, now: datetime) -> int:
    with db.transaction(engine, db.SYSTEM) as connection:
        events = feed.take(connection, "messages", BATCH)
        telling = [event for event in events if event["type"] in RULES]
        try:
            with connection.begin_nested():
                _write(connection, telling, now)
        except Exception as error:
            if dead_letters.is_passing(error):
                raise  # the events wait in their place
            _log.warning("messages_one_by_one", error=str(error))
            for event in telling:
                _alone(connection, event, now)
    return len(events)


def again(
    connection: Connection, platform_id: UUID, subject: Mapping[str, Any], now: datetime
) -> bool:
    """Take up a dead letter: make the messages of the event it names, or send its message again.

    Raises:
        KeyError, ValueError: what kept the messages from being made still does.
    """
    if "message" in subject:
        values = {"id": decode("message", subject["message"]), "now": now}
        return connection.execute(_DUE_AGAIN, {"platform_id": platform_id, **values}).rowcount > 0
    values = {"platform_id": platform_id, "id": decode("event", subject["event"])}
    event = connection.execute(_EVENT, values).mappings().one()
    _write(connection, [event], now)
    return True


dead_letters.register("message", again)


def _alone(connection: Connection, event: RowMapping, now: datetime) -> None:
    try:
        with connection.begin_nested():
            _write(connection, [event], now)
    except Exception as error:  # whatever it is, it must not keep the others waiting
        if dead_letters.is_passing(error):
            raise
        subject = {"event": encode("event", event["id"])}
        dead_letters.record(connection, event["platform_id"], "message", subject, error, now, 1)


def _write(connection: Connection, events: Sequence[RowMapping], now: datetime) -> None:
    exchanges = _exchanges_of(connection, events)
    rows = [
        {
            "platform_id": str(event["platform_id"]),
            "id": str(uuid7()),
            "member_id": str(member_id),
            "exchange_id": None if event["exchange_id"] is None else str(event["exchange_id"]),
            "event_id": str(event["id"]),
            "template": tell.template,
            "category": tell.category,
            "urgent": tell.urgent,
            "facts": {name: event["data"][name] for name in KEPT if name in event["data"]},
            "made_at": event["at"].isoformat(),
            "due_at": now.isoformat(),
            "helper_id": _helper(tell, event["data"]),
        }
        for event in events
        for tell, member_id in _told(event, exchanges.get(event["id"]))
    ]
    if rows:
        connection.execute(_INSERT, {"rows": rows})


def _helper(tell: Tell, data: Mapping[str, Any]) -> str | None:
    """Return to which helper of the member a message goes, where it does not go to themselves."""
    return str(decode("helper", data["helper"])) if tell.to is To.HELPER else None


def _exchanges_of(connection: Connection, events: Sequence[RowMapping]) -> dict[UUID, RowMapping]:
    wanted = [
        {
            "platform_id": str(event["platform_id"]),
            "event_id": str(event["id"]),
            "exchange_id": str(event["exchange_id"]),
            "checkpoint": event["data"].get("checkpoint"),
            "case_id": _case(event["data"]),
            "at": event["at"].isoformat(),
        }
        for event in events
        if event["exchange_id"] is not None
    ]
    if not wanted:
        return {}
    rows = connection.execute(_EXCHANGES, {"wanted": wanted}).mappings()
    return {row["event_id"]: row for row in rows}


def _case(data: Mapping[str, Any]) -> str | None:
    told = data.get("case")
    return None if told is None else str(decode("case", told))


def _told(event: RowMapping, exchange: RowMapping | None) -> list[tuple[Tell, UUID]]:
    """Return each line of the table that the event calls for, with each member it goes to."""
    found: dict[tuple[str, UUID], Tell] = {}
    for tell in RULES[event["type"]]:
        if exchange is not None and tell.when and not tell.when(event["data"], dict(exchange)):
            continue
        for member_id in _recipients(tell.to, event, exchange):
            found.setdefault((tell.template, member_id), tell)
    return [(tell, member_id) for (_template, member_id), tell in found.items()]


def _recipients(to: To, event: RowMapping, exchange: RowMapping | None) -> list[UUID]:
    if to in {To.MEMBER, To.HELPER}:
        return [event["member_id"] or decode("member", event["data"]["member"])]
    if exchange is None:
        raise ValueError(f"{event['type']} has no exchange, and tells its {to}")
    sides = {Role.PAYER: exchange["payer_id"], Role.PAYEE: exchange["payee_id"]}
    return [sides[role] for role in _roles(to, event["data"], exchange)]


def _roles(to: To, data: Mapping[str, Any], exchange: RowMapping) -> tuple[Role, ...]:
    if to in {To.PAYER, To.PAYEE}:
        return (Role(to.value),)
    if to is To.NAMED:
        return tuple(Role(side) for side in data["to"])
    if to is To.SIDE:
        return (Role(data["side"]),)
    by = data.get("by") if data.get("by") in set(Role) else None
    if to is To.SELF:
        return () if by is None else (Role(by),)
    if to is To.OTHER and by is not None:
        return (Role(by).other,)
    if to in {To.CODE_HOLDER, To.NOT_HOLDER}:
        if exchange["current"] is None:
            return ()  # it was met meanwhile: there is nothing to show any more
        holder = shows_code(Kind(exchange["kind"]), exchange["current"])
        return (holder if to is To.CODE_HOLDER else holder.other,)
    return (Role.PAYER, Role.PAYEE)
