"""Differences that somebody resolves, the platform's own money, and the stop of payouts."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from service import db
from service.ids import uuid7
from service.payments import resolutions, stops
from service.payments.differences import record
from service.payments.matching import Found, Kind
from service.payments.resolutions import (
    DifferenceResolved,
    MemberHasLess,
    MemberUnclear,
    NothingToMove,
    Resolution,
    StillUnexplained,
)
from service.platforms.members import MemberNotFound
from tests.exchanges.world import World
from tests.payments.test_reconcile import (
    TODAY,
    TOMORROW,
    Books,
    counts,
    differences,
    open_kinds,
    paid,
    stopped,
    told,
)


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> World:
    return World(engine, platform_id)


@pytest.fixture
def books(world: World) -> Books:
    return Books(world)


def resolve(world: World, kind: str, why: Resolution, member: UUID | None = None) -> None:
    (row,) = [one for one in differences(world) if one.kind == kind and one.resolved_at is None]
    with db.transaction(world.engine, world.platform_id) as connection:
        resolutions.resolve(
            connection, world.platform_id, row.id, why, "seen", "key_x", world.now, member
        )


@pytest.mark.parametrize("amount", [1_000, -1_000])
def test_what_the_platform_bears_leaves_suspense_as_its_gain_or_loss(
    world: World, books: Books, amount: int
) -> None:
    books.add("other", None, amount)
    books.run()
    resolve(world, "theirs_only", Resolution.PLATFORM_BEARS)
    assert world.balance("suspense:sandbox") == 0
    assert world.balance("expense:losses") == amount
    assert told(world)[-2:] == ["reconciliation.resolved", "payouts.resumed"]
    assert not stopped(world)
    assert counts(books.run())[2] == 1
    assert open_kinds(world) == []
    world.check()


def test_what_belongs_to_a_member_is_owed_to_them(world: World, books: Books) -> None:
    books.add("other", None, 1_000)
    books.run()
    with pytest.raises(MemberUnclear):
        resolve(world, "theirs_only", Resolution.BELONGS_TO_MEMBER)
    with pytest.raises(MemberNotFound):
        resolve(world, "theirs_only", Resolution.BELONGS_TO_MEMBER, uuid7())
    resolve(world, "theirs_only", Resolution.BELONGS_TO_MEMBER, world.payee)
    assert world.of(world.payee) == 1_000
    world.check()


def test_what_a_member_got_already_is_not_taken_below_zero(world: World, books: Books) -> None:
    books.add("other", None, -1_000)
    books.run()
    with pytest.raises(MemberHasLess):
        resolve(world, "theirs_only", Resolution.BELONGS_TO_MEMBER, world.payee)
    assert stopped(world)


def test_words_alone_do_not_clear_suspense(world: World, books: Books) -> None:
    books.add("other", None, 1_000)
    books.run()
    with pytest.raises(StillUnexplained):
        resolve(world, "theirs_only", Resolution.EXPLAINED)


def test_payouts_stay_stopped_until_the_last_difference_is_resolved(
    world: World, books: Books
) -> None:
    for _ in range(2):
        books.add("other", None, 1_000)
    books.run()
    with db.transaction(world.engine, world.platform_id) as connection:
        for row in differences(world):
            assert stops.stopped(connection, world.platform_id)
            resolutions.resolve(
                connection,
                world.platform_id,
                row.id,
                Resolution.PLATFORM_BEARS,
                "seen",
                "key_x",
                world.now,
            )
    assert not stopped(world)
    with pytest.raises(DifferenceResolved), db.transaction(world.engine, world.platform_id) as c:
        resolutions.resolve(
            c, world.platform_id, row.id, Resolution.PLATFORM_BEARS, "again", "key_x", world.now
        )


def test_a_loss_of_what_we_alone_have_corrects_our_books(world: World, books: Books) -> None:
    paid(world)
    books.run()
    resolve(world, "ours_only", Resolution.PLATFORM_BEARS)
    assert world.outside() == 0
    assert world.balance("expense:losses") == -6_500
    books.run()
    assert open_kinds(world) == []


def test_a_balance_once_explained_is_told_again_only_when_it_changes(
    world: World, books: Books
) -> None:
    books.hidden = 50
    books.run()
    resolve(world, "balance_differs", Resolution.EXPLAINED)
    later = TOMORROW + timedelta(days=1)
    books.run(TOMORROW.date(), later)
    assert open_kinds(world) == []
    books.hidden = 70
    books.run(later.date(), later + timedelta(days=1))
    assert [row.theirs - row.ours for row in differences(world)] == [50, 20]
    assert open_kinds(world) == ["balance_differs"]


def test_a_payout_waits_while_payouts_are_stopped_and_leaves_after(
    world: World, books: Books
) -> None:
    exchange, collect = paid(world)
    books.add("collect", collect, 6_500)
    books.add("other", None, 1_000)
    books.run()
    world.both_confirm(exchange)
    world.sweep()
    assert "payout.succeeded" not in world.events(exchange)
    resolve(world, "theirs_only", Resolution.PLATFORM_BEARS)
    world.pass_time(minutes=11)
    assert "payout.succeeded" in world.events(exchange)


def test_the_platforms_own_money_is_booked_and_more_than_its_own_stops_payouts(
    world: World, books: Books
) -> None:
    _, collect = paid(world)
    books.add("collect", collect, 6_500)
    books.add("bank_payout", "tu_1", 1_000)
    assert counts(books.run()) == (2, 0, 0, 0, 0)
    assert world.balance("platform:paid_out") == 1_000
    books.add("bank_payout", "po_1", -1_000)
    books.run()
    assert told(world) == []
    line = books.add("bank_payout", "po_2", -300)
    for _ in range(2):
        assert counts(books.run()) == (4, 0, 0, 0, 0)
    assert told(world) == ["reconciliation.difference", "payouts.stopped"]
    assert world.outside() == 6_200
    (row,) = differences(world)
    assert (row.kind, row.ours, row.theirs) == ("bank_payout_exceeds_own_money", 0, -300)
    assert row.movement_ref == line.ref
    assert stopped(world)
    with pytest.raises(NothingToMove):
        resolve(world, row.kind, Resolution.PLATFORM_BEARS)
    books.add("bank_payout", "tu_2", 299)
    books.run()
    assert open_kinds(world) == [row.kind]
    books.add("bank_payout", "tu_3", 1)
    books.run()
    assert open_kinds(world) == []
    assert not stopped(world)
    world.check()


def test_of_payouts_to_the_bank_only_what_exceeds_the_own_money_is_missing(
    world: World, books: Books
) -> None:
    _, collect = paid(world)
    books.add("collect", collect, 6_500)
    books.add("bank_payout", "tu_1", 250)
    for amount in (-100, -200, -50):
        books.add("bank_payout", "po", amount)
    books.run()
    assert {(row.ours, row.theirs) for row in differences(world)} == {(-150, -200), (0, -50)}
    for row in differences(world):
        with db.transaction(world.engine, world.platform_id) as connection:
            resolutions.resolve(
                connection,
                world.platform_id,
                row.id,
                Resolution.EXPLAINED,
                "an advance",
                "key_x",
                world.now,
            )
    assert world.outside() == 6_400
    assert not stopped(world)


def test_a_stop_is_not_cleared_under_a_difference_that_is_just_being_found(
    world: World, books: Books
) -> None:
    books.add("other", None, 10)
    books.run()
    line = replace(books.lines[0], ref="txn_second")
    found = Found(Kind.THEIRS_ONLY, line.ref, 0, 10, "EUR", line)
    with ThreadPoolExecutor(1) as pool:
        with db.transaction(world.engine, world.platform_id) as connection:
            record(connection, world.platform_id, "sandbox", [found], TODAY, world.now)
            clearing = pool.submit(resolve, world, "theirs_only", Resolution.PLATFORM_BEARS)
            _wait_for_a_lock(world)
        clearing.result()
    assert open_kinds(world) == ["theirs_only"]
    assert stopped(world)


def _wait_for_a_lock(world: World) -> None:
    """Return once some transaction waits for another."""
    query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    deadline = time.monotonic() + 30
    with world.engine.connect() as connection:
        while not connection.scalar(query):
            assert time.monotonic() < deadline, "nobody waits"
            connection.rollback()
