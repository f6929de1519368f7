"""Which days of which books are to be reconciled, and the task that does it.

A day is reconciled once it is over in UTC. What could not be (the provider did not answer, nobody
worked) stays due: the runs that are written say where to go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, text

from service import db
from service.operations.dead_letters import loudly
from service.payments import reconcile
from service.payments.port import ProviderUnavailable
from service.payments.providers import Providers
from service.platforms import clocks

_log = structlog.get_logger(__name__)

#: How far back missed days are caught up with by themselves; older ones by ``tierce reconcile``.
CATCH_UP: Final = 31
#: A day is left alone this long after its end: the word on its last payments is still on its way,
#: and what webhooks lost comes with the next poll.
SETTLING: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Books:
    """A platform's money at a provider, there since ``first``; ``last``: reconciled until then."""

    platform_id: UUID
    provider: str
    first: date
    last: date | None


_BOOKS: Final = text(
    """
    SELECT b.platform_id, b.provider, min(b.first) AS first,
           (SELECT max(r.day) FROM service.reconciliation_run r
            WHERE r.platform_id = b.platform_id AND r.provider = b.provider
              AND r.finished_at IS NOT NULL) AS last
    FROM (SELECT p.id AS platform_id, 'sandbox' AS provider,
                 (a.opened_at AT TIME ZONE 'UTC')::date AS first
          FROM service.platform p JOIN ledger.account a
            ON a.platform_id = p.id AND a.path = 'provider:sandbox'
          UNION ALL
          SELECT platform_id, provider, (connected_at AT TIME ZONE 'UTC')::date
          FROM service.provider_connection) b
    WHERE CAST(:platform_id AS uuid) IS NULL OR b.platform_id = :platform_id
    GROUP BY b.platform_id, b.provider ORDER BY b.platform_id, b.provider
    """
)


def books(connection: Connection, platform_id: UUID | None = None) -> list[Books]:
    """Return one platform's money at providers, or everybody's (in the system's scope)."""
    rows = connection.execute(_BOOKS, {"platform_id": platform_id})
    return [Books(*row) for row in rows]


def days(one: Books, now: datetime) -> Iterator[date]:
    """Yield the days, oldest first, that have settled by ``now`` and were not reconciled yet."""
    yesterday = (now - SETTLING).astimezone(UTC).date() - _DAY
    after_last = one.first if one.last is None else one.last + _DAY
    day = max(after_last, yesterday - (CATCH_UP - 1) * _DAY)
    while day <= yesterday:
        yield day
        day += _DAY


def run(engine: Engine, providers: Providers, now: datetime, *, only: UUID | None = None) -> int:
    """Reconcile every day that is due, and look for what heals; return how many days were done.

    One platform's trouble does not keep the others back: its day stays due. ``only`` keeps to one
    platform, which may have a time of its own.
    """
    with db.transaction(engine, db.SYSTEM) as connection:
        found = books(connection, only)
        if only is None:  # what has a time of its own is reconciled in it, alone
            own = clocks.owners(connection)
            found = [one for one in found if one.platform_id not in own]
    return sum(_run(engine, providers, one, now) for one in found)


def _run(engine: Engine, providers: Providers, one: Books, now: datetime) -> int:
    done = 0
    log = _log.bind(platform=str(one.platform_id), provider=one.provider)
    try:
        reconcile.heal(engine, one.provider, one.platform_id, now)
        for day in days(one, now):
            made = reconcile.reconcile(engine, providers[one.provider], one.platform_id, day, now)
            wrong = made.ours_only + made.theirs_only + made.amount_differs
            log.info("reconciled", day=day.isoformat(), matched=made.matched, wrong=wrong)
            done += 1
    except ProviderUnavailable as error:
        log.warning("reconcile_put_off", error=str(error))
    except Exception as error:  # whatever it is, it must not keep the others waiting
        loudly(log, error)("reconcile_put_off", exc_info=error)
    return done
