"""Take the steps of cases whose time has come, through the same use case as everybody's steps.

Several workers share the work: each takes the cases whose exchange no other holds. A case that
cannot be taken further keeps no other back, and ends as a dead letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, text

from disputes import store
from disputes.cases import clock_step
from disputes.commands import Command
from disputes.model import Case
from ledger.refusals import Refusal
from service import db
from service.exchanges import cases
from service.exchanges.codes import CodeBook
from service.exchanges.decide import Rules
from service.ids import decode, encode, uuid7
from service.operations import dead_letters, metrics
from service.operations.dead_letters import MOST_FAILURES, NEVER, again_after, is_passing, loudly
from service.platforms.clocks import swept

_log = structlog.get_logger(__name__)

#: How many cases one transaction moves.
BATCH: Final = 100
#: A case whose step was refused, though it is due, is looked at again after this long.
_AGAIN: Final = timedelta(minutes=1)


def due(case: str) -> str:
    """Return in SQL when the clock has something to do in a row ``case`` of ``disputes.case``."""
    # LEAST passes over what is NULL.
    return (
        f"least({case}.due_at, CASE WHEN {case}.stage IN "
        f"('talk', 'mediation', 'decision', 'second_look') THEN {case}.decide_by END)"
    )


def tried(case: str) -> str:
    """Return the same, but for a case that failed as it stands: then when it is tried again."""
    return (
        f"greatest({due(case)}, (SELECT s.try_at FROM service.case_stuck AS s "  # noqa: S608 - ours
        f"WHERE s.platform_id = {case}.platform_id AND s.case_id = {case}.id "
        f"AND s.version = {case}.version))"
    )


#: The first by an index.
_DUE: Final = f"c.due_at IS NOT NULL AND {due('c')} <= :now AND {tried('c')} <= :now"
_PLATFORMS: Final = swept(
    "c.platform_id",
    f"SELECT DISTINCT c.platform_id FROM disputes.case AS c WHERE {_DUE} "  # noqa: S608
    "AND {of_scope}",
)
# The exchange is locked first, as in every use case; a lock on the case before it could deadlock.
_CLAIM: Final = text(
    "SELECT c.id FROM disputes.case AS c JOIN service.exchange AS e "  # noqa: S608 - ours
    "ON e.platform_id = c.platform_id AND e.id = c.subject_id "
    f"WHERE c.platform_id = :platform_id AND {_DUE} "
    f"ORDER BY {due('c')}, c.id LIMIT :batch FOR NO KEY UPDATE OF e SKIP LOCKED"
)
_PUT_OFF: Final = text(
    "INSERT INTO service.case_stuck AS s (platform_id, case_id, version, failures, try_at) "
    "SELECT c.platform_id, c.id, c.version, :failures, :try_at FROM disputes.case AS c "
    "WHERE c.platform_id = :platform_id AND c.id = :case_id "
    "ON CONFLICT (platform_id, case_id) DO UPDATE SET version = excluded.version, "
    "failures = excluded.failures, try_at = excluded.try_at"
)
_FAILURES: Final = text(
    "SELECT s.failures FROM service.case_stuck AS s JOIN disputes.case AS c "
    "ON c.platform_id = s.platform_id AND c.id = s.case_id AND c.version = s.version "
    "WHERE s.platform_id = :platform_id AND s.case_id = :case_id"
)
_TAKE_UP: Final = text(
    "UPDATE service.case_stuck SET failures = 0, try_at = :now "
    "WHERE platform_id = :platform_id AND case_id = :case_id AND try_at > :now"
)


def run(engine: Engine, codes: CodeBook, now: datetime, *, only: UUID | None = None) -> int:
    """Take every step of the clock that is due in a case at ``now``; return how many were taken.

    ``only`` keeps to one platform, which may have a time of its own. Running late, twice or in
    several workers at once is harmless: the step's own check decides.
    """
    with db.transaction(engine, db.SYSTEM) as connection:
        values = {"now": now, "only": only}
        platforms = list(connection.scalars(_PLATFORMS, values))
    return sum(_take_all(engine, platform_id, Rules(now, codes)) for platform_id in platforms)


def _take_all(engine: Engine, platform_id: UUID, rules: Rules) -> int:
    """Take everything due on one platform. One case's trouble does not keep the others back."""
    taken, batch = 0, BATCH
    while True:
        tried: list[UUID] = []
        try:
            with db.transaction(engine, platform_id) as connection:
                claimed, steps = _take(connection, platform_id, rules, batch, tried)
        except Exception as error:  # whatever it is, the others' deadlines hold
            loudly(_log, error)("case_clocks_stopped", platform=str(platform_id), exc_info=error)
            if not tried:
                return taken  # no case is to blame; the next round comes in a moment
            batch = max(1, min(batch, len(tried)) // 2)  # until the guilty one stands alone
            if len(tried) == 1:
                with db.transaction(engine, platform_id) as connection:
                    _failed(connection, platform_id, tried[0], error, rules.now)
                batch = BATCH
            continue
        for step, late in steps:
            metrics.timers_fired.labels(f"case.{step}").inc()
            metrics.timers_late.observe(late.total_seconds())
        taken += len(steps)
        if claimed == 0:
            return taken


def _take(
    connection: Connection, platform_id: UUID, rules: Rules, batch: int, tried: list[UUID]
) -> tuple[int, list[tuple[str, timedelta]]]:
    """Take a batch; return how many were claimed, and which steps were taken how late.

    ``tried`` tells which were claimed, also when it fails.
    """
    values = {"platform_id": platform_id, "now": rules.now, "batch": batch}
    tried += connection.scalars(_CLAIM, values).all()
    found = store.load(connection, platform_id, tried, lock=False)
    wanted = {one: clock_step(case, rules.now) for one, case in found.items()}
    commands = [(one, Command(step, uuid7())) for one, step in wanted.items() if step is not None]
    outcomes = cases.act(connection, platform_id, commands, rules) if commands else []
    done = []
    for (case_id, command), outcome in zip(commands, outcomes, strict=True):
        if isinstance(outcome, Refusal):
            _log.error("case_step_refused", case=str(case_id), code=outcome.code)
            wanted[case_id] = None
        else:
            done.append((command.step, rules.now - _was_due(found[case_id], command.step)))
    for case_id in [one for one, step in wanted.items() if step is None]:
        put_off = {"case_id": case_id, "failures": 0, "try_at": rules.now + _AGAIN}
        connection.execute(_PUT_OFF, {"platform_id": platform_id, **put_off})
    return len(tried), done


def _was_due(case: Case, step: str) -> datetime:
    return case.decide_by if step == "reach_limit" else case.due_at


def _failed(
    connection: Connection, platform_id: UUID, case_id: UUID, error: Exception, now: datetime
) -> None:
    """Put a case off that could not be taken further, after all the others, or give it up."""
    key = {"platform_id": platform_id, "case_id": case_id}
    before = connection.execute(_FAILURES, key).scalar_one_or_none() or 0
    passing = is_passing(error)
    failures = before if passing else before + 1
    given_up = not passing and failures >= MOST_FAILURES
    try_at = NEVER if given_up else now + again_after(1 if passing else failures)
    connection.execute(_PUT_OFF, {**key, "failures": failures, "try_at": try_at})
    if given_up:
        subject = {"case": encode("case", case_id)}
        dead_letters.record(connection, platform_id, "case", subject, error, now, failures)


def _again(
    connection: Connection, platform_id: UUID, subject: Mapping[str, Any], now: datetime
) -> bool:
    values = {"platform_id": platform_id, "case_id": decode("case", subject["case"]), "now": now}
    return connection.execute(_TAKE_UP, values).rowcount == 1


dead_letters.register("case", _again)
