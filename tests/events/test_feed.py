"""Readers of the outbox see every event once, in the order of transactions as numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from service import db
from service.events import feed, outbox

#: As written by transactions long ago; in text, 1000 would come before 9.
_OLD: Final = (9, 10, 99, 100, 101)


@pytest.fixture
def consumer(engine: Engine) -> Iterator[str]:
    """Return a reader that has read nothing yet."""
    name = f"test {uuid4()}"
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO service.feed VALUES (:name, '0', :zero)"),
            {"name": name, "zero": UUID(int=0)},
        )
    yield name
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM service.feed WHERE consumer = :name"), {"name": name})


@pytest.fixture
def old(engine: Engine, platform_id: UUID) -> list[UUID]:
    """Return events of transactions whose numbers have one, two and three digits, in order."""
    ids = [uuid4() for _ in _OLD]
    with db.transaction(engine, platform_id) as connection:
        for id_, tx in zip(ids, _OLD, strict=True):
            connection.execute(
                text(
                    "INSERT INTO service.event (platform_id, id, type, data, at, tx) VALUES "
                    "(:platform_id, :id, 'payee.ready', '{}', now(), CAST(:tx AS xid8))"
                ),
                {"platform_id": platform_id, "id": id_, "tx": str(tx)},
            )
    return ids


def test_a_reader_takes_events_in_the_order_of_numbers_and_loses_none(
    engine: Engine, consumer: str, old: list[UUID]
) -> None:
    seen: list[UUID] = []
    while not set(old) <= set(seen):
        with db.transaction(engine, db.SYSTEM) as connection:
            found = feed.take(connection, consumer, 2)
        assert found, "the reader has stepped over some"
        seen += [row["id"] for row in found]
    assert [id_ for id_ in seen if id_ in old] == old
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_of_events_are_in_the_order_of_numbers(
    engine: Engine, platform_id: UUID, old: list[UUID], order: str
) -> None:
    seen: list[UUID] = []
    after: tuple[str, UUID] | None = None
    with db.transaction(engine, platform_id) as connection:
        while found := outbox.page(connection, platform_id, limit=2, order=order, after=after):
            seen += [row["id"] for row in found]
            after = (found[-1]["tx"], found[-1]["id"])
    assert seen == (old if order == "asc" else old[::-1])


def test_two_processes_of_one_reader_take_nothing_twice_and_do_not_wait(
    engine: Engine, consumer: str, old: list[UUID]
) -> None:
    with (
        db.transaction(engine, db.SYSTEM) as one,
        db.transaction(engine, db.SYSTEM) as other,
    ):
        assert [row["id"] for row in feed.take(one, consumer, 1)] != []
        assert list(feed.take(other, consumer, 1)) == []
    assert len(old) == len(_OLD)
