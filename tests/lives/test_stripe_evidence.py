"""What Stripe is told about a contested payment, over real HTTP, once and in time."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import RowMapping

from service import db
from service.exchanges import evidence
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from service.payments import contests
from service.payments.port import ProviderUnavailable
from tests.lives.stripe_lives import StripeLives

OWN = 20_000


@pytest.fixture
def rich(world: StripeLives) -> StripeLives:
    world.server.top_up(world.account, OWN)
    return world


def sold(world: StripeLives, kind: str = "sale", title: str = "price") -> Exchange:
    return world.funded(world.propose(world.draft(kind, [(title, 6_500, "EUR")])))


def released(world: StripeLives) -> Exchange:
    exchange = sold(world)
    world.both_confirm(exchange)
    world.settle()
    return world.read(exchange)


def contest(world: StripeLives, exchange: Exchange, **more: Any) -> str:
    (intent,) = world.refs(exchange, "collect")
    ref: str = world.server.dispute(intent, **more)
    world.settle()
    return ref


def known(world: StripeLives, exchange: Exchange) -> RowMapping:
    with db.transaction(world.engine, world.platform_id) as connection:
        (row,) = contests.page(connection, world.platform_id, limit=9, exchange_id=exchange.id)
    return row


def say(world: StripeLives, chargeback_id: UUID, words: str) -> None:
    with db.transaction(world.engine, world.platform_id) as connection:
        evidence.say(connection, world.platform_id, chargeback_id, words)


def decide(world: StripeLives, chargeback_id: UUID) -> None:
    with db.transaction(world.engine, world.platform_id) as connection:
        evidence.decide(connection, world.platform_id, chargeback_id, world.now)


def answer(world: StripeLives, chargeback_id: UUID) -> None:
    decide(world, chargeback_id)
    evidence.send(world.desk, world.platform_id, chargeback_id, world.now)
    world.settle()


def submissions(world: StripeLives, ref: str) -> int:
    count: int = world.server.object(ref)["evidence_details"]["submission_count"]
    return count


def test_what_the_payer_confirmed_is_shown_to_stripe_a_day_before_it_is_due_and_once(
    rich: StripeLives,
) -> None:
    exchange = released(rich)
    ref = contest(rich, exchange)
    rich.pass_time(days=5, hours=23)
    assert submissions(rich, ref) == 0
    rich.pass_time(hours=1)
    assert submissions(rich, ref) == 1
    row = known(rich, exchange)
    assert (row["status"], row["answered_as"]) == ("under_review", "needs_response")
    shown = rich.server.object(ref)["evidence"]
    assert {name: value for name, value in shown.items() if value and name in row["evidence"]} == (
        row["evidence"]
    )
    assert exchange.terms_hash in shown["uncategorized_text"]
    (intent,) = rich.refs(exchange, "collect")
    assert intent in shown["uncategorized_text"]
    rich.pass_time(days=2)
    assert submissions(rich, ref) == 1
    rich.server.close_dispute(ref, won=True)
    rich.settle()
    assert known(rich, exchange)["status"] == "won"
    rich.agree(own=OWN)


def test_what_the_payer_did_not_confirm_is_left_to_the_bank_and_goes_back(
    rich: StripeLives,
) -> None:
    exchange = sold(rich)
    ref = contest(rich, exchange)
    rich.pass_time(days=6)
    assert known(rich, exchange)["left_reason"] == "the payer has confirmed nothing"
    rich.pass_time(days=1)
    assert submissions(rich, ref) == 0
    assert known(rich, exchange)["status"] == "lost"
    assert rich.read(exchange).state is State.REFUNDED
    rich.agree(own=OWN)


@pytest.mark.parametrize("word", ["winning_evidence", "losing_evidence"])
def test_the_platforms_own_words_reach_the_bank_and_it_decides(
    rich: StripeLives, word: str
) -> None:
    exchange = sold(rich)
    ref = contest(rich, exchange)
    row = known(rich, exchange)
    say(rich, row["id"], f"This is {word}.")
    answer(rich, row["id"])
    won = word == "winning_evidence"
    assert submissions(rich, ref) == 1
    assert known(rich, exchange)["status"] == ("won" if won else "lost")
    assert known(rich, exchange)["evidence_sent_at"] == rich.now
    assert rich.read(exchange).state is (State.ACTIVE if won else State.REFUNDED)
    rich.agree(own=OWN)


def test_an_inquiry_and_the_dispute_it_becomes_are_each_answered(rich: StripeLives) -> None:
    exchange = released(rich)
    ref = contest(rich, exchange, inquiry=True)
    answer(rich, known(rich, exchange)["id"])
    assert known(rich, exchange)["answered_as"] == "warning"
    rich.server.escalate(ref)
    rich.settle()
    assert known(rich, exchange)["status"] == "needs_response"
    answer(rich, known(rich, exchange)["id"])
    row = known(rich, exchange)
    assert (row["status"], row["answered_as"]) == ("under_review", "needs_response")
    rich.server.close_dispute(ref, won=True)
    rich.settle()
    rich.agree(own=OWN)


@pytest.mark.parametrize("fault", ["before", "after"])
def test_an_answer_lost_on_the_way_there_or_back_is_given_once(
    rich: StripeLives, fault: str
) -> None:
    exchange = released(rich)
    ref = contest(rich, exchange)
    row = known(rich, exchange)
    decide(rich, row["id"])
    rich.server.fault(f"/v1/disputes/{ref}", fault, times=4, method="POST")
    with pytest.raises(ProviderUnavailable):
        evidence.send(rich.desk, rich.platform_id, row["id"], rich.now)
    rich.server.clear_faults()
    assert submissions(rich, ref) == (1 if fault == "after" else 0)
    rich.settle()  # the event may tell that it is under review before we know why
    rich.pass_time(minutes=10)
    assert submissions(rich, ref) == 1
    row = known(rich, exchange)
    assert (row["status"], row["evidence_refused"]) == ("under_review", None)
    assert row["evidence_sent_at"] == rich.now
    assert rich.events(exchange).count("chargeback.opened") == 1
    rich.agree(own=OWN)


def test_a_hand_over_by_code_is_told_as_what_it_is(rich: StripeLives) -> None:
    exchange = sold(rich)
    rich.step(exchange, "enter_code", Role.PAYEE, code=rich.code(exchange))
    rich.settle()
    contest(rich, exchange)
    rich.pass_time(days=6)
    row = known(rich, exchange)
    assert row["evidence_sent_at"] is not None
    told = row["evidence"]["uncategorized_text"]
    assert "the payer confirmed 'handover' by the hand-over code" in told
