"""The sandbox's own books: every life there is reconciled with nothing open."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine

from service import db
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.payments import resolutions, sandbox_books
from service.payments.reconcile import Run, reconcile
from tests.exchanges.test_deposits import loan, rental
from tests.exchanges.world import START, World

PAYER, PAYEE = Role.PAYER, Role.PAYEE
TOMORROW = datetime.combine(START.date() + timedelta(days=1), time(), UTC)


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> World:
    return World(engine, platform_id)


def reconciled(world: World) -> Run:
    """Reconcile the first day, and fail if anything stays open."""
    run = reconcile(world.engine, world.sandbox, world.platform_id, START.date(), TOMORROW)
    with db.transaction(world.engine, world.platform_id) as connection:
        assert resolutions.page(connection, world.platform_id, limit=10, open_=True) == []
    assert world.sandbox.held(world.platform_id).get("EUR", 0) == world.outside()
    return run


def released(world: World) -> Exchange:
    exchange = world.funded(world.sale())
    world.both_confirm(exchange)
    world.sweep()
    return exchange


def cancelled(world: World) -> Exchange:
    exchange = world.funded(world.sale())
    return _ended(world, exchange, "propose_cancellation")


def deposit_in_part(world: World) -> Exchange:
    return _ended(world, world.funded(loan(world)), "propose_settlement", to_payee=(4_000,))


def deposit_set_free(world: World) -> Exchange:
    exchange = world.funded(rental(world))
    world.both_confirm(exchange)
    return world.both_confirm(exchange)


def contested(world: World, *, won: bool) -> Exchange:
    exchange = world.funded(world.sale())
    (line,) = world.sandbox.movements(world.platform_id, START, TOMORROW)
    assert line.object_ref is not None
    dispute = world.sandbox.contest(world.platform_id, line.object_ref, "dispute")
    world.sweep()
    world.sandbox.close_dispute(world.platform_id, dispute, "won" if won else "lost")
    return exchange


def contested_and_won(world: World) -> Exchange:
    return contested(world, won=True)


def contested_and_lost(world: World) -> Exchange:
    return contested(world, won=False)


def _ended(world: World, exchange: Exchange, step: str, **more: object) -> Exchange:
    world.step(exchange, step, PAYEE, **more)
    proposal = world.read(exchange).proposal
    assert proposal is not None
    ended = world.step(exchange, "accept_proposal", PAYER, proposal_id=proposal.id)
    world.sweep()
    return ended


@pytest.mark.parametrize(
    ("life", "lines"),
    [
        (released, 2),
        (cancelled, 2),
        (deposit_in_part, 2),
        (deposit_set_free, 2),
        (contested_and_won, 3),
        (contested_and_lost, 2),
    ],
)
def test_every_line_of_a_life_is_matched(
    world: World, life: Callable[[World], Exchange], lines: int
) -> None:
    life(world)
    world.sweep()
    run = reconciled(world)
    assert (run.matched, run.in_flight, run.ours_only, run.theirs_only) == (lines, 0, 0, 0)
    world.check()


def test_books_longer_than_a_page_are_read_whole_and_in_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_books, "PAGE", 2)
    for minutes in range(5):
        world.now = START + timedelta(minutes=minutes // 2)
        world.funded(world.sale(100 + minutes))
    lines = list(world.sandbox.movements(world.platform_id, START, TOMORROW))
    assert sorted(line.amount for line in lines) == [100, 101, 102, 103, 104]
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    assert reconciled(world).matched == 5


def test_a_window_has_its_first_instant_and_not_its_last(world: World) -> None:
    world.funded(world.sale())
    (line,) = world.sandbox.movements(world.platform_id, START, TOMORROW)
    after = line.at + timedelta(microseconds=1)
    assert list(world.sandbox.movements(world.platform_id, line.at, after)) == [line]
    assert list(world.sandbox.movements(world.platform_id, START, line.at)) == []
