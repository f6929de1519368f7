"""The options of the run that is killed, and its instance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.instance import Instance


@pytest.fixture(scope="session")
def chaos_seconds(pytestconfig: pytest.Config) -> float:
    """Return how long processes are killed for."""
    return float(pytestconfig.getoption("chaos_seconds"))


@pytest.fixture(scope="session")
def chaos_seed(pytestconfig: pytest.Config, seed: int) -> int:
    """Return what the run's choices are drawn from: the option, or the seed of the whole run."""
    given = pytestconfig.getoption("chaos_seed")
    return seed if given is None else int(given)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    """Return a running instance with servers of its own, stopped when the test is over."""
    running = Instance(tmp_path)
    try:
        running.start()
        yield running
    finally:
        running.stop()
