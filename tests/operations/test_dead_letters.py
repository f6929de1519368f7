"""Dead letters: one open for each row, resolved once, and a new one when the work fails again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from service.db import SYSTEM, transaction
from service.ids import uuid7
from service.operations import dead_letters

NOW = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)


def _record(engine: Engine, platform_id: UUID, subject: str, error: str | Exception) -> UUID:
    with transaction(engine, platform_id) as connection:
        return dead_letters.record(
            connection, platform_id, "payment", {"payment": subject}, error, NOW, 5
        )


def test_the_same_row_has_one_open_letter_with_its_newest_error(
    engine: Engine, platform_id: UUID
) -> None:
    first = _record(engine, platform_id, "a", "boom")
    assert _record(engine, platform_id, "a", ValueError("worse")) == first
    other = _record(engine, platform_id, "b", "boom")
    with transaction(engine, platform_id) as connection:
        rows = dead_letters.page(connection, platform_id, limit=10)
    assert [(row["id"], row["error"]) for row in rows] == [
        (other, "boom"),
        (first, "ValueError: worse"),
    ]


def test_an_error_is_kept_as_one_line_without_its_secrets_and_without_the_statement(
    engine: Engine, platform_id: UUID
) -> None:
    letter = _record(engine, platform_id, "a", "no key tk_live_abcdefgh12345\nsecond line")
    with transaction(engine, platform_id) as connection:
        kept = dead_letters.find(connection, platform_id, letter)["error"]
    assert "abcdefgh" not in kept
    assert "second" not in kept
    failed = DBAPIError("UPDATE service.payment", {"a": 1}, UniqueViolation("duplicate key"))
    assert dead_letters.words(failed) == "UniqueViolation: duplicate key"


def test_another_platform_s_letter_is_not_found(
    engine: Engine, platform_id: UUID, new_platform: object
) -> None:
    letter = _record(engine, platform_id, "a", "boom")
    other = new_platform()  # type: ignore[operator]
    with (
        pytest.raises(dead_letters.DeadLetterNotFound),
        transaction(engine, other) as connection,
    ):
        dead_letters.find(connection, other, letter)
    with (
        pytest.raises(dead_letters.DeadLetterNotFound),
        transaction(engine, platform_id) as connection,
    ):
        dead_letters.find(connection, platform_id, uuid7())
    with transaction(engine, SYSTEM) as connection:
        assert dead_letters.platform_of(connection, letter) == platform_id


def test_trouble_of_the_database_s_passes_and_a_row_s_own_does_not(engine: Engine) -> None:
    with transaction(engine, SYSTEM) as connection:
        connection.execute(text("SET LOCAL statement_timeout = '10ms'"))
        with pytest.raises(DBAPIError) as slow:
            connection.execute(text("SELECT pg_sleep(5)"))
    assert dead_letters.is_passing(slow.value)
    with pytest.raises(DBAPIError) as broken, transaction(engine, SYSTEM) as connection:
        connection.execute(text("SELECT 1 / 0"))
    assert not dead_letters.is_passing(broken.value)
    assert dead_letters.is_passing(ConnectionResetError())
    assert not dead_letters.is_passing(KeyError("legs"))


def test_a_row_waits_longer_after_each_failure() -> None:
    waits = [dead_letters.again_after(n) for n in range(1, dead_letters.MOST_FAILURES)]
    assert waits == sorted(set(waits))
    assert waits[0] == timedelta(minutes=1)
