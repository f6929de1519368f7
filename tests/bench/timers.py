"""What a due timer costs, and whether those that only wait make it dearer.

Two databases of one server: in one a thousand timers wait beside those that are due, in the other a
million. The same rounds are run in both, turn by turn, so that whatever else the machine does
falls on both alike.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Final

import psycopg
from sqlalchemy import Engine

from ledger import units
from migrations.run import upgrade
from service import db
from service.exchanges.advance import Done, advance
from service.exchanges.commands import Command, Who
from service.exchanges.decide import Rules
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.exchanges.propose import Proposal
from service.local import EmbeddedPostgres
from service.platforms import platforms
from service.processes import HOST
from tests.bench.line import Line, Part, most
from tests.exchanges.world import World

_BATCH: Final = 200
#: A Tuesday without holidays around it, in the morning.
_START: Final = datetime(2027, 3, 2, 9, 0, tzinfo=UTC)
#: Whatever was begun has ended after this long: the hold limit is 85 days.
_APART: Final = timedelta(days=100)
_UNIT: Final = "POINTS"
_HOURS: Final = {"agree_hours": 24, "fund_hours": 24, "confirm_hours": 24}

#: Exchanges that nobody has answered, and the timer that each waits for. Their parts are left out:
#: only what is due is read.
_FILL: Final = (
    "SET session_replication_role = replica",
    "INSERT INTO service.exchange (platform_id, id, kind, state, version, steps_version, payer_id,"
    " payee_id, proposed_by, terms, terms_hash, proposed_at, created_at)"
    " SELECT %(platform)s, gen_random_uuid(), 'sale', 'proposed', 1, 1, %(payer)s, %(payee)s,"
    " 'payee', '{}', repeat('0', 64), %(at)s, %(at)s FROM generate_series(1, %(count)s)",
    "INSERT INTO service.timer (platform_id, exchange_id, step, due_at)"
    " SELECT platform_id, id, 'expire_proposed',"
    " %(at)s + interval '20 years' + random() * interval '30 days'"
    " FROM service.exchange WHERE platform_id = %(platform)s",
    "RESET session_replication_role",
    "VACUUM ANALYZE service.exchange",
    "VACUUM ANALYZE service.timer",
)


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds that all the due timers of one sort took, and how many they were."""

    sort: str
    seconds: float
    fired: int


class Place:
    """A database in which timers wait."""

    def __init__(self, server: EmbeddedPostgres, name: str, waiting: int) -> None:
        """Make the database ``name`` with ``waiting`` timers that are not due."""
        with superuser(server, "postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER tierce")
        url = server.url_of(name)
        upgrade(url)
        self.engine: Final[Engine] = db.create_engine(url, pool_size=4)
        with db.transaction(self.engine, db.SYSTEM) as connection:
            _live, sandbox = platforms.create(connection, "Bench", _START)
        self.world: Final = World(self.engine, sandbox.id)
        self.world.now = _START
        self._begun = 0
        with db.transaction(self.engine, sandbox.id) as connection:
            units.define(connection, sandbox.id, _UNIT, "Points", 0, 10**9)
        with superuser(server, name) as owner:
            facts = {
                "platform": sandbox.id,
                "payer": self.world.payer,
                "payee": self.world.payee,
                "count": waiting,
                "at": _START,
            }
            for statement in _FILL:
                owner.execute(statement, facts if "%(" in statement else None)

    def close(self) -> None:
        """Let the connections go."""
        self.engine.dispose()

    def rounds(self, due: int) -> list[Round]:
        """Let ``due`` timers of each sort fall due, and take the time of firing them."""
        return [self._remind(due), self._expire(due), self._escalate(due)]

    def _remind(self, due: int) -> Round:
        self._begin()
        self._propose(due, agreed=False)
        self.world.now += timedelta(hours=13)
        return self._fire("remind", due)

    def _expire(self, due: int) -> Round:
        self._begin()
        self._propose(due, agreed=False)
        self._remind_all()
        return self._fire("expire", due)

    def _escalate(self, due: int) -> Round:
        self._begin()
        exchanges = self._propose(due, agreed=True)
        for start in range(0, len(exchanges), _BATCH):
            self._fund(exchanges[start : start + _BATCH])
        self._remind_all()
        return self._fire("escalate", due)

    def _begin(self) -> None:
        """Go on to a morning on which nothing that was there before is due any more."""
        self._begun += 1
        self.world.now = _START + self._begun * _APART
        while self.world.fire():
            pass

    def _remind_all(self) -> None:
        """Send the one reminder of a day's window, and let the deadline pass."""
        self.world.now += timedelta(hours=13)
        self.world.fire()
        self.world.now += timedelta(days=4)

    def _fire(self, sort: str, due: int) -> Round:
        began = time.perf_counter()
        fired = self.world.fire()
        seconds = time.perf_counter() - began
        if fired != due:
            raise RuntimeError(f"{sort}: {due} timers were due and {fired} fired")
        return Round(sort, seconds, fired)

    def _propose(self, count: int, *, agreed: bool) -> list[Exchange]:
        draft = self.world.draft("help", [("price", 1, _UNIT)], windows=_HOURS)
        one = Proposal(self.world.payer, self.world.payee, Role.PAYEE, draft, both_agreed=agreed)
        found: list[Exchange] = []
        for start in range(0, count, _BATCH):
            size = min(_BATCH, count - start)
            found += [done(one).exchange for one in self.world.propose_all([one] * size)]
        return found

    def _fund(self, exchanges: Sequence[Exchange]) -> None:
        payer = Who(self.world.payer, "member")
        commands = [Command(exchange.id, "fund", payer) for exchange in exchanges]
        rules = Rules(self.world.now, self.world.codes)
        with db.transaction(self.engine, self.world.platform_id) as connection:
            for outcome in advance(connection, self.world.platform_id, commands, rules):
                done(outcome)


def done(outcome: object) -> Done:
    """Return what was done; RuntimeError if it was refused."""
    if not isinstance(outcome, Done):
        raise RuntimeError(f"could not be set up: {outcome}")
    return outcome


def superuser(server: EmbeddedPostgres, database: str) -> psycopg.Connection:
    """Return a connection of the server's superuser."""
    return psycopg.connect(
        host=HOST,
        port=server.port,
        user="postgres",
        password=server._password("postgres"),
        dbname=database,
        autocommit=True,
    )


@dataclass(frozen=True, slots=True)
class Cost:
    """What ``due`` timers of each sort cost beside few and beside many that wait.

    ``per_second`` is by sort, beside many; ``ratio`` is many to few, of the medians' sums.
    """

    per_second: dict[str, float]
    ratio: float


def measure(server: EmbeddedPostgres, *, due: int, few: int, many: int, rounds: int) -> Cost:
    """Take the same rounds in a database where ``few`` wait and in one where ``many`` do."""
    places = [Place(server, "bench_few", few), Place(server, "bench_many", many)]
    try:
        for place in places:
            place.rounds(min(due, _BATCH))  # plans and caches are warm in both
        found: list[list[Round]] = [[] for _ in places]
        for _ in range(rounds):
            for place, taken in zip(places, found, strict=True):
                taken.extend(place.rounds(due))
    finally:
        for place in places:
            place.close()
    beside_few, beside_many = (_medians(taken) for taken in found)
    return Cost(
        {sort: due / seconds for sort, seconds in beside_many.items()},
        sum(beside_many.values()) / sum(beside_few.values()),
    )


def _medians(rounds: Sequence[Round]) -> dict[str, float]:
    sorts = dict.fromkeys(one.sort for one in rounds)
    return {sort: median(one.seconds for one in rounds if one.sort == sort) for sort in sorts}


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this part."""
    parser.add_argument("--due", type=int, default=1_000, help="timers due at once (1000)")
    parser.add_argument("--few", type=int, default=1_000, help="timers that wait, few (1000)")
    parser.add_argument("--many", type=int, default=1_000_000, help="that wait, many (1000000)")
    parser.add_argument(
        "--most-ratio", type=float, default=1.5, help="of the cost beside many to few (1.5)"
    )


def measured(server: EmbeddedPostgres, _folder: Path, asked: argparse.Namespace) -> list[Line]:
    """Measure and return the lines of the table."""
    cost = measure(server, due=asked.due, few=asked.few, many=asked.many, rounds=asked.rounds)
    lines = [
        Line(f"timers fired per second: {sort}", f"{per_second:,.0f}")
        for sort, per_second in cost.per_second.items()
    ]
    what = f"cost of {asked.due:,} due: {asked.many:,} waiting to {asked.few:,}"
    return [*lines, most(what, cost.ratio, asked.most_ratio)]


PART = Part("timers", options, measured)
