"""Scripted members: what they do by themselves on a sandbox, so that endings can be rehearsed.

A script follows one side of one exchange, or a member on every exchange of theirs. It takes its
acts in order; each waits until it can be done, then as long as it says, and is done through the use
case that a real member's request goes through. What is refused is kept with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from sqlalchemy import Connection, RowMapping, text

from service import db
from service.exchanges import queries, store
from service.exchanges.desk import Desk
from service.exchanges.kinds import Role
from service.exchanges.model import TERMINAL, Exchange
from service.ids import decode, encode, uuid7
from service.operations import dead_letters
from service.platforms import members
from service.sandbox import acts
from service.sandbox.plans import DISPUTE, Act, from_json, next_act
from service.sandbox.refusals import ScriptNotFound, TooManyScripts

_log = structlog.get_logger(__name__)

#: How many scripts of a platform run at the same time.
MOST_RUNNING: Final = 1_000
#: How many acts one round of a platform takes.
_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Whom:
    """Whom a script follows: a side of an exchange, or a member (on one side only, or on both)."""

    exchange_id: UUID | None = None
    member_id: UUID | None = None
    side: Role | None = None


def create(
    connection: Connection,
    platform_id: UUID,
    whom: Whom,
    plan: Sequence[Act],
    name: str | None,
    now: datetime,
) -> UUID:
    """Let a script run from ``now`` on; return its id.

    Raises:
        ExchangeNotFound, MemberNotFound
        TooManyScripts: :data:`MOST_RUNNING` run already.
    """
    if whom.exchange_id is not None:
        queries.find(connection, platform_id, whom.exchange_id)
    else:
        assert whom.member_id is not None
        members.find(connection, platform_id, whom.member_id)
    running = connection.execute(
        text(
            "SELECT count(*) FROM service.sandbox_script "
            "WHERE platform_id = :platform_id AND ended_at IS NULL"
        ),
        {"platform_id": platform_id},
    ).scalar_one()
    if running >= MOST_RUNNING:
        raise TooManyScripts(f"{MOST_RUNNING} scripts run on this sandbox: stop some.")
    script_id = uuid7()
    connection.execute(
        text(
            "INSERT INTO service.sandbox_script (platform_id, id, name, exchange_id, side, "
            "member_id, acts, created_at) VALUES (:platform_id, :id, :name, :exchange_id, :side, "
            ":member_id, CAST(:acts AS jsonb), :now)"
        ),
        {
            "platform_id": platform_id,
            "id": script_id,
            "name": name,
            "exchange_id": whom.exchange_id,
            "side": whom.side,
            "member_id": whom.member_id,
            "acts": orjson.dumps([act.as_json() for act in plan]).decode(),
            "now": now,
        },
    )
    return script_id


def find(connection: Connection, platform_id: UUID, script_id: UUID) -> RowMapping:
    """Return a script.

    Raises:
        ScriptNotFound
    """
    query = text(
        "SELECT * FROM service.sandbox_script WHERE platform_id = :platform_id AND id = :id"
    )
    values = {"platform_id": platform_id, "id": script_id}
    row = connection.execute(query, values).mappings().one_or_none()
    if row is None:
        raise ScriptNotFound("No script with this id.")
    return row


def page(
    connection: Connection, platform_id: UUID, *, limit: int, after: UUID | None = None
) -> Sequence[RowMapping]:
    """Return up to ``limit`` scripts, newest first."""
    query = text(
        "SELECT * FROM service.sandbox_script WHERE platform_id = :platform_id "
        "AND (CAST(:after AS uuid) IS NULL OR id < :after) ORDER BY id DESC LIMIT :limit"
    )
    values = {"platform_id": platform_id, "after": after, "limit": limit}
    return connection.execute(query, values).mappings().all()


def parts(connection: Connection, platform_id: UUID, script_id: UUID) -> Sequence[RowMapping]:
    """Return what a script does on each exchange, newest first; of a member's, the last 100."""
    query = text(
        "SELECT p.*, s.acts FROM service.sandbox_part AS p JOIN service.sandbox_script AS s "
        "ON s.platform_id = p.platform_id AND s.id = p.script_id "
        "WHERE p.platform_id = :platform_id AND p.script_id = :script_id "
        "ORDER BY p.exchange_id DESC LIMIT 100"
    )
    values = {"platform_id": platform_id, "script_id": script_id}
    return connection.execute(query, values).mappings().all()


def stop(connection: Connection, platform_id: UUID, script_id: UUID, now: datetime) -> None:
    """End a script; what it did stays done. Again changes nothing.

    Raises:
        ScriptNotFound
    """
    find(connection, platform_id, script_id)
    values = {"platform_id": platform_id, "id": script_id, "now": now}
    for statement in (
        "UPDATE service.sandbox_script SET ended_at = :now "
        "WHERE platform_id = :platform_id AND id = :id AND ended_at IS NULL",
        "UPDATE service.sandbox_part SET ended_at = :now "
        "WHERE platform_id = :platform_id AND script_id = :id AND ended_at IS NULL",
    ):
        connection.execute(text(statement), values)


#: Exchanges on which a running script has no part yet: its own, or its member's.
_NEW: Final = """
    FROM service.sandbox_script AS s
    JOIN service.exchange AS e ON e.platform_id = s.platform_id AND (e.id = s.exchange_id
        OR s.side IS DISTINCT FROM 'payee' AND e.payer_id = s.member_id
        OR s.side IS DISTINCT FROM 'payer' AND e.payee_id = s.member_id)
    WHERE s.ended_at IS NULL
      AND (s.exchange_id IS NOT NULL OR e.closed_at IS NULL)
      AND NOT EXISTS (SELECT FROM service.sandbox_part AS p WHERE p.platform_id = s.platform_id
                      AND p.script_id = s.id AND p.exchange_id = e.id)
"""
_ENLIST: Final = text(
    "INSERT INTO service.sandbox_part "
    "(platform_id, script_id, exchange_id, side, since) "
    "SELECT s.platform_id, s.id, e.id, CASE WHEN s.exchange_id IS NOT NULL THEN s.side "
    f"WHEN e.payer_id = s.member_id THEN 'payer' ELSE 'payee' END, s.created_at {_NEW} "
    "AND s.platform_id = :platform_id ON CONFLICT DO NOTHING"
)
#: Parts whose exchange has changed since they looked, or whose act is due.
_READY: Final = """
    FROM service.sandbox_part AS p
    JOIN service.exchange AS e ON e.platform_id = p.platform_id AND e.id = p.exchange_id
    WHERE p.ended_at IS NULL AND (p.due_at IS NULL AND p.seen < e.event_sequence
"""
_WAITING: Final = text(
    f"SELECT DISTINCT s.platform_id {_NEW} UNION SELECT DISTINCT p.platform_id {_READY} "
    "OR p.due_at <= service.platform_now(p.platform_id, :real))"
)
_TURN: Final = text(
    f"SELECT p.script_id, p.exchange_id {_READY} OR p.due_at <= :now) "
    "AND p.platform_id = :platform_id ORDER BY p.due_at NULLS FIRST, p.script_id, p.exchange_id "
    "LIMIT :limit"
)


def waiting(connection: Connection, real: datetime) -> Sequence[UUID]:
    """Return the platforms on which a scripted member has something to do (as the system)."""
    return connection.scalars(_WAITING, {"real": real}).all()


def run(desk: Desk, now: datetime, only: UUID) -> int:
    """Let the scripted members of a platform do what they do by ``now``; return how many turns."""
    with db.transaction(desk.engine, only) as connection:
        connection.execute(_ENLIST, {"platform_id": only})
        values = {"platform_id": only, "now": now, "limit": _BATCH}
        turns = connection.execute(_TURN, values).all()
    return sum(_safely(desk, only, row.script_id, row.exchange_id, now) for row in turns)


def _safely(
    desk: Desk, platform_id: UUID, script_id: UUID, exchange_id: UUID, now: datetime
) -> int:
    """Take a turn; one that cannot be taken ends its part, and keeps no other back.

    Time heals nothing here, for a script reads nothing but rows of ours: it is given up at once.
    """
    try:
        return _turn(desk, platform_id, script_id, exchange_id, now)
    except Exception as error:  # whatever it is, the others go on
        _log.error("script_broke", script=str(script_id), exc_info=error)
        if dead_letters.is_passing(error):
            return 0  # the next round takes the turn
        with db.transaction(desk.engine, platform_id) as connection:
            part = _lock(connection, platform_id, script_id, exchange_id)
            if part is not None:
                _write(connection, part, ended_at=now, due_at=None)
                subject = {
                    "script": encode("script", script_id),
                    "exchange": encode("exchange", exchange_id),
                }
                dead_letters.record(connection, platform_id, "script", subject, error, now, 1)
        return 1


_AGAIN: Final = text(
    "UPDATE service.sandbox_part AS p SET ended_at = NULL, due_at = NULL, seen = -1 "
    "FROM service.sandbox_script AS s WHERE s.platform_id = p.platform_id AND s.id = p.script_id "
    "AND s.ended_at IS NULL AND p.platform_id = :platform_id AND p.script_id = :script_id "
    "AND p.exchange_id = :exchange_id AND p.ended_at IS NOT NULL"
)


def _again(
    connection: Connection, platform_id: UUID, subject: Mapping[str, Any], _now: datetime
) -> bool:
    """Let a part that broke go on at the act at which it stood, unless its script was stopped."""
    values = {
        "platform_id": platform_id,
        "script_id": decode("script", subject["script"]),
        "exchange_id": decode("exchange", subject["exchange"]),
    }
    return connection.execute(_AGAIN, values).rowcount == 1


dead_letters.register("script", _again)


def _turn(desk: Desk, platform_id: UUID, script_id: UUID, exchange_id: UUID, now: datetime) -> int:
    """Look what comes next in one part, or do it; return 0 if somebody else is at it."""
    with db.transaction(desk.engine, platform_id) as connection:
        part = _lock(connection, platform_id, script_id, exchange_id)
        if part is None:
            return 0
        plan = [from_json(one) for one in part["acts"]]
        # In the order of every use case: the exchange before what hangs on it would be read later.
        exchange = store.load(connection, platform_id, [exchange_id], lock=True)[exchange_id]
        if part["due_at"] is None:
            _look(connection, part, plan, exchange, now)
            return 1
        if part["due_at"] > now:
            return 0
        act = plan[part["place"]]
        if act.do != DISPUTE:
            outcome = acts.take(connection, desk, exchange, Role(part["side"]), act, now)
            _record(connection, part, act, outcome, now)
    if act.do == DISPUTE:
        outcome = acts.dispute(desk, exchange, f"{script_id}:{exchange_id}:{part['place']}")
        with db.transaction(desk.engine, platform_id) as connection:
            _record(connection, part, act, outcome, now)
    elif outcome.payment_id is not None:
        acts.submit(desk, platform_id, outcome.payment_id, now)
    return 1


def _lock(
    connection: Connection, platform_id: UUID, script_id: UUID, exchange_id: UUID
) -> RowMapping | None:
    query = text(
        "SELECT p.*, s.acts, s.exchange_id IS NOT DISTINCT FROM p.exchange_id AS whole "
        "FROM service.sandbox_part AS p JOIN service.sandbox_script AS s "
        "ON s.platform_id = p.platform_id AND s.id = p.script_id "
        "WHERE p.platform_id = :platform_id AND p.script_id = :script_id "
        "AND p.exchange_id = :exchange_id AND p.ended_at IS NULL FOR UPDATE OF p SKIP LOCKED"
    )
    values = {"platform_id": platform_id, "script_id": script_id, "exchange_id": exchange_id}
    return connection.execute(query, values).mappings().one_or_none()


def _look(
    connection: Connection, part: RowMapping, plan: Sequence[Act], exchange: Exchange, now: datetime
) -> None:
    """Find the act that comes next, and when: counted from when it became possible."""
    found = next_act(
        plan,
        part["place"],
        exchange,
        Role(part["side"]),
        max(part["since"], _last_event(connection, exchange)),
        now,
        disputable=acts.is_collected(connection, exchange),
    )
    ended = part["place"] >= len(plan) or (found is None and _is_over(plan, part, exchange))
    _write(
        connection,
        part,
        place=part["place"] if found is None else found.place,
        due_at=None if found is None else found.at,
        seen=exchange.event_sequence,
        ended_at=now if ended else None,
    )
    if ended and part["whole"]:
        connection.execute(
            text(
                "UPDATE service.sandbox_script SET ended_at = :now "
                "WHERE platform_id = :platform_id AND id = :script_id AND ended_at IS NULL"
            ),
            {"platform_id": part["platform_id"], "script_id": part["script_id"], "now": now},
        )


def _is_over(plan: Sequence[Act], part: RowMapping, exchange: Exchange) -> bool:
    """Tell whether nothing will ever be possible again; after a payment, a bank still can act."""
    left = [act.do for act in plan[part["place"] :]]
    return exchange.state in TERMINAL and (DISPUTE not in left or exchange.funded_at is None)


def _last_event(connection: Connection, exchange: Exchange) -> datetime:
    query = text(
        "SELECT max(at) FROM service.event WHERE platform_id = :platform_id "
        "AND exchange_id = :exchange_id AND sequence = :sequence"
    )
    values = {
        "platform_id": exchange.platform_id,
        "exchange_id": exchange.id,
        "sequence": exchange.event_sequence,
    }
    at: datetime | None = connection.execute(query, values).scalar_one()
    return exchange.proposed_at if at is None else at


def _record(
    connection: Connection, part: RowMapping, act: Act, outcome: acts.Outcome, now: datetime
) -> None:
    """Keep what was done, and look again: the next act may be possible at once."""
    told: dict[str, Any] = {"do": act.do, "at": now, "refusal": outcome.refusal}
    _write(
        connection,
        part,
        place=part["place"] + 1,
        due_at=None,
        seen=-1,
        since=now,
        done=[*part["done"], told],
    )


def _write(connection: Connection, part: RowMapping, **values: Any) -> None:
    said = {
        name: orjson.dumps(value, option=orjson.OPT_UTC_Z).decode() if name == "done" else value
        for name, value in values.items()
    }
    columns = ", ".join(
        f"{name} = CAST(:{name} AS jsonb)" if name == "done" else f"{name} = :{name}"
        for name in said
    )
    connection.execute(
        text(
            f"UPDATE service.sandbox_part SET {columns} "  # noqa: S608 - our own names
            "WHERE platform_id = :platform_id AND script_id = :script_id "
            "AND exchange_id = :exchange_id AND place = :was"
        ),
        {
            **said,
            "platform_id": part["platform_id"],
            "script_id": part["script_id"],
            "exchange_id": part["exchange_id"],
            "was": part["place"],
        },
    )
