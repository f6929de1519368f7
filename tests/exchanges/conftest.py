"""Fixtures of the exchanges' tests."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine

from tests.exchanges.world import World


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> Iterator[World]:
    """A fresh platform; whatever the test did, its books must be clean at the end."""
    made = World(engine, platform_id)
    yield made
    made.check()
