"""One instance for the tests of a file: it is harmed, not spoilt."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.torture.run import world
from tests.torture.world import World


@pytest.fixture(scope="module")
def tortured(tmp_path_factory: pytest.TempPathFactory, seed: int) -> Iterator[World]:
    """Return a running world with servers of its own, stopped when the file is over."""
    with world(tmp_path_factory.mktemp("torture"), seed) as running:
        yield running
