"""What postings, balances, statements and the audit cost as the books grow.

Databases of one server, alike but for their entries; the same acts go turn by turn in the small
and in the large, so that whatever else the machine does falls on both. The audit is the command
``tierce audit`` as people run it, a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from service.local import EmbeddedPostgres
from tests.bench.big_books import BATCH, BigBooks
from tests.bench.line import Line, Part, least, most

_ROOT: Final = Path(__file__).parents[2]
_WARM: Final = 3
#: Of each round: a read takes a millisecond or two, and a batch twenty.
_TIMES: Final = 10


@dataclass(frozen=True, slots=True)
class Audited:
    """An audit: entries a second, and the most memory that its processes had, in bytes."""

    per_second: float
    memory: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Ratios of large books to small ones, and the audits of the large and of a tenth of it."""

    posting: float
    balance: float
    statement: float
    per_second: float
    whole: Audited
    tenth: Audited


def _private(pid: int) -> int:
    """Return a process's own memory, in bytes: without what servers share, 0 when it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def audited(server: EmbeddedPostgres, books: BigBooks) -> Audited:
    """Run ``tierce audit``; meanwhile look at the memory of its process and of its server's.

    Raises:
        RuntimeError: it found problems.
    """
    before = _children(server)
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "audit"],
        cwd=_ROOT,
        env=os.environ | {"TIERCE_DATABASE_URL": books.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    began, peak, ended = time.perf_counter(), 0, threading.Event()

    def look() -> None:
        nonlocal peak
        while not ended.wait(0.05):
            peak = max(peak, sum(map(_private, {process.pid, *(_children(server) - before)})))

    looker = threading.Thread(target=look)
    looker.start()
    said, _ = process.communicate()
    seconds = time.perf_counter() - began
    ended.set()
    looker.join()
    if process.returncode != 0 or "The books hold" not in said:
        raise RuntimeError(f"the books of the benchmark are not whole: {said}")
    entries = int(said.split("The books hold: ", 1)[1].split(" ", 1)[0])
    return Audited(entries / seconds, peak)


def _children(server: EmbeddedPostgres) -> set[int]:
    pid = (server.data / "postmaster.pid").read_text().splitlines()[0]
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _ratio(many: Callable[[], float], few: Callable[[], float], rounds: int) -> tuple[float, float]:
    """Take turns; return how the medians compare, and the seconds of many."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(_WARM + rounds * _TIMES):
        for found, act in zip(taken, (many, few), strict=True):
            seconds = act()
            if turn >= _WARM:
                found.append(seconds)
    return median(taken[0]) / median(taken[1]), median(taken[0])


def measure(
    server: EmbeddedPostgres,
    *,
    entries: int,
    few_entries: int,
    rows: int,
    few_rows: int,
    accounts: int,
    rounds: int,
) -> Cost:
    """Compare books of ``entries`` with those of ``few_entries``, and reads of rows likewise."""
    few_read = BigBooks(server, "read_few", few_rows, accounts, busy=True)
    many_read = BigBooks(server, "read_many", rows, accounts, busy=True)
    try:
        balance, _ = _ratio(many_read.balance, few_read.balance, rounds)
        statement, _ = _ratio(many_read.statement, few_read.statement, rounds)
    finally:
        few_read.close()
        many_read.close()
    tenth = BigBooks(server, "books_tenth", entries // 20, accounts)
    few = BigBooks(server, "books_few", few_entries // 2, accounts)
    many = BigBooks(server, "books_many", entries // 2, accounts)
    try:
        of_tenth = audited(server, tenth)
        of_whole = audited(server, many)
        posting, seconds = _ratio(many.post, few.post, rounds)
        few.prove()
    finally:
        for books in (tenth, few, many):
            books.close()
    return Cost(posting, balance, statement, BATCH / seconds, of_whole, of_tenth)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this part."""
    parser.add_argument(
        "--entries", type=int, default=10_000_000, help="in the books, many (10000000)"
    )
    parser.add_argument("--few-entries", type=int, default=10_000, help="the same, few (10000)")
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="of one account, many (1000000)"
    )
    parser.add_argument("--few-rows", type=int, default=1_000, help="the same, few (1000)")
    parser.add_argument(
        "--book-accounts", type=int, default=100_000, help="in these books (100000)"
    )


def measured(server: EmbeddedPostgres, _folder: Path, asked: argparse.Namespace) -> list[Line]:
    """Measure and return the lines of the table."""
    found = measure(
        server,
        entries=asked.entries,
        few_entries=asked.few_entries,
        rows=asked.rows,
        few_rows=asked.few_rows,
        accounts=asked.book_accounts,
        rounds=asked.rounds,
    )
    entries, rows = (
        f"{asked.entries:,} entries to {asked.few_entries:,}",
        f"{asked.rows:,} rows to {asked.few_rows:,}",
    )
    megabytes = found.whole.memory / 2**20
    return [
        Line(f"postings per second beside {asked.entries:,} entries", f"{found.per_second:,.0f}"),
        most(f"cost of a posting: {entries}", found.posting, 1.2),
        most(f"a balance: {rows}", found.balance, 1.5),
        most(f"two pages of a statement: {rows}", found.statement, 1.5),
        least(
            f"entries audited per second, of {asked.entries:,}",
            found.whole.per_second,
            500_000,
            f"{found.whole.per_second:,.0f}",
        ),
        Line("memory of an audit and its server's own, MB", f"{megabytes:,.0f}"),
        most(
            f"the same, to {asked.entries // 10:,} entries",
            found.whole.memory / found.tenth.memory,
            1.1,
        ),
    ]


PART = Part("books", options, measured)
