"""Offers of more than money: it is mended first, or hours are given beside a split."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from disputes.commands import Command as CaseCommand
from disputes.model import Case, Extra, Stage
from disputes.outcomes import Outcome, Side, SplitInvalid
from ledger.refusals import Refusal
from service import db
from service.exchanges import cases
from service.exchanges.commands import ClaimDraft
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from service.exchanges.refusals import BelowCreditLimit, ExtraInvalid
from service.ids import uuid7
from tests.exchanges.world import World

PAYER, PAYEE = Role.PAYER, Role.PAYEE
DIFFERS = {"what_differs": "It rattles.", "when_noticed": "On the way home."}


def claimed(world: World, amount: int = 6_500) -> Exchange:
    exchange = world.funded(world.sale(amount))
    world.step(exchange, "claim", PAYER, claim=ClaimDraft("not_as_described", answers=DIFFERS))
    return world.read(exchange)


def take(world: World, exchange: Exchange, name: str, role: Role | None, **more: Any) -> Case:
    assert exchange.case_id is not None
    member_id = None if role is None else exchange.member(role)
    command = CaseCommand(name, uuid7(), member_id=member_id, **more)
    with db.transaction(world.engine, world.platform_id) as connection:
        (outcome,) = cases.act(
            connection, world.platform_id, [(exchange.case_id, command)], world.rules
        )
        if isinstance(outcome, Refusal):
            raise outcome
    world.sweep()
    return outcome


def offered(world: World, exchange: Exchange, extra: Extra | None) -> Case:
    (leg,) = exchange.legs
    return take(
        world,
        exchange,
        "make_offer",
        PAYEE,
        outcome=Outcome.SPLIT,
        split={leg.id: leg.amount},
        extra=extra,
    )


def test_the_payee_keeps_the_price_and_gives_hours_for_it_at_once(world: World) -> None:
    exchange = claimed(world)
    case = offered(world, exchange, Extra(Side.PAYEE, "HOURS", 150))
    assert case.offer is not None
    assert world.of(world.payer, "HOURS") == 0, "an offer moves nothing"
    take(world, exchange, "accept_offer", PAYER, about=case.offer.id)
    assert world.of(world.payer, "HOURS") == 150
    assert world.of(world.payee, "HOURS") == -150
    exchange = world.read(exchange)
    assert exchange.state is State.SETTLED
    assert exchange.legs[0].share is not None
    assert exchange.legs[0].share.to_payee == 6_500
    world.check()


def test_hours_that_the_giver_has_not_are_refused_and_nothing_at_all_moves(world: World) -> None:
    exchange = claimed(world)
    case = offered(world, exchange, Extra(Side.PAYEE, "HOURS", 1_001))
    assert case.offer is not None
    with pytest.raises(BelowCreditLimit):
        take(world, exchange, "accept_offer", PAYER, about=case.offer.id)
    assert world.read(exchange) == world.exchange(exchange.id)
    assert world.read(exchange).case_id == case.id
    assert world.of(world.payer, "HOURS") == 0
    world.check()
    with db.transaction(world.engine, world.platform_id) as connection:
        assert cases.find(connection, world.platform_id, case.id) == case


@pytest.mark.parametrize(
    ("extra", "refusal"),
    [
        (Extra(Side.PAYEE, "EUR", 100), ExtraInvalid),
        (Extra(Side.PAYEE, "SHELLS", 100), ExtraInvalid),
        (Extra(Side.PAYEE, "HOURS", 0), SplitInvalid),
        (Extra(Side.PAYER, "HOURS", -1), SplitInvalid),
    ],
)
def test_only_some_of_a_communitys_units_can_be_given_beside(
    world: World, extra: Extra, refusal: type[Refusal]
) -> None:
    exchange = claimed(world)
    with pytest.raises(refusal):
        offered(world, exchange, extra)
    assert world.read(exchange) == exchange


def mending(world: World) -> Exchange:
    exchange = claimed(world)
    case = take(world, exchange, "make_offer", PAYEE, outcome=Outcome.REPAIR, text="By Friday.")
    assert case.offer is not None
    case = take(world, exchange, "accept_offer", PAYER, about=case.offer.id)
    assert case.stage is Stage.REPAIRING
    assert world.read(exchange).legs[0].disputed, "nothing moves before it is mended"
    return world.read(exchange)


def test_what_is_mended_goes_on_as_agreed(world: World) -> None:
    exchange = mending(world)
    take(world, exchange, "mark_repaired", PAYEE)
    case = take(world, exchange, "confirm_repaired", PAYER)
    assert (case.stage, case.outcome) == (Stage.CLOSED, Outcome.REPAIR)
    exchange = world.read(exchange)
    assert (exchange.state, exchange.case_id) == (State.ACTIVE, None)
    world.both_confirm(exchange)
    assert world.read(exchange).state is State.COMPLETED
    world.check()


@pytest.mark.parametrize("who", ["the payer says no", "nobody says anything"])
def test_what_is_not_mended_is_for_a_neutral_to_decide(world: World, who: str) -> None:
    exchange = mending(world)
    if who == "the payer says no":
        case = take(world, exchange, "reject_repair", PAYER)
    else:
        world.now += timedelta(days=14)
        case = take(world, exchange, "end_repair", None)
    assert (case.stage, case.outcome) == (Stage.DECISION, None)
    assert world.read(exchange).legs[0].disputed
    world.check()
