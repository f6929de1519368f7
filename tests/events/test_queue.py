"""What is claimed, by whom, and what a result may still change."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, RowMapping

from service import db
from service.events import queue
from service.events.courier import Result
from service.ids import encode
from tests.events.conftest import Post

AFTER: Final = queue.LEASE + timedelta(seconds=1)


def claim(
    connection: Connection, post: Post, now: datetime, *, limit: int = 1000, each: int = 1000
) -> list[RowMapping]:
    """Claim as a worker does; return what of it is of this platform."""
    found = queue.claim(connection, now, limit, each, {})
    return [row for row in found if row["platform_id"] == post.platform_id]


def take(post: Post, now: datetime, **more: int) -> list[RowMapping]:
    """Claim, in a transaction of its own."""
    with db.transaction(post.engine, db.SYSTEM) as connection:
        return claim(connection, post, now, **more)


def came_out(post: Post, rows: Sequence[RowMapping], status: int, at: datetime) -> None:
    """Record that each was answered so."""
    attempts = [queue.Attempt(row, Result(status, None, 1), at) for row in rows]
    with db.transaction(post.engine, db.SYSTEM) as connection:
        queue.record(connection, attempts, at)


def test_two_workers_claim_nothing_twice_and_do_not_wait_for_each_other(post: Post) -> None:
    post.endpoint()
    for _ in range(4):
        post.happen()
    now = post.now()
    post.fan_out(now)
    with (
        db.transaction(post.engine, db.SYSTEM) as one,
        db.transaction(post.engine, db.SYSTEM) as other,
    ):
        first = claim(one, post, now, each=3)
        second = claim(other, post, now)
    assert (len(first), len(second)) == (3, 1)
    assert take(post, now) == []


def test_who_has_much_waiting_does_not_come_before_who_has_little(post: Post) -> None:
    much, little = post.endpoint("/much"), post.endpoint("/little", "payout.failed")
    now = post.now()
    for _ in range(10):
        post.happen("payee.ready")
    post.fan_out(now)
    post.happen("payout.failed")
    post.fan_out(now + timedelta(seconds=1))
    rows = take(post, now + timedelta(seconds=2), limit=2)
    assert {row["endpoint_id"] for row in rows} == {much, little}


def test_an_endpoint_that_fails_is_asked_one_at_a_time(post: Post) -> None:
    post.endpoint()
    for _ in range(5):
        post.happen()
    now = post.now()
    post.fan_out(now)
    came_out(post, take(post, now, each=2), 500, now)
    later = now + timedelta(minutes=1)
    rows = take(post, later)
    assert len(rows) == 1
    came_out(post, rows, 200, later)
    assert len(take(post, later)) == 4


def test_what_is_on_its_way_counts_against_what_an_endpoint_may_have(post: Post) -> None:
    endpoint = post.endpoint()
    for _ in range(5):
        post.happen()
    now = post.now()
    post.fan_out(now)
    with db.transaction(post.engine, db.SYSTEM) as connection:
        rows = queue.claim(connection, now, 1000, 3, {endpoint: 2})
    assert len([row for row in rows if row["endpoint_id"] == endpoint]) == 1


def test_a_late_failure_does_not_disturb_who_has_it_now(post: Post) -> None:
    post.endpoint()
    post.happen()
    now = post.now()
    post.fan_out(now)
    late = take(post, now)
    current = take(post, now + AFTER)
    (before,) = post.deliveries()
    came_out(post, late, 500, now + AFTER)
    assert post.deliveries() == [before]
    came_out(post, current, 200, now + AFTER)
    assert post.states() == ["delivered"]


def test_what_follows_one_that_failed_is_not_even_looked_at_before_it(post: Post) -> None:
    post.endpoint()
    events = post.exchange(3)
    now = post.now()
    post.fan_out(now)
    (first,) = take(post, now)
    assert encode("event", first["id"]) == events[0]
    came_out(post, [first], 500, now)
    post.exchange(1, first["exchange_id"], first=4)
    post.fan_out(now)
    due = {row["next_at"] for row in post.deliveries()}
    assert len(due) == 1
    assert due.pop() >= now + timedelta(seconds=5)
    later = now + timedelta(seconds=10)
    came_out(post, take(post, later), 200, later)
    assert [row["next_at"] for row in post.deliveries()] == [None, later, later, later]


def test_what_came_back_after_its_endpoint_was_disabled_waits_with_the_rest(post: Post) -> None:
    endpoint = post.endpoint()
    post.happen()
    now = post.now()
    post.fan_out(now)
    rows = take(post, now)
    post.change(endpoint, now, enabled=False)
    came_out(post, rows, 500, now)
    (row,) = post.deliveries()
    assert (row["state"], row["next_at"], row["failures"]) == ("waiting", None, 1)
    post.change(endpoint, now, enabled=True)
    assert len(take(post, now)) == 1


def test_results_of_many_endpoints_are_written_at_once(post: Post) -> None:
    ids = [post.endpoint(f"/{number}") for number in range(3)]
    for _ in range(3):
        post.happen()
    now = post.now()
    post.fan_out(now)
    rows = take(post, now)
    assert len(rows) == 9
    attempts = [
        queue.Attempt(row, Result(500 if row["endpoint_id"] == ids[0] else 200, None, 1), now)
        for row in rows
    ]
    with db.transaction(post.engine, db.SYSTEM) as connection:
        queue.record(connection, attempts, now)
    assert [set(post.states(id_)) for id_ in ids] == [{"waiting"}, {"delivered"}, {"delivered"}]
    assert [post.read(id_)["failing_since"] for id_ in ids] == [now, None, None]
    assert len(post.attempts()) == 9
