"""Several workers share the work: each item once, a stuck one alone, and Redis holds nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
from sqlalchemy import Engine, text

import worker
from service import db, wake
from service.config import settings
from service.exchanges import sweep, timers
from service.exchanges.kinds import Role
from service.exchanges.model import State
from service.processes import free_port
from tests.exchanges.world import World

WORKERS = 3


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> Iterator[World]:
    made = World(engine, platform_id)
    yield made
    made.check()


@contextmanager
def _workers(world: World, database_url: str) -> Iterator[list[World]]:
    """Processes apart share nothing but the database; so do these."""
    made = []
    for _ in range(WORKERS):
        one = object.__new__(World)
        one.reopen(db.create_engine(database_url, 5), world.platform_id, world.now)
        made.append(one)
    try:
        yield made
    finally:
        for one in made:
            one.engine.dispose()


def _at_once(worlds: list[World], work: Callable[[World], int]) -> list[int]:
    with ThreadPoolExecutor(len(worlds)) as pool:
        return list(pool.map(work, worlds))


def _count(world: World, query: str) -> int:
    with db.transaction(world.engine, world.platform_id) as connection:
        found: int = connection.execute(text(query)).scalar_one()
        return found


def test_workers_share_the_timers_and_take_each_once(world: World, database_url: str) -> None:
    exchanges = [world.sale(1_000 + n) for n in range(40)]
    fired = world.pass_time(days=2)  # the reminders, so that the next step ends the exchanges
    world.now += timedelta(days=30)
    with _workers(world, database_url) as workers:
        taken = sum(_at_once(workers, World.fire))
        while more := sum(_at_once(workers, World.fire)):
            taken += more
    assert {world.read(one).state for one in exchanges} == {State.EXPIRED}
    ended = "SELECT count(*) FROM service.event WHERE type = 'exchange.expired'"
    assert _count(world, ended) == len(exchanges)
    steps = "SELECT count(*) FROM service.event WHERE type = 'exchange.reminder'"
    assert fired + taken == len(exchanges) + _count(world, steps)


def test_workers_share_the_payments_and_ask_for_each_once(world: World, database_url: str) -> None:
    exchanges = [world.sale(1_000 + n) for n in range(30)]
    for exchange in exchanges:
        world.step(exchange, "fund", Role.PAYER, payment_method="sandbox_delayed")
    world.now += timedelta(days=1)
    with _workers(world, database_url) as workers:
        _at_once(workers, lambda one: sweep.run(one.desk, world.now, world.platform_id))
    assert {world.read(one).state for one in exchanges} == {State.ACTIVE}
    assert world.outside() == sum(1_000 + n for n in range(30))
    asked = "SELECT count(*) FROM service.sandbox_object WHERE kind = 'collect'"
    with db.transaction(world.engine, db.SYSTEM) as connection:
        objects = connection.execute(
            text(f"{asked} AND platform_id = :p"), {"p": world.platform_id}
        ).scalar_one()
    assert objects == len(exchanges)


def test_what_a_stuck_worker_holds_keeps_no_other_item_waiting(
    world: World, database_url: str
) -> None:
    stuck, *others = [world.sale(1_000 + n) for n in range(5)]
    world.pass_time(days=2)
    world.now += timedelta(days=30)
    with world.engine.begin() as holder:
        holder.execute(
            text("SELECT FROM service.exchange WHERE id = :id FOR UPDATE"), {"id": stuck.id}
        )
        while timers.run(world.engine, world.codes, world.now, only=world.platform_id):
            pass
        assert {world.read(one).state for one in others} == {State.EXPIRED}
        assert world.read(stuck).state is State.AGREED
    while timers.run(world.engine, world.codes, world.now, only=world.platform_id):
        pass
    assert world.read(stuck).state is State.EXPIRED


@pytest.fixture
def instance(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Return what points the worker's tasks at a broker."""
    caches = (settings, worker._engine, worker._broker, worker._desk)

    def point(redis_url: str) -> None:
        for cache in caches:
            cache.cache_clear()
        monkeypatch.setenv("TIERCE_REDIS_URL", redis_url)

    monkeypatch.setenv("TIERCE_DATABASE_URL", database_url)
    monkeypatch.setenv("TIERCE_CODE_KEY", "the secret of a test instance, long enough")
    yield point
    worker._engine().dispose()
    worker._broker().close()
    for cache in caches:
        cache.cache_clear()


@pytest.mark.parametrize("broker", ["emptied", "gone"])
def test_the_schedule_finds_what_is_due_however_redis_lost_it(
    world: World, instance: Callable[[str], None], redis_url: str, broker: str
) -> None:
    world.now -= timedelta(days=3_650)  # long overdue by the clock that the worker asks
    exchange = world.sale()
    if broker == "emptied":
        with redis.Redis.from_url(redis_url) as client:
            client.flushdb()
        instance(redis_url)
    else:
        instance(f"redis://127.0.0.1:{free_port()}/0")
    events = len(world.events(exchange))
    task: Any = worker.app.tasks[wake.TIMERS]
    task.run()
    assert len(world.events(exchange)) > events
