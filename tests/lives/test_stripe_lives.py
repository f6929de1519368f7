"""Whole lives of exchanges whose money is at Stripe: the books agree with Stripe's at every end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from service.exchanges.fees import FeeRule
from service.exchanges.kinds import Role
from service.exchanges.model import State
from tests.exchanges.test_deposits import loan, rental
from tests.lives.stripe_lives import StripeLives

PAYER, PAYEE = Role.PAYER, Role.PAYEE


def test_a_sale_is_collected_held_released_and_sent_to_the_payees_account(
    world: StripeLives,
) -> None:
    exchange = world.funded(world.sale(6_500, fee=FeeRule(basis_points=200, borne_by="payee")))
    assert exchange.state is State.ACTIVE
    assert world.at_stripe() == 6_500 - 123  # 1.5 % and 25
    world.agree()
    assert world.both_confirm(exchange).state is State.COMPLETED
    world.settle()
    assert world.balance("platform:fees") == 130
    assert -world.balance("expense:provider_fees") == 123
    assert world.at_stripe() == 130 - 123
    (transfer,) = world.refs(exchange, "payout")
    assert transfer.startswith("tr_")
    world.agree()


def test_what_goes_back_is_refunded_and_the_fee_stays_a_cost(world: StripeLives) -> None:
    world.server.top_up(world.account, 1_000)
    exchange = world.funded(world.sale(6_500))
    world.step(exchange, "propose_settlement", PAYEE, to_payee=(2_500,))
    proposal = world.read(exchange).proposal
    assert proposal is not None
    world.step(exchange, "accept_proposal", PAYER, proposal_id=proposal.id)
    world.settle()
    assert {"refund.succeeded", "payout.succeeded"} <= set(world.events(exchange))
    assert world.at_stripe() - 1_000 == world.outside() == -123
    world.check()


def test_a_refund_that_the_bank_returns_later_is_owed_again_and_told(world: StripeLives) -> None:
    world.server.top_up(world.account, 1_000)
    exchange = world.funded(world.sale(6_500))
    world.step(exchange, "propose_cancellation", PAYEE)
    proposal = world.read(exchange).proposal
    assert proposal is not None
    world.step(exchange, "accept_proposal", PAYER, proposal_id=proposal.id)
    world.settle()
    (refund,) = world.refs(exchange, "refund")
    world.server.fail_refund(refund, "lost_or_stolen_card")
    for _ in range(2):  # told twice, it is owed once
        world.settle(duplicate=0.9)
    assert world.of(world.payer) == 6_500
    assert world.events(exchange).count("refund.returned") == 1
    world.agree(own=1_000)


def test_a_payer_passes_the_banks_check_or_fails_it_and_tries_again(world: StripeLives) -> None:
    exchange = world.sale()
    world.step(exchange, "fund", PAYER, payment_method="pm_card_authenticationRequired")
    world.settle()
    (intent,) = world.refs(exchange, "collect")
    world.server.act(intent, succeed=False)
    world.settle()
    assert world.read(exchange).state is State.AGREED
    world.step(exchange, "fund", PAYER, payment_method="pm_card_authenticationRequired")
    world.settle()
    world.server.act(world.refs(exchange, "collect")[1], succeed=True)
    world.settle()
    assert world.read(exchange).state is State.ACTIVE
    world.agree()


def test_a_declined_card_leaves_the_exchange_agreed(world: StripeLives) -> None:
    exchange = world.funded(world.sale(), "pm_card_visa_chargeDeclinedInsufficientFunds")
    assert exchange.state is State.AGREED
    world.agree()
    assert world.funded(exchange).state is State.ACTIVE


@pytest.mark.parametrize(
    ("method", "ends"),
    [("pm_sepaDebit_ok", State.ACTIVE), ("pm_sepaDebit_late_failure", State.AGREED)],
)
def test_a_direct_debit_is_pending_for_days_and_then_comes_or_fails(
    world: StripeLives, method: str, ends: State
) -> None:
    exchange = world.sale()
    world.step(exchange, "fund", PAYER, payment_method=method)
    world.settle()
    assert world.read(exchange).state is State.FUNDING
    for _ in range(6):
        world.pass_time(days=1)
    assert world.read(exchange).state is ends
    world.agree()
    if ends is State.AGREED:  # it failed after the time to pay, and can be tried again all the same
        assert world.funded(exchange).state is State.ACTIVE


def test_the_payer_pays_on_stripes_own_page(world: StripeLives) -> None:
    exchange = world.sale()
    world.step(exchange, "fund", PAYER, hosted=True, return_url="https://example.org/back")
    world.settle()
    (session,) = world.refs(exchange, "collect")
    assert session.startswith("cs_")
    world.server.pay_checkout(session, "pm_card_visa")
    world.settle()
    assert world.read(exchange).state is State.ACTIVE
    world.agree()


def test_a_page_left_unpaid_expires_and_another_way_can_be_tried(world: StripeLives) -> None:
    exchange = world.sale()
    world.step(exchange, "fund", PAYER, hosted=True, return_url="https://example.org/back")
    world.settle()
    world.step(exchange, "abandon_payment", PAYER)
    world.settle()
    assert world.read(exchange).state is State.AGREED
    assert world.funded(exchange).state is State.ACTIVE
    world.agree()


def test_a_rental_deposit_is_blocked_and_set_free(world: StripeLives) -> None:
    exchange = world.funded(rental(world), "pm_card_visa")
    assert exchange.state is State.ACTIVE
    assert exchange.deposit_until == world.now + timedelta(days=7)
    world.both_confirm(exchange)
    world.both_confirm(exchange)
    world.settle()
    assert world.read(exchange).state is State.COMPLETED
    assert world.balance("provider:stripe:authorised") == 0
    world.agree()


def test_a_part_of_a_deposit_is_taken_for_the_damage(world: StripeLives) -> None:
    exchange = world.funded(loan(world), "pm_card_visa")
    world.step(exchange, "propose_settlement", PAYEE, to_payee=(4_000,))
    proposal = world.read(exchange).proposal
    assert proposal is not None
    world.step(exchange, "accept_proposal", PAYER, proposal_id=proposal.id)
    world.settle()
    assert {"payout.succeeded", "refund.succeeded"} <= set(world.events(exchange))
    assert world.balance("provider:stripe:authorised") == 0
    world.agree()


def test_a_block_is_renewed_with_the_saved_card_as_long_as_the_loan_lasts(
    world: StripeLives,
) -> None:
    exchange = world.funded(loan(world, "reauthorise", days=20), "pm_card_visa")
    first = exchange.deposit_id
    until = exchange.deposit_until
    assert until is not None
    world.pass_time(seconds=(until - timedelta(hours=36) - world.now).total_seconds() + 1)
    exchange = world.read(exchange)
    assert exchange.deposit_id != first
    assert exchange.deposit_until == world.now + timedelta(days=4, hours=18)
    assert world.balance("provider:stripe:authorised") == -15_000
    world.agree()
    world.both_confirm(exchange)
    world.both_confirm(exchange)
    world.settle()
    assert world.balance("provider:stripe:authorised") == 0
    world.agree()


def test_a_block_that_ends_soon_is_taken_and_given_back_at_the_return(world: StripeLives) -> None:
    world.server.top_up(world.account, 1_000)
    exchange = world.funded(loan(world, days=20), "pm_card_visa")
    world.pass_time(days=6, hours=13)
    assert "deposit.taken" in world.events(exchange)
    world.both_confirm(exchange)
    world.both_confirm(exchange)
    world.settle()
    world.pass_time(days=3)
    assert "refund.succeeded" in world.events(exchange)
    assert world.outside() == world.at_stripe() - 1_000
    world.check()


def test_a_block_that_expires_while_we_were_away_is_told(world: StripeLives) -> None:
    exchange = world.funded(loan(world), "pm_card_visa")
    world.now += timedelta(days=8)
    world.settle()  # no clock of ours ran meanwhile
    assert "deposit.lapsed" in world.events(exchange)
    world.agree()


def test_released_money_waits_for_a_payee_without_an_account(world: StripeLives) -> None:
    world.payee = world.member()
    exchange = world.funded(world.sale(), "pm_card_visa")
    world.both_confirm(exchange)
    world.settle()
    assert world.of(world.payee) == 6_500
    assert "payout.waiting" in world.events(exchange)
    world.agree()
    ref = world.onboard(world.payee, complete=False)
    world.settle()
    assert world.of(world.payee) == 6_500
    world.server.complete_onboarding(ref)
    world.settle()
    assert world.of(world.payee) == 0
    assert world.refs(exchange, "payout") != []
    world.agree()


def test_a_day_of_lost_webhooks_is_caught_up(world: StripeLives) -> None:
    world.server.on_event = lambda *_: 500
    first = world.sale()
    world.step(first, "fund", PAYER, payment_method="pm_card_authenticationRequired")
    world.settle()
    (intent,) = world.refs(first, "collect")
    world.server.act(intent, succeed=True)
    second = world.funded(world.sale())
    world.both_confirm(second)
    for _ in range(4):
        world.pass_time(hours=6)
    world.poll()
    assert world.read(first).state is State.ACTIVE
    assert world.read(second).state is State.COMPLETED
    world.agree()


def _insist(world: StripeLives, fault: str) -> None:
    for _ in range(10):  # whatever the jitter of the rests between two calls
        world.server.release()
        world.pass_time(minutes=30)
    if fault == "500":  # Stripe says it again under its key for a day, and only then works again
        for _ in range(6):
            world.pass_time(hours=6)


@pytest.mark.parametrize("fault", ["before", "after", "500", "500_after", "429"])
def test_a_call_that_is_lost_or_unanswered_is_made_again_and_counts_once(
    world: StripeLives, fault: Any
) -> None:
    world.server.top_up(world.account, 5_000)
    for path in ("/v1/payment_intents", "/v1/transfers", "/v1/refunds"):
        world.server.fault(path, fault, times=4, method="POST")
    exchange = world.sale()
    world.step(exchange, "fund", PAYER, payment_method="pm_card_bypassPending")
    _insist(world, fault)
    exchange = world.read(exchange)
    assert exchange.state is State.ACTIVE
    world.step(exchange, "propose_settlement", PAYEE, to_payee=(2_500,))
    proposal = world.read(exchange).proposal
    assert proposal is not None
    world.step(exchange, "accept_proposal", PAYER, proposal_id=proposal.id)
    _insist(world, fault)
    assert {"payout.succeeded", "refund.succeeded"} <= set(world.events(exchange))
    assert world.outside() == world.at_stripe() - 5_000 == -123
    world.check()


def test_an_amount_that_is_not_what_was_asked_is_never_booked_and_told_once(
    world: StripeLives,
) -> None:
    exchange = world.sale()
    world.step(exchange, "fund", PAYER, payment_method="pm_card_authenticationRequired")
    world.settle()
    (intent,) = world.refs(exchange, "collect")
    with world.server.world.lock:  # somebody's hand in Stripe's own pages
        world.account.get("payment_intent", intent)["amount"] = 6_400
    world.server.act(intent, succeed=True)
    world.settle(duplicate=0.9)
    world.pass_time(hours=1)
    assert world.read(exchange).state is State.FUNDING
    assert world.balance("provider:stripe") == 0
    assert world.times_told("payment.amount_differs") == 1
    world.check()
