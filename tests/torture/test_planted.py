"""The torture is able to fail: each of three planted bugs is found, and nothing without one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.chaos.load import Lived
from tests.torture.lives import Villager
from tests.torture.planted import DROPPED_LOCK, LOST_EVENT, SKIPPED_CLAIM, Bug, run_as_superuser
from tests.torture.run import torture
from tests.torture.world import World

SECONDS = 6.0
#: How many loads a bug may outlive.
TRIES = 6


class _Simple(Villager):
    """Lives what needs no provider and no patience: hours of one neighbour, and sales cancelled."""

    def live(self) -> Sequence[Lived]:
        return self.neighbourly() if self._chance.random() < 2 / 3 else [self.cancelled()]


def _findings(world: World, seed: int) -> Sequence[str]:
    """Return what a short load finds while only the clients' networks lose answers."""
    for name in ("clients-0", "clients-1"):
        world.networks[name].draws = ("lose answers",)
    report = torture(world, seed, SECONDS, harmed=False, disputes=False, people=4, person=_Simple)
    print(f"\n{report}")
    assert report.answers > 0
    return report.findings


@pytest.mark.timeout(600)
def test_without_a_planted_bug_nothing_is_found(tortured: World, seed: int) -> None:
    assert _findings(tortured, seed) == []


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("bug", "sign"),
    [
        (LOST_EVENT, "misnumbered:"),
        (SKIPPED_CLAIM, "refused:"),
        # The last: its books stay wrong, and the workers of this world would say so before long.
        (DROPPED_LOCK, "books:"),
    ],
    ids=lambda one: one.name if isinstance(one, Bug) else "",
)
def test_a_planted_bug_is_found(tortured: World, seed: int, bug: Bug, sign: str) -> None:
    # A bug that waits for two at the same instant may be missed by one short load.
    found: list[str] = []
    for load in range(TRIES):
        run_as_superuser(tortured.postgres, bug.plant)
        try:
            found += _findings(tortured, seed + load)
        finally:
            run_as_superuser(tortured.postgres, bug.pull)
        if any(one.startswith(sign) for one in found):
            return
    raise AssertionError(f"{bug.name} was not found in {TRIES} loads: {found}")
