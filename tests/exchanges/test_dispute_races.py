"""Two or twenty act on a case at the same moment: one of them wins, and value moves once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from random import Random
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

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
from service.exchanges.model import Exchange, State
from service.exchanges.refusals import InDispute
from service.ids import uuid7
from tests.disputes.people import People
from tests.exchanges.contested_world import ContestedWorld
from tests.exchanges.court import ANSWERS, Court

PAYER, PAYEE = Role.PAYER, Role.PAYEE
TICK = timedelta(microseconds=1)
ATTEMPTS = range(4)


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> Iterator[ContestedWorld]:
    """A platform whose payers' banks may contest; its books must be clean at the end."""
    made = ContestedWorld(engine, platform_id)
    yield made
    made.check()


@pytest.fixture
def court(world: ContestedWorld) -> Court:
    """Two who may decide."""
    made = Court(world, People(world.engine, world.platform_id))
    for _ in range(2):
        made.people.join()
    return made


def at_once(attempt: int, *acts: Callable[[], Any]) -> list[Any]:
    """Start every act at the same instant; return what each answered or was refused.

    ``attempt`` shuffles which thread gets which, so that none is always the first to start.
    """
    order = list(range(len(acts)))
    Random(attempt).shuffle(order)
    start, answers = Barrier(len(acts)), dict[int, Any]()

    def run(index: int) -> None:
        start.wait()
        try:
            answers[index] = acts[index]()
        except Refusal as refusal:
            answers[index] = refusal

    with ThreadPoolExecutor(len(acts)) as pool:
        list(pool.map(run, order))
    return [answers[index] for index in range(len(acts))]


def mediated(court: Court) -> tuple[Exchange, Case]:
    """A case that somebody mediates."""
    exchange, case = court.claimed()
    court.until(case.due_at)
    case = court.case(exchange)
    assert (case.stage, case.mediator_id is None) == (Stage.MEDIATION, False)
    return exchange, case


def decided(court: Court, outcome: Outcome = Outcome.TO_PAYEE) -> tuple[Exchange, Case]:
    """A case whose decision can still be appealed."""
    exchange, case = mediated(court)
    return exchange, court.decide(case, outcome)


def paid(court: Court, exchange: Exchange) -> dict[str, list[int]]:
    """What went out for an exchange by the provider, by kind of payment."""
    found: dict[str, list[int]] = {"refund": [], "payout": []}
    with court.people.inside() as connection:
        query = text(
            "SELECT kind, amount FROM service.payment WHERE exchange_id = :id "
            "AND kind <> 'collect' AND state = 'succeeded'"
        )
        for row in connection.execute(query, {"id": exchange.id}):
            found[row.kind].append(row.amount)
    return found


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
    exchange, case = mediated(court)
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
    exchange, case = decided(court)
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
        assert paid(court, exchange) == {"refund": [], "payout": []}
        court.until(now.due_at)
    else:
        assert isinstance(answers[0], CaseClosed)
    world.sweep()
    assert court.case(exchange).stage is Stage.CLOSED
    assert paid(court, exchange) == {"refund": [], "payout": [6_500]}


def test_an_appeal_at_the_moment_it_is_over_comes_too_late_although_the_clock_is_behind(
    court: Court,
) -> None:
    exchange, case = decided(court)
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
    exchange, case = mediated(court)
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
        assert paid(court, exchange) == {"refund": [3_499], "payout": [3_001]}
    else:
        assert court.case(exchange).stage is Stage.TALK
        assert court.world.outside() == 6_500


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_both_accept_a_proposal_while_one_rejects_it(court: Court, attempt: int) -> None:
    exchange, case = mediated(court)
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
        assert paid(court, exchange) == {"refund": [], "payout": [6_500]}
    else:
        assert court.case(exchange).stage is Stage.DECISION
        assert said["proposal_accepted"] <= 2
        assert said["proposal_rejected"] == 1
        assert court.world.outside() == 6_500


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_claim_taken_back_while_it_is_decided(court: Court, attempt: int) -> None:
    exchange, case = mediated(court)
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
    exchange, case = mediated(court)
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
        assert paid(court, exchange) == {"refund": [], "payout": [6_500]}


def heard(world: ContestedWorld, exchange: Exchange) -> Callable[[], None]:
    """The bank contests the payment; what is returned hears of it."""
    ref = world.bank.contest(world.platform_id, world.collect_ref(exchange), "dispute")
    return partial(world.follow, ref)


@pytest.mark.parametrize("attempt", ATTEMPTS)
@pytest.mark.parametrize("bank", ["won", "lost"])
def test_a_chargeback_that_is_heard_of_while_the_two_agree(
    court: Court, world: ContestedWorld, bank: Any, attempt: int
) -> None:
    exchange, case = court.claimed()
    leg = case.lines[0].id
    case = court.take(
        case, "make_offer", member_id=case.payee_id, outcome=Outcome.SPLIT, split={leg: 3_000}
    )
    assert case.offer is not None
    accept = partial(court.take, case, "accept_offer", member_id=case.payer_id, about=case.offer.id)
    answers = at_once(attempt, accept, heard(world, exchange))
    assert not any(isinstance(one, Refusal) for one in answers)
    assert court.case(exchange).settlement == {leg: 3_000}
    row = world.chargebacks(exchange)[-1]
    asked = court.world.read(exchange)
    if asked.award is not None:  # the bank was first: nothing moves before it has decided
        assert paid(court, exchange) == {"refund": [], "payout": []}
    world.decide(row, bank)
    world.sweep()
    sent = paid(court, exchange)
    assert len(sent["refund"]) <= 1
    assert len(sent["payout"]) <= 1
    if asked.award is not None and bank == "won":
        assert sent == {"refund": [3_500], "payout": [3_000]}
    if asked.award is not None and bank == "lost":
        assert sent == {"refund": [], "payout": []}
    taken = sum(row["withdrawn"] for row in world.chargebacks(exchange))
    assert sum(sent["refund"]) + taken <= 6_500, "the payer never gets more than was paid"


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_chargeback_that_is_heard_of_while_the_decision_becomes_final(
    court: Court, world: ContestedWorld, attempt: int
) -> None:
    exchange, case = decided(court, Outcome.TO_PAYEE)
    clock = partial(case_clocks.run, world.engine, world.codes, case.due_at, only=world.platform_id)
    hear = heard(world, exchange)
    at_once(attempt, clock, hear)
    assert court.case(exchange).stage is Stage.CLOSED
    world.now = case.due_at
    world.check()
    world.decide(world.chargebacks(exchange)[-1], "lost")
    taken = sum(row["withdrawn"] for row in world.chargebacks(exchange))
    assert taken == 6_500
    assert paid(court, exchange)["refund"] == [], "the payer has it from the bank already"


def test_a_bank_that_contests_a_decision_and_takes_all_is_no_mistake_of_the_books(
    court: Court, world: ContestedWorld
) -> None:
    exchange, case = decided(court, Outcome.TO_PAYEE)
    row = world.contest(exchange)
    court.until(case.due_at)
    assert world.read(exchange).award == {case.lines[0].id: 6_500}
    world.decide(row, "lost")
    after = world.read(exchange)
    assert (after.state, after.award) == (State.REFUNDED, None)
    assert paid(court, exchange) == {"refund": [], "payout": []}
    world.check()
