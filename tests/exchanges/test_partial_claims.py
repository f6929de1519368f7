"""A claim about a part of a leg: what nobody disputes goes home, each half has its one outcome."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from disputes.commands import Command as CaseCommand
from disputes.model import Case
from disputes.outcomes import Outcome
from ledger.refusals import Refusal
from service import db
from service.exchanges import cases
from service.exchanges.commands import ClaimDraft
from service.exchanges.fees import FeeRule
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, Leg, LegState, Share, State
from service.exchanges.refusals import ClaimIncomplete
from service.ids import uuid7
from tests.exchanges.world import World

PAYER, PAYEE = Role.PAYER, Role.PAYEE
DAMAGE = {"what_is_damaged": "The blade.", "what_repair_costs": "50 euros."}
DIFFERS = {"what_differs": "A page is missing.", "when_noticed": "At home."}


def rented(world: World, strategy: str) -> Exchange:
    legs: list[tuple[Any, ...]] = [("price", 1_000, "EUR"), ("deposit", 20_000, "EUR")]
    exchange = world.propose(world.draft("rental", legs, deposit=strategy))
    exchange = world.funded(exchange)
    world.step(exchange, "confirm", PAYER, checkpoint="handover")
    world.step(exchange, "confirm", PAYEE, checkpoint="handover")
    world.sweep()
    return world.read(exchange)


def deposit(exchange: Exchange) -> Leg:
    return next(leg for leg in exchange.legs if leg.role == "deposit")


def claim(world: World, exchange: Exchange, role: Role, draft: ClaimDraft) -> Exchange:
    world.step(exchange, "claim", role, claim=draft)
    world.sweep()
    return world.read(exchange)


def take(world: World, exchange: Exchange, name: str, role: Role, **more: Any) -> Case:
    assert exchange.case_id is not None
    with db.transaction(world.engine, world.platform_id) as connection:
        command = CaseCommand(name, uuid7(), member_id=exchange.member(role), **more)
        (outcome,) = cases.act(
            connection, world.platform_id, [(exchange.case_id, command)], world.rules
        )
    if isinstance(outcome, Refusal):
        raise outcome
    world.sweep()
    return outcome


def agree_on(world: World, exchange: Exchange, to_payee: int) -> Exchange:
    (disputed,) = [leg for leg in exchange.legs if leg.disputed]
    case = take(
        world, exchange, "make_offer", PAYEE, outcome=Outcome.SPLIT, split={disputed.id: to_payee}
    )
    assert case.offer is not None
    take(world, exchange, "accept_offer", PAYER, about=case.offer.id)
    return world.read(exchange)


@pytest.mark.parametrize("strategy", ["capture", "authorise"])
def test_what_is_not_claimed_of_a_deposit_goes_home_at_once(world: World, strategy: str) -> None:
    exchange = rented(world, strategy)
    leg = deposit(exchange)
    draft = ClaimDraft("deposit_damage", (leg.id,), {leg.id: 5_000}, DAMAGE)
    exchange = claim(world, exchange, PAYEE, draft)
    rest, part = (one for one in exchange.legs if one.role == "deposit")
    assert (rest.amount, rest.state, rest.share) == (15_000, LegState.SETTLED, Share(15_000, 0, 0))
    assert (part.amount, part.state, part.disputed) == (5_000, LegState.HELD, True)
    world.check()
    exchange = agree_on(world, exchange, 3_001)
    part = exchange.legs[-1]
    assert part.share == Share(1_999, 3_001, 0)
    assert exchange.state is State.SETTLED
    assert (world.of(world.payer), world.of(world.payee)) == (0, 0), "all of it was paid on"
    world.check()


@pytest.mark.parametrize("borne_by", ["payer", "payee", "shared"])
@pytest.mark.parametrize(("amount", "claimed"), [(10_000, 3_333), (3, 1), (2, 1)])
def test_a_payer_disputes_a_part_of_a_price_and_the_rest_is_paid_when_both_confirm(
    world: World, borne_by: str, amount: int, claimed: int
) -> None:
    exchange = world.funded(world.sale(amount, fee=FeeRule(2, 500, borne_by)))
    (leg,) = exchange.legs
    draft = ClaimDraft("not_as_described", (leg.id,), {leg.id: claimed}, DIFFERS)
    exchange = claim(world, exchange, PAYER, draft)
    assert [(one.amount, one.disputed) for one in exchange.legs] == [
        (amount - claimed, False),
        (claimed, True),
    ]
    assert sum(one.held for one in exchange.legs) == leg.held
    world.check()
    world.both_confirm(exchange)
    exchange = world.read(exchange)
    assert [one.state for one in exchange.legs] == [LegState.SETTLED, LegState.HELD]
    assert exchange.state is State.ACTIVE
    take(world, exchange, "withdraw_claim", PAYER)
    exchange = world.read(exchange)
    assert exchange.state is State.COMPLETED
    assert [one.share.to_payer for one in exchange.legs if one.share] == [0, 0]
    world.check()


@pytest.mark.parametrize("amount", [0, -1, 6_501])
def test_more_than_there_is_or_nothing_cannot_be_disputed(world: World, amount: int) -> None:
    exchange = world.funded(world.sale(6_500))
    (leg,) = exchange.legs
    draft = ClaimDraft("not_as_described", (leg.id,), {leg.id: amount}, DIFFERS)
    with pytest.raises(ClaimIncomplete, match="1 to 6500"):
        world.step(exchange, "claim", PAYER, claim=draft)
    assert world.read(exchange) == exchange


def test_a_leg_can_shrink_by_nothing_but_a_division(engine: Engine, world: World) -> None:
    exchange = world.funded(world.sale(6_500))
    with (
        pytest.raises(Exception, match="cannot change"),
        db.transaction(engine, world.platform_id) as connection,
    ):
        connection.exec_driver_sql("UPDATE service.leg SET amount = amount + 1")
    assert world.read(exchange) == exchange
