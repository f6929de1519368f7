"""Remind whoever a case waits for, once for each thing it waits for, before its time is over.

A reminder is a line of the case's journal, so that whoever decides sees that a silent side was
asked again. What it was answered meanwhile is looked at under the lock of its exchange: twice,
late or in several workers at once reminds nobody twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, RowMapping, text

from disputes import store
from disputes.commands import Entry, Move
from service import db
from service.exchanges import cases
from service.exchanges.codes import CodeBook
from service.exchanges.decide import Rules
from service.operations.dead_letters import loudly
from service.platforms.clocks import swept
from service.policies.reminders import BEFORE, QUIET_PART

_log = structlog.get_logger(__name__)

#: How many cases of a platform one transaction takes.
BATCH: Final = 100
#: The journal's name of a reminder.
LINE: Final = "reminded"

_LAST: Final = f"interval '{int(BEFORE[-1].total_seconds())} seconds'"


def _other(side: str) -> str:
    return f"CASE {side} WHEN 'payer' THEN 'payee' ELSE 'payer' END"


def _made(case: str, line: str) -> str:
    return (
        "(SELECT max(m.at) FROM disputes.entry AS m "  # noqa: S608 - names of our own
        f"WHERE m.platform_id = {case}.platform_id AND m.case_id = {case}.id AND m.type = '{line}')"
    )


def waits(case: str) -> str:
    """Return in SQL what a row ``case`` of ``disputes.case`` waits for: side, what, since, until.

    A proposal waits for each side that has not accepted it; a claim for the other's first word.
    """
    maker = f"{case}.offer->>'by'"
    return (
        # An open offer waits for the side that did not make it.
        f"SELECT {_other(maker)} AS side, 'offer' AS about, "  # noqa: S608
        f"{_made(case, 'offer_made')} AS since, "
        f"least(CAST({case}.offer->>'expires_at' AS timestamptz), {case}.due_at) AS until "
        f"WHERE {case}.offer IS NOT NULL "
        "UNION ALL "
        f"SELECT s.side, 'proposal', {_made(case, 'proposal_made')}, "
        f"least(CAST({case}.proposal->>'expires_at' AS timestamptz), {case}.due_at) "
        "FROM (VALUES ('payer'), ('payee')) AS s(side) "
        f"WHERE {case}.proposal IS NOT NULL AND NOT {case}.proposal->'accepted_by' ? s.side "
        "UNION ALL "
        f"SELECT {_other(f'{case}.claimant')}, 'answer', {case}.stage_since, {case}.due_at "
        f"WHERE {case}.stage = 'talk' AND {case}.claimant IS NOT NULL AND {case}.offer IS NULL "
        f"AND NOT EXISTS (SELECT FROM disputes.entry AS m WHERE m.platform_id = {case}.platform_id "
        f"AND m.case_id = {case}.id AND m.actor = {_other(f'{case}.claimant')}) "
        "UNION ALL "
        "SELECT r.side, 'request', r.at, r.due_at FROM disputes.evidence_request AS r "
        f"WHERE r.platform_id = {case}.platform_id AND r.case_id = {case}.id "
        "AND r.answered_at IS NULL "
        "UNION ALL "
        f"SELECT CASE WHEN {case}.returned_at IS NULL THEN 'payer' ELSE 'payee' END, "
        f"CASE WHEN {case}.returned_at IS NULL THEN 'send_back' ELSE 'came_back' END, "
        f"coalesce({case}.returned_at, {case}.stage_since), {case}.due_at "
        f"WHERE {case}.stage = 'returning' "
        "UNION ALL "
        f"SELECT CASE WHEN {case}.returned_at IS NULL THEN 'payee' ELSE 'payer' END, "
        f"CASE WHEN {case}.returned_at IS NULL THEN 'repair' ELSE 'repaired' END, "
        f"coalesce({case}.returned_at, {case}.stage_since), {case}.due_at "
        f"WHERE {case}.stage = 'repairing'"
    )


def reminders(case: str) -> str:
    """Return in SQL what is still to be reminded of in a row ``case``, and at which instant.

    The instant is that of the last reminder of ``service.policies.reminders.schedule``.
    """
    return (
        "SELECT w.side, w.about, w.until, "  # noqa: S608 - names of our own
        f"CASE WHEN w.until - {_LAST} >= w.since + (w.until - w.since) / {QUIET_PART} "
        f"THEN w.until - {_LAST} ELSE w.since + (w.until - w.since) / 2 END AS remind_at "
        f"FROM ({waits(case)}) AS w WHERE w.until > w.since "
        "AND NOT EXISTS (SELECT FROM disputes.entry AS done "
        f"WHERE done.platform_id = {case}.platform_id AND done.case_id = {case}.id "
        f"AND done.type = '{LINE}' AND done.at >= w.since "
        "AND done.data->>'side' = w.side AND done.data->>'about' = w.about)"
    )


def next_at(case: str) -> str:
    """Return in SQL when a row ``case`` has its next reminder, NULL without any."""
    return f"(SELECT min(n.remind_at) FROM ({reminders(case)}) AS n)"  # noqa: S608


# ``until`` ends it: nobody is reminded of what they can no longer do.
_DUE: Final = (
    f"c.due_at > :now AND EXISTS (SELECT FROM ({reminders('c')}) AS n "
    "WHERE n.remind_at <= :now AND n.until > :now)"
)
_PLATFORMS: Final = swept(
    "c.platform_id",
    f"SELECT DISTINCT c.platform_id FROM disputes.case AS c WHERE {_DUE} "  # noqa: S608
    "AND {of_scope}",
)
# The exchange is locked first, as in every use case.
_CLAIM: Final = text(
    "SELECT c.id FROM disputes.case AS c JOIN service.exchange AS e "  # noqa: S608
    "ON e.platform_id = c.platform_id AND e.id = c.subject_id "
    f"WHERE c.platform_id = :platform_id AND {_DUE} "
    "ORDER BY c.id LIMIT :batch FOR NO KEY UPDATE OF e SKIP LOCKED"
)
_WANTED: Final = text(
    "SELECT c.id, n.side, n.about, min(n.until) AS until FROM disputes.case AS c, "  # noqa: S608
    f"LATERAL ({reminders('c')}) AS n WHERE c.platform_id = :platform_id AND c.id = ANY(:ids) "
    "AND c.due_at > :now AND n.remind_at <= :now AND n.until > :now "
    "GROUP BY c.id, n.side, n.about ORDER BY c.id, n.side, n.about"
)

_STILL: Final = text(
    "SELECT EXISTS (SELECT FROM disputes.case AS c, "  # noqa: S608 - names of our own
    f"LATERAL ({waits('c')}) AS w WHERE c.platform_id = :platform_id AND c.id = :case_id "
    "AND c.due_at IS NOT NULL AND w.side = :side AND w.about = :about AND w.until > :now)"
)


def still_waits(
    connection: Connection, platform_id: UUID, case_id: UUID, side: str, about: str, now: datetime
) -> bool:
    """Tell whether a case still waits at ``now`` for what a side was to be reminded of."""
    values = {
        "platform_id": platform_id,
        "case_id": case_id,
        "side": side,
        "about": about,
        "now": now,
    }
    found: bool = connection.execute(_STILL, values).scalar_one()
    return found


def run(engine: Engine, codes: CodeBook, now: datetime, *, only: UUID | None = None) -> int:
    """Send every reminder of a case that is due at ``now``; return how many.

    ``only`` keeps to one platform, which may have a time of its own.
    """
    with db.transaction(engine, db.SYSTEM) as connection:
        platforms = list(connection.scalars(_PLATFORMS, {"now": now, "only": only}))
    return sum(_remind_all(engine, platform_id, Rules(now, codes)) for platform_id in platforms)


def _remind_all(engine: Engine, platform_id: UUID, rules: Rules) -> int:
    """Remind everybody who is to be on one platform; its trouble keeps no other back."""
    sent = 0
    while True:
        try:
            with db.transaction(engine, platform_id) as connection:
                done = _remind(connection, platform_id, rules)
        except Exception as error:  # whatever it is, the others are reminded
            loudly(_log, error)("case_reminders_stopped", platform=str(platform_id), exc_info=error)
            return sent
        sent += done
        if done == 0:
            return sent


def _remind(connection: Connection, platform_id: UUID, rules: Rules) -> int:
    values = {"platform_id": platform_id, "now": rules.now, "batch": BATCH}
    claimed = connection.scalars(_CLAIM, values).all()
    if not claimed:
        return 0
    # Locked first, asked again after: whoever held it may have answered.
    found = store.load(connection, platform_id, claimed, lock=True)
    wanted: dict[UUID, list[RowMapping]] = {}
    for row in connection.execute(_WANTED, values | {"ids": list(claimed)}).mappings():
        wanted.setdefault(row["id"], []).append(row)
    moves = [
        Move(replace(found[one], version=found[one].version + 1), _entries(rows))
        for one, rows in wanted.items()
    ]
    store.update(connection, platform_id, moves, rules.now)
    cases.tell(connection, platform_id, list(wanted), rules)
    return sum(len(move.entries) for move in moves)


def _entries(rows: Sequence[RowMapping]) -> list[Entry]:
    return [
        Entry(
            LINE,
            "clock",
            {"side": row["side"], "about": row["about"], "due_at": row["until"].isoformat()},
        )
        for row in rows
    ]
