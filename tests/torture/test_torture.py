"""Whatever is killed, cut, filled or delayed: nothing is lost and nothing is done twice."""

from __future__ import annotations

import pytest

from tests.torture.run import torture
from tests.torture.world import World

#: The short form; ``make torture`` is the long one, in which neutrals decide disputes beside it.
SECONDS = 20.0


@pytest.mark.timeout(600)
def test_nothing_is_lost_when_anything_is_harmed(tortured: World, seed: int) -> None:
    report = torture(tortured, seed, SECONDS, disputes=False, people=3)
    print(f"\n{report}")
    assert report.findings == [], tortured.last_words()
    assert report.lives > 0
    assert len(report.harms) >= 4
