"""Lives at the Stripe-shaped server, reconciled with its books; and what nobody of ours did."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from service import db
from service.exchanges.fees import FeeRule
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.ids import uuid7
from service.payments import resolutions, stops
from service.payments.port import Request
from service.payments.reconcile import Run
from service.payments.resolutions import Resolution
from tests.exchanges.test_deposits import loan
from tests.lives.stripe_lives import StripeLives

PAYER, PAYEE = Role.PAYER, Role.PAYEE


def counts(runs: list[Run]) -> tuple[int, ...]:
    """Matched, ours only, theirs only, another amount, in flight, over all the days."""
    columns = ("matched", "ours_only", "theirs_only", "amount_differs", "in_flight")
    return tuple(sum(getattr(run, column) for run in runs) for column in columns)


def open_differences(world: StripeLives) -> list[Any]:
    with db.transaction(world.engine, world.platform_id) as connection:
        return list(resolutions.page(connection, world.platform_id, limit=100, open_=True))


def stopped(world: StripeLives) -> bool:
    with db.transaction(world.engine, world.platform_id) as connection:
        return stops.stopped(connection, world.platform_id)


def by_hand(world: StripeLives, amount: int) -> None:
    """A charge that somebody makes in Stripe's dashboard, with none of our facts on it."""
    request = Request(
        platform_id=world.platform_id,
        payment_id=uuid7(),
        kind="collect",
        amount=amount,
        unit="EUR",
        member_id=world.payer,
        exchange_id=None,
        method="pm_card_bypassPending",
    )
    world.stripe.submit(request)


def cancelled(world: StripeLives, exchange: Exchange) -> None:
    world.step(exchange, "propose_cancellation", PAYEE)
    proposal = world.read(exchange).proposal
    assert proposal is not None
    world.step(exchange, "accept_proposal", PAYER, proposal_id=proposal.id)
    world.settle()


def test_every_line_of_a_sale_and_a_refund_is_matched(world: StripeLives) -> None:
    world.server.top_up(world.account, 1_000)
    sale = world.funded(world.sale(6_500, fee=FeeRule(basis_points=200, borne_by="payee")))
    world.both_confirm(sale)
    world.settle()
    cancelled(world, world.funded(world.sale(4_000)))
    assert counts(world.reconcile()) == (5, 0, 0, 0, 0)
    assert world.balance("platform:paid_out") == 1_000
    assert world.outside() == world.at_stripe()
    assert open_differences(world) == []
    assert counts(world.reconcile()) == (5, 0, 0, 0, 0)


def test_a_deposit_taken_in_part_is_matched_by_what_was_taken(world: StripeLives) -> None:
    exchange = world.funded(loan(world), "pm_card_visa")
    world.step(exchange, "propose_settlement", PAYEE, to_payee=(4_000,))
    proposal = world.read(exchange).proposal
    assert proposal is not None
    world.step(exchange, "accept_proposal", PAYER, proposal_id=proposal.id)
    world.settle()
    world.pass_time(days=2)
    assert counts(world.reconcile())[1:] == (0, 0, 0, 0)
    assert open_differences(world) == []


def test_a_refund_that_came_back_is_matched_both_ways(world: StripeLives) -> None:
    world.server.top_up(world.account, 1_000)
    exchange = world.funded(world.sale(6_500))
    cancelled(world, exchange)
    world.pass_time(days=1)
    (refund,) = world.refs(exchange, "refund")
    world.server.fail_refund(refund, "lost_or_stolen_card")
    world.settle()
    assert counts(world.reconcile()) == (4, 0, 0, 0, 0)
    assert open_differences(world) == []


def test_a_chargeback_and_its_fee_are_matched(world: StripeLives) -> None:
    world.server.top_up(world.account, 10_000)
    exchange = world.funded(world.sale(6_500))
    (intent,) = world.refs(exchange, "collect")
    dispute = world.server.dispute(intent)
    world.settle()
    world.pass_time(days=3)
    world.server.close_dispute(dispute, won=True)
    world.settle()
    assert counts(world.reconcile()) == (4, 0, 0, 0, 0)
    assert open_differences(world) == []


def test_a_chargeback_nobody_told_of_heals_when_its_word_comes(world: StripeLives) -> None:
    world.server.top_up(world.account, 10_000)
    exchange = world.funded(world.sale(6_500))
    (intent,) = world.refs(exchange, "collect")
    world.server.dispute(intent)
    assert counts(world.reconcile()) == (2, 0, 1, 0, 0)
    assert world.balance("suspense:stripe") == -6_500 - 2_000
    assert world.outside() == world.at_stripe()
    world.settle()
    assert counts(world.reconcile()) == (3, 0, 0, 0, 0)
    assert world.balance("suspense:stripe") == 0
    assert world.outside() == world.at_stripe()
    assert not stopped(world)
    world.check()


def test_a_charge_made_by_hand_stops_payouts_until_it_is_resolved(world: StripeLives) -> None:
    exchange = world.funded(world.sale(6_500))
    by_hand(world, 2_000)
    assert counts(world.reconcile()) == (1, 0, 1, 0, 0)
    (row,) = open_differences(world)
    assert world.balance("suspense:stripe") == 2_000 - 55  # 1.5 % and 25
    assert world.outside() == world.at_stripe()
    world.both_confirm(exchange)
    world.settle()
    assert world.refs(exchange, "payout") == []
    with db.transaction(world.engine, world.platform_id) as connection:
        resolutions.resolve(
            connection,
            world.platform_id,
            row["id"],
            Resolution.BELONGS_TO_MEMBER,
            "paid in the shop",
            "key_of_the_platform",
            world.now,
            world.payee,
        )
    assert world.of(world.payee) == 1_945
    world.pass_time(minutes=11)
    assert len(world.refs(exchange, "payout")) == 1
    assert world.outside() == world.at_stripe()
    world.check()


def test_what_a_lost_webhook_would_have_told_heals(world: StripeLives) -> None:
    exchange = world.sale()
    world.step(exchange, "fund", PAYER, hosted=True, return_url="https://example.org/back")
    (page,) = world.refs(exchange, "collect")
    world.server.pay_checkout(page, "pm_card_bypassPending")
    assert counts(world.reconcile()) == (0, 0, 1, 0, 0)
    assert stopped(world)
    world.now += timedelta(hours=7)  # nothing was delivered: the sweep looks by itself
    world.sweep()
    assert counts(world.reconcile())[1:] == (0, 0, 0, 0)
    assert world.outside() == world.at_stripe()
    assert not stopped(world)
    world.check()


def test_an_adjustment_of_stripes_is_nobodys_until_somebody_says_whose(
    world: StripeLives,
) -> None:
    world.server.top_up(world.account, 500)
    world.server.top_up(world.account, -100)
    assert counts(world.reconcile()) == (1, 0, 1, 0, 0)
    (row,) = open_differences(world)
    assert (row["movement"], row["theirs"]) == ("other", -100)
    assert world.outside() == world.at_stripe() == 400


def test_days_that_nobody_reconciled_in_time_come_to_the_same(world: StripeLives) -> None:
    world.server.top_up(world.account, 1_000)
    exchange = world.funded(world.sale(6_500))
    world.pass_time(days=3)
    cancelled(world, exchange)
    world.pass_time(days=3)
    first = counts(world.reconcile())
    assert first == (3, 0, 0, 0, 0)
    assert counts(world.reconcile()) == first
    assert open_differences(world) == []
