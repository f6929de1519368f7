"""When we were away: seen by who is still there, or by the first who comes back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from psycopg.errors import RestrictViolation
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from service.operations import outages

NOW = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """An instance that was never up, for as long as the test."""
    with engine.connect() as connection:
        connection.execute(text("DELETE FROM service.heartbeat"))
        connection.execute(text("DELETE FROM service.outage"))
        connection.execute(text("SET LOCAL ROLE tierce_system"))
        yield connection
        connection.rollback()


def _outages(connection: Connection) -> list[tuple[str, datetime, datetime]]:
    rows = outages.page(connection, limit=10)
    return [(row["kind"], row["began_at"], row["ended_at"]) for row in rows]


def test_an_instance_that_never_had_an_api_was_not_away(connection: Connection) -> None:
    assert not outages.watch(connection, NOW)
    outages.beat(connection, "worker-1", "worker", NOW)
    assert not outages.watch(connection, NOW + timedelta(days=1))
    assert _outages(connection) == []


def test_a_restart_is_no_outage(connection: Connection) -> None:
    outages.beat(connection, "api-1", "api", NOW)
    assert not outages.watch(connection, NOW + 2 * MINUTE)
    assert not outages.beat(connection, "api-2", "api", NOW + 2 * MINUTE)
    assert _outages(connection) == []


def test_an_outage_is_recorded_while_it_lasts_and_grows_until_an_api_is_back(
    connection: Connection,
) -> None:
    outages.beat(connection, "api-1", "api", NOW)
    outages.beat(connection, "api-2", "api", NOW + MINUTE)
    assert outages.watch(connection, NOW + 5 * MINUTE)
    assert _outages(connection) == [("api", NOW + MINUTE, NOW + 5 * MINUTE)]
    assert outages.watch(connection, NOW + 6 * MINUTE)
    assert outages.beat(connection, "api-3", "api", NOW + 7 * MINUTE)
    assert _outages(connection) == [("api", NOW + MINUTE, NOW + 7 * MINUTE)]
    assert not outages.watch(connection, NOW + 8 * MINUTE)
    assert not outages.beat(connection, "api-4", "api", NOW + 8 * MINUTE)
    assert _outages(connection) == [("api", NOW + MINUTE, NOW + 7 * MINUTE)]


def test_when_the_whole_machine_was_away_the_first_api_to_come_back_records_it(
    connection: Connection,
) -> None:
    outages.beat(connection, "api-1", "api", NOW)
    outages.beat(connection, "worker-1", "worker", NOW)
    later = NOW + timedelta(hours=9)
    assert outages.beat(connection, "api-2", "api", later)
    assert outages.beat(connection, "worker-2", "worker", later)
    assert sorted(_outages(connection)) == [("api", NOW, later), ("worker", NOW, later)]


def test_a_process_that_is_gone_is_forgotten_but_not_the_last_of_its_kind(
    connection: Connection,
) -> None:
    outages.beat(connection, "api-1", "api", NOW)
    outages.beat(connection, "worker-1", "worker", NOW)
    outages.beat(connection, "worker-2", "worker", NOW + 2 * outages.FORGET)
    outages.watch(connection, NOW + 2 * outages.FORGET)
    left = connection.execute(text("SELECT process FROM service.heartbeat ORDER BY 1")).scalars()
    assert left.all() == ["api-1", "worker-2"]


def test_what_an_operator_records_is_over_and_long_enough(connection: Connection) -> None:
    row = outages.record(
        connection, "mail", NOW - timedelta(hours=2), NOW, "The mail server was down.", NOW
    )
    assert (row["kind"], row["ended_at"] - row["began_at"]) == ("mail", timedelta(hours=2))
    for began_at, ended_at in (
        (NOW - MINUTE, NOW + MINUTE),
        (NOW - MINUTE, NOW),
        (NOW, NOW - MINUTE),
        (NOW - timedelta(days=31), NOW),
    ):
        with pytest.raises(outages.InvalidOutage):
            outages.record(connection, "mail", began_at, ended_at, "Wrong.", NOW)


def test_a_recorded_outage_never_becomes_shorter(connection: Connection) -> None:
    long_ago = NOW - timedelta(hours=2)
    outages.record(connection, "mail", long_ago, NOW, "The mail server was down.", NOW)
    outages.record(connection, "mail", long_ago, NOW - MINUTE, "The same, shorter.", NOW)
    assert _outages(connection) == [("mail", long_ago, NOW)]
    with pytest.raises(DBAPIError) as refused:
        connection.execute(text("UPDATE service.outage SET ended_at = began_at + interval '1 s'"))
    assert isinstance(refused.value.orig, RestrictViolation)
