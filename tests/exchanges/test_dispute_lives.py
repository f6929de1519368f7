"""Random lives of disputes on the real database, several at once, against an independent oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from tests.exchanges.dispute_lives import DisputeLives

STEPS: Final = 30
#: Hours that pass between steps.
PAUSES: Final = (1, 25, 49, 49, 24 * 8, 24 * 20)


@pytest.mark.timeout(180)
def test_whatever_is_done_in_disputes_value_is_shared_as_said_and_all_of_them_end(
    engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    # A life is one seed: what would be tried with less of it is another life, and no simpler one.
    @settings(max_examples=3, deadline=None, phases=[Phase.generate], database=None)
    @given(st.integers(0, 2**64 - 1))
    def live(seed: int) -> None:
        note(f"DisputeLives(…, seed={seed})")
        lives = DisputeLives(engine, new_platform(), seed)
        for _ in range(STEPS):
            lives.step()
            if lives.random.random() < 0.2:
                lives.pass_time(hours=lives.random.choice(PAUSES))
        lives.end()

    live()
