"""The benchmark runs through, however small, and says what it measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.bench.__main__ import PARTS, table
from tests.bench.line import Line

ROOT = Path(__file__).parents[2]
_TIMERS: Final = ["--due", "20", "--few", "20", "--many", "200", "--rounds", "1"]
_LEDGER: Final = ["--accounts", "500", "--postings", "500"]
_HTTP: Final = ["--http-seconds", "0.3", "--http-rounds", "1", "--memory-requests", "100"]
#: Of each part: how it is made small, and what it has to say then.
SMALL: Final[dict[str, tuple[list[str], list[str]]]] = {
    "http": (
        _HTTP,
        [
            "load: bundled Python",
            "POST /v1/exchanges to empty route",
            "whole lives x 4 to empty route",
            "batch create to single create",
            "99 % of confirmations",
            "two API processes to one",
            "API memory after 100 requests",
        ],
    ),
    "ledger": (
        [*_LEDGER, "--transactions", "64", "--scale", "1", "--rounds", "1"],
        [
            "pgbench TPC-B a second",
            "batches of 500 to pgbench",
            "with one hot account to without",
            "single postings to pgbench",
            "lanes to batches",
        ],
    ),
    "timers": (
        _TIMERS,
        [
            *(f"timers fired per second: {sort}" for sort in ("remind", "expire", "escalate")),
            "cost of 20 due: 200 waiting to 20",
        ],
    ),
    "webhooks": (
        ["--events", "40", "--rounds", "1"],
        ["webhook deliveries per second", "deliveries to bare loop"],
    ),
    "books": (
        [
            *("--entries", "4000", "--few-entries", "400", "--rows", "400", "--few-rows", "200"),
            *("--book-accounts", "1000", "--rounds", "1"),
        ],
        [
            "cost of a posting: 4,000 entries to 400",
            "a balance: 400 rows to 200",
            "two pages of a statement: 400 rows to 200",
            "entries audited per second, of 4,000",
            "the same, to 400 entries",
        ],
    ),
    "queue": (
        ["--queue", "1100", "--few-queue", "1000", "--rounds", "1"],
        [
            *(f"ms for two pages of the queue: {whose}" for whose in ("mine", "waiting", "all")),
            "the same: 1,100 open cases to 1,000",
        ],
    ),
    "pages": (
        ["--cases", "4", "--few-cases", "2", "--rounds", "1"],
        [
            *(
                f"ms for a page beside 4 open cases: {page}"
                for page in ("queue", "case", "member", "office")
            ),
            "the same page: 4 cases to 2",
        ],
    ),
}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a small benchmark."""
    command = [sys.executable, "-m", "tests.bench", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_part_is_tried() -> None:
    assert {part.name for part in PARTS} == set(SMALL)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("part", SMALL)
def test_a_small_run_prints_every_figure(part: str) -> None:
    sizes, expected = SMALL[part]
    ended = run("--only", part, "--no-targets", *sizes)
    assert ended.returncode == 0, ended.stderr
    for what in expected:
        assert f"\n{what}" in ended.stdout
    assert "MISSED" not in ended.stdout


@pytest.mark.timeout(240)
def test_a_target_that_is_missed_is_told_and_ends_with_1() -> None:
    ended = run("--only", "timers", *_TIMERS, "--most-ratio", "0")
    assert ended.returncode == 1, ended.stderr
    (missed,) = [line for line in ended.stdout.splitlines() if line.endswith("MISSED")]
    assert missed.startswith("cost of 20 due")


def test_the_table_stands_in_columns() -> None:
    lines = [Line("short", "1"), Line("somewhat longer", "1,000", "at most 2", held=False)]
    assert table(lines).splitlines() == [
        "measured             figure  target",
        "───────────────  ──────────  ────────────────────",
        "short                     1",
        "somewhat longer       1,000  at most 2  MISSED",
    ]
