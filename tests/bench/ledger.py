"""What the ledger writes, beside PostgreSQL's own benchmark on the same durable cluster.

``pgbench`` runs its TPC-B: three updates, a read and an insert a transaction. It also drives the
single postings, as any client of the database would; batches and the lane are driven by the
service's own code. Rounds go by turns, so whatever else the machine does falls on all alike, and
at the end the books are audited.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from statistics import median
from typing import Final
from uuid import UUID

import uvloop
from sqlalchemy import Connection, Engine, make_url

from ledger.audit import audit
from ledger.posting import Outcome, Posting, Status, Transfer, post
from migrations.run import upgrade
from service import db
from service.http.lanes import Kind, Lanes
from service.local import EmbeddedPostgres
from service.platforms import platforms
from tests.bench.timers import superuser

BATCH: Final = 500
IN_FLIGHT: Final = 512
SINGLE_CONNECTIONS: Final = 32
#: Batches under way at once, and pgbench's clients: the best of each is taken.
_WRITERS: Final = (1, 2, 4)
_CLIENTS: Final = (8, 16, 32)
_TPS: Final = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
_HOT: Final = "provider:bench"
_UNIT: Final = "EUR"
_ENOUGH: Final = 10**9

#: One posting of one transfer, as ledger.posting.post says it. pgbench replaces what it knows after
#: a colon, in quotes too; its own variables are numbers.
_SINGLE: Final = """\
\\set debit random(1, {accounts})
\\set step random(1, {accounts} - 1)
\\set credit 1 + (:debit - 1 + :step) % {accounts}
\\set amount random(1, 100)
\\set key random(1, 9000000000000000000)
BEGIN;
SELECT set_config('role', 'tierce_runtime', true),
    set_config('tierce.platform_id', '{platform}', true);
SELECT 1 / ledger.post_one('{platform}', now(), uuidv7(), 'single-:key', sha256('bench


member:m:debit|member:m:credit|:amount|EUR'), 'bench', NULL, NULL,
    'member:m:debit', 'member:m:credit', :amount, 'EUR')::integer;
COMMIT;
"""


class Pgbench:
    """PostgreSQL's own benchmark, in a database of its own beside the ledger's."""

    def __init__(self, server: EmbeddedPostgres, scale: int) -> None:
        self._server = server
        with superuser(server, "postgres") as connection:
            connection.execute("CREATE DATABASE bench_tpcb OWNER tierce")
        self._run("bench_tpcb", "-i", "-q", "-s", str(scale))

    def tpcb(self, clients: int, transactions: int) -> float:
        """Return TPC-B transactions a second."""
        return self._speed("bench_tpcb", clients, transactions)

    def script(self, database: str, file: Path, clients: int, transactions: int) -> float:
        """Return a second's transactions of a script of ours."""
        return self._speed(database, clients, transactions, "-f", str(file))

    def _speed(self, database: str, clients: int, transactions: int, *more: str) -> float:
        each = max(1, transactions // clients)  # a number ends however slow the machine is
        words = ("-n", "-c", str(clients), "-j", "2", "-t", str(each), *more)
        said = self._run(database, *words)
        found = _TPS.search(said)
        if found is None or "number of failed transactions: 0 " not in said:
            raise RuntimeError(f"pgbench did not do what it was asked: {said}")
        return float(found[1])

    def _run(self, database: str, *words: str) -> str:
        url = make_url(self._server.url_of(database))
        known = ("-h", str(url.host), "-p", str(url.port), "-U", str(url.username))
        ended = subprocess.run(
            [str(self._server._program_path().with_name("pgbench")), *known, *words, database],
            env=os.environ | {"PGPASSWORD": str(url.password)},
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode != 0:
            raise RuntimeError(f"pgbench failed: {ended.stderr}")
        return ended.stdout


class Books:
    """A platform whose members all have money, in a database of its own."""

    def __init__(self, server: EmbeddedPostgres, accounts: int) -> None:
        with superuser(server, "postgres") as connection:
            connection.execute("CREATE DATABASE bench_ledger OWNER tierce")
        self.url: Final = server.url_of("bench_ledger")
        upgrade(self.url)
        self.engine: Final[Engine] = db.create_engine(self.url, pool_size=max(_WRITERS))
        # Both keep their connections from round to round, as a service does.
        self._loop: Final = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._lane_engine: Final = db.create_async_engine(self.url, max(_WRITERS))
        with db.transaction(self.engine, db.SYSTEM) as system:
            _live, sandbox = platforms.create(system, "Bench", _now())
        self.platform_id: Final[UUID] = sandbox.id
        self.accounts: Final = accounts
        self._keys = count(1)
        self._random = random.Random(20_270_301)
        self.write(
            [
                self._posting(_HOT, f"member:m{number}", _ENOUGH)
                for number in range(1, accounts + 1)
            ],
            writers=1,
        )
        with superuser(server, "bench_ledger") as owner:
            for table in ("account", "posting", "transfer"):
                owner.execute(f"VACUUM ANALYZE ledger.{table}")

    def close(self) -> None:
        """Let the connections go."""
        self.engine.dispose()
        with self._loop:
            self._loop.run(self._lane_engine.dispose())

    def between_members(self, postings: int) -> list[Posting]:
        """Return postings that each move two accounts with a floor."""
        found = []
        for _ in range(postings):
            debit, credit = self._random.sample(range(1, self.accounts + 1), 2)
            amount = self._random.randint(1, 100)
            found.append(self._posting(f"member:m{debit}", f"member:m{credit}", amount))
        return found

    def from_the_hot(self, postings: int) -> list[Posting]:
        """Return postings that all move one account without a floor."""
        return [
            self._posting(
                _HOT,
                f"member:m{self._random.randint(1, self.accounts)}",
                self._random.randint(1, 100),
            )
            for _ in range(postings)
        ]

    def write(self, postings: Sequence[Posting], writers: int) -> float:
        """Post all, in batches, so many at a time; return the postings a second."""
        batches = [postings[at : at + BATCH] for at in range(0, len(postings), BATCH)]
        with _set_aside(), ThreadPoolExecutor(writers) as pool:
            began = time.perf_counter()
            list(pool.map(self._write_one, batches))
            return len(postings) / (time.perf_counter() - began)

    def write_in_a_lane(self, postings: Sequence[Posting], at_once: int) -> float:
        """Post each by itself, 512 in flight in a lane; return the postings a second."""
        with _set_aside():
            return self._loop.run(self._in_a_lane(postings, at_once))

    def single_script(self, folder: Path) -> Path:
        """Write pgbench's script of one posting."""
        file = folder / "single.sql"
        script = _SINGLE.format(accounts=self.accounts, platform=self.platform_id)
        file.write_text(script, encoding="utf-8")
        return file

    def prove(self) -> None:
        """Audit the books.

        Raises:
            RuntimeError: they do not add up.
        """
        with db.transaction(self.engine, self.platform_id) as connection:
            problems = audit(connection, self.platform_id).problems
        if problems:
            raise RuntimeError(f"the books are wrong after the benchmark: {problems[:3]}")

    def _posting(self, debit: str, credit: str, amount: int) -> Posting:
        transfers = (Transfer(debit, credit, amount, _UNIT),)
        return Posting(f"bench-{next(self._keys)}", "bench", transfers)

    def _write_one(self, batch: Sequence[Posting]) -> None:
        with db.transaction(self.engine, self.platform_id) as connection:
            outcomes = post(connection, self.platform_id, batch, _now())
        for outcome in outcomes:
            _created(outcome)

    async def _in_a_lane(self, postings: Sequence[Posting], at_once: int) -> float:
        lanes = Lanes(self._lane_engine, at_once)
        kind: Kind[Posting, Outcome] = Kind(
            "ledger.post", _in_one, lambda one: (one.key,), largest=IN_FLIGHT, at_once=at_once
        )
        waiting = iter(postings)

        async def ask() -> None:
            for posting in waiting:
                _created(await lanes.run(kind, self.platform_id, posting))

        try:
            began = time.perf_counter()
            await asyncio.gather(*(ask() for _ in range(IN_FLIGHT)))
            return len(postings) / (time.perf_counter() - began)
        finally:
            await lanes.close()


def _in_one(
    connection: Connection, platform_id: UUID, postings: Sequence[Posting]
) -> Sequence[Outcome]:
    return post(connection, platform_id, postings, _now())


@dataclass(frozen=True, slots=True)
class Speed:
    """A second's transactions or postings; medians of the rounds."""

    clients: int
    writers: int
    at_once: int
    tpcb: float
    batches: float
    hot: float
    single: float
    lane: float


def measure(
    server: EmbeddedPostgres,
    folder: Path,
    *,
    accounts: int,
    postings: int,
    transactions: int,
    rounds: int,
    scale: int,
) -> Speed:
    """Measure the ledger and pgbench, turn by turn; return the medians."""
    pgbench = Pgbench(server, scale)
    books = Books(server, accounts)
    try:
        script = books.single_script(folder)
        clients = max(_CLIENTS, key=lambda number: pgbench.tpcb(number, transactions))
        writers = max(
            _WRITERS, key=lambda number: books.write(books.between_members(postings), number)
        )
        at_once = max(
            _WRITERS,
            key=lambda number: books.write_in_a_lane(books.between_members(postings), number),
        )
        acts: dict[str, Callable[[], float]] = {
            "tpcb": lambda: pgbench.tpcb(clients, transactions),
            "batches": lambda: books.write(books.between_members(postings), writers),
            "hot": lambda: books.write(books.from_the_hot(postings), writers),
            "single": lambda: pgbench.script(
                "bench_ledger", script, SINGLE_CONNECTIONS, transactions
            ),
            "lane": lambda: books.write_in_a_lane(books.between_members(postings), at_once),
        }
        found = [{name: act() for name, act in acts.items()} for _ in range(rounds)]
        books.prove()
    finally:
        books.close()
    return Speed(
        clients, writers, at_once, **{name: median(one[name] for one in found) for name in acts}
    )


@contextmanager
def _set_aside() -> Iterator[None]:
    """Keep what waits to be posted out of the collector's rounds: no service has it all at once."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _created(outcome: Outcome) -> None:
    if outcome.status != Status.CREATED:
        raise RuntimeError(f"a posting of the benchmark was not made: {outcome}")


def _now() -> datetime:
    return datetime.now(UTC)
