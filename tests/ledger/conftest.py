"""Fixtures of the ledger's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine

from tests.ledger.books import Books


@pytest.fixture
def books(engine: Engine, platform_id: UUID) -> Iterator[Books]:
    """Fresh books; whatever the test did, they must be clean at the end."""
    made = Books(engine, platform_id)
    yield made
    assert made.problems() == []


@pytest.fixture
def new_books(engine: Engine, new_platform: Callable[[], UUID]) -> Callable[[], Books]:
    """Return a maker of books that no other test knows."""
    return lambda: Books(engine, new_platform())
