"""Many at a time between us and the providers: as many statements for fifty as for one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, event, text
from structlog.testing import capture_logs

from service import db
from service.exchanges import asking, follow, reports, sweep, timers
from service.exchanges.desk import Desk
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from service.exchanges.reports import Told
from service.ids import uuid7
from service.payments import inbox, payments
from service.payments.port import AmountDiffers, Event, Object, ProviderUnavailable, Status
from service.payments.providers import Providers
from service.payments.sandbox import Sandbox
from tests.counted import statements
from tests.exchanges.world import SECRET, World


@pytest.fixture
def apart(world: World) -> Iterator[World]:
    """Return a world whose provider is a company elsewhere, with connections of its own."""
    elsewhere = db.create_engine(world.engine.url.render_as_string(hide_password=False))
    world.sandbox = Sandbox(elsewhere, SECRET, lambda: world.now)
    world.desk = Desk(world.engine, Providers(world.sandbox), world.codes)
    yield world
    elsewhere.dispose()


def _counted(world: World, work: Callable[[], int], wanted: int) -> Counter[str]:
    """Do ``work``, which does as much as is ``wanted``; return the statements that it took."""
    with statements(world.engine) as seen:
        assert work() == wanted
    return seen


def _apply(world: World) -> int:
    return follow.apply_events(world.desk, world.now, world.platform_id)


def _ask(world: World) -> int:
    return sweep.ask_providers(world.desk, world.now, world.platform_id)


def _tell(world: World) -> int:
    return sweep.tell_sandbox(world.desk, world.now, world.platform_id)


def _paying(world: World, count: int) -> list[Exchange]:
    """Sales whose payment the provider has taken and not told of yet."""
    sales = [world.sale(1_000 + number) for number in range(count)]
    for one in sales:
        world.step(one, "fund", Role.PAYER)
    return sales


def _same(one: Counter[str], many: Counter[str]) -> None:
    """Compare how many there are, and how often each: one posting has a call of its own."""
    assert sorted(many.values()) == sorted(one.values())
    assert len(many - one) <= 1


def _states(world: World, exchanges: Sequence[Exchange]) -> set[State]:
    return {world.read(one).state for one in exchanges}


def test_fifty_events_are_stored_and_applied_by_the_statements_of_one(apart: World) -> None:
    world = apart
    (first,) = _paying(world, 1)
    told_one = _counted(world, lambda: _tell(world), 1)
    applied_one = _counted(world, lambda: _apply(world), 1)
    many = _paying(world, 50)
    _same(told_one, _counted(world, lambda: _tell(world), 50))
    _same(applied_one, _counted(world, lambda: _apply(world), 50))
    assert _states(world, [first, *many]) == {State.ACTIVE}


def _released(world: World, count: int) -> list[Exchange]:
    """Sales that both sides have confirmed, whose payees wait for their money."""
    sales = _paying(world, count)
    _tell(world)
    _apply(world)
    return [world.both_confirm(one) for one in sales]


def test_twenty_released_payments_are_asked_for_and_end_by_the_statements_of_one(
    apart: World,
) -> None:
    world = apart
    _released(world, 1)
    asked_one = _counted(world, lambda: _ask(world), 1)
    _tell(world)
    ended_one = _counted(world, lambda: _apply(world), 1)
    many = _released(world, sweep.BATCH)
    _same(asked_one, _counted(world, lambda: _ask(world), sweep.BATCH))
    _tell(world)
    _same(ended_one, _counted(world, lambda: _apply(world), sweep.BATCH))
    for one in many:
        assert world.events(one)[-1] == "payout.succeeded"


def test_fifty_timers_fire_by_the_statements_of_one(world: World) -> None:
    def fired(count: int) -> tuple[int, Counter[str]]:
        sales = [world.sale() for _ in range(count)]
        world.now += timedelta(days=40)
        with statements(world.engine) as seen:
            number = timers.run(world.engine, world.codes, world.now, only=world.platform_id)
        assert {world.events(one)[-1] for one in sales} == {"exchange.reminder"}
        world.pass_time(days=40)
        assert _states(world, sales) == {State.EXPIRED}
        return number, seen

    reminded_one, seen = fired(1)
    assert reminded_one == 1
    assert fired(50) == (50, seen)


def test_twenty_cases_of_silence_open_by_the_statements_of_one_but_for_the_draws(
    apart: World,
) -> None:
    """Each draw fills a place that the next one must see: the lot alone is drawn one by one."""
    world = apart

    def escalated(count: int) -> Counter[str]:
        sales = _paying(world, count)
        _tell(world)
        _apply(world)
        while _states(world, sales) == {State.ACTIVE}:
            world.now += timedelta(days=1)
            with statements(world.engine) as seen:
                timers.run(world.engine, world.codes, world.now, only=world.platform_id)
        assert _states(world, sales) == {State.IN_REVIEW}
        return seen

    of_one, of_many = escalated(1), escalated(20)
    more = {text_ for text_, count in of_many.items() if count != of_one[text_]}
    assert len(more) == 3
    assert all("disputes." in text_ for text_ in more)
    assert {of_many[text_] for text_ in more} == {20}


def test_payments_that_wait_are_put_off_by_the_statements_of_one(apart: World) -> None:
    world = apart

    def stop(count: int) -> Counter[str]:
        _released(world, count)
        with db.transaction(world.engine, world.platform_id) as connection:
            connection.execute(
                text(
                    "INSERT INTO service.payout_stop (platform_id, id, since, reason) "
                    "VALUES (:p, :id, :now, 'a test') ON CONFLICT DO NOTHING"
                ),
                {"p": world.platform_id, "id": uuid7(), "now": world.now},
            )
        return _counted(world, lambda: _ask(world), 0)

    _same(stop(1), stop(sweep.BATCH))


def test_payments_that_a_provider_does_not_answer_for_are_put_off_by_the_statements_of_one(
    world: World,
) -> None:
    def away(count: int) -> Counter[str]:
        ids = [_of(world, one) for one in _paying(world, count)]
        with db.transaction(world.engine, world.platform_id) as connection:
            rows = payments.find_all(connection, world.platform_id, ids)
            asks = asking.prepare(connection, world.platform_id, list(rows.values()))
        error = ProviderUnavailable("it is away", retry_after=90)
        said = [asking.Said(one, error) for one in asks]
        with (
            statements(world.engine) as seen,
            db.transaction(world.engine, world.platform_id) as connection,
        ):
            asking.record(connection, world.platform_id, said, world.rules)
        with db.transaction(world.engine, world.platform_id) as connection:
            found = payments.find_all(connection, world.platform_id, ids).values()
            assert {row["look_again_at"] for row in found} == {world.now + timedelta(seconds=90)}
        return seen

    _same(away(1), away(50))


def test_events_of_nothing_known_are_put_off_by_the_statements_of_one(apart: World) -> None:
    world = apart

    def strange(count: int) -> Counter[str]:
        events = [Event(f"e-{uuid7()}", "x", f"sb_{uuid7()}") for _ in range(count)]
        with db.transaction(world.engine, world.platform_id) as connection:
            told = [("sandbox", one) for one in events]
            assert len(inbox.receive(connection, world.platform_id, told * 2, world.now)) == count
            assert inbox.receive(connection, world.platform_id, told, world.now) == set()
        return _counted(world, lambda: _apply(world), 0)

    _same(strange(1), strange(50))


def _spoil(world: World, exchange: Exchange, offer: str | None) -> None:
    """Put an offer into the row that no code understands (or take it out again)."""
    with db.transaction(world.engine, world.platform_id) as connection:
        connection.execute(
            text("UPDATE service.exchange SET proposal = CAST(:offer AS jsonb) WHERE id = :id"),
            {"id": exchange.id, "offer": offer},
        )


def test_an_event_that_cannot_be_applied_stops_none_of_the_others(apart: World) -> None:
    world = apart
    sales = _paying(world, 9)
    _tell(world)
    _spoil(world, sales[4], '{"kind": "barter"}')
    with capture_logs() as lines:
        assert _apply(world) == 8
    assert "batch_halved" in {line["event"] for line in lines}
    assert _states(world, sales[:4] + sales[5:]) == {State.ACTIVE}
    _spoil(world, sales[4], None)
    world.now += timedelta(hours=2)
    assert _apply(world) == 1
    assert _states(world, sales) == {State.ACTIVE}


def test_a_row_that_somebody_holds_keeps_none_of_the_others(
    engine: Engine, platform_id: UUID
) -> None:
    hurried = db.create_engine(engine.url.render_as_string(hide_password=False), pool_size=3)
    event.listen(hurried, "connect", _wait_little)
    world = World(hurried, platform_id)
    sales = _paying(world, 5)
    _tell(world)
    try:
        with engine.begin() as holder:
            holder.execute(
                text("SELECT FROM service.exchange WHERE id = :id FOR UPDATE"), {"id": sales[2].id}
            )
            assert _apply(world) == 4
        assert _states(world, sales) == {State.ACTIVE, State.FUNDING}
        world.now += timedelta(hours=1)
        assert _apply(world) == 1
        assert _states(world, sales) == {State.ACTIVE}
        world.check()
    finally:
        hurried.dispose()


def _wait_little(connection: Any, _record: object) -> None:
    connection.execute("SET lock_timeout = '200ms'")
    connection.commit()


def _of(world: World, exchange: Exchange) -> UUID:
    found = world.read(exchange).collect_id
    assert found is not None
    return found


def _report(world: World, told: Sequence[Told]) -> list[Exception | None]:
    with db.transaction(world.engine, world.platform_id) as connection:
        return reports.report(connection, world.platform_id, told, world.rules)


def _word(world: World, exchange: Exchange, status: Status, amount: int) -> Told:
    payment_id = _of(world, exchange)
    with db.transaction(world.engine, world.platform_id) as connection:
        ref = payments.find(connection, world.platform_id, payment_id)["provider_ref"]
    taken = amount if status is Status.SUCCEEDED else None
    return Told(payment_id, Object(ref, "collect", status, amount, "EUR", captured=taken))


def test_what_is_refused_in_a_batch_leaves_no_trace_and_touches_no_other(world: World) -> None:
    sales = _paying(world, 3)
    words = [
        _word(world, sales[0], Status.SUCCEEDED, 1_000),
        _word(world, sales[1], Status.SUCCEEDED, 1_002),
        Told(uuid7(), "declined"),
        _word(world, sales[2], Status.SUCCEEDED, 1_002),
    ]
    before = world.read(sales[1])
    first, differs, unknown, last = _report(world, words)
    assert first is last is None
    assert isinstance(differs, AmountDiffers)
    assert isinstance(unknown, payments.PaymentNotFound)
    assert world.read(sales[1]) == before
    assert _states(world, [sales[0], sales[2]]) == {State.ACTIVE}


def test_two_words_on_one_payment_in_a_batch_are_followed_in_their_order_and_once(
    world: World,
) -> None:
    (sale,) = _paying(world, 1)
    done = _word(world, sale, Status.SUCCEEDED, 1_000)
    before = world.events(sale)
    late = [_word(world, sale, Status.PENDING, 1_000), done, done]
    assert _report(world, late) == [None, None, None]
    assert _report(world, late) == [None, None, None]
    assert world.read(sale).state is State.ACTIVE
    assert world.events(sale) == [*before, "exchange.active"]
    assert world.outside() == 1_000


def test_words_on_two_payments_of_one_exchange_follow_each_other_in_one_batch(
    apart: World,
) -> None:
    world = apart
    legs = [("price", 5_000, "EUR"), ("deposit", 3_000, "EUR")]
    rental = world.funded(
        world.propose(world.draft("rental", legs, checkpoints=("handover", "return")))
    )
    world.both_confirm(rental)
    world.both_confirm(rental)
    assert _ask(world) == 2
    _tell(world)
    events = len(world.events(rental))
    assert _apply(world) == 2
    assert set(world.events(rental)[events:]) == {"payout.succeeded", "refund.succeeded"}
    assert world.read(rental).event_sequence == len(world.events(rental))


def test_an_answer_that_is_slow_holds_no_other_up(world: World) -> None:
    """Answers are recorded as they come: nothing that was answered waits for what was not."""
    sales = _paying(world, 6)
    _tell(world)
    slow = _of(world, sales[0])
    left: list[set[State]] = []

    class Slow(Sandbox):
        """Answers for one payment only when the others are recorded."""

        def retrieve(self, platform_id: UUID, ref: str) -> Object:
            """Read an object, once it may."""
            if ref.endswith(slow.hex):
                until = time.monotonic() + 20
                while _states(world, sales[1:]) != {State.ACTIVE} and time.monotonic() < until:
                    time.sleep(0.02)
                left.append(_states(world, sales[1:]))
            return super().retrieve(platform_id, ref)

    desk = Desk(world.engine, Providers(Slow(world.engine, SECRET, lambda: world.now)), world.codes)
    assert follow.apply_events(desk, world.now) >= 6
    assert left == [{State.ACTIVE}]
    assert _states(world, sales) == {State.ACTIVE}


def test_nothing_is_asked_of_a_provider_in_a_transaction(world: World) -> None:
    (sale,) = _paying(world, 1)
    with db.transaction(world.engine, world.platform_id) as connection:
        row = payments.find(connection, world.platform_id, _of(world, sale))
        said = asking.call(world.desk, asking.Ask(row))
    assert isinstance(said.answer, RuntimeError)
    assert "inside a transaction" in str(said.answer)
    assert _apply(world) == 0
