"""A reader who holds no lock sees an exchange as it was at one instant, never half of a step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

from service.exchanges.deadlines import deadlines
from service.exchanges.kinds import Role
from service.exchanges.model import State
from tests.exchanges.world import World


@contextmanager
def after_each_statement(engine: Engine, work: Any) -> Iterator[None]:
    """Do ``work`` on a connection of its own once, right after the next look at exchanges."""
    waiting = [work]

    def look(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "service.exchange" in statement and waiting:
            waiting.pop()()

    event.listen(engine, "after_cursor_execute", look)
    try:
        yield
    finally:
        event.remove(engine, "after_cursor_execute", look)
    assert not waiting


def test_a_step_that_commits_while_an_exchange_is_read_is_seen_whole_or_not_at_all(
    world: World,
) -> None:
    exchange = world.funded(world.sale())
    world.step(exchange, "confirm", Role.PAYEE)

    with after_each_statement(
        world.engine, lambda: world.step(exchange, "confirm", Role.PAYER, checkpoint="handover")
    ):
        seen = world.read(exchange)

    assert (seen.state, seen.current is None) in {
        (State.ACTIVE, False),
        (State.COMPLETED, True),
    }
    assert bool(deadlines(seen)) == (seen.state is State.ACTIVE)
    assert world.read(exchange).state is State.COMPLETED
