"""Answers under idempotency keys are forgotten when their time is over, and not before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from service.db import transaction
from service.platforms import answers

START = datetime(2001, 1, 1, tzinfo=UTC)  # long before whatever other tests leave behind


def _keep(engine: Engine, platform_id: UUID, key: str, expires_at: datetime) -> None:
    with transaction(engine, platform_id) as connection:
        connection.execute(
            text(
                "INSERT INTO service.idempotency (platform_id, actor, key, fingerprint, status, "
                "body, created_at, expires_at) VALUES (:platform_id, 'platform', :key, :hash, 201, "
                "'{}', :created_at, :expires_at)"
            ),
            {
                "platform_id": platform_id,
                "key": key,
                "hash": bytes(32),
                "created_at": START,
                "expires_at": expires_at,
            },
        )


def _kept(engine: Engine, platform_id: UUID) -> set[str]:
    with transaction(engine, platform_id) as connection:
        return set(connection.scalars(text("SELECT key FROM service.idempotency")))


def test_what_is_over_goes_on_every_platform_and_the_rest_stays(
    engine: Engine,
    new_platform: Callable[[], UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "_BATCH", 2)  # several rounds
    one, other = new_platform(), new_platform()
    for number in range(3):
        _keep(engine, one, f"old-{number}", START + timedelta(days=30 + number))
    _keep(engine, one, "young", START + timedelta(days=40))
    _keep(engine, other, "old", START + timedelta(days=30))
    assert answers.forget(engine, START + timedelta(days=30) - timedelta(microseconds=1)) == 0
    assert answers.forget(engine, START + timedelta(days=32)) == 4
    assert _kept(engine, one) == {"young"}
    assert _kept(engine, other) == set()
