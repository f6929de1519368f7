"""What is done every hour: by what is recorded, by one process at a time, until it comes off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from service.db import SYSTEM, transaction
from service.operations import proofs

NOW = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


@pytest.fixture
def what() -> str:
    """Return something that was never done."""
    return f"test {uuid4()}"


def _problems(engine: Engine, what: str) -> int | None:
    with transaction(engine, SYSTEM) as connection:
        query = text("SELECT problems FROM service.proof WHERE what = :what")
        return connection.execute(query, {"what": what}).scalar_one_or_none()


def test_it_is_done_when_the_last_time_is_an_hour_ago(engine: Engine, what: str) -> None:
    assert proofs.hourly(engine, what, NOW, lambda: 2)
    assert _problems(engine, what) == 2
    assert not proofs.hourly(engine, what, NOW + proofs.EVERY - MOMENT, lambda: 3)
    assert _problems(engine, what) == 2
    assert proofs.hourly(engine, what, NOW + proofs.EVERY, lambda: None)
    assert _problems(engine, what) == 0


def test_a_time_to_come_says_nothing(engine: Engine, what: str) -> None:
    assert proofs.hourly(engine, what, NOW + timedelta(days=400), lambda: 0)
    assert proofs.hourly(engine, what, NOW, lambda: 1)
    assert not proofs.hourly(engine, what, NOW, lambda: 1)


def test_what_failed_is_due_at_the_next_look(engine: Engine, what: str) -> None:
    def fail() -> int:
        raise ValueError("the work came to nothing")

    with pytest.raises(ValueError, match="came to nothing"):
        proofs.hourly(engine, what, NOW, fail)
    assert _problems(engine, what) is None
    assert proofs.hourly(engine, what, NOW + MOMENT, lambda: 0)


def test_while_one_process_is_at_it_no_other_begins(engine: Engine, what: str) -> None:
    def work() -> int:
        assert not proofs.hourly(engine, what, NOW, lambda: 7)
        return 1

    assert proofs.hourly(engine, what, NOW, work)
    assert _problems(engine, what) == 1
