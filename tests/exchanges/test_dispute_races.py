"""Two or twenty act on a case at the same moment: one of them wins, and value moves once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from disputes import hand_over
from disputes.commands import Command
from disputes.model import Case, Stage
from disputes.outcomes import Outcome
from disputes.refusals import (
    CaseClosed,
    NothingOpen,
    NotNowInCase,
    NotYourCase,
)
from ledger.refusals import Refusal
from service.exchanges import case_clocks, cases
from service.exchanges.commands import ClaimDraft
from service.exchanges.decide import Rules
from service.exchanges.kinds import Role
from service.exchanges.model import State
from service.exchanges.refusals import InDispute
from service.ids import uuid7
from tests.disputes.people import People
from tests.exchanges.court import ANSWERS, Court, at_once
from tests.exchanges.world import World

PAYER, PAYEE = Role.PAYER, Role.PAYEE
TICK = timedelta(microseconds=1)
ATTEMPTS = range(4)


@pytest.fixture
def court(world: World) -> Court:
    """Two who may decide."""
    made = Court(world, People(world.engine, world.platform_id))
    for _ in range(2):
        made.people.join()
    return made


def winner(answers: list[Any]) -> int:
    """Return which one was not refused; fail unless it is exactly one."""
    won = [index for index, one in enumerate(answers) if not isinstance(one, Refusal)]
    assert len(won) == 1, answers
    return won[0]


@pytest.mark.parametrize("many", [2, 20])
def test_who_ask_for_the_next_case_while_the_worker_draws_get_one_each_and_none_twice(
    court: Court, many: int
) -> None:
    made = [court.claimed() for _ in range(many)]
    people, world = court.people, court.world
    with people.everywhere() as connection:  # whoever was there goes away
        connection.execute(
            text("DELETE FROM disputes.pool_member WHERE pool_id = :id"), {"id": people.pool_id}
        )
    court.until(max(case.due_at for _, case in made))
    crowd = [people.join(caseload_cap=1) for _ in range(many)]

    def claim(one: UUID) -> UUID | None:
        with people.everywhere() as connection:
            found = hand_over.claim_next(connection, one, world.now)
        return None if found is None else found.id

    at_once(many, *(partial(claim, one) for one in crowd), court.find_people)
    while court.find_people():  # whoever was passed over while another was looked at
        pass
    has = {court.case(exchange).mediator_id for exchange, _ in made}
    assert has == set(crowd), "each has one, and every case somebody"
    for _, case in made:
        assert [row["ended_at"] for row in people.assignments(case)] == [None]
        assert court.types(case).count("assigned") == 1


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_challenge_and_the_decision_of_who_is_challenged(court: Court, attempt: int) -> None:
    exchange, case = court.mediated()
    decide = partial(court.decide, case)
    challenge = partial(court.take, case, "challenge", member_id=case.payer_id, text="My cousin.")
    answers = at_once(attempt, decide, challenge)
    now = court.case(exchange)
    if winner(answers) == 0:
        assert isinstance(answers[1], NotNowInCase)
        assert (now.stage, now.ruling is None) == (Stage.APPEALABLE, False)
    else:
        assert isinstance(answers[0], NotYourCase)
        assert now.ruling is None
        assert now.mediator_id not in {None, case.mediator_id}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_appeal_in_the_last_moment_and_the_clock_that_makes_the_decision_final(
    court: Court, attempt: int
) -> None:
    exchange, case = court.decided()
    world, due = court.world, case.due_at

    def appeal() -> Case:
        command = Command(
            "appeal", uuid7(), member_id=case.payer_id, text="A letter.", reason_code="new_evidence"
        )
        with court.people.inside() as connection:
            rules = Rules(due - TICK, world.codes)
            (done,) = cases.act(connection, world.platform_id, [(case.id, command)], rules)
        if isinstance(done, Refusal):
            raise done
        return done

    def clock() -> int:
        taken = case_clocks.run(world.engine, world.codes, due, only=world.platform_id)
        if not taken:
            raise NotNowInCase("nothing was due any more")
        return taken

    answers = at_once(attempt, appeal, clock)
    won = winner(answers)
    world.now = due
    while case_clocks.run(world.engine, world.codes, world.now, only=world.platform_id):
        pass
    now = court.case(exchange)
    if won == 0:
        assert now.stage is Stage.APPEAL
        assert court.paid(exchange) == {"refund": [], "payout": []}
        court.until(now.due_at)
    else:
        assert isinstance(answers[0], CaseClosed)
    world.sweep()
    assert court.case(exchange).stage is Stage.CLOSED
    assert court.paid(exchange) == {"refund": [], "payout": [6_500]}


def test_an_appeal_at_the_moment_it_is_over_comes_too_late_although_the_clock_is_behind(
    court: Court,
) -> None:
    exchange, case = court.decided()
    court.world.now = case.due_at
    appeal = partial(
        court.take,
        case,
        "appeal",
        member_id=case.payer_id,
        text="A letter.",
        reason_code="new_evidence",
    )
    with pytest.raises(NotNowInCase, match="over"):
        appeal()
    assert court.case(exchange) == case
    court.world.now = case.due_at - TICK
    assert appeal().stage is Stage.APPEAL


def test_a_decision_after_the_limit_comes_too_late_although_the_clock_is_behind(
    court: Court,
) -> None:
    exchange, case = court.mediated()
    court.world.now = case.decide_by
    with pytest.raises(NotNowInCase, match="over"):
        court.decide(case)
    assert court.case(exchange) == case
    court.world.fire()
    court.fire()
    assert court.case(exchange).outcome is Outcome.CANNOT_DECIDE


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_offer_that_is_accepted_rejected_taken_back_and_accepted_again(
    court: Court, attempt: int
) -> None:
    exchange, case = court.claimed()
    leg = case.lines[0].id
    payee, payer = case.payee_id, case.payer_id
    case = court.take(
        case, "make_offer", member_id=payee, outcome=Outcome.SPLIT, split={leg: 3_001}
    )
    assert case.offer is not None
    accept = partial(court.take, case, "accept_offer", member_id=payer, about=case.offer.id)
    reject = partial(court.take, case, "reject_offer", member_id=payer, about=case.offer.id)
    back = partial(court.take, case, "withdraw_offer", member_id=payee, about=case.offer.id)
    answers = at_once(attempt, accept, reject, back, accept)
    won = winner(answers)
    assert all(
        isinstance(one, NothingOpen | CaseClosed) for one in answers if isinstance(one, Refusal)
    )
    court.world.sweep()
    if won in {0, 3}:
        assert court.paid(exchange) == {"refund": [3_499], "payout": [3_001]}
    else:
        assert court.case(exchange).stage is Stage.TALK
        assert court.world.outside() == 6_500


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_both_accept_a_proposal_while_one_rejects_it(court: Court, attempt: int) -> None:
    exchange, case = court.mediated()
    case = court.take(case, "propose", mediator_id=case.mediator_id, outcome=Outcome.TO_PAYEE)
    assert case.proposal is not None
    about = case.proposal.id

    def say(step: str, member_id: UUID) -> Callable[[], Case]:
        return partial(court.take, case, step, member_id=member_id, about=about)

    payer, payee = case.payer_id, case.payee_id
    at_once(
        attempt,
        say("accept_proposal", payer),
        say("accept_proposal", payee),
        say("accept_proposal", payee),
        say("reject_proposal", payer),
    )
    court.world.sweep()
    said = Counter(court.types(court.case(exchange)))
    if court.case(exchange).stage is Stage.CLOSED:
        assert (said["proposal_accepted"], said["proposal_rejected"]) == (2, 0)
        assert court.paid(exchange) == {"refund": [], "payout": [6_500]}
    else:
        assert court.case(exchange).stage is Stage.DECISION
        assert said["proposal_accepted"] <= 2
        assert said["proposal_rejected"] == 1
        assert court.world.outside() == 6_500


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_three_who_hear_an_appeal_give_their_word_at_once(court: Court, attempt: int) -> None:
    for _ in range(4):
        court.people.join()
    exchange, case = court.claimed(60_000)
    court.until(case.due_at)
    case = court.decide(court.case(exchange), Outcome.TO_PAYEE)
    case = court.take(case, "agree_with", mediator_id=case.second_id)
    case = court.take(
        case, "appeal", member_id=case.payer_id, text="A letter.", reason_code="procedure"
    )
    assert case.appeal is not None
    words = (Outcome.TO_PAYER, Outcome.TO_PAYEE, Outcome.TO_PAYER)
    votes = zip(case.appeal.panel, words, strict=True)
    at_once(attempt, *(partial(court.vote, case, one, word) for one, word in votes))
    assert court.case(exchange).outcome is Outcome.TO_PAYER
    assert court.types(case).count("appeal_decided") == 1
    court.world.sweep()
    assert court.paid(exchange) == {"refund": [60_000], "payout": []}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_claim_taken_back_while_it_is_decided(court: Court, attempt: int) -> None:
    exchange, case = court.mediated()
    withdraw = partial(court.take, case, "withdraw_claim", member_id=case.payer_id)
    answers = at_once(attempt, partial(court.decide, case), withdraw)
    now = court.case(exchange)
    after = court.world.read(exchange)
    if winner(answers) == 0:
        assert now.stage is Stage.APPEALABLE
        assert after.case_id == case.id
    else:
        assert (now.outcome, now.ruling) == (Outcome.WITHDRAWN, None)
        assert (after.case_id, after.state) == (None, State.ACTIVE)
    assert court.world.outside() == 6_500


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_case_given_back_while_it_is_decided_and_claimed(court: Court, attempt: int) -> None:
    exchange, case = court.mediated()
    world, people = court.world, court.people
    assert case.mediator_id is not None
    mediator_id, other = case.mediator_id, people.join()

    def decline() -> Case:
        with people.inside() as connection:
            return hand_over.decline(
                connection, world.platform_id, case.id, mediator_id, "Ill.", bytes(32), world.now
            )

    def claim() -> Case | None:
        with people.everywhere() as connection:
            return hand_over.claim_next(connection, other, world.now)

    answers = at_once(attempt, partial(court.decide, case), decline, claim)
    assert winner(answers[:2]) in {0, 1}
    now = court.case(exchange)
    if now.ruling is not None:
        assert now.ruling.by == (mediator_id,)
    else:
        assert now.mediator_id not in {None, mediator_id}
    court.find_people()


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_both_sides_claim_and_both_confirm_in_the_same_moment(court: Court, attempt: int) -> None:
    world = court.world
    exchange = world.funded(world.sale())
    worked = {"what_was_done": "All of it.", "when_handed_over": "Today."}
    by_payer = ClaimDraft("not_received", (), {}, ANSWERS)
    by_payee = ClaimDraft("not_confirmed", (), {}, worked)
    confirm = partial(world.step, exchange, "confirm", checkpoint="handover")
    answers = at_once(
        attempt,
        partial(world.step, exchange, "claim", PAYER, claim=by_payer),
        partial(world.step, exchange, "claim", PAYEE, claim=by_payee),
        partial(confirm, PAYER),
        partial(confirm, PAYEE),
    )
    claimed = [one for one in answers[:2] if not isinstance(one, Refusal)]
    assert len(claimed) <= 1
    world.sweep()
    after = world.read(exchange)
    if claimed:
        assert after.case_id is not None
        assert after.closed_at is None
        assert world.outside() == 6_500
        refused = [one for one in answers[:2] if isinstance(one, Refusal)]
        assert any(isinstance(one, InDispute) for one in refused)
    else:
        assert (after.state, after.case_id) == (State.COMPLETED, None)
        assert court.paid(exchange) == {"refund": [], "payout": [6_500]}
