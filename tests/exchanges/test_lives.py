"""The life of each kind of exchange, from the terms to the last minor unit."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ledger.refusals import Refusal
from ledger.units import iso
from service.exchanges import propose
from service.exchanges.fees import FeeRule
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from service.exchanges.queries import next_actions
from service.exchanges.refusals import (
    AlreadyConfirmed,
    BelowCreditLimit,
    CheckpointNotCurrent,
    NoOpenProposal,
    NotAParty,
    NotYourStep,
    SplitDoesNotSum,
    StaleTerms,
    StaleVersion,
    StepNotAllowed,
    UnknownCheckpoint,
)
from service.exchanges.steps import MACHINES, STEPS
from tests.exchanges.world import World

PAYER, PAYEE = Role.PAYER, Role.PAYEE


def test_a_sale_pays_the_payee_only_when_both_have_confirmed(world: World) -> None:
    exchange = world.funded(world.sale(6_500, fee=FeeRule(basis_points=200, borne_by="payee")))
    assert exchange.state is State.ACTIVE
    (leg,) = exchange.legs
    assert world.balance(f"hold:{leg.id}") == 6_500

    world.step(exchange, "confirm", PAYEE)
    world.sweep()
    assert world.balance(f"hold:{leg.id}") == 6_500
    assert world.outside() == 6_500

    done = world.step(exchange, "confirm", PAYER)
    assert done.state is State.COMPLETED
    assert world.balance(f"hold:{leg.id}") == 0
    world.sweep()
    assert world.balance("platform:fees") == 130
    assert world.outside() == 130
    assert world.events(exchange) == [
        "exchange.proposed",
        "exchange.agreed",
        "exchange.funding",
        "exchange.active",
        "exchange.confirmed",
        "exchange.confirmed",
        "exchange.checkpoint_met",
        "leg.released",
        "exchange.completed",
        "payout.succeeded",
    ]


def test_a_rental_pays_the_price_at_the_hand_over_and_returns_the_deposit(world: World) -> None:
    draft = world.draft("rental", [("price", 2_000, "EUR"), ("deposit", 15_000, "EUR")])
    exchange = world.funded(world.propose(draft))
    world.both_confirm(exchange)
    world.sweep()
    assert world.outside() == 15_000
    assert world.both_confirm(exchange).state is State.COMPLETED
    world.sweep()
    assert world.outside() == 0
    assert {"payout.succeeded", "refund.succeeded"} <= set(world.events(exchange))


def test_each_milestone_of_a_service_is_paid_by_itself_and_in_order(world: World) -> None:
    draft = world.draft(
        "service",
        [("price", 5_000, "EUR", "walls"), ("price", 7_000, "EUR", "roof")],
        checkpoints=("walls", "roof"),
    )
    exchange = world.funded(world.propose(draft))
    with pytest.raises(CheckpointNotCurrent):
        world.step(exchange, "confirm", PAYER, checkpoint="roof")
    with pytest.raises(UnknownCheckpoint):
        world.step(exchange, "confirm", PAYER, checkpoint="garden")
    assert world.both_confirm(exchange).state is State.ACTIVE
    world.sweep()
    assert world.outside() == 7_000
    assert world.both_confirm(exchange).state is State.COMPLETED


def test_hours_are_held_and_move_with_no_provider(world: World) -> None:
    exchange = world.propose(world.draft("help", [("price", 200, "HOURS")]))
    active = world.step(exchange, "fund", PAYER)
    assert active.state is State.ACTIVE
    assert world.of(world.payer, "HOURS") == -200
    assert world.of(world.payee, "HOURS") == 0
    world.both_confirm(exchange)
    assert world.of(world.payee, "HOURS") == 200


def test_hours_beyond_the_credit_limit_are_refused_and_nothing_changes(world: World) -> None:
    exchange = world.propose(world.draft("help", [("price", 1_001, "HOURS")]))
    with pytest.raises(BelowCreditLimit):
        world.step(exchange, "fund", PAYER)
    assert world.read(exchange) == exchange
    assert world.of(world.payer, "HOURS") == 0


def test_money_and_hours_settle_together_or_not_at_all(world: World) -> None:
    draft = world.draft("mixed", [("price", 4_000, "EUR"), ("price", 200, "HOURS")])
    declined = world.funded(world.propose(draft), "pm_sandbox_declined")
    assert declined.state is State.AGREED
    assert world.of(world.payer, "HOURS") == 0
    exchange = world.funded(declined)
    assert exchange.state is State.ACTIVE
    world.both_confirm(exchange)
    world.sweep()
    assert world.of(world.payee, "HOURS") == 200
    assert world.outside() == 0


@pytest.mark.parametrize("kind", ["gift", "loan"])
def test_an_exchange_without_legs_lives_by_confirmations_alone(world: World, kind: str) -> None:
    exchange = world.propose(world.draft(kind))
    assert exchange.state is State.ACTIVE
    for _ in exchange.checkpoints:
        exchange = world.both_confirm(exchange)
    assert exchange.state is State.COMPLETED


def test_a_counter_offer_replaces_the_terms_and_waits_for_the_other(world: World) -> None:
    exchange = world.propose(world.draft("sale", [("price", 9_000, "EUR")]), agreed=False)
    with pytest.raises(NotYourStep):
        world.step(exchange, "agree", PAYEE)
    draft = world.draft("sale", [("price", 8_000, "EUR")])
    checked = propose.check_terms(draft, {"EUR": iso("EUR")}, world.sandbox, world.now)
    countered = world.step(exchange, "counter_offer", PAYER, terms=checked)
    assert [leg.amount for leg in world.read(exchange).legs] == [8_000]
    with pytest.raises(StaleTerms):
        world.step(exchange, "agree", PAYEE, terms_hash=exchange.terms_hash)
    agreed = world.step(exchange, "agree", PAYEE, terms_hash=countered.terms_hash)
    assert agreed.state is State.AGREED


def test_declining_and_cancelling_before_funding_need_one_side_alone(world: World) -> None:
    draft = world.draft("sale", [("price", 100, "EUR")])
    declined = world.step(world.propose(draft, agreed=False), "decline", PAYER)
    assert declined.state is State.DECLINED
    for side in (PAYER, PAYEE):
        assert world.step(world.propose(draft), "cancel", side).state is State.CANCELLED


def test_cancelling_what_is_held_needs_both(world: World) -> None:
    exchange = world.funded(world.sale(5_000, fee=FeeRule(fixed=100, borne_by="payer")))
    with pytest.raises(StepNotAllowed):
        world.step(exchange, "cancel", PAYER)
    offered = world.step(exchange, "propose_cancellation", PAYER)
    assert offered.proposal is not None
    with pytest.raises(NotYourStep):
        world.step(exchange, "accept_proposal", PAYER, proposal_id=offered.proposal.id)
    ended = world.step(exchange, "accept_proposal", PAYEE, proposal_id=offered.proposal.id)
    assert ended.state is State.CANCELLED
    world.sweep()
    assert world.outside() == 0
    assert world.balance("platform:fees") == 0


def test_a_settlement_splits_to_the_last_cent_and_fees_follow_what_is_released(
    world: World,
) -> None:
    exchange = world.funded(world.sale(1_001, fee=FeeRule(basis_points=1_000, borne_by="shared")))
    offered = world.step(exchange, "propose_settlement", PAYEE, to_payee=(500,))
    assert offered.proposal is not None
    ended = world.step(exchange, "accept_proposal", PAYER, proposal_id=offered.proposal.id)
    assert ended.state is State.SETTLED
    (leg,) = ended.legs
    assert leg.share is not None
    # fee 100 shared 50/50; half released: 50 * 500 // 1001 = 24 from each side
    assert (leg.share.to_payer, leg.share.to_payee, leg.share.to_fees) == (527, 476, 48)
    world.sweep()
    assert world.outside() == 48


@pytest.mark.parametrize("split", [(6_501,), (-1,), (), (1, 2)])
def test_a_split_that_does_not_sum_to_what_is_held_is_refused(
    world: World, split: tuple[int, ...]
) -> None:
    exchange = world.funded(world.sale())
    with pytest.raises(SplitDoesNotSum):
        world.step(exchange, "propose_settlement", PAYER, to_payee=split)


def test_only_the_offer_that_was_read_can_be_accepted(world: World) -> None:
    exchange = world.funded(world.sale())
    first = world.step(exchange, "propose_settlement", PAYEE, to_payee=(6_000,))
    world.step(exchange, "propose_settlement", PAYEE, to_payee=(6_500,))
    assert first.proposal is not None
    with pytest.raises(NoOpenProposal):
        world.step(exchange, "accept_proposal", PAYER, proposal_id=first.proposal.id)


def test_an_offer_lapses_and_a_rejected_one_is_gone(world: World) -> None:
    exchange = world.funded(world.sale())
    offered = world.step(exchange, "propose_settlement", PAYEE, to_payee=(6_000,))
    assert offered.proposal is not None
    offer = offered.proposal.id
    rejected = world.step(exchange, "reject_proposal", PAYER, proposal_id=offer)
    assert rejected.proposal is None
    again = world.step(exchange, "propose_settlement", PAYEE, to_payee=(6_000,))
    assert again.proposal is not None
    world.now += timedelta(days=7)
    with pytest.raises(NoOpenProposal):
        world.step(exchange, "accept_proposal", PAYER, proposal_id=again.proposal.id)


def test_a_word_can_be_taken_back_until_the_other_has_given_theirs(world: World) -> None:
    exchange = world.funded(world.sale())
    world.step(exchange, "confirm", PAYER)
    with pytest.raises(AlreadyConfirmed):
        world.step(exchange, "confirm", PAYER)
    world.step(exchange, "withdraw_confirmation", PAYER)
    assert world.step(exchange, "confirm", PAYEE).state is State.ACTIVE
    assert world.step(exchange, "confirm", PAYER).state is State.COMPLETED


def test_silence_leads_to_review_and_at_the_hold_limit_back_to_the_payer(world: World) -> None:
    exchange = world.funded(world.sale())
    world.step(exchange, "confirm", PAYEE)
    assert world.pass_time(days=7) == 3  # two reminders before
    assert world.read(exchange).state is State.IN_REVIEW
    assert world.outside() == 6_500
    assert world.pass_time(days=77) == 0
    assert world.pass_time(days=1) == 1
    assert world.read(exchange).state is State.REFUNDED
    assert world.outside() == 0


def test_a_clock_that_was_stopped_for_long_takes_every_step_it_missed_in_order(
    world: World,
) -> None:
    exchange = world.funded(world.sale())
    assert world.sleep(days=400) == 3
    assert world.read(exchange).state is State.REFUNDED
    assert [e for e in world.events(exchange) if e.startswith("exchange.")][-3:] == [
        "exchange.reminder",
        "exchange.in_review",
        "exchange.refunded",
    ]


def test_firing_twice_is_harmless(world: World) -> None:
    exchange = world.funded(world.sale())
    world.pass_time(days=7)
    before = world.read(exchange)
    assert world.pass_time() == 0
    assert world.read(exchange) == before


@pytest.mark.parametrize(("agreed", "days", "reminders"), [(False, 7, 2), (True, 3, 1)])
def test_what_is_not_agreed_or_not_funded_in_time_expires(
    world: World, agreed: bool, days: int, reminders: int
) -> None:
    exchange = world.propose(world.draft("sale", [("price", 100, "EUR")]), agreed=agreed)
    assert world.pass_time(days=days) == reminders + 1
    assert world.read(exchange).state is State.EXPIRED


def test_a_payment_that_comes_after_the_exchange_ended_goes_straight_back(world: World) -> None:
    exchange = world.sale()
    world.step(exchange, "fund", PAYER, payment_method="pm_sandbox_slow")
    world.now += timedelta(seconds=31)  # the provider has it; we have not heard yet
    assert world.step(exchange, "cancel", PAYEE).state is State.CANCELLED
    world.sweep()
    assert "payment.late" in world.events(exchange)
    assert "refund.succeeded" in world.events(exchange)
    assert world.outside() == 0
    assert world.of(world.payer) == 0


def test_a_payment_called_back_in_time_never_comes(world: World) -> None:
    exchange = world.sale()
    world.step(exchange, "fund", PAYER, payment_method="pm_sandbox_slow")
    world.step(exchange, "cancel", PAYER)
    world.sweep()
    world.pass_time(days=1)
    assert "payment.late" not in world.events(exchange)
    assert world.outside() == 0


@pytest.mark.parametrize(
    ("method", "wait", "state"),
    [
        ("pm_sandbox_ok", 0, State.ACTIVE),
        ("pm_sandbox_declined", 0, State.AGREED),
        ("pm_sandbox_slow", 0, State.FUNDING),
        ("pm_sandbox_slow", 31, State.ACTIVE),
        ("pm_sandbox_late_failure", 0, State.FUNDING),
        ("pm_sandbox_late_failure", 31, State.AGREED),
        ("pm_sandbox_duplicate_event", 0, State.ACTIVE),
        ("pm_sandbox_lost_event", 0, State.FUNDING),
        ("pm_sandbox_lost_event", 61, State.ACTIVE),
        ("pm_sandbox_requires_action", 31, State.FUNDING),
    ],
)
def test_the_sandbox_behaves_and_misbehaves_as_its_methods_say(
    world: World, method: str, wait: int, state: State
) -> None:
    exchange = world.sale()
    world.step(exchange, "fund", PAYER, payment_method=method)
    world.sweep()
    world.pass_time(seconds=wait)
    assert world.read(exchange).state is state


def test_a_failed_payout_leaves_the_money_on_the_members_balance(world: World) -> None:
    exchange = world.funded(world.sale(10_404))
    world.both_confirm(exchange)
    world.sweep()
    assert world.events(exchange)[-1] == "payout.failed"
    assert world.of(world.payee) == 10_404
    assert world.outside() == 10_404


def test_a_stale_version_changes_nothing(world: World) -> None:
    exchange = world.funded(world.sale())
    with pytest.raises(StaleVersion) as refused:
        world.step(exchange, "confirm", PAYER, expected_version=exchange.version - 1)
    assert refused.value.facts["version"] == exchange.version
    assert world.read(exchange) == exchange


def test_a_stranger_can_take_no_step(world: World) -> None:
    exchange = world.funded(world.sale())
    stranger = replace(exchange, payer_id=world.member())
    with pytest.raises(NotAParty):
        world.step(stranger, "confirm", PAYER, checkpoint="handover")


def test_every_step_offered_is_accepted_and_every_other_is_refused(world: World) -> None:
    for exchange in _one_in_each_state(world):
        offered = {(step.name, side) for step, side in next_actions(exchange, None, world.now)}
        for step in _members_steps():
            for side in (PAYER, PAYEE):
                if (step, side) not in offered:
                    with pytest.raises(Refusal):
                        world.step(exchange, step, side, code="000000")
        assert world.read(exchange) == exchange


def _members_steps() -> list[str]:
    return [step.name for step in STEPS if step.by not in MACHINES]


def _one_in_each_state(world: World) -> list[Exchange]:
    draft = world.draft("sale", [("price", 700, "EUR")])
    proposed = world.propose(draft, agreed=False)
    agreed = world.propose(draft)
    funding = world.propose(draft)
    world.step(funding, "fund", PAYER, payment_method="pm_sandbox_requires_action")
    active = world.funded(world.propose(draft))
    completed = world.funded(world.propose(draft))
    world.both_confirm(completed)
    world.sweep()
    declined = world.step(world.propose(draft, agreed=False), "decline", PAYER)
    cancelled = world.step(world.propose(draft), "cancel", PAYER)
    return [
        world.read(e) for e in (proposed, agreed, funding, active, completed, declined, cancelled)
    ]
