"""The benchmark runs through, however small, and says what it measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.__main__ import Line, table

ROOT = Path(__file__).parents[2]
SMALL = ["--due", "20", "--few", "20", "--many", "200", "--events", "40", "--rounds", "1"]


def run(*more: str) -> subprocess.CompletedProcess[str]:
    """Run a small benchmark."""
    command = [sys.executable, "-m", "tests.bench", *SMALL, *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.timeout(240)
def test_a_small_run_prints_every_figure() -> None:
    ended = run("--most-ratio", "1000", "--least-ratio", "0")
    assert ended.returncode == 0, ended.stderr
    for what in ("remind", "expire", "escalate"):
        assert f"timers fired per second: {what}" in ended.stdout
    assert "cost of 20 due: 200 waiting to 20" in ended.stdout
    assert "webhook deliveries per second" in ended.stdout
    assert "deliveries to bare loop" in ended.stdout
    assert "MISSED" not in ended.stdout


@pytest.mark.timeout(240)
def test_a_target_that_is_missed_is_told_and_ends_with_1() -> None:
    ended = run("--most-ratio", "0", "--least-ratio", "0")
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
