"""What is kept of signing in names people, so it goes when it serves nothing any more."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from disputes.mediators import Mediator
from service.db import SYSTEM, transaction
from service.ids import uuid7
from service.mediators import accounts, sessions, throttle
from service.operations import retention

NOW: Final = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
MOMENT: Final = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few rows take several rounds."""
    monkeypatch.setattr(retention, "_BATCH", 2)


@pytest.fixture
def mediator(engine: Engine) -> UUID:
    """Return a mediator who was invited just now."""
    one = Mediator(
        uuid7(),
        "Maud",
        f"{secrets.token_hex(8)}@example.org",
        frozenset({"fr"}),
        frozenset(),
        frozenset({"mediator"}),
        3,
        NOW,
    )
    with transaction(engine, SYSTEM) as connection:
        accounts.add(connection, one, NOW)
    return one.id


def _count(engine: Engine, table: str, where: str, **values: Any) -> int:
    with transaction(engine, SYSTEM) as connection:
        query = text(f"SELECT count(*) FROM service.{table} WHERE {where}")
        found: int = connection.execute(query, values).scalar_one()
    return found


def test_tries_go_after_their_time_and_with_them_what_networks_are_known(engine: Engine) -> None:
    account = secrets.token_bytes(32)
    with transaction(engine, SYSTEM) as connection:
        for day in range(5):
            throttle.succeeded(connection, account, "local", NOW + day * timedelta(days=1))
    for at, left in ((-MOMENT, 5), (timedelta(0), 4), (timedelta(days=3), 1)):
        retention.forget(engine, NOW + throttle.KEPT + at)
        assert _count(engine, "sign_in_try", "account = :a", a=account) == left


def test_sessions_and_invitations_that_are_long_over_go_with_their_secrets(
    engine: Engine, mediator: UUID
) -> None:
    with transaction(engine, SYSTEM) as connection:
        session = sessions.start(connection, mediator, NOW)

    def left() -> tuple[int, int, int]:
        return (
            _count(engine, "sign_in_session", "mediator_id = :id", id=mediator),
            _count(engine, "sign_in_refresh", "session_id = :id", id=session.id),
            _count(engine, "invitation", "mediator_id = :id", id=mediator),
        )

    for over, before, after in (
        (session.expires_at, (1, 1, 1), (0, 0, 1)),
        (NOW + accounts.INVITED, (0, 0, 1), (0, 0, 0)),
    ):
        retention.forget(engine, over + throttle.KEPT - MOMENT)
        assert left() == before
        retention.forget(engine, over + throttle.KEPT)
        assert left() == after


def test_a_session_that_stands_is_not_ended_by_what_is_forgotten(
    engine: Engine, mediator: UUID
) -> None:
    with transaction(engine, SYSTEM) as connection:
        session = sessions.start(connection, mediator, NOW)
    retention.forget(engine, NOW + timedelta(hours=1))
    with transaction(engine, SYSTEM) as connection:
        assert sessions.see(connection, mediator, session.id, NOW) is not None
