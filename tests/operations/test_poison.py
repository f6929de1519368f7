"""Rows that fail whatever is tried: the others go on, they become dead letters, and come back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, RowMapping, event, text
from structlog.testing import capture_logs

from service import db
from service.exchanges import timers
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.ids import encode
from service.operations import dead_letters
from service.operations.dead_letters import MOST_FAILURES, NEVER
from tests.exchanges.world import World


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> Iterator[World]:
    """A fresh platform; whatever the test did, its books must be clean at the end."""
    made = World(engine, platform_id)
    yield made
    made.check()


def _spoil(world: World, exchange: Exchange) -> None:
    """Put an offer into the row that no code understands: reading the exchange fails."""
    _write_offer(world, exchange, '{"kind": "barter"}')


def _mend(world: World, exchange: Exchange) -> None:
    _write_offer(world, exchange, None)


def _write_offer(world: World, exchange: Exchange, offer: str | None) -> None:
    with db.transaction(world.engine, world.platform_id) as connection:
        connection.execute(
            text("UPDATE service.exchange SET proposal = CAST(:offer AS jsonb) WHERE id = :id"),
            {"id": exchange.id, "offer": offer},
        )


def _letters(world: World, *, open_: bool = True) -> Sequence[RowMapping]:
    with db.transaction(world.engine, world.platform_id) as connection:
        return dead_letters.page(connection, world.platform_id, limit=50, open_=open_)


def _retry_all(world: World) -> list[str]:
    with db.transaction(world.engine, world.platform_id) as connection:
        return [
            dead_letters.retry(connection, world.platform_id, row["id"], world.now)["resolution"]
            for row in dead_letters.page(connection, world.platform_id, limit=50, open_=True)
        ]


def _row(world: World, query: str, **values: Any) -> Any:
    with db.transaction(world.engine, world.platform_id) as connection:
        return connection.execute(text(query), values).one()


def test_a_timer_that_cannot_fire_stops_no_other_and_comes_back_once_it_is_mended(
    world: World,
) -> None:
    spoilt, *healthy = [world.sale() for _ in range(6)]
    _spoil(world, spoilt)
    before = {one.id: world.read(one).state for one in healthy}
    fired = world.pass_time(days=30)
    after = {one.id: world.read(one).state for one in healthy}
    assert fired >= len(healthy)
    assert len(set(after.values())) == 1
    assert set(after.values()) != set(before.values())
    letters = _letters(world)
    assert len(letters) == len({letter["subject"]["step"] for letter in letters}) >= 1
    for letter in letters:
        assert letter["work"] == "timer"
        assert letter["subject"]["exchange"] == encode("exchange", spoilt.id)
        assert letter["attempts"] == MOST_FAILURES
        assert letter["error"] == "KeyError: 'id'"
    query = "SELECT min(due_at) AS due_at FROM service.timer WHERE exchange_id = :id"
    assert _row(world, query, id=spoilt.id).due_at == NEVER

    assert world.pass_time(days=30) == 0
    assert len(_letters(world)) == len(letters)

    _mend(world, spoilt)
    assert _retry_all(world) == ["retried"] * len(letters)
    world.pass_time(days=30)
    assert world.read(spoilt).state in after.values()
    assert _letters(world) == []
    resolved = [row["resolution"] for row in _letters(world, open_=False)]
    assert resolved == ["retried"] * len(letters)


def test_a_timer_that_fails_again_after_it_was_taken_up_is_a_new_letter(world: World) -> None:
    spoilt = world.sale()
    _spoil(world, spoilt)
    world.pass_time(days=30)
    first = len(_retry_all(world))
    world.pass_time(days=1)
    assert len(_letters(world)) == len(_letters(world, open_=False)) == first
    _mend(world, spoilt)


def test_a_payment_whose_answer_cannot_be_taken_stops_no_other_and_comes_back(
    world: World,
) -> None:
    spoilt, healthy = world.sale(1_000), world.sale(2_000)
    for exchange in (spoilt, healthy):
        world.step(exchange, "fund", Role.PAYER, payment_method="sandbox_delayed")
    _spoil(world, spoilt)
    for _ in range(60):
        world.now += timedelta(minutes=10)
        world.sweep()
    assert world.of(world.payer) == 0
    assert world.balance(f"hold:{world.read(healthy).legs[0].id}") == 2_000
    letters = _letters(world)
    assert "payment" in {letter["work"] for letter in letters}
    assert {letter["work"] for letter in letters} <= {"payment", "provider_event"}
    assert all(letter["attempts"] == MOST_FAILURES for letter in letters)

    _mend(world, spoilt)
    assert set(_retry_all(world)) == {"retried"}
    world.sweep()
    assert world.balance(f"hold:{world.read(spoilt).legs[0].id}") == 1_000
    assert _letters(world) == []


def test_what_there_is_nothing_left_to_do_for_is_gone(world: World) -> None:
    exchange = world.sale()
    with db.transaction(world.engine, world.platform_id) as connection:
        dead_letters.record(
            connection,
            world.platform_id,
            "timer",
            {"exchange": encode("exchange", exchange.id), "step": "no_such_step"},
            "boom",
            world.now,
            5,
        )
    assert _retry_all(world) == ["gone"]


def test_a_letter_is_taken_up_once(world: World) -> None:
    spoilt = world.sale()
    _spoil(world, spoilt)
    world.pass_time(days=30)
    letter = _letters(world)[0]
    assert "retried" in _retry_all(world)
    with (
        pytest.raises(dead_letters.DeadLetterResolved),
        db.transaction(world.engine, world.platform_id) as connection,
    ):
        dead_letters.retry(connection, world.platform_id, letter["id"], world.now)
    _mend(world, spoilt)


def test_a_row_that_another_transaction_holds_is_not_blamed(world: World) -> None:
    exchange = world.sale()
    world.now += timedelta(days=30)
    with world.engine.begin() as holder:
        holder.execute(
            text("SELECT FROM service.exchange WHERE id = :id FOR UPDATE"), {"id": exchange.id}
        )
        assert timers.run(world.engine, world.codes, world.now, only=world.platform_id) == 0
    assert _row(world, "SELECT max(failures) AS most FROM service.timer").most == 0
    assert world.fire() >= 1


def test_a_payment_that_waits_for_the_database_wants_nobody(
    engine: Engine, platform_id: UUID
) -> None:
    hurried = db.create_engine(engine.url.render_as_string(hide_password=False), pool_size=2)
    event.listen(hurried, "connect", _wait_little)
    world = World(hurried, platform_id)
    exchange = world.sale(1_000)
    world.step(exchange, "fund", Role.PAYER, payment_method="sandbox_delayed")
    world.now += timedelta(minutes=10)
    try:
        with engine.begin() as holder, capture_logs() as lines:
            holder.execute(
                text("SELECT FROM service.exchange WHERE id = :id FOR UPDATE"), {"id": exchange.id}
            )
            world.sweep()
        said = [line["log_level"] for line in lines if line["event"] == "payment_put_off"]
        assert said
        assert set(said) == {"warning"}
        assert _row(world, "SELECT max(failures) AS most FROM service.payment").most == 0
        world.now += timedelta(hours=1)
        world.sweep()
        assert world.balance(f"hold:{world.read(exchange).legs[0].id}") == 1_000
        world.check()
    finally:
        hurried.dispose()


def _wait_little(connection: Any, _record: object) -> None:
    connection.execute("SET lock_timeout = '200ms'")
    connection.commit()


def test_a_clock_whose_database_goes_away_wants_nobody(world: World) -> None:
    world.sale()
    world.now += timedelta(days=30)
    cut: list[int] = []

    def hang_up(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if "UPDATE service.exchange " in statement and not cut:
            cut.append(connection.connection.info["backend"])
            with world.engine.begin() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": cut[0]})

    def note(connection: Connection) -> None:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        connection.connection.info["backend"] = driver.info.backend_pid

    event.listen(world.engine, "begin", note)
    event.listen(world.engine, "before_cursor_execute", hang_up)
    try:
        with capture_logs() as lines:
            timers.run(world.engine, world.codes, world.now, only=world.platform_id)
    finally:
        event.remove(world.engine, "begin", note)
        event.remove(world.engine, "before_cursor_execute", hang_up)
    assert cut
    said = {line["log_level"] for line in lines if line["event"] == "timers_stopped"}
    assert said == {"warning"}
    world.fire()
    failures = _row(world, "SELECT coalesce(max(failures), 0) AS most FROM service.timer").most
    assert failures == 0
    assert _row(world, "SELECT count(*) AS n FROM service.dead_letter").n == 0
    world.check()
