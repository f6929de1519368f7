"""``tierce held`` and what ``tierce reconcile`` takes and refuses."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine

from ledger.posting import Posting, Transfer, post
from service.cli import seed
from service.cli.main import main
from service.clock import now
from service.config import settings
from service.db import transaction
from service.ids import decode, encode, uuid7
from tests.exchanges.test_deposits import rental
from tests.exchanges.world import SECRET, World


@pytest.fixture(autouse=True)
def _instance(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("TIERCE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TIERCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIERCE_DATABASE_URL", database_url)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def platform(engine: Engine) -> str:
    """A platform for whose member the sandbox has held 65.00 since three days."""
    made = seed.open_platform(engine, "Held", now()).sandbox
    platform_id = decode("platform", made)
    moved = Transfer("provider:sandbox", f"member:{uuid7()}", 6500, "EUR")
    with transaction(engine, platform_id) as connection:
        then = now() - timedelta(days=3)
        post(connection, platform_id, [Posting("k1", "collect", (moved,))], then)
    return made


def yesterday() -> str:
    return (now() - timedelta(days=1)).date().isoformat()


def test_held_is_written_to_a_file_that_appears_only_whole(
    platform: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "held.csv"
    assert main(["held", "--platform", platform, "--format", "csv", "--output", str(file)]) == 0
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [(row["section"], row["amount"]) for row in rows][:2] == [
        ("member", "6500"),
        ("provider", "-6500"),
    ]
    assert str(file) in capsys.readouterr().err


def test_held_goes_to_standard_output_as_one_document(
    platform: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["held", "--platform", platform, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["platform"] == platform
    assert [line["amount"] for line in told["lines"]] == [6500, -6500]


def test_a_platform_that_is_not_there_has_no_statement_and_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nobody, file = encode("platform", UUID(int=7)), tmp_path / "held.json"
    wanted = ["held", "--platform", nobody, "--format", "json", "--output", str(file)]
    assert main(wanted) == 1
    assert "No platform with this id" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("day", ["21-11-2026", "20261121", "2026-W47-6", "2026-02-30", "", "soon"])
def test_what_is_no_day_is_refused_with_an_example(
    day: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["reconcile", "--day", day])
    assert ended.value.code == 2
    assert "is not a day such as 2026-11-21" in capsys.readouterr().err


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_day_that_is_not_over_is_refused(
    platform: str, ahead: int, capsys: pytest.CaptureFixture[str]
) -> None:
    day = (now() + timedelta(days=ahead)).date().isoformat()
    assert main(["reconcile", "--day", day, "--platform", platform]) == 1
    assert f"{day} is not over in UTC" in capsys.readouterr().err


def test_a_day_before_anything_was_held_has_nothing_to_compare(
    platform: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconcile", "--day", "2001-01-01", "--platform", platform]) == 0
    assert "nothing to reconcile" in capsys.readouterr().out


def test_reconcile_names_what_is_missing_when_no_secret_opens_the_connections(
    platform: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconcile", "--day", yesterday(), "--platform", platform]) == 1
    assert "TIERCE_CODE_KEY" in capsys.readouterr().err


def test_a_platform_that_is_not_there_cannot_be_reconciled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["reconcile", "--platform", encode("platform", UUID(int=7))]) == 1
    assert "No platform with this id" in capsys.readouterr().err


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIERCE_CODE_KEY", SECRET)
    settings.cache_clear()


def test_a_day_that_agrees_is_told_and_ends_well(
    engine: Engine, platform_id: UUID, keyed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(engine, platform_id)
    world.now = now() - timedelta(days=2)
    world.funded(world.sale())
    world.funded(rental(world))
    wanted = ["reconcile", "--platform", encode("platform", platform_id)]
    assert main([*wanted, "--day", world.now.date().isoformat()]) == 0
    told = capsys.readouterr().out
    assert "2 matched, 0 ours only, 0 theirs only, 0 of another amount, 0 in flight" in told
    assert "held: 85.00 EUR" in told
    assert "blocked at payers' banks, held by nobody: 150.00 EUR" in told
    assert main(wanted) == 0  # yesterday, when nothing moved
    assert "0 matched" in capsys.readouterr().out


def test_a_day_that_does_not_agree_ends_badly_and_says_what_is_open(
    platform: str, engine: Engine, keyed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    day = (now() - timedelta(days=3)).date().isoformat()
    assert main(["reconcile", "--day", day, "--platform", platform]) == 1
    told = capsys.readouterr()
    assert "1 ours only" in told.out
    assert "ours_only of" in told.out
    assert "Payouts of this platform are stopped" in told.err
    assert main(["audit", "--platform", platform]) == 0  # the books themselves hold


def test_what_stands_in_suspense_is_named_by_the_audit(
    engine: Engine, platform_id: UUID, capsys: pytest.CaptureFixture[str]
) -> None:
    move = Transfer("provider:sandbox", "suspense:sandbox", 77, "EUR")
    with transaction(engine, platform_id) as connection:
        post(connection, platform_id, [Posting("k1", "suspense", (move,))], now())
    assert main(["audit", "--platform", encode("platform", platform_id)]) == 1
    told = capsys.readouterr().out
    assert "suspense_not_zero" in told
    assert "suspense:sandbox EUR" in told
    assert "77 unexplained" in told
