"""Bad faith costs time, by a rule that can be read, and never the right to be heard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from disputes import journal, strikes
from disputes.model import Case, Stage
from disputes.outcomes import Outcome, Side
from disputes.refusals import NotYourCase
from disputes.strikes import RULE, CoolDown, Rule, StrikeInvalid
from tests.disputes.people import DAY, HOUR, NOW, People, a_case, a_ruling


@pytest.fixture
def people(engine: Engine, platform_id: UUID) -> People:
    return People(engine, platform_id)


def decided(people: People, by: UUID, **more: Any) -> Case:
    """A claim that was decided against who made it."""
    case = people.opened(a_case(people.platform_id, **more))
    return people.changed(case, stage=Stage.APPEALABLE, ruling=a_ruling(case, by, Outcome.TO_PAYEE))


def struck(people: People, by: UUID, member: UUID, at: datetime) -> None:
    case = decided(people, by, payer_id=member)
    with people.inside() as connection:
        assert strikes.add(connection, case, member, by, "untrue_facts", at)


def may_call(people: People, case: Case, member: UUID, now: datetime) -> bool:
    try:
        with people.inside() as connection:
            strikes.check_call(connection, case, member, now)
    except CoolDown:
        return False
    return True


@pytest.mark.parametrize("number", [0, 2, 3, 5])
def test_the_third_strike_makes_a_claim_wait_and_no_longer_than_the_rule_says(
    people: People, number: int
) -> None:
    by, member = people.join(), uuid4()
    for n in range(number):
        struck(people, by, member, NOW - n * DAY - HOUR)
    case = people.opened(a_case(people.platform_id, payer_id=member, stage=Stage.TALK))
    cools = number >= 3
    assert may_call(people, case, member, NOW + 3 * DAY) is not cools
    assert may_call(people, case, member, NOW + 7 * DAY - timedelta(seconds=1)) is not cools
    assert may_call(people, case, member, NOW + 7 * DAY)
    assert may_call(people, case, case.payee_id, NOW + 3 * DAY)  # the other side never waits


def test_one_waits_for_ones_own_claims_alone(people: People) -> None:
    by, member = people.join(), uuid4()
    for _ in range(3):
        struck(people, by, member, NOW - DAY)
    against = people.opened(a_case(people.platform_id, payee_id=member, stage=Stage.TALK))
    silence = people.opened(a_case(people.platform_id, payer_id=member, claimant=None))
    assert may_call(people, against, member, NOW + DAY)
    assert may_call(people, silence, member, NOW + DAY)


def test_strikes_are_forgotten_after_their_time_to_the_second(people: People) -> None:
    by, member = people.join(), uuid4()
    for n in range(3):
        struck(people, by, member, NOW - RULE.within + n * DAY)
    with people.inside() as connection:
        count = strikes.count
        just_before = NOW - timedelta(seconds=1)
        assert count(connection, people.platform_id, member, NOW - RULE.within) == 1
        assert count(connection, people.platform_id, member, just_before) == 3
        assert count(connection, people.platform_id, member, NOW) == 2
        assert count(connection, people.platform_id, member, NOW + 2 * DAY) == 0
    case = people.opened(a_case(people.platform_id, payer_id=member, stage=Stage.TALK))
    assert may_call(people, case, member, NOW + 2 * DAY)
    earlier = a_case(people.platform_id, payer_id=member, opened_at=just_before)
    assert not may_call(people, people.opened(earlier), member, NOW + 2 * DAY)


def test_a_strike_after_the_claim_was_made_does_not_make_it_wait(people: People) -> None:
    by, member = people.join(), uuid4()
    case = people.opened(a_case(people.platform_id, payer_id=member, stage=Stage.TALK))
    for _ in range(3):
        struck(people, by, member, NOW + HOUR)
    assert may_call(people, case, member, NOW + 3 * DAY)


def test_a_strike_that_is_lifted_counts_no_more_and_stays_on_record(people: People) -> None:
    by, member = people.join(), uuid4()
    for _ in range(3):
        struck(people, by, member, NOW - DAY)
    with people.inside() as connection:
        first = strikes.of_member(connection, people.platform_id, member)[0]
        assert strikes.lift(connection, people.platform_id, first.id, NOW, first.by_id)
        assert not strikes.lift(connection, people.platform_id, first.id, NOW, first.by_id)
        assert strikes.count(connection, people.platform_id, member, NOW) == 2
        assert strikes.count(connection, people.platform_id, member, NOW - HOUR) == 3
        assert len(strikes.of_member(connection, people.platform_id, member)) == 3
        lines = journal.read(connection, people.platform_id, first.case_id)
    assert [(one.type, one.actor) for one in lines[-2:]] == [
        ("strike_given", f"mediator:{by}"),
        ("strike_lifted", f"mediator:{first.by_id}"),
    ]
    assert lines[-2].data == {"side": "payer", "ground": "untrue_facts"}
    assert journal.first_broken(lines) is None


def test_a_case_gives_one_strike_however_often_it_is_reported(people: People) -> None:
    by = people.join()
    case = decided(people, by)
    with people.inside() as connection:
        added = [
            strikes.add(connection, case, case.payer_id, by, reason, NOW)
            for reason in ("untrue_facts", "forged_evidence")
        ]
        found = strikes.of_member(connection, people.platform_id, case.payer_id)
    assert added == [True, False]
    assert [strike.reason for strike in found] == ["untrue_facts"]


def test_only_who_decided_strikes_only_who_claimed_and_only_for_bad_faith(people: People) -> None:
    by, stranger = people.join(), people.join()
    case = decided(people, by)
    undecided = people.opened()
    nobody_claims = decided(people, by, claimant=None)
    wrong = [
        (case, case.payer_id, stranger, "untrue_facts", NotYourCase),
        (undecided, undecided.payer_id, by, "untrue_facts", NotYourCase),
        (case, case.payee_id, by, "untrue_facts", StrikeInvalid),
        (case, uuid4(), by, "untrue_facts", StrikeInvalid),
        (nobody_claims, nobody_claims.payer_id, by, "untrue_facts", StrikeInvalid),
        (case, case.payer_id, by, "lost_the_case", StrikeInvalid),
    ]
    with people.inside() as connection:
        for about, member, who, reason, error in wrong:
            with pytest.raises(error):
                strikes.add(connection, about, member, who, reason, NOW)
        assert strikes.of_member(connection, people.platform_id, case.payer_id) == []


def test_strikes_stay_on_their_platform(
    people: People, engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    other, member = People(engine, new_platform()), uuid4()
    by = other.join()
    for _ in range(3):
        struck(other, by, member, NOW - DAY)
    with people.inside() as connection:
        assert strikes.count(connection, people.platform_id, member, NOW) == 0
        assert strikes.of_member(connection, other.platform_id, member) == []


def test_the_rule_is_data(people: People) -> None:
    by, member = people.join(), uuid4()
    struck(people, by, member, NOW - DAY)
    case = people.opened(a_case(people.platform_id, payer_id=member, stage=Stage.TALK))
    strict = Rule(strikes=1, within=2 * DAY, wait=DAY)
    with people.inside() as connection:
        with pytest.raises(CoolDown) as refused:
            strikes.check_call(connection, case, member, NOW + HOUR, strict)
        assert refused.value.facts == {"from_when": (NOW + DAY).isoformat()}
        strikes.check_call(connection, case, member, NOW + DAY, strict)
        strikes.check_call(connection, replace(case, claimant=Side.PAYEE), member, NOW, strict)
