"""The worker: its tasks do the work on a real database, and its schedule forgets none of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

import worker
from ledger import accounts
from ledger.posting import Posting, Transfer, post
from service import wake
from service.cli import seed
from service.clock import now
from service.config import settings
from service.db import SYSTEM, transaction
from service.ids import decode
from service.operations import proofs
from service.wake import Waker

TASKS = {name for name in worker.app.tasks if name.startswith("tierce.")}


@pytest.fixture
def instance(
    engine: Engine,
    database_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[None]:
    """The worker's settings, as ``tierce up`` gives them, where nothing was proved yet."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM service.proof"))
    caches = (settings, worker._engine, worker._broker, worker._desk, worker._files)
    for cache in caches:
        cache.cache_clear()
    monkeypatch.setenv("TIERCE_DATABASE_URL", database_url)
    monkeypatch.setenv("TIERCE_REDIS_URL", redis_url)
    monkeypatch.setenv("TIERCE_FILES_URL", str(tmp_path / "files"))
    monkeypatch.setenv("TIERCE_CODE_KEY", "the secret of a test instance, long enough")
    yield
    worker._engine().dispose()
    worker._broker().close()
    for cache in caches:
        cache.cache_clear()


def run(name: str) -> None:
    """Run a task here and now, as the worker would."""
    task: Any = worker.app.tasks[name]
    task.run()


def test_every_task_can_be_woken_and_is_on_the_schedule() -> None:
    scheduled = worker.app.conf.beat_schedule.values()
    assert {wake.SWEEP, wake.TIMERS, wake.CUT, wake.AUDIT} <= TASKS
    assert {entry["task"] for entry in scheduled} == TASKS
    assert all(entry["options"]["expires"] <= entry["schedule"] for entry in scheduled)


def test_nothing_that_must_survive_is_left_to_the_broker() -> None:
    conf = worker.app.conf
    assert conf.task_ignore_result is True
    assert conf.task_acks_late is True
    assert conf.result_backend is None


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_runs_when_there_is_nothing_to_do(instance: None, name: str) -> None:
    run(name)
    run(name)


def test_a_cut_changes_no_balance(instance: None, engine: Engine) -> None:
    opened = seed.open_platform(engine, "Cuts", now())
    platform_id = decode("platform", opened.sandbox)
    moved = Transfer("provider:sandbox", "member:a", 6500, "EUR")
    with transaction(engine, platform_id) as connection:
        post(connection, platform_id, [Posting("k1", "collect", (moved,))], now())
    run(wake.CUT)
    with transaction(engine, platform_id) as connection:
        assert accounts.balance(connection, platform_id, "provider:sandbox", "EUR") == -6500
        cuts = connection.execute(
            text("SELECT count(*) FROM ledger.cut WHERE platform_id = :p"), {"p": platform_id}
        ).scalar_one()
    assert cuts == 1


@pytest.mark.breaks_books
def test_a_problem_in_the_books_is_an_alert(instance: None, engine: Engine) -> None:
    opened = seed.open_platform(engine, "Alert", now())
    platform_id = decode("platform", opened.sandbox)
    moved = Transfer("provider:sandbox", "suspense", 1, "EUR")
    with transaction(engine, platform_id) as connection:
        post(connection, platform_id, [Posting("k1", "collect", (moved,))], now())
    with capture_logs() as lines:
        run(wake.AUDIT)
    alerts = [line for line in lines if line["log_level"] == "critical"]
    assert any("suspense" in line["problem"] for line in alerts)
    with transaction(engine, platform_id) as connection:
        back = Transfer("suspense", "provider:sandbox", 1, "EUR")
        post(connection, platform_id, [Posting("k2", "collect", (back,))], now())


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (wake.AUDIT, "books"),
        (wake.RECONCILE, "reconciled"),
        (wake.FORGET, "forgotten"),
        (wake.EVIDENCE, "evidence"),
    ],
)
def test_what_is_done_every_hour_is_due_by_what_is_recorded_whoever_restarts(
    instance: None, engine: Engine, name: str, what: str
) -> None:
    began = now()
    run(name)
    first = _recorded(engine, what)
    assert first is not None
    assert first >= began
    run(name)
    assert _recorded(engine, what) == first
    with transaction(engine, SYSTEM) as connection:
        proofs.record(connection, what, 0, began - proofs.EVERY)
    run(name)
    third = _recorded(engine, what)
    assert third is not None
    assert third > first


def _recorded(engine: Engine, what: str) -> datetime | None:
    with transaction(engine, SYSTEM) as connection:
        return proofs.last(connection, what)


def test_a_task_that_begins_lets_itself_be_woken_again(instance: None, redis_url: str) -> None:
    waker = Waker(redis_url)
    waker.wake(wake.SWEEP)
    waker.close(seconds=10)
    with wake.broker(redis_url) as client:
        mark = f"tierce:woken:{wake.SWEEP}"
        assert client.exists(mark)
        run(wake.SWEEP)
        assert not client.exists(mark)
        client.delete("tierce")


@pytest.mark.parametrize(
    ("name", "table"),
    [
        (wake.SWEEP, "service.payment"),
        (wake.TIMERS, "service.timer"),
        (wake.MESSAGES, "service.message"),
        (wake.SCRIPTS, "service.platform_clock"),
        (wake.POLL, "service.provider_connection"),
    ],
)
def test_a_round_that_cannot_go_on_has_no_company_and_keeps_no_other_kind_waiting(
    instance: None, engine: Engine, name: str, table: str
) -> None:
    with engine.connect() as holder, holder.begin():
        holder.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        stuck = Thread(target=run, args=(name,))
        stuck.start()
        deadline = monotonic() + 9
        while not _waits_for(engine, table):
            assert monotonic() < deadline, "the first round never came to the table"
        run(name)  # would wait for the table too, and fail
        run(wake.BEAT)
        assert stuck.is_alive()
    stuck.join()
    run(name)


def _waits_for(engine: Engine, table: str) -> bool:
    with engine.connect() as connection:
        found = connection.execute(
            text(
                "SELECT EXISTS (SELECT FROM pg_locks "
                "WHERE NOT granted AND relation = CAST(:table AS regclass))"
            ),
            {"table": table},
        )
        return bool(found.scalar_one())
