"""The process dies at any moment of a life at Stripe: between row, call and record."""

from __future__ import annotations

import pytest

from tests.exchanges.test_crashes import crashing, kill_at_moments
from tests.lives.stripe_lives import StripeLives


@pytest.mark.timeout(600)
def test_a_kill_between_any_row_call_and_record_loses_and_doubles_nothing(
    world: StripeLives, database_url: str
) -> None:
    with crashing("tests.lives.crash_child", database_url, world.server.url) as crasher:
        moments = kill_at_moments(world, crasher)
    assert moments > 30
    world.pass_time(hours=1)
    world.agree()
