"""Events reach their endpoints: at least once, in the order of each exchange, none for another."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final
from uuid import uuid4

import pytest
from sqlalchemy import text

from service import db
from service.events import deliveries, fanout, ladder, queue
from service.events.courier import Result
from service.ids import encode, uuid7
from service.operations import dead_letters
from tests.events.conftest import SEALER, Post
from tests.events.sink import HANG, HANG_UP, OK, Reply, out_of_order

DOWN: Final = Reply(500, body=b"down")


def test_an_event_arrives_signed_with_what_it_says(post: Post) -> None:
    endpoint = post.endpoint()
    exchange = uuid4()
    (event,) = post.exchange(1, exchange)
    assert post.run() == 1
    (arrival,) = post.sink.of()
    arrival.verify(post.secrets[endpoint])
    told = post.events("exchange.agreed")[0]
    assert arrival.payload == {
        "id": event,
        "type": "exchange.agreed",
        "version": 1,
        "timestamp": told["at"].isoformat().replace("+00:00", "Z"),
        "exchange": encode("exchange", exchange),
        "member": None,
        "sequence": 1,
        "data": {"number": 1},
    }
    assert arrival.event == event
    (attempt,) = post.attempts()
    assert (attempt["status"], attempt["error"], attempt["answer"]) == (200, None, "thank you")
    assert post.states() == ["delivered"]
    assert post.run() == 0


def test_an_event_too_large_to_send_comes_without_its_data(post: Post) -> None:
    post.endpoint()
    post.happen(long="x" * 30_000)
    post.run()
    (arrival,) = post.sink.of()
    assert len(arrival.body) < 20_000
    assert (arrival.payload["data"], arrival.payload["data_left_out"]) == ({}, True)


def test_an_endpoint_gets_the_types_and_families_it_asked_for(post: Post) -> None:
    one, family, both = (
        post.endpoint("/one", "payee.ready"),
        post.endpoint("/family", "exchange.*"),
        post.endpoint("/both", "payout.failed", "exchange.agreed", "exchange.*"),
    )
    post.happen("payee.ready")
    post.happen("payout.failed")
    post.exchange(2)
    post.run()
    assert [len(post.deliveries(each)) for each in (one, family, both)] == [1, 2, 3]
    assert {arrival.type for arrival in post.sink.of("/family")} == {
        "exchange.agreed",
        "exchange.active",
    }


def test_an_endpoint_gets_nothing_of_another_platform_nor_of_the_time_before_it(
    post: Post, new_post: Callable[[], Post]
) -> None:
    post.happen()
    neighbour = new_post()
    post.endpoint()
    neighbour.happen()
    post.run()
    neighbour.run()
    assert post.deliveries() == []
    mine = post.happen()
    post.run()
    assert [arrival.event for arrival in post.sink.of()] == [mine]


def test_events_of_one_exchange_wait_for_each_other_and_for_no_other(post: Post) -> None:
    post.endpoint()
    stuck, free = post.exchange(5), post.exchange(5)
    post.sink.script("/hook", lambda event, number: DOWN if event == stuck[1] else OK)
    now = post.now()
    post.run(now)
    assert {one.event for one in post.sink.taken()} == {stuck[0], *free}
    post.sink.reply("/hook", OK)
    post.run(now + timedelta(seconds=10))
    taken = [one.event for one in post.sink.taken() if one.event in stuck]
    assert taken == stuck
    assert out_of_order(post.sink.taken()) == []


def test_an_event_that_is_given_up_lets_the_next_of_its_exchange_go(post: Post) -> None:
    post.endpoint()
    events = post.exchange(2)
    post.sink.script("/hook", lambda event, number: DOWN if event == events[0] else OK)
    now = post.now()
    for _ in ladder.LADDER:
        other = post.happen()  # the endpoint is well
        post.run(now)
        assert post.sink.of()[-1].event in {other, *events}
        now = max(row["next_at"] or now for row in post.deliveries())
    assert [row["state"] for row in post.deliveries() if row["exchange_id"]] == [
        "failed",
        "delivered",
    ]
    tries = [one.event for one in post.sink.of()]
    assert tries.count(events[0]) == len(ladder.LADDER)
    assert tries.index(events[1]) > max(i for i, one in enumerate(tries) if one == events[0])


def test_what_is_given_up_is_a_dead_letter_that_can_be_sent_again(post: Post) -> None:
    endpoint = post.endpoint()
    event = post.happen()
    post.sink.script("/hook", lambda given, number: DOWN if given == event else OK)
    now = post.now()
    for _ in ladder.LADDER:
        post.happen()
        post.run(now)
        now = max(row["next_at"] or now for row in post.deliveries())
    with db.transaction(post.engine, post.platform_id) as connection:
        (letter,) = dead_letters.page(connection, post.platform_id, limit=10)
        assert letter["subject"] == {
            "endpoint": encode("webhook_endpoint", endpoint),
            "event": event,
        }
        assert (letter["work"], letter["attempts"]) == ("webhook", len(ladder.LADDER))
        assert "webhook" in dead_letters.registered()
        dead_letters.retry(connection, post.platform_id, letter["id"], now)
    post.sink.reply("/hook", OK)
    post.run(now)
    assert set(post.states()) == {"delivered"}


def test_the_ladder_is_climbed_step_by_step(post: Post) -> None:
    post.endpoint()
    post.sink.reply("/hook", DOWN)
    post.happen()
    now = post.now()
    for failures in range(1, 7):
        post.run(now)
        (row,) = post.deliveries()
        wait = row["next_at"] - now
        step = ladder.LADDER[failures]
        # The attempt itself took a moment of real time.
        assert step <= wait <= step * (1 + ladder.JITTER) + timedelta(seconds=5)
        assert (row["failures"], row["state"]) == (failures, "waiting")
        assert post.run(row["next_at"] - timedelta(seconds=1)) == 0
        now = row["next_at"]


@pytest.mark.parametrize(
    ("reply", "status", "error"),
    [
        (Reply(302, (("location", "/elsewhere"),)), 302, "redirects"),
        (Reply(404), 404, "answered 404; only 200 to 299"),
        (HANG_UP, None, "disconnected"),
    ],
    ids=["a redirect", "a refusal", "a line that goes dead"],
)
def test_what_is_no_2xx_is_tried_again(
    post: Post, reply: Reply, status: int | None, error: str
) -> None:
    post.endpoint()
    post.sink.reply("/hook", reply, OK)
    post.happen()
    now = post.now()
    post.run(now)
    (attempt,) = post.attempts()
    assert attempt["status"] == status
    assert error in attempt["error"]
    assert post.sink.of("/elsewhere") == []
    post.run(now + timedelta(seconds=10))
    assert post.states() == ["delivered"]


def test_an_answer_without_end_is_read_no_further_than_its_beginning(post: Post) -> None:
    post.endpoint()
    post.sink.reply("/hook", Reply(200, body=b"\0" + b"x" * 20_000_000))
    post.happen()
    post.run()
    (attempt,) = post.attempts()
    assert len(attempt["answer"]) == 500
    assert post.states() == ["delivered"]


def test_what_was_sent_but_not_recorded_is_sent_again_when_the_lease_is_over(post: Post) -> None:
    post.endpoint()
    events = post.exchange(2)
    now = post.now()
    post.fan_out(now)
    with db.transaction(post.engine, db.SYSTEM) as connection:
        # As by a process that died: taken, and perhaps sent.
        (taken,) = [
            row
            for row in queue.claim(connection, now, 100, 100, {})
            if row["platform_id"] == post.platform_id
        ]
    assert encode("event", taken["id"]) == events[0]
    post.run(now + queue.LEASE - timedelta(seconds=1), lasting=timedelta(0))
    assert post.sink.of() == []
    post.run(now + queue.LEASE + timedelta(seconds=1))
    assert [one.event for one in post.sink.taken()] == events
    assert [row["number"] for row in post.attempts()] == [2, 1]


def test_a_result_that_comes_after_its_lease_changes_nothing_but_the_log(post: Post) -> None:
    post.endpoint()
    post.happen()
    now = post.now()
    post.fan_out(now)
    with db.transaction(post.engine, db.SYSTEM) as connection:
        late = [
            queue.Attempt(row, Result(500, None, 1), now)
            for row in queue.claim(connection, now, 100, 100, {})
            if row["platform_id"] == post.platform_id
        ]
    after = now + queue.LEASE + timedelta(seconds=1)
    post.run(after)
    assert post.states() == ["delivered"]
    with db.transaction(post.engine, db.SYSTEM) as connection:
        queue.record(connection, late, after)
    assert post.states() == ["delivered"]
    assert [row["number"] for row in post.attempts()] == [1, 2]


def test_an_event_that_cannot_be_sent_keeps_no_other_waiting(post: Post) -> None:
    post.endpoint()
    with db.transaction(post.engine, post.platform_id) as connection:
        connection.execute(
            text(
                "INSERT INTO service.event (platform_id, id, type, data, at) "
                "VALUES (:platform_id, :id, 'exchange.vanished', '{}', now())"
            ),
            {"platform_id": post.platform_id, "id": uuid7()},
        )
    good = post.happen()
    post.run()
    assert [one.event for one in post.sink.of()] == [good]
    assert post.states() == ["waiting", "delivered"]
    assert "KeyError" in post.attempts()[0]["error"]


def test_workers_that_run_at_once_send_each_event_once_and_in_order(post: Post) -> None:
    post.endpoint()
    for _ in range(20):
        post.exchange(5)
    post.fan_out()
    now = post.now()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _number: post.run(now), range(4)))
    events = [one.event for one in post.sink.of()]
    assert len(events) == len(set(events)) == 100
    assert out_of_order(post.sink.taken()) == []


def test_endpoints_that_hang_keep_no_other_waiting(post: Post) -> None:
    for number in range(5):
        post.endpoint(f"/slow{number}")
        post.sink.reply(f"/slow{number}", HANG)
    id_ = post.endpoint("/quick")
    for _ in range(30):
        post.happen()
    post.fan_out()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(post.run, most=20, each=2)
        quick = post.sink.wait(30, "/quick")
        assert {row["endpoint_id"] for row in post.attempts()} <= {id_}, (
            "no slow one was waited for"
        )
        assert {one.reply for one in quick} == {OK}
        for number in range(5):
            post.sink.reply(f"/slow{number}", OK)
        post.sink.hang_up()
        running.result(60)


def test_a_round_that_waits_for_an_answer_keeps_the_next_from_nothing(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = timedelta(0)
    monkeypatch.setattr(deliveries, "monotonic", lambda: time.monotonic() + ahead.total_seconds())
    post.endpoint("/slow")
    post.sink.reply("/slow", HANG, OK)
    post.endpoint("/quick")
    post.happen()
    post.fan_out()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(deliveries.turn, post.engine, post.now(), SEALER, post.guard)
        post.sink.wait(1, "/slow")
        post.sink.wait(1, "/quick")
        ahead = deliveries.ROUND
        post.happen()
        while len(post.sink.of("/quick")) < 2 and not waiting.done():
            deliveries.turn(post.engine, post.now(), SEALER, post.guard)
            time.sleep(0.01)
        post.sink.hang_up()
        waiting.result(60)
    assert len(post.sink.of("/quick")) == 2
    assert len(post.sink.of("/slow")) == 2, "what was waited for was not asked again"


def test_one_endpoint_is_sent_no_more_at_a_time_than_it_may_be(post: Post) -> None:
    post.endpoint()
    post.sink.reply("/hook", Reply(after_seconds=0.05))
    for _ in range(12):
        post.happen()
    post.run(each=3)
    assert post.sink.most_at_once() == 3
    assert set(post.states()) == {"delivered"}


def test_an_earlier_event_behind_a_later_one_in_the_feed_is_not_overtaken(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transactions end in another order than they begin, and a batch can end in between."""
    post.endpoint()
    exchange = uuid4()
    with db.transaction(post.engine, post.platform_id) as early:
        early.execute(text("SELECT pg_current_xact_id()"))
        first = post.exchange(1, exchange, first=1)
        from_early = {"platform_id": post.platform_id, "exchange_id": exchange}
        early.execute(
            text(
                "INSERT INTO service.event (platform_id, id, type, exchange_id, sequence, data, at)"
                " VALUES (:platform_id, uuidv7(), 'exchange.active', :exchange_id, 2, '{}', now())"
            ),
            from_early,
        )
    monkeypatch.setattr(fanout, "BATCH", 1)
    deadline = time.monotonic() + 30
    while not post.deliveries():
        with db.transaction(post.engine, db.SYSTEM) as connection:
            fanout.fan_out(connection, post.now())
        assert time.monotonic() < deadline
    assert [row["sequence"] for row in post.deliveries()] == [1, 2]
    post.run()
    assert [one.sequence for one in post.sink.of()] == [1, 2]
    assert post.sink.of()[0].event == first[0]
