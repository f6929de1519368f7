"""Everybody acts at once on one exchange: exactly one outcome, exactly one payout."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import text

from ledger.refusals import Refusal
from service import db
from service.exchanges import timers
from service.exchanges.kinds import Role
from service.exchanges.model import TERMINAL, State
from tests.exchanges.world import World

PAYER, PAYEE = Role.PAYER, Role.PAYEE


def _race(world: World, acts: list[Callable[[], object]]) -> list[object]:
    """Start every act at the same instant; return what each answered or was refused."""
    barrier = Barrier(len(acts))

    def run(act: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return act()
        except Refusal as refusal:
            return refusal

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@pytest.mark.parametrize("attempt", range(6))
def test_confirm_cancel_refund_and_settle_at_once_end_in_one_outcome_and_one_payout(
    world: World, attempt: int
) -> None:
    exchange = world.funded(world.sale(6_500))
    world.step(exchange, "confirm", PAYER)
    offered = world.step(exchange, "propose_settlement", PAYEE, to_payee=(3_000,))
    assert offered.proposal is not None
    offer = offered.proposal.id
    code = world.code(exchange)
    late = world.now.replace(year=world.now.year + 1)
    acts: list[Callable[[], object]] = [
        lambda: world.step(exchange, "confirm", PAYEE, checkpoint="handover"),
        lambda: world.step(exchange, "accept_proposal", PAYER, proposal_id=offer),
        lambda: world.step(exchange, "enter_code", PAYEE, checkpoint="handover", code=code),
        lambda: timers.run(world.engine, world.codes, late, only=world.platform_id),
    ] * 2
    random.Random(attempt).shuffle(acts)
    _race(world, acts)
    world.now = late
    world.sweep()
    ended = world.read(exchange)
    assert ended.state in TERMINAL
    (leg,) = ended.legs
    assert leg.share is not None
    with db.transaction(world.engine, world.platform_id) as connection:
        payments = connection.execute(
            text(
                "SELECT kind, sum(amount)::bigint AS amount, count(*) AS n FROM service.payment "
                "WHERE platform_id = :p AND kind <> 'collect' GROUP BY kind"
            ),
            {"p": world.platform_id},
        ).all()
    paid = {row.kind: row.amount for row in payments}
    assert all(row.n == 1 for row in payments)
    assert paid.get("payout", 0) == leg.share.to_payee
    assert paid.get("refund", 0) == leg.share.to_payer
    assert world.outside() == 0


def test_the_same_confirmation_by_many_at_once_is_recorded_once(world: World) -> None:
    exchange = world.funded(world.sale())
    answers = _race(
        world, [lambda: world.step(exchange, "confirm", PAYER, checkpoint="handover")] * 8
    )
    assert sum(not isinstance(answer, Refusal) for answer in answers) == 1
    assert world.events(exchange).count("exchange.confirmed") == 1


def test_funding_twice_at_once_collects_once(world: World) -> None:
    exchange = world.sale()
    answers = _race(world, [lambda: world.step(exchange, "fund", PAYER)] * 6)
    assert sum(not isinstance(answer, Refusal) for answer in answers) == 1
    world.sweep()
    assert world.outside() == 6_500


def test_many_helps_at_once_never_pass_the_credit_limit(world: World) -> None:
    exchanges = [world.propose(world.draft("help", [("price", 300, "HOURS")])) for _ in range(8)]
    answers = _race(
        world,
        [lambda e=e: world.step(e, "fund", PAYER) for e in exchanges],  # type: ignore[misc]
    )
    assert sum(not isinstance(answer, Refusal) for answer in answers) == 3
    assert world.of(world.payer, "HOURS") == -900


def test_several_sweeps_and_timers_at_once_do_each_thing_once(world: World) -> None:
    exchanges = [world.funded(world.sale(1_000)) for _ in range(6)]
    late = world.now.replace(year=world.now.year + 1)
    _race(world, [lambda: timers.run(world.engine, world.codes, late, only=world.platform_id)] * 4)
    world.now = late
    _race(world, [world.sweep] * 4)
    world.pass_time(seconds=5)  # an event that overtook our own record is looked at again
    for exchange in exchanges:
        assert world.read(exchange).state is State.REFUNDED
        assert world.events(exchange).count("refund.succeeded") == 1
    assert world.outside() == 0
