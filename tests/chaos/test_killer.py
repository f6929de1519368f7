"""The plan of a run: the same for the same seed, and nobody is forgotten."""

from __future__ import annotations

import random

from tests.chaos.killer import plan

NAMES = ["api-0", "api-1", "broker", "worker-0", "worker-1"]
#: As long as the run of `make test`.
SECONDS = 20.0


def test_the_same_seed_gives_the_same_plan() -> None:
    assert plan(7, NAMES, SECONDS) == plan(7, NAMES, SECONDS)
    assert plan(7, NAMES, SECONDS) != plan(8, NAMES, SECONDS)


def test_everybody_dies_and_nobody_stays_dead(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(200):
        deeds = plan(chance.getrandbits(32), NAMES, SECONDS)
        assert {deed.name for deed in deeds if deed.kills} == set(NAMES)
        for name in NAMES:
            own = [deed.kills for deed in deeds if deed.name == name]
            assert own == [True, False] * (len(own) // 2)
