"""An endpoint is disabled or deleted just as another process gives it something to do."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from service import db
from service.events import endpoints, ladder
from service.operations import dead_letters
from tests.events.conftest import Post
from tests.events.sink import OK, Reply

_WAITED_FOR: Final = text(
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE :pid = ANY(pg_blocking_pids(pid)))"
)


def test_what_is_fanned_out_while_its_endpoint_is_disabled_is_not_for_it(post: Post) -> None:
    endpoint = post.endpoint()
    post.happen()
    meanwhile(post, lambda connection: disable(connection, post, endpoint), post.fan_out)
    assert post.deliveries() == []


def test_what_is_fanned_out_while_its_endpoint_is_deleted_is_not_for_it(post: Post) -> None:
    endpoint = post.endpoint()
    post.happen()
    meanwhile(
        post,
        lambda connection: endpoints.delete(connection, post.platform_id, endpoint, post.now()),
        post.fan_out,
    )
    assert post.deliveries() == []


def test_a_dead_letter_that_is_retried_while_its_endpoint_is_disabled_stays_as_it_is(
    post: Post,
) -> None:
    endpoint = post.endpoint()
    event = post.happen()
    post.sink.script("/hook", lambda given, _number: Reply(500) if given == event else OK)
    now = post.now()
    for _ in ladder.LADDER:
        post.happen()  # the endpoint is well
        post.run(now)
        now = max(row["next_at"] or now for row in post.deliveries())
    before = post.states()
    assert before[0] == "failed"

    def retry() -> None:
        with db.transaction(post.engine, post.platform_id) as connection:
            (letter,) = dead_letters.page(connection, post.platform_id, limit=10)
            dead_letters.retry(connection, post.platform_id, letter["id"], now)

    meanwhile(post, lambda connection: disable(connection, post, endpoint), retry)
    assert post.states() == before


def disable(connection: Connection, post: Post, endpoint_id: UUID) -> None:
    endpoints.change(connection, post.platform_id, endpoint_id, {"enabled": False}, post.now())


def meanwhile(post: Post, change: Callable[[Connection], None], other: Callable[[], None]) -> None:
    """Commit ``change`` once ``other``, in a transaction of its own, waits for it."""
    with ThreadPoolExecutor(1) as pool:
        with db.transaction(post.engine, post.platform_id) as connection:
            change(connection)
            pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
            running = pool.submit(other)
            deadline = time.monotonic() + 30
            while not is_waited_for(post, pid):
                assert not running.done(), "it did not wait"
                assert time.monotonic() < deadline
                time.sleep(0.01)
        running.result(60)


def is_waited_for(post: Post, pid: int) -> bool:
    with db.transaction(post.engine, db.SYSTEM) as connection:
        return bool(connection.execute(_WAITED_FOR, {"pid": pid}).scalar_one())
