"""What a page of the mediators' queue costs beside a million open cases, and beside a thousand.

Two databases of one server. All cases are open, which no platform has: closed ones would be left
out by every index. Sixty are the asking mediator's, one in ten waits for somebody, and all the
others are somebody else's.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

from sqlalchemy import Engine

from disputes import mediators, queue
from disputes.queue import Filters, Whose
from migrations.run import upgrade
from service import db
from service.ids import uuid7
from service.local import EmbeddedPostgres
from service.platforms import platforms
from tests.bench.line import Line, Part, most
from tests.bench.timers import superuser
from tests.disputes.people import a_mediator

_MINE: Final = 60
_PAGE: Final = 50
_WARM: Final = 3
_TIMES: Final = 5

_FILL: Final = (
    "SET session_replication_role = replica",
    "INSERT INTO disputes.case (platform_id, id, subject_id, kind, cause, reason, claimant,"
    " payer_id, payee_id, lines, stage, stage_since, due_at, decide_by, opened_at, version, file,"
    " file_hash, gentle, mediator_id, left_ids, challenges, entries)"
    " SELECT %(platform)s, uuidv7(), gen_random_uuid(), 'sale', 'claim', 'not_as_described',"
    " 'payer', gen_random_uuid(), gen_random_uuid(),"
    " jsonb_build_array(jsonb_build_object('id', gen_random_uuid(), 'unit', 'EUR',"
    " 'amount', n)), 'mediation', %(at)s, %(at)s + n * interval '1 second',"
    " %(at)s + interval '60 days', %(at)s, 1, '{}', repeat('0', 64), n %% 7 = 0,"
    " CASE WHEN n <= %(mine)s THEN %(me)s::uuid WHEN n %% 10 <> 0 THEN %(other)s::uuid END,"
    " '{}', '[]', 1 FROM generate_series(1, %(cases)s) AS n",
    "INSERT INTO disputes.assignment (platform_id, case_id, mediator_id, part, how, seed,"
    " eligible, excluded, at)"
    " SELECT platform_id, id, mediator_id, 'mediator', 'draw', sha256('seed'),"
    " ARRAY[mediator_id], '{}', %(at)s FROM disputes.case WHERE mediator_id IS NOT NULL",
    "RESET session_replication_role",
    "VACUUM ANALYZE disputes.case, disputes.assignment",
)


class Place:
    """A database with so many open cases."""

    def __init__(self, server: EmbeddedPostgres, name: str, cases: int) -> None:
        with superuser(server, "postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER tierce")
        url = server.url_of(name)
        upgrade(url)
        self._engine: Final[Engine] = db.create_engine(url, pool_size=1)
        now, pool_id = datetime.now(UTC), uuid7()
        me, other = (a_mediator(roles=frozenset({"mediator", "supervisor"})) for _ in range(2))
        self._me: Final = me.id
        with db.transaction(self._engine, db.SYSTEM) as connection:
            _live, sandbox = platforms.create(connection, "Bench", now)
            mediators.make_pool(connection, pool_id, "Bench", now)
            mediators.serve(connection, pool_id, sandbox.id)
            for one in (me, other):
                mediators.add(connection, one)
            mediators.put_in_pool(connection, pool_id, [me.id, other.id])
        facts = {
            "platform": sandbox.id,
            "cases": cases,
            "mine": _MINE,
            "me": me.id,
            "other": other.id,
            "at": now,
        }
        with superuser(server, name) as owner:
            for statement in _FILL:
                owner.execute(statement, facts if "%(" in statement else None)

    def close(self) -> None:
        """Let the connections go."""
        self._engine.dispose()

    def time(self, whose: Whose) -> float:
        """Read the first page and the next; return the seconds they took."""
        began = time.perf_counter()
        with db.transaction(self._engine, db.SYSTEM) as connection:
            filters = Filters(whose=whose)
            first = queue.page(connection, self._me, filters, limit=_PAGE)
            second = queue.page(connection, self._me, filters, after=first[-1], limit=_PAGE)
        took = time.perf_counter() - began
        if len(first) != _PAGE or not second or first[-1].due_at >= second[0].due_at:
            raise RuntimeError(f"the queue has {len(first)} and {len(second)} cases on its pages")
        return took


def measure(
    server: EmbeddedPostgres, *, few: int, many: int, rounds: int
) -> dict[Whose, tuple[float, float]]:
    """Return the median seconds of two pages, beside many cases and beside few, by whose."""
    places = [Place(server, "queue_few", few), Place(server, "queue_many", many)]
    taken: dict[tuple[Whose, int], list[float]] = {}
    try:
        for turn in range(_WARM + rounds * _TIMES):
            for whose in Whose:
                for at, place in enumerate(places):
                    seconds = place.time(whose)
                    if turn >= _WARM:
                        taken.setdefault((whose, at), []).append(seconds)
    finally:
        for place in places:
            place.close()
    return {whose: (median(taken[whose, 1]), median(taken[whose, 0])) for whose in Whose}


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this part."""
    parser.add_argument(
        "--queue", type=int, default=1_000_000, help="open cases in the queue, many (1000000)"
    )
    parser.add_argument(
        "--few-queue", type=int, default=1_000, help="the same, few: at least 1000 (1000)"
    )


def measured(server: EmbeddedPostgres, _folder: Path, asked: argparse.Namespace) -> list[Line]:
    """Measure and return the lines of the table."""
    found = measure(server, few=asked.few_queue, many=asked.queue, rounds=asked.rounds)
    lines = []
    for whose, (many, few) in found.items():
        lines.append(Line(f"ms for two pages of the queue: {whose}", f"{many * 1000:.1f}"))
        what = f"the same: {asked.queue:,} open cases to {asked.few_queue:,}"
        lines.append(most(what, many / few, 1.5))
    return lines


PART = Part("queue", options, measured)
