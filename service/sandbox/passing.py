"""Let time pass on one sandbox: from one instant at which something is due to the next.

The clock stands at each of them while everything due there is done, for this platform alone and one
thing after the other, in an order that depends on nothing but the rows. So the same acts and the
same moves give the same history, however fast the machine is, and one move of ninety days gives
what ninety moves of a day give.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, RowMapping, text

from service import db
from service.exchanges import case_clocks, case_reminders, sweep, timers
from service.exchanges.desk import Desk
from service.ids import uuid7
from service.payments import daily
from service.platforms import clocks
from service.sandbox import due, scripts
from service.sandbox.refusals import ClockCannotGoBack, ClockIsMoving, TooFarAhead

_log = structlog.get_logger(__name__)

#: The most that a clock is moved at once, and the furthest that it may be ahead of the real one.
MOST_AT_ONCE: Final = timedelta(days=400)
MOST_AHEAD: Final = timedelta(days=3650)
#: One move stops after so many instants, or so many seconds of work; another goes on from there.
MOST_INSTANTS: Final = 2_000
MOST_SECONDS: Final = 20.0
#: Nothing that is due takes this many rounds: what it sets off is due later, or never ends.
_MOST_ROUNDS: Final = 200
#: How long a move waits for the worker to end its round on the same platform.
_PATIENCE: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Advance:
    """A move of a clock: from ``since`` towards ``target``; ``reached`` so far (None: not begun).

    ``from_tx``: no event of it was written by an older transaction.
    """

    id: UUID
    since: datetime
    target: datetime
    from_tx: str
    reached: datetime | None


def begin(
    connection: Connection,
    platform_id: UUID,
    now: datetime,
    real: datetime,
    *,
    by: timedelta | None = None,
    to: datetime | None = None,
) -> UUID:
    """Write down that the clock is to be moved, ``by`` a time or ``to`` an instant; return its id.

    Args:
        now: what time it is on the platform.
        real: what time it is for the machine.

    Raises:
        ClockCannotGoBack: the instant is not later than now.
        TooFarAhead: further than :data:`MOST_AT_ONCE`, or beyond :data:`MOST_AHEAD`.
    """
    wanted = (to - now) if by is None and to is not None else by
    assert wanted is not None
    if wanted <= timedelta():
        raise ClockCannotGoBack(
            f"It is {_said(now)} on this sandbox; its clock goes forward only.", now=_said(now)
        )
    if wanted > MOST_AT_ONCE or now + wanted - real > MOST_AHEAD:
        raise TooFarAhead(
            f"A clock is moved {MOST_AT_ONCE.days} days at most at once, and no further than "
            f"{MOST_AHEAD.days} days ahead of the real one.",
            most_days_at_once=MOST_AT_ONCE.days,
            most_days_ahead=MOST_AHEAD.days,
        )
    advance_id = uuid7()
    connection.execute(
        text(
            "INSERT INTO service.clock_advance (platform_id, id, since, target, from_tx) VALUES "
            "(:platform_id, :id, :since, :target, pg_snapshot_xmin(pg_current_snapshot()))"
        ),
        {"platform_id": platform_id, "id": advance_id, "since": now, "target": now + wanted},
    )
    return advance_id


def find(connection: Connection, platform_id: UUID, advance_id: UUID) -> Advance:
    """Return a move that :func:`begin` wrote down."""
    row = connection.execute(
        text(
            "SELECT id, since, target, from_tx::text AS from_tx, reached "
            "FROM service.clock_advance WHERE platform_id = :platform_id AND id = :id"
        ),
        {"platform_id": platform_id, "id": advance_id},
    ).one()
    return Advance(*row)


def fired(connection: Connection, platform_id: UUID, move: Advance, limit: int) -> list[RowMapping]:
    """Return up to ``limit`` events of a move, in the order in which they were written.

    Whoever wrote them: the events themselves tell, so nothing is missing.
    """
    rows = connection.execute(
        text(
            "SELECT id, type, exchange_id, member_id, sequence, at FROM service.event "
            "WHERE platform_id = :platform_id AND tx >= CAST(:from_tx AS xid8) "
            "AND at >= :since AND at <= :reached ORDER BY at, tx, id LIMIT :limit"
        ),
        {
            "platform_id": platform_id,
            "from_tx": move.from_tx,
            "since": move.since,
            "reached": move.reached,
            "limit": limit,
        },
    )
    return list(rows.mappings())


def carry_out(
    desk: Desk, platform_id: UUID, advance_id: UUID, real: Callable[[], datetime]
) -> None:
    """Move the clock as far as one call goes, doing everything that is due on the way.

    A move that was broken off is gone on with; one that has come as far as it goes stays.

    Raises:
        ClockIsMoving: another call moves the same clock.
    """
    with _held(desk, platform_id):
        with db.transaction(desk.engine, platform_id) as connection:
            move = find(connection, platform_id, advance_id)
        if move.reached is not None:
            return
        reached = _move(desk, platform_id, move.target, real)
        with db.transaction(desk.engine, platform_id) as connection:
            clocks.go_on(connection, platform_id)
            connection.execute(
                text(
                    "UPDATE service.clock_advance SET reached = :reached "
                    "WHERE platform_id = :platform_id AND id = :id"
                ),
                {"platform_id": platform_id, "id": advance_id, "reached": reached},
            )


@contextmanager
def _held(desk: Desk, platform_id: UUID) -> Iterator[None]:
    """Keep other moves of this clock out, then wait for the worker to end what it does here."""
    with db.alone(desk.engine, f"advance:{platform_id}") as mine:
        if not mine:
            raise ClockIsMoving("This clock is being moved; move it again after that.")
        with db.alone(desk.engine, _work(platform_id), _PATIENCE) as free:
            if not free:
                raise ClockIsMoving("The worker is busy on this platform; try again in a moment.")
            yield


def _work(platform_id: UUID) -> str:
    return f"work:{platform_id}"


def _move(
    desk: Desk, platform_id: UUID, target: datetime, real: Callable[[], datetime]
) -> datetime:
    """Go from instant to instant; return how far it came. The clock stands there."""
    until = time.monotonic() + MOST_SECONDS
    at = _stand(desk, platform_id, real(), None)
    do_all(desk, platform_id, at)
    for _ in range(MOST_INSTANTS):
        with db.transaction(desk.engine, platform_id) as connection:
            soon = due.next_after(connection, platform_id, at)
        if soon is None or soon > target:
            return _stand(desk, platform_id, real(), target)
        if time.monotonic() > until:
            break
        at = _stand(desk, platform_id, real(), soon)
        do_all(desk, platform_id, at)
    return at


def _stand(desk: Desk, platform_id: UUID, real: datetime, at: datetime | None) -> datetime:
    with db.transaction(desk.engine, platform_id) as connection:
        return clocks.stand(connection, platform_id, real, at)


def do_all(desk: Desk, platform_id: UUID, at: datetime) -> int:
    """Do everything that is due on a platform at ``at``, and what that sets off; return how much.

    First what its members do, then what time does to them: whoever acts at the last instant is in
    time.
    """
    done = 0
    for _ in range(_MOST_ROUNDS):
        before = done
        done += sweep.run(desk, at, platform_id)
        done += scripts.run(desk, at, platform_id)
        done += timers.run(desk.engine, desk.codes, at, only=platform_id)
        done += case_clocks.run(desk.engine, desk.codes, at, only=platform_id)
        done += case_reminders.run(desk.engine, desk.codes, at, only=platform_id)
        if done == before:
            break
    else:
        _log.critical("instant_without_end", platform=str(platform_id), at=_said(at))
    with db.transaction(desk.engine, platform_id) as connection:
        over = due.day_over(connection, platform_id)
    if over is not None and over <= at:
        done += daily.run(desk.engine, desk.providers, at, only=platform_id)
    return done


def work(desk: Desk, real: Callable[[], datetime]) -> int:
    """Do what is due on the platforms with a clock of their own, and what scripts say.

    Each platform in its own time; one whose clock is being moved is left to whoever moves it.
    """
    with db.transaction(desk.engine, db.SYSTEM) as connection:
        found = [*due.moved(connection, real()), *scripts.waiting(connection, real())]
    return _work_on(desk, list(dict.fromkeys(found)), real)


def reconcile(desk: Desk, real: Callable[[], datetime]) -> None:
    """Compare the providers' books of the days that are over with ours, wherever one is over.

    Platforms in real time together, and each with a clock of its own in its time.
    """
    daily.run(desk.engine, desk.providers, real())
    with db.transaction(desk.engine, db.SYSTEM) as connection:
        found = sorted(clocks.owners(connection))
    _work_on(desk, found, real)


def _work_on(desk: Desk, platforms: Sequence[UUID], real: Callable[[], datetime]) -> int:
    done = 0
    for platform_id in platforms:
        with db.alone(desk.engine, _work(platform_id)) as mine:
            if not mine:
                continue
            with db.transaction(desk.engine, platform_id) as connection:
                at = clocks.now_at(connection, platform_id, real())
            done += do_all(desk, platform_id, at)
    return done


def _said(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
