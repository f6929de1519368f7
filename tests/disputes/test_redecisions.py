"""Decisions made again without knowing the first, and what is counted of those who decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from disputes import assignments, draw, hand_over, redecisions, statistics
from disputes.model import Appeal, Case, Stage
from disputes.outcomes import Line, Outcome, Side, SplitInvalid
from disputes.redecisions import AlreadyRedecided, Open
from disputes.refusals import (
    CaseNotFound,
    NobodyEligible,
    NotNowInCase,
    OutcomeNotOpen,
    ReasonsMissing,
)
from tests.disputes.people import DAY, HOUR, NOW, SEED, People, a_case, a_ruling

ALL = 1000
REASONS = "What was shown leaves no doubt that the parcel came empty to the door. " * 3


@pytest.fixture
def people(engine: Engine, platform_id: UUID) -> People:
    return People(engine, platform_id)


def decided(people: People, outcome: Outcome = Outcome.TO_PAYER) -> Case:
    """A case that the only mediator there is has decided."""
    case = people.opened()
    with people.inside() as connection:
        (by,) = draw.draw(connection, case, "mediator", SEED, NOW)
        ruling = a_ruling(case, by, outcome)
        done = replace(case, mediator_id=by, ruling=ruling, stage=Stage.APPEALABLE)
        assignments.end_left(connection, case.platform_id, [done], NOW + 2 * HOUR)
    return people.changed(case, mediator_id=by, ruling=ruling, stage=Stage.APPEALABLE)


def begun(people: People, case: Case) -> UUID:
    with people.inside() as connection:
        found = redecisions.begin(connection, case, SEED, NOW, ALL)
    assert found is not None
    return found


def answered(people: People, case: Case, id_: UUID, by: UUID, outcome: Outcome) -> bool:
    with people.everywhere() as connection:
        return redecisions.answer(connection, case, id_, by, outcome, None, REASONS, NOW)


@given(st.binary(min_size=16, max_size=32))
def test_the_sample_is_as_big_as_asked_whatever_the_seed(seed: bytes) -> None:
    ids = [UUID(int=n) for n in range(2_000)]
    found = sum(redecisions.picked(seed, one, 100) for one in ids)
    assert 100 < found < 310  # 200 expected; seven standard deviations and more
    assert not any(redecisions.picked(seed, one, 0) for one in ids)
    assert all(redecisions.picked(seed, one, ALL) for one in ids)


def test_somebody_else_decides_again_and_is_not_told_what_was_decided(people: People) -> None:
    first = people.join()
    case = decided(people)
    second = people.join()
    id_ = begun(people, case)
    with people.everywhere() as connection:
        assert redecisions.open_for(connection, first, 10) == []
        assert redecisions.open_for(connection, second, 10) == [
            Open(people.platform_id, id_, case.id, NOW)
        ]
    assert {one.name for one in fields(Open)} == {"platform_id", "id", "case_id", "at"}
    with people.inside() as connection:
        assert redecisions.begin(connection, case, SEED, NOW, ALL) is None  # once a decision


def test_who_decides_again_hears_no_appeal_of_it(people: People) -> None:
    people.join()
    case = decided(people)
    people.join()
    begun(people, case)
    appeal = Appeal(Side.PAYEE, "procedure", "", NOW)
    heard = replace(case, stage=Stage.APPEAL, appeal=appeal)
    with pytest.raises(NobodyEligible), people.inside() as connection:
        draw.draw(connection, heard, "panel", SEED, NOW)


def test_without_anybody_else_nothing_is_decided_again(people: People) -> None:
    people.join()
    case = decided(people)
    with people.inside() as connection:
        assert redecisions.begin(connection, case, SEED, NOW, ALL) is None
        assert redecisions.begin(connection, case, SEED, NOW, 0) is None
        for unknown in (replace(case, ruling=None), replace(case, stage=Stage.SECOND_LOOK)):
            with pytest.raises(NotNowInCase):
                redecisions.begin(connection, unknown, SEED, NOW, ALL)


def test_bad_answers_are_refused_and_a_good_one_is_given_once(people: People) -> None:
    first = people.join()
    case = decided(people)
    second = people.join()
    id_ = begun(people, case)
    other = people.opened()
    wrong = (
        (case, first, Outcome.TO_PAYER, REASONS, CaseNotFound),
        (other, second, Outcome.TO_PAYER, REASONS, CaseNotFound),
        (case, second, Outcome.TO_PAYER, "so it is", ReasonsMissing),
        (case, second, Outcome.RETURN_THEN_REFUND, REASONS, OutcomeNotOpen),
        (case, second, Outcome.SPLIT, REASONS, SplitInvalid),
    )
    with people.everywhere() as connection:
        for about, who, outcome, reasons, error in wrong:
            with pytest.raises(error):
                redecisions.answer(connection, about, id_, who, outcome, None, reasons, NOW)
    assert answered(people, case, id_, second, Outcome.TO_PAYER)
    with pytest.raises(AlreadyRedecided):
        answered(people, case, id_, second, Outcome.TO_PAYEE)


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [(0, 100, True), (0, 101, False), (1_000, 900, True), (1_000, 899, False), (5, 5, True)],
)
def test_decisions_agree_to_a_tenth_of_each_line(one: int, other: int, agree: bool) -> None:
    line, same = Line(uuid4(), "EUR", 1_000), Line(uuid4(), "hour", 3)
    first = {line.id: one, same.id: 3}
    assert redecisions.agree((line, same), first, {line.id: other, same.id: 3}) is agree
    assert not redecisions.agree((line, same), first, {line.id: one, same.id: 2})


def of(people: People, one: UUID, since: datetime, until: datetime) -> statistics.OfMediator:
    with people.everywhere() as connection:
        [found] = statistics.of_mediators(connection, since, until, one)
    return found


def test_what_a_mediator_did_is_counted_from_the_records(people: People) -> None:
    first = people.join(name="Ada", caseload_cap=7)
    agreed, differed = decided(people), decided(people, Outcome.TO_PAYEE)
    people.opened()
    declined = people.opened()
    with people.inside() as connection:
        draw.draw(connection, declined, "mediator", SEED, NOW)
    people.changed(declined, mediator_id=first)
    with people.inside() as connection:
        hand_over.decline(connection, declined.platform_id, declined.id, first, "x", SEED, NOW)
    with people.everywhere() as connection:
        assert hand_over.claim_next(connection, first, NOW) is not None
    second = people.join(caseload_cap=9)
    for case, outcome in ((agreed, Outcome.TO_PAYER), (differed, Outcome.TO_PAYER)):
        answered(people, case, begun(people, case), second, outcome)
    assert of(people, first, NOW - DAY, NOW + DAY) == statistics.OfMediator(
        mediator_id=first,
        name="Ada",
        caseload=1,
        caseload_cap=7,
        given=4,
        done=2,
        declined=1,
        left=0,
        median_time=2 * HOUR,
        redecided=2,
        agreed=1,
    )
    later = of(people, first, NOW + DAY, NOW + 2 * DAY)
    assert (later.caseload, later.given, later.redecided, later.median_time) == (1, 0, 0, None)


def test_how_cases_of_a_platform_went_is_counted_and_those_of_another_are_not(
    people: People, engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    def found(of_: People) -> statistics.OfPlatform:
        with of_.inside() as connection:
            return statistics.of_platform(
                connection, of_.platform_id, NOW - DAY, NOW + DAY, NOW + 5 * DAY
            )

    by = people.join()
    empty = People(engine, new_platform())
    people.opened(opened_at=NOW - 2 * DAY)
    people.opened(due_at=NOW + 2 * DAY)
    people.opened(due_at=NOW + 9 * DAY, reason="damaged")
    for outcome, days, ruled in (
        (Outcome.TO_PAYER, 2, True),
        (Outcome.TO_PAYER, 4, False),
        (Outcome.WITHDRAWN, 8, False),
    ):
        case = people.opened(a_case(people.platform_id))
        people.changed(
            case,
            stage=Stage.CLOSED,
            outcome=outcome,
            closed_at=NOW + days * DAY,
            ruling=a_ruling(case, by) if ruled else None,
            appeal=Appeal(Side.PAYEE, "procedure", "", NOW) if ruled else None,
        )
    assert found(people) == statistics.OfPlatform(
        opened=5,
        closed=3,
        overdue=1,
        without_decision=2,
        appealed=1,
        median_time=4 * DAY,
        by_outcome={"to_payer": 2, "withdrawn": 1},
        by_reason={"not_received": 4, "damaged": 1},
    )
    assert found(empty) == statistics.OfPlatform(0, 0, 0, 0, 0, None, {}, {})
