"""One life, three ways to hold value: Stripe, the sandbox, and the community's own units.

Whoever holds it, the same steps lead to the same books. (What is asked of the two providers that
are outside is checked call by call in tests/payments/test_conformance.py.)
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import Engine

from service import db
from service.exchanges import advance
from service.exchanges.commands import Command
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, LegState, State
from service.exchanges.refusals import StepNotAllowed
from tests.exchanges.world import World
from tests.lives.stripe_lives import StripeLives
from tests.stripe_server import StripeServer

PAYER, PAYEE = Role.PAYER, Role.PAYEE
AMOUNT = 900


@pytest.fixture(params=["stripe", "sandbox", "community"])
def holder(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def life(
    holder: str, engine: Engine, platform_id: UUID, stripe_server: StripeServer
) -> tuple[World, Callable[[], Exchange]]:
    """A world and a maker of agreed exchanges whose value that provider holds."""
    if holder == "stripe":
        lives = StripeLives(engine, platform_id, stripe_server)
        stripe_server.top_up(lives.account, 5_000)
        world: World = lives
    else:
        world = World(engine, platform_id)
    kind, unit = ("help", "HOURS") if holder == "community" else ("sale", "EUR")
    return world, lambda: world.propose(world.draft(kind, [("price", AMOUNT, unit)]))


def settle(world: World) -> None:
    if isinstance(world, StripeLives):
        world.settle()
    else:
        world.sweep()


def held(world: World, exchange: Exchange) -> int:
    (leg,) = world.read(exchange).legs
    return world.balance(f"hold:{leg.id}", leg.unit)


def has(world: World, exchange: Exchange, role: Role) -> int:
    """What the member has of it in the end: on their account here, or sent to them outside."""
    unit = exchange.legs[0].unit
    kinds = {"payout"} if role is PAYEE else {"refund"}
    with db.transaction(world.engine, world.platform_id) as connection:
        sent = connection.exec_driver_sql(
            "SELECT coalesce(sum(amount), 0) FROM service.payment "
            "WHERE exchange_id = %s AND kind = ANY(%s) AND state = 'succeeded'",
            (exchange.id, list(kinds)),
        ).scalar_one()
    return int(sent) + world.of(exchange.member(role), unit)


Life = tuple[World, Callable[[], Exchange]]


def test_value_is_held_for_nobody_until_both_have_confirmed(life: Life) -> None:
    world, make = life
    exchange = world.funded(make())
    assert exchange.state is State.ACTIVE
    before = {role: has(world, exchange, role) for role in (PAYER, PAYEE)}
    assert held(world, exchange) == AMOUNT
    world.step(exchange, "confirm", PAYER)
    settle(world)
    assert held(world, exchange) == AMOUNT
    world.step(exchange, "confirm", PAYEE)
    settle(world)
    assert world.read(exchange).state is State.COMPLETED
    assert held(world, exchange) == 0
    assert has(world, exchange, PAYEE) - before[PAYEE] == AMOUNT
    assert has(world, exchange, PAYER) == before[PAYER]
    world.check()


@pytest.mark.parametrize("to_payee", [0, 1, 450, AMOUNT])
def test_a_split_gives_each_their_part_to_the_last_minor_unit(life: Life, to_payee: int) -> None:
    world, make = life
    exchange = world.funded(make())
    before = {role: has(world, exchange, role) for role in (PAYER, PAYEE)}
    world.step(exchange, "propose_settlement", PAYER, to_payee=(to_payee,))
    proposal = world.read(exchange).proposal
    assert proposal is not None
    world.step(exchange, "accept_proposal", PAYEE, proposal_id=proposal.id)
    settle(world)
    assert has(world, exchange, PAYEE) - before[PAYEE] == to_payee
    assert has(world, exchange, PAYER) - before[PAYER] == AMOUNT - to_payee
    assert held(world, exchange) == 0
    world.check()


def test_the_hold_limit_gives_everything_back_to_the_payer(life: Life) -> None:
    world, make = life
    exchange = world.funded(make())
    before = has(world, exchange, PAYER)
    world.pass_time(days=85, minutes=1)
    world.pass_time(minutes=11)
    assert world.read(exchange).state is State.REFUNDED
    assert has(world, exchange, PAYER) - before == AMOUNT
    world.check()


def test_the_same_step_again_moves_nothing(life: Life) -> None:
    world, make = life
    exchange = world.funded(make())
    with pytest.raises(StepNotAllowed):
        world.step(exchange, "fund", PAYER)
    world.both_confirm(exchange)
    for step in ("confirm", "reach_hold_limit"):
        command = Command(
            exchange.id, step, world.who(exchange, PAYER), checkpoint=exchange.checkpoints[0].name
        )
        with db.transaction(world.engine, world.platform_id) as connection:
            (outcome,) = advance.advance(connection, world.platform_id, [command], world.rules)
        assert isinstance(outcome, StepNotAllowed)
    settle(world)
    assert held(world, exchange) == 0
    assert world.read(exchange).legs[0].state is LegState.SETTLED
    world.check()


def test_what_cannot_be_held_leaves_nothing_behind(life: Life, holder: str) -> None:
    world, make = life
    exchange = make()
    if holder == "community":
        big = world.propose(world.draft("help", [("price", 1_001, "HOURS")]))
        with pytest.raises(Exception, match="credit limit"):
            world.step(big, "fund", PAYER)
        assert world.read(big).state is State.AGREED
    else:
        method = "pm_card_visa_chargeDeclined" if holder == "stripe" else "pm_sandbox_declined"
        assert world.funded(exchange, method).state is State.AGREED
        assert held(world, exchange) == 0
    assert world.funded(exchange).state is State.ACTIVE
    world.check()
