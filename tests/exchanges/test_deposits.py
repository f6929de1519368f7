"""Deposits that the bank only blocks: freed, taken in part, renewed, taken in time, never lost."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from service import db
from service.exchanges.deadlines import deadlines
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, LegState, State
from service.exchanges.refusals import InvalidTerms, StepNotAllowed
from service.exchanges.terms import CheckpointDraft
from tests.exchanges.world import World

PAYER, PAYEE = Role.PAYER, Role.PAYEE


def rental(world: World, strategy: str = "authorise", days: float | None = None) -> Exchange:
    """A rental of 20.00 with a deposit of 150.00, agreed to by both."""
    return world.propose(lent(world, strategy, days, ("price", 2_000, "EUR")))


def loan(world: World, strategy: str = "authorise", days: float | None = None) -> Exchange:
    """A loan against a deposit of 150.00, agreed to by both."""
    return world.propose(lent(world, strategy, days))


def lent(world: World, strategy: str, days: float | None, *prices: tuple[Any, ...]) -> Any:
    due: datetime | None = None if days is None else world.now + timedelta(days=days)
    draft = world.draft(
        "rental" if prices else "loan", [*prices, ("deposit", 15_000, "EUR")], deposit=strategy
    )
    points = (CheckpointDraft("handover"), CheckpointDraft("return", due))
    return type(draft)(
        draft.kind, draft.title, draft.legs, points, deposit=strategy, windows={"confirm_hours": 24}
    )


def blocked(world: World) -> int:
    """What banks block for us, in minor units."""
    return -world.balance("provider:sandbox:authorised")


def payments(world: World, exchange: Exchange) -> list[Any]:
    with db.transaction(world.engine, world.platform_id) as connection:
        return list(
            connection.execute(
                text(
                    "SELECT kind, state, amount, capture, captured, replaces, failure "
                    "FROM service.payment WHERE platform_id = :p AND exchange_id = :e ORDER BY id"
                ),
                {"p": world.platform_id, "e": exchange.id},
            )
        )


def states(world: World, exchange: Exchange) -> list[tuple[str, str]]:
    return [(row.kind, row.state) for row in payments(world, exchange)]


def test_the_strategy_follows_the_length_of_the_loan_and_stands_in_the_terms(world: World) -> None:
    for days, expected in ((2, "authorise"), (5.4, "authorise"), (6, "capture"), (30, "capture")):
        exchange = loan(world, "automatic", days)
        assert exchange.terms["deposit"]["strategy"] == expected
        assert exchange.legs[0].strategy == expected
    assert loan(world, "automatic").legs[0].strategy == "capture"
    with pytest.raises(InvalidTerms, match="secured in one of these ways"):
        loan(world, "pawn")
    with pytest.raises(InvalidTerms, match="no deposit in money"):
        world.propose(world.draft("sale", [("price", 100, "EUR")], deposit="authorise"))


def test_a_blocked_deposit_is_set_free_at_the_return_and_was_never_taken(world: World) -> None:
    exchange = world.funded(rental(world))
    assert exchange.state is State.ACTIVE
    assert (blocked(world), world.outside()) == (15_000, 2_000)
    world.both_confirm(exchange)
    world.sweep()
    assert world.outside() == 0
    world.both_confirm(exchange)
    assert ("refund", "succeeded") not in states(world, exchange)  # nobody is told before it is so
    world.sweep()
    assert world.read(exchange).state is State.COMPLETED
    assert (blocked(world), world.outside()) == (0, 0)
    assert sorted(states(world, exchange)) == [
        ("collect", "canceled"),
        ("collect", "succeeded"),
        ("payout", "succeeded"),
        ("refund", "succeeded"),
    ]
    world.check()


def test_the_price_is_asked_for_only_when_the_block_stands(world: World) -> None:
    exchange = rental(world)
    world.step(exchange, "fund", PAYER, payment_method="pm_sandbox_slow")
    world.sweep()
    deposit, price = payments(world, exchange)
    assert (deposit.capture, deposit.state) == ("manual", "pending")
    assert (price.capture, price.state) == ("automatic", "submitting")
    world.check()
    world.pass_time(seconds=31)
    assert blocked(world) == 15_000
    assert world.read(exchange).state is State.FUNDING
    world.check()
    world.pass_time(seconds=31)
    assert world.read(exchange).state is State.ACTIVE
    world.check()


def test_a_refused_block_never_lets_the_price_be_taken(world: World) -> None:
    exchange = world.funded(rental(world), "pm_sandbox_declined")
    assert exchange.state is State.AGREED
    assert states(world, exchange) == [("collect", "failed"), ("collect", "canceled")]
    world.check()
    assert world.funded(exchange).state is State.ACTIVE


def test_a_price_that_fails_sets_the_block_free(world: World) -> None:
    exchange = rental(world)
    world.step(exchange, "fund", PAYER, payment_method="pm_sandbox_requires_action")
    world.sweep()
    world.act(exchange, succeed=True)
    world.sweep()
    assert blocked(world) == 15_000
    world.act(exchange, succeed=False)
    world.sweep()
    exchange = world.read(exchange)
    assert (exchange.state, exchange.deposit_id) == (State.AGREED, None)
    assert (blocked(world), world.outside()) == (0, 0)
    world.check()


@pytest.mark.parametrize("step", ["abandon_payment", "cancel"])
def test_giving_up_while_the_price_is_awaited_sets_the_block_free(world: World, step: str) -> None:
    exchange = rental(world)
    world.step(exchange, "fund", PAYER, payment_method="pm_sandbox_requires_action")
    world.act(exchange, succeed=True)
    world.sweep()
    world.step(exchange, step, PAYER)
    world.sweep()
    assert (blocked(world), world.outside()) == (0, 0)
    world.check()


@pytest.mark.parametrize("to_payee", [1, 4_000, 14_999, 15_000])
def test_a_part_of_a_block_is_taken_and_the_rest_set_free(world: World, to_payee: int) -> None:
    exchange = world.funded(loan(world))
    world.step(exchange, "propose_settlement", PAYEE, to_payee=(to_payee,))
    proposal = world.read(exchange).proposal
    assert proposal is not None
    world.step(exchange, "accept_proposal", PAYER, proposal_id=proposal.id)
    world.sweep()
    assert (blocked(world), world.outside()) == (0, 0)
    collect = payments(world, exchange)[0]
    assert (collect.state, collect.captured) == ("succeeded", to_payee)
    assert world.of(world.payee) == world.of(world.payer) == 0
    assert ("payout", "succeeded") in states(world, exchange)
    world.check()


def test_a_block_that_ends_soon_is_taken_and_the_deposit_goes_back_at_the_return(
    world: World,
) -> None:
    exchange = world.funded(loan(world, days=20))
    names = [line.name for line in deadlines(exchange)]
    assert "deposit_taken_at" in names
    assert "deposit_renewed_by" not in names
    world.pass_time(days=6, hours=11)
    assert (blocked(world), world.outside()) == (15_000, 0)
    world.pass_time(hours=2)
    assert (blocked(world), world.outside()) == (0, 15_000)
    assert "deposit.taken" in world.events(exchange)
    world.check()
    world.both_confirm(exchange)
    world.both_confirm(exchange)
    world.sweep()
    assert world.outside() == 0
    assert ("refund", "succeeded") in states(world, exchange)
    world.check()


def test_a_block_agreed_to_be_renewed_is_renewed_again_and_again(world: World) -> None:
    exchange = world.funded(loan(world, "reauthorise", days=20))
    for _ in range(4):
        until = world.read(exchange).deposit_until
        assert until is not None
        world.pass_time(seconds=(until - timedelta(hours=36) - world.now).total_seconds() + 1)
        after = world.read(exchange)
        assert after.deposit_until is not None
        assert after.deposit_until > until
        assert blocked(world) == 15_000
        world.check()
    world.both_confirm(exchange)
    world.both_confirm(exchange)
    world.sweep()
    assert (blocked(world), world.outside()) == (0, 0)
    world.check()


def test_a_bank_that_wants_the_payer_is_answered_by_them_or_the_deposit_is_taken(
    world: World,
) -> None:
    method = "pm_sandbox_requires_action"
    exchanges = [loan(world, "reauthorise", days=20) for _ in range(2)]
    for exchange in exchanges:
        world.step(exchange, "fund", PAYER, payment_method=method)
        world.act(exchange, succeed=True)
    world.sweep()
    world.pass_time(days=5, hours=13)
    for exchange in exchanges:
        assert "deposit.action_needed" in world.events(exchange)
        assert world.read(exchange).closed_at is None
    answered, silent = exchanges
    world.step(answered, "authorise_again", PAYER, payment_method=method)
    world.act(answered, succeed=True)
    world.sweep()
    world.pass_time(hours=24)
    assert (blocked(world), world.outside()) == (15_000, 15_000)
    assert "deposit.taken" in world.events(silent)
    assert "deposit.taken" not in world.events(answered)
    world.check()


def test_a_block_that_the_bank_lets_go_is_told_and_the_exchange_goes_on(world: World) -> None:
    exchange = world.funded(loan(world))
    world.let_go(exchange)
    world.sweep()
    exchange = world.read(exchange)
    assert exchange.state is State.ACTIVE
    assert exchange.legs[0].state is LegState.SETTLED
    assert "deposit.lapsed" in world.events(exchange)
    assert blocked(world) == 0
    world.check()
    world.both_confirm(exchange)
    assert world.both_confirm(exchange).state is State.COMPLETED


def test_a_deposit_lost_between_decision_and_taking_is_told_and_nobody_is_paid_from_nothing(
    world: World,
) -> None:
    exchange = world.funded(loan(world))
    world.step(exchange, "propose_settlement", PAYEE, to_payee=(5_000,))
    proposal = world.read(exchange).proposal
    assert proposal is not None
    world.step(exchange, "accept_proposal", PAYER, proposal_id=proposal.id)
    world.let_go(exchange)
    world.sweep()
    assert "deposit.lost" in world.events(exchange)
    assert (blocked(world), world.outside()) == (0, 0)
    assert world.of(world.payee) == world.of(world.payer) == 0
    assert sorted(states(world, exchange)) == [
        ("collect", "canceled"),
        ("payout", "canceled"),
        ("refund", "succeeded"),
    ]
    world.check()


def test_the_return_and_the_taking_of_a_deposit_at_once_end_in_one_way(world: World) -> None:
    exchange = world.funded(loan(world, days=20))
    world.both_confirm(exchange)
    world.step(exchange, "confirm", PAYER)
    until = world.read(exchange).deposit_until
    assert until is not None
    world.now = until - timedelta(hours=11)
    world.fire()  # the taking is decided, the provider not asked yet
    world.step(exchange, "confirm", PAYEE)
    world.sweep()
    assert (blocked(world), world.outside()) == (0, 0)
    assert sorted(states(world, exchange)) == [("collect", "succeeded"), ("refund", "succeeded")]
    world.check()


def test_only_a_blocked_deposit_can_be_blocked_anew(world: World) -> None:
    exchange = world.funded(loan(world, "capture"))
    with pytest.raises(StepNotAllowed, match="No deposit is blocked"):
        world.step(exchange, "authorise_again", PAYER)


def test_at_the_hold_limit_a_blocked_deposit_is_free(world: World) -> None:
    exchange = world.funded(loan(world, "reauthorise", days=20))
    while world.read(exchange).closed_at is None:
        world.pass_time(hours=24)
    world.check()
    assert world.read(exchange).state is State.REFUNDED
    assert (blocked(world), world.outside()) == (0, 0)


def test_a_renewal_that_nobody_answered_is_called_back_at_the_return(world: World) -> None:
    exchange = loan(world, "reauthorise", days=20)
    world.step(exchange, "fund", PAYER, payment_method="pm_sandbox_requires_action")
    world.act(exchange, succeed=True)
    world.sweep()
    world.step(exchange, "authorise_again", PAYER, payment_method="pm_sandbox_requires_action")
    world.sweep()
    world.both_confirm(exchange)
    world.both_confirm(exchange)
    world.sweep()
    assert states(world, exchange).count(("collect", "canceled")) == 2
    assert blocked(world) == 0
    world.check()
