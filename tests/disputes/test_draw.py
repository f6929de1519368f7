"""The draw: by lot among all who may, the same for everybody who draws it again."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from psycopg.errors import InsufficientPrivilege, RestrictViolation
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from disputes import assignments, draw
from disputes.model import Stage
from disputes.recusal import Need, Part
from disputes.refusals import NobodyEligible
from service.db import transaction
from tests.disputes.people import HOUR, NOW, SEED, People, a_case


@pytest.fixture
def people(engine: Engine, platform_id: UUID) -> People:
    return People(engine, platform_id)


def test_anybody_can_draw_the_same_from_the_record(people: People) -> None:
    may = [people.join() for _ in range(5)]
    away = people.join(away_until=NOW + HOUR)
    case = people.opened()
    with people.inside() as connection:
        drawn = draw.draw(connection, case, "mediator", SEED, NOW)
    [record] = people.assignments(case)
    assert (record["mediator_id"],) == drawn
    assert bytes(record["seed"]) == SEED
    assert sorted(record["eligible"]) == sorted(may)
    assert record["excluded"] == {str(away): ["away"]}
    # As somebody would who has the record and the rule, and none of our code.
    again = min(record["eligible"], key=lambda one: hashlib.sha256(SEED + one.bytes).digest())
    assert (again,) == drawn
    assert draw.reproduces(SEED, record["eligible"], [away], drawn)
    others = [one for one in may if one not in drawn]
    assert not draw.reproduces(SEED, record["eligible"], [away], others[:1])
    assert not draw.reproduces(SEED, [*may, away], [away], drawn)


def test_everybody_is_drawn_about_as_often_as_everybody_else() -> None:
    may = [uuid4() for _ in range(5)]
    times = 5_000
    found = Counter(draw.rank(n.to_bytes(16, "big"), may)[0] for n in range(times))
    expected = times / len(may)
    chi_square = sum((found[one] - expected) ** 2 / expected for one in may)
    assert chi_square < 40  # four degrees of freedom: beyond it by chance once in 20 million runs


def test_no_order_in_which_people_are_listed_changes_who_is_drawn() -> None:
    may = [uuid4() for _ in range(9)]
    assert draw.rank(SEED, may) == draw.rank(SEED, list(reversed(may)))


def test_a_draw_works_before_the_case_is_written_and_inside_the_platform(people: People) -> None:
    one = people.join()
    case = a_case(people.platform_id)
    with people.inside() as connection:
        draw.set_needs(connection, case.platform_id, {case.id: Need(languages=frozenset({"fr"}))})
        drawn = draw.draw(connection, case, "mediator", SEED, NOW)
        assert drawn == (one,)
        connection.rollback()
    assert people.assignments(case) == []


def test_a_platform_cannot_ask_who_serves_another(
    people: People, new_platform: Callable[[], UUID]
) -> None:
    case = people.opened()
    with (
        pytest.raises(DBAPIError) as refused,
        transaction(people.engine, new_platform()) as connection,
    ):
        draw.field(connection, case, Part.MEDIATOR, NOW)
    assert isinstance(refused.value.orig, InsufficientPrivilege)


def test_a_platform_reads_names_of_mediators_and_no_more(people: People) -> None:
    one = people.join(name="Ada")
    with people.inside() as connection:
        query = text("SELECT name FROM disputes.mediator WHERE id = :id")
        assert connection.execute(query, {"id": one}).scalar_one() == "Ada"
    with pytest.raises(DBAPIError) as refused, people.inside() as connection:
        connection.execute(text("SELECT email FROM disputes.mediator"))
    assert isinstance(refused.value.orig, InsufficientPrivilege)


def test_nobody_eligible_says_why_of_each_and_records_nothing(people: People) -> None:
    away, supervisor = (
        people.join(away_until=NOW + HOUR),
        people.join(roles=frozenset({"operator"})),
    )
    case = people.opened()
    with pytest.raises(NobodyEligible) as refused, people.inside() as connection:
        draw.draw(connection, case, "mediator", SEED, NOW)
    assert refused.value.facts["excluded"] == {str(away): ["away"], str(supervisor): ["role"]}
    assert people.assignments(case) == []


def test_two_are_not_three(people: People) -> None:
    for _ in range(2):
        people.join()
    case = people.opened()
    with pytest.raises(NobodyEligible), people.inside() as connection:
        draw.draw(connection, case, "panel", SEED, NOW, 3)
    people.join(roles=frozenset({"supervisor"}))
    with people.inside() as connection:
        assert len(set(draw.draw(connection, case, "panel", SEED, NOW, 3))) == 3


@pytest.mark.parametrize("seed", [b"", b"x" * 15])
def test_what_is_no_seed_is_no_draw(people: People, seed: bytes) -> None:
    people.join()
    case = people.opened()
    with pytest.raises(ValueError, match="random bytes"), people.inside() as connection:
        draw.draw(connection, case, "mediator", seed, NOW)


def test_whoever_missed_the_clock_is_let_go_and_not_drawn_again(people: People) -> None:
    for _ in range(2):
        people.join()
    case = people.opened()
    with people.inside() as connection:
        (first,) = draw.draw(connection, case, "mediator", SEED, NOW)
    moved = replace(case, mediator_id=None, left=frozenset({first}), stage=Stage.DECISION)
    with people.inside() as connection:
        (second,) = draw.draw(connection, moved, "mediator", SEED, NOW + HOUR)
    assert second != first
    old, new = people.assignments(case)
    assert (old["ended_at"], old["ended_why"]) == (NOW + HOUR, "left")
    assert (new["mediator_id"], new["ended_at"]) == (second, None)
    assert new["excluded"] == {str(first): ["on_this_case"]}


def test_an_assignment_ends_once_and_changes_in_nothing_else(people: People) -> None:
    people.join()
    case = people.opened()
    with people.inside() as connection:
        draw.draw(connection, case, "mediator", SEED, NOW)
    done = replace(case, stage=Stage.APPEALABLE)
    with people.inside() as connection:
        assert assignments.end_left(connection, case.platform_id, [done], NOW) == 1
        assert assignments.end_left(connection, case.platform_id, [done], NOW) == 0
    for change, error in (
        ("UPDATE disputes.assignment SET ended_why = 'left'", RestrictViolation),
        ("UPDATE disputes.assignment SET seed = eligible[1]::text::bytea", InsufficientPrivilege),
        ("DELETE FROM disputes.assignment", InsufficientPrivilege),
    ):
        with pytest.raises(DBAPIError) as refused, people.inside() as connection:
            connection.execute(text(change))
        assert isinstance(refused.value.orig, error), change


def test_one_last_place_is_filled_once_by_cases_that_draw_at_the_same_moment(
    people: People,
) -> None:
    one = people.join(caseload_cap=1)
    cases = [people.opened() for _ in range(6)]
    start, outcomes = threading.Barrier(len(cases)), []

    def attempt(number: int) -> None:
        start.wait()
        try:
            with people.inside() as connection:
                draw.draw(connection, cases[number], "mediator", SEED, NOW)
        except NobodyEligible as refusal:
            outcomes.append(refusal.facts["excluded"][str(one)])
        else:
            outcomes.append(["drawn"])

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(len(cases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [["caseload_full"]] * 5 + [["drawn"]]
