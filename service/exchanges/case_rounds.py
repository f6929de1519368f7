"""What the worker does for cases beside their clocks: find people, sample, tell what is untold.

Mediators are people of the instance and serve several platforms, so these rounds go over all
platforms, each in its own time. Twice, late or in several workers at once is harmless.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, TextClause, text

from disputes import hand_over, redecisions, step_aside, store
from disputes.queue import WAITS
from service import db
from service.exchanges import cases
from service.exchanges.codes import CodeBook
from service.exchanges.decide import Rules
from service.platforms import clocks

_log = structlog.get_logger(__name__)

#: How many cases of a platform one transaction takes.
BATCH: Final = 100
#: A decision is put to the lot within this time, or never: it must not depend on what came of it.
SAMPLED_WITHIN: Final = timedelta(days=7)

_WAITING: Final = text(
    f"SELECT DISTINCT c.platform_id FROM disputes.case AS c WHERE {WAITS} "  # noqa: S608 - ours
    "AND EXISTS (SELECT FROM disputes.pool_platform AS p WHERE p.platform_id = c.platform_id)"
)
_TIED: Final = text("SELECT DISTINCT platform_id FROM disputes.tied(NULL, NULL)")
_UNTOLD: Final = (
    "FROM service.exchange AS e JOIN disputes.case AS c "
    "ON c.platform_id = e.platform_id AND c.id = e.case_id "
    "WHERE e.case_id IS NOT NULL AND e.case_told < c.entries"
)
_UNTOLD_PLATFORMS: Final = text(f"SELECT DISTINCT e.platform_id {_UNTOLD}")
_UNTOLD_CASES: Final = text(
    f"SELECT c.id {_UNTOLD} AND e.platform_id = :platform_id "
    "ORDER BY e.id LIMIT :batch FOR NO KEY UPDATE OF e SKIP LOCKED"
)
_UNSAMPLED: Final = (
    "FROM disputes.case AS c WHERE c.ruling IS NOT NULL AND c.stage IN ('appealable', 'closed') "
    "AND coalesce(c.closed_at, 'infinity') > CAST(:now AS timestamptz) - CAST(:within AS interval) "
    "AND NOT EXISTS (SELECT FROM service.sampled_ruling AS s WHERE s.platform_id = c.platform_id "
    "AND s.ruling_id = CAST(c.ruling->>'id' AS uuid))"
)
_UNSAMPLED_PLATFORMS: Final = text(f"SELECT DISTINCT c.platform_id {_UNSAMPLED}")
# Whoever writes the row puts the decision to the lot: two workers do not give it two chances.
_SAMPLE: Final = text(
    "INSERT INTO service.sampled_ruling (platform_id, case_id, ruling_id, at) "
    "SELECT c.platform_id, c.id, CAST(c.ruling->>'id' AS uuid), :now "
    f"{_UNSAMPLED} AND c.platform_id = :platform_id ORDER BY c.id LIMIT :batch "
    "ON CONFLICT (platform_id, ruling_id) DO NOTHING RETURNING case_id"
)

#: Does one round's work on a platform at its time; returns how many cases it changed.
_Work = Callable[[Connection, UUID, datetime], int]


def tell(
    engine: Engine, codes: CodeBook, real: Callable[[], datetime], only: UUID | None = None
) -> int:
    """Tell platforms of journal lines that were written by themselves; return of how many cases.

    ``only`` keeps to one platform.
    """

    def work(connection: Connection, platform_id: UUID, now: datetime) -> int:
        values = {"platform_id": platform_id, "batch": BATCH}
        found = list(connection.scalars(_UNTOLD_CASES, values))
        if found:
            cases.tell(connection, platform_id, found, Rules(now, codes))
        return len(found)

    return _over(engine, "tell", _platforms(engine, _UNTOLD_PLATFORMS, only), work, real)


def find_people(
    engine: Engine, codes: CodeBook, real: Callable[[], datetime], only: UUID | None = None
) -> int:
    """Draw for cases that wait for somebody, and tell of it; return how many found somebody.

    Whoever has a case to which they declared a tie since leaves it before, and others are drawn.
    """

    def part(connection: Connection, platform_id: UUID, now: datetime) -> int:
        moved = step_aside.run(connection, platform_id, lambda: os.urandom(32), now, limit=BATCH)
        return len(moved)

    def work(connection: Connection, platform_id: UUID, now: datetime) -> int:
        seated = hand_over.draw_again(
            connection, platform_id, lambda: os.urandom(32), now, limit=BATCH
        )
        return len(seated)

    found = _over(engine, "step_aside", _platforms(engine, _TIED, only), part, real)
    found += _over(engine, "find_people", _platforms(engine, _WAITING, only), work, real)
    if found:
        tell(engine, codes, real, only)
    return found


def sample(engine: Engine, real: Callable[[], datetime], only: UUID | None = None) -> int:
    """Put each new decision to the lot, once: a few are decided again by somebody else.

    Returns how many decisions were put to it. Which are taken depends on the random seed alone.
    """

    def work(connection: Connection, platform_id: UUID, now: datetime) -> int:
        values = {"platform_id": platform_id, "now": now, "within": SAMPLED_WITHIN, "batch": BATCH}
        wanted = connection.scalars(_SAMPLE, values).all()
        for case in store.load(connection, platform_id, wanted, lock=True).values():
            redecisions.begin(connection, case, os.urandom(32), now)
        return len(wanted)

    within = {"now": real(), "within": SAMPLED_WITHIN}
    platforms = _platforms(engine, _UNSAMPLED_PLATFORMS, only, **within)
    return _over(engine, "sample", platforms, work, real)


def _platforms(
    engine: Engine, query: TextClause, only: UUID | None, **values: Any
) -> Sequence[UUID]:
    if only is not None:
        return [only]
    with db.transaction(engine, db.SYSTEM) as connection:
        return connection.scalars(query, values).all()


def _over(
    engine: Engine,
    what: str,
    platforms: Sequence[UUID],
    work: _Work,
    real: Callable[[], datetime],
) -> int:
    """Do ``work`` on each platform in its own time, once; one's trouble keeps no other back."""
    done = 0
    for platform_id in platforms:
        try:
            with db.transaction(engine, platform_id) as connection:
                clocks.hold(connection, platform_id)
                done += work(
                    connection, platform_id, clocks.now_at(connection, platform_id, real())
                )
        except Exception as error:  # whatever it is, the others go on; the next round tries again
            _log.error("case_round_failed", round=what, platform=str(platform_id), exc_info=error)
    return done
