"""The sandbox's banks: what they take, decide, refuse and tell, and that our books follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import Engine, RowMapping

from service import db
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from service.exchanges.refusals import ExchangeFrozen
from service.ids import uuid7
from service.payments import contests
from service.payments.port import (
    DisputeStatus,
    Evidence,
    ProviderRefused,
    Request,
    Status,
    Topic,
)
from service.payments.sandbox_disputes import ANSWER_WITHIN, DISPUTE_FEE, LOSING, WINNING, Kind
from tests.exchanges.world import World

PAYER, PAYEE = Role.PAYER, Role.PAYEE


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> Iterator[World]:
    made = World(engine, platform_id)
    yield made
    made.check()


def paid(world: World) -> tuple[Exchange, str]:
    """A sale that is paid and held, and the provider's name of what was paid."""
    exchange = world.funded(world.sale())
    (ref,) = world._at_provider(exchange, "succeeded")
    return exchange, ref


def contest(world: World, ref: str, kind: Kind = "dispute", amount: int | None = None) -> str:
    made = world.sandbox.contest(world.platform_id, ref, kind, amount)
    world.sweep()
    return made


def known(world: World, exchange: Exchange) -> RowMapping:
    with db.transaction(world.engine, world.platform_id) as connection:
        (row,) = contests.page(connection, world.platform_id, limit=9, exchange_id=exchange.id)
    return row


def close(world: World, ref: str, outcome: str) -> None:
    world.sandbox.close_dispute(world.platform_id, ref, outcome)  # type: ignore[arg-type]
    world.sweep()


def test_a_key_that_comes_with_something_else_is_refused(world: World) -> None:
    _, collected = paid(world)
    world.sandbox.contest(world.platform_id, collected, "dispute", 100, key="k")
    with pytest.raises(ProviderRefused) as refusal:
        world.sandbox.contest(world.platform_id, collected, "dispute", 200, key="k")
    assert refusal.value.failure == "key_reused"
    world.sweep()


@pytest.mark.parametrize("amount", [None, 2_500])
def test_a_dispute_takes_the_amount_and_a_fee_and_a_win_gives_the_amount_back(
    world: World, amount: int | None
) -> None:
    exchange, collected = paid(world)
    ref = contest(world, collected, amount=amount)
    taken = 6_500 if amount is None else amount
    assert world.outside() == 6_500 - taken - DISPUTE_FEE
    with pytest.raises(ExchangeFrozen):
        world.step(exchange, "confirm", PAYER)
    close(world, ref, "won")
    assert world.outside() == 6_500 - DISPUTE_FEE
    assert known(world, exchange)["status"] == "won"
    lines = world.sandbox.retrieve_dispute(world.platform_id, ref).movements
    assert [(line.amount, line.fee) for line in lines] == [(-taken, DISPUTE_FEE), (taken, 0)]
    assert len({line.ref for line in lines}) == 2
    world.both_confirm(exchange)
    world.sweep()
    assert world.read(exchange).state is State.COMPLETED


def test_an_inquiry_takes_nothing_until_it_is_escalated(world: World) -> None:
    exchange, collected = paid(world)
    ref = contest(world, collected, "inquiry")
    assert world.outside() == 6_500
    assert world.read(exchange).frozen_at is not None
    close(world, ref, "escalated")
    assert world.outside() == -DISPUTE_FEE
    close(world, ref, "lost")
    assert world.read(exchange).state is State.REFUNDED


def test_an_inquiry_that_is_won_is_closed_and_moved_nothing(world: World) -> None:
    exchange, collected = paid(world)
    close(world, contest(world, collected, "inquiry"), "won")
    assert known(world, exchange)["status"] == "closed"
    assert world.outside() == 6_500
    assert world.read(exchange).frozen_at is None


def test_a_warning_is_read_as_one_and_can_be_answered_by_nobody(world: World) -> None:
    exchange, collected = paid(world)
    ref = contest(world, collected, "warning")
    seen = world.sandbox.retrieve_warning(world.platform_id, ref)
    assert (seen.collect_ref, seen.actionable) == (collected, True)
    assert known(world, exchange)["kind"] == "warning"
    calls: list[Callable[[], object]] = [
        lambda: world.sandbox.retrieve_dispute(world.platform_id, ref),
        lambda: world.sandbox.close_dispute(world.platform_id, ref, "won"),
        lambda: world.sandbox.submit_evidence(world.platform_id, ref, Evidence({})),
    ]
    for call in calls:
        with pytest.raises(ProviderRefused, match="no such dispute"):
            call()


def test_what_nobody_answers_in_time_is_lost(world: World) -> None:
    exchange, collected = paid(world)
    contest(world, collected)
    world.pass_time(days=ANSWER_WITHIN.days, seconds=-1)
    assert known(world, exchange)["status"] == "needs_response"
    world.pass_time(seconds=1)
    assert known(world, exchange)["status"] == "lost"
    assert world.read(exchange).state is State.REFUNDED


def test_an_inquiry_that_nobody_answers_in_time_is_a_dispute_lost(world: World) -> None:
    exchange, collected = paid(world)
    contest(world, collected, "inquiry")
    world.pass_time(days=ANSWER_WITHIN.days)
    row = known(world, exchange)
    assert (row["status"], row["withdrawn"]) == ("lost", 6_500)
    assert world.read(exchange).state is State.REFUNDED


def test_what_the_payer_confirmed_is_answered_by_the_sweep_and_waits_for_the_bank(
    world: World,
) -> None:
    exchange, collected = paid(world)
    world.both_confirm(exchange)
    world.sweep()
    contest(world, collected)
    world.pass_time(days=6)
    assert known(world, exchange)["status"] == "under_review"
    world.pass_time(days=30)
    assert known(world, exchange)["status"] == "under_review"


@pytest.mark.parametrize(
    ("word", "status"),
    [
        (WINNING, DisputeStatus.WON),
        (LOSING, DisputeStatus.LOST),
        ("something else", DisputeStatus.UNDER_REVIEW),
    ],
)
def test_the_words_of_an_answer_decide_the_rehearsal(
    world: World, word: str, status: DisputeStatus
) -> None:
    exchange, collected = paid(world)
    ref = contest(world, collected)
    said = Evidence({"uncategorized_text": f"Here is {word}."})
    seen = world.sandbox.submit_evidence(world.platform_id, ref, said)
    assert seen.status is status
    assert seen.evidence_submitted
    assert world.sandbox.submit_evidence(world.platform_id, ref, said) == seen
    with pytest.raises(ProviderRefused, match="answered before"):
        world.sandbox.submit_evidence(world.platform_id, ref, Evidence({"customer_name": "Anne"}))
    world.sweep()
    assert known(world, exchange)["status"] == status


def test_an_answer_after_the_day_is_refused(world: World) -> None:
    _, collected = paid(world)
    ref = contest(world, collected)
    world.now += ANSWER_WITHIN
    with pytest.raises(ProviderRefused, match="too late"):
        world.sandbox.submit_evidence(world.platform_id, ref, Evidence({"customer_name": "Anne"}))


def refund(world: World, exchange: Exchange, collected: str, amount: int) -> Status:
    """Ask the sandbox itself, past every guard of ours."""
    asked = Request(
        platform_id=world.platform_id,
        payment_id=uuid7(),
        kind="refund",
        amount=amount,
        unit="EUR",
        member_id=exchange.payer_id,
        exchange_id=exchange.id,
        collect_ref=collected,
    )
    return world.sandbox.submit(asked).status


def test_a_contested_payment_cannot_be_refunded_and_a_lost_part_never_again(world: World) -> None:
    exchange, collected = paid(world)
    ref = contest(world, collected, amount=2_500)
    with pytest.raises(ProviderRefused) as refusal:
        refund(world, exchange, collected, 1)
    assert refusal.value.failure == "charged_back"
    close(world, ref, "lost")
    with pytest.raises(ProviderRefused) as refusal:
        refund(world, exchange, collected, 4_001)
    assert refusal.value.failure == "over_refund"
    assert refund(world, exchange, collected, 4_000) is Status.PENDING


def test_a_key_that_comes_again_contests_once(world: World) -> None:
    exchange, collected = paid(world)
    refs = {
        world.sandbox.contest(world.platform_id, collected, "dispute", 100, key="k")
        for _ in range(2)
    }
    assert len(refs) == 1
    world.sweep()
    assert known(world, exchange)["withdrawn"] == 100


def test_what_is_no_payment_cannot_be_contested(world: World) -> None:
    exchange = world.sale()
    world.step(exchange, "fund", PAYER, payment_method="pm_sandbox_requires_action")
    (waiting,) = world._at_provider(exchange, "requires_action")
    for ref in ("sb_collect_none", waiting):
        with pytest.raises(ProviderRefused) as refusal:
            world.sandbox.contest(world.platform_id, ref, "dispute")
        assert refusal.value.failure == "not_disputable"


def test_what_happened_is_listed_from_an_instant_on_delivered_or_not(world: World) -> None:
    _, collected = paid(world)
    world.now += timedelta(minutes=1)
    began = world.now
    ref = world.sandbox.contest(world.platform_id, collected, "dispute")
    undelivered = list(world.sandbox.events_since(world.platform_id, began))
    assert [(one.topic, one.object_ref, one.at) for one in undelivered] == [
        (Topic.DISPUTE, ref, began)
    ]
    world.sweep()
    assert list(world.sandbox.events_since(world.platform_id, began)) == undelivered
    earlier = began - timedelta(days=1)
    told = [one.topic for one in world.sandbox.events_since(world.platform_id, earlier)]
    assert told == [*[Topic.PAYMENT] * (len(told) - 1), Topic.DISPUTE]
    assert len(told) > 1
    after = world.now + timedelta(seconds=1)
    assert list(world.sandbox.events_since(world.platform_id, after)) == []
