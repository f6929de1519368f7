"""Fire what is due: the clock's steps, through the same use case and checks as everybody's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, TextClause, text

from ledger.refusals import Refusal
from service import db
from service.exchanges import poison, store
from service.exchanges.advance import advance
from service.exchanges.codes import CodeBook
from service.exchanges.commands import CLOCK, Command
from service.exchanges.deadlines import running
from service.exchanges.decide import Rules
from service.operations import metrics
from service.operations.dead_letters import loudly
from service.platforms.clocks import swept

_log = structlog.get_logger(__name__)

#: How many exchanges one transaction moves.
BATCH: Final = 200
#: A step that waits for another of the clock's is looked at again after this long.
_AGAIN: Final = timedelta(minutes=1)
#: One that waits for a reminder to arrive, which may take days, is looked at again after this.
_SOON: Final = timedelta(hours=1)

_PLATFORMS: Final = swept(
    "timer.platform_id",
    "SELECT DISTINCT platform_id FROM (SELECT platform_id FROM service.timer "
    "WHERE due_at <= :now AND {of_scope} ORDER BY due_at LIMIT 10000) AS due",
)
# Several workers share the work: each takes what no other holds. The lock is the exchange's own, as
# in every use case; a lock on the timer rows would meet a step that rewrites them, and deadlock.
_CLAIM: Final = text(
    "SELECT t.exchange_id, t.step, t.due_at FROM service.timer AS t JOIN service.exchange AS e "
    "ON e.platform_id = t.platform_id AND e.id = t.exchange_id "
    "WHERE t.platform_id = :platform_id AND t.due_at <= :now "
    "ORDER BY t.due_at, t.exchange_id, t.step LIMIT :batch FOR NO KEY UPDATE OF e SKIP LOCKED"
)
_MOVE: Final = text(
    "UPDATE service.timer AS t SET due_at = d.at FROM unnest(CAST(:ids AS uuid[]), "
    "CAST(:steps AS text[]), CAST(:at AS timestamptz[])) AS d(exchange_id, step, at) "
    "WHERE t.platform_id = :platform_id AND t.exchange_id = d.exchange_id AND t.step = d.step "
    "AND t.due_at <= :now"
)
_DROP: Final = text(
    "DELETE FROM service.timer AS t "
    "USING unnest(CAST(:ids AS uuid[]), CAST(:steps AS text[])) AS d(exchange_id, step) "
    "WHERE t.platform_id = :platform_id AND t.exchange_id = d.exchange_id AND t.step = d.step "
    # One that was moved to a later instant meanwhile is not the one that was refused.
    "AND t.due_at <= :now"
)


def run(engine: Engine, codes: CodeBook, now: datetime, *, only: UUID | None = None) -> int:
    """Take every step of the clock that is due at ``now``; return how many were taken.

    ``only`` keeps to one platform, which may have a time of its own. Running late, twice or in
    several workers at once is harmless: the step's own check decides.
    """
    with db.transaction(engine, db.SYSTEM) as connection:
        due = [
            row.platform_id for row in connection.execute(_PLATFORMS, {"now": now, "only": only})
        ]
    return sum(_fire_all(engine, platform_id, Rules(now, codes)) for platform_id in due)


def _fire_all(engine: Engine, platform_id: UUID, rules: Rules) -> int:
    """Fire everything due on one platform. One exchange's trouble does not keep the others back."""
    taken, batch = 0, BATCH
    while True:
        tried: list[tuple[UUID, str]] = []
        try:
            with db.transaction(engine, platform_id) as connection:
                claimed, fired = _fire(connection, platform_id, rules, batch, tried)
        except Exception as error:  # whatever it is, the others' deadlines hold
            loudly(_log, error)("timers_stopped", platform=str(platform_id), exc_info=error)
            if not tried:
                return taken  # no row is to blame; the next round comes in a moment
            batch = max(1, min(batch, len(tried)) // 2)  # until the guilty one stands alone
            if len(tried) == 1:
                with db.transaction(engine, platform_id) as connection:
                    poison.timer_failed(connection, platform_id, *tried[0], error, rules.now)
                batch = BATCH
            continue
        for step, late in fired:
            metrics.timers_fired.labels(step).inc()
            metrics.timers_late.observe(late.total_seconds())
        taken += len(fired)
        if claimed == 0:
            return taken


def _fire(
    connection: Connection,
    platform_id: UUID,
    rules: Rules,
    batch: int,
    tried: list[tuple[UUID, str]],
) -> tuple[int, list[tuple[str, timedelta]]]:
    """Take a batch; return how many were claimed, and what was taken and how late.

    ``tried`` tells which were claimed, also when it fails.
    """
    rows = connection.execute(
        _CLAIM, {"platform_id": platform_id, "now": rules.now, "batch": batch}
    ).all()
    if not rows:
        return 0, []
    tried += [(row.exchange_id, row.step) for row in rows]
    # An exchange takes its earliest step; what is due after it comes with the next round.
    first = {row.exchange_id: row for row in reversed(rows)}
    commands = [Command(row.exchange_id, row.step, CLOCK) for row in first.values()]
    outcomes = advance(connection, platform_id, commands, rules)
    refused = [
        (command, outcome)
        for command, outcome in zip(commands, outcomes, strict=True)
        if isinstance(outcome, Refusal)
    ]
    _put_right(connection, platform_id, refused, rules.now)
    fired = [
        (row.step, rules.now - row.due_at)
        for row, outcome in zip(first.values(), outcomes, strict=True)
        if not isinstance(outcome, Refusal)
    ]
    return len(commands), fired


def _put_right(
    connection: Connection,
    platform_id: UUID,
    refused: Sequence[tuple[Command, Refusal]],
    now: datetime,
) -> None:
    """Bring a timer whose step was refused to when the step is due now, or remove it.

    What is around an exchange moves its deadlines without touching its rows: a pause of a member,
    an outage, a reminder that came back.
    """
    if not refused:
        return
    exchanges = store.load(
        connection, platform_id, [command.exchange_id for command, _ in refused], lock=False
    )
    moved, gone = [], []
    for command, refusal in refused:
        exchange = exchanges.get(command.exchange_id)
        line = None if exchange is None else running(exchange).get(command.step)
        if exchange is not None and line is not None:
            if exchange.around.unreached:  # whoever is reached after all has less time again
                line = min(line, now + _SOON)
            patience = _SOON if exchange.around.on_its_way else _AGAIN
            moved.append((command, max(line, now + patience)))
            continue
        # It has outlived its exchange's state.
        _log.error(
            "timer_refused",
            exchange=str(command.exchange_id),
            step=command.step,
            code=refusal.code,
        )
        gone.append(command)
    _change(connection, _MOVE, platform_id, now, [c for c, _ in moved], at=[at for _, at in moved])
    _change(connection, _DROP, platform_id, now, gone)


def _change(
    connection: Connection,
    statement: TextClause,
    platform_id: UUID,
    now: datetime,
    commands: Sequence[Command],
    **more: object,
) -> None:
    if commands:
        connection.execute(
            statement,
            {
                "platform_id": platform_id,
                "now": now,
                "ids": [command.exchange_id for command in commands],
                "steps": [command.step for command in commands],
                **more,
            },
        )
