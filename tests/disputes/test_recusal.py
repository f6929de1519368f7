"""What keeps somebody off a case: each rule is tried where it could be got around."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine

from disputes import assignments, draw, mediators
from disputes.mediators import MediatorEmailTaken, MediatorInvalid, MediatorNotFound, PoolNotFound
from disputes.model import Appeal, Case, Stage
from disputes.outcomes import Outcome, Side
from disputes.recusal import RULES, Candidate, Need, Part, Question, Tie, TieKind, reasons
from disputes.rulings import LEAST_REASONS
from service.db import transaction
from tests.disputes.people import DAY, HOUR, NOW, SEED, People, a_case, a_mediator, a_ruling


@pytest.fixture
def people(engine: Engine, platform_id: UUID) -> People:
    return People(engine, platform_id)


def why_not(
    people: People, one: UUID, case: Case, part: Part = Part.MEDIATOR, now_later: int = 0
) -> list[str]:
    with people.inside() as connection:
        found = draw.field(connection, case, part, NOW + now_later * DAY)
    assert (one in found.eligible) != (one in found.excluded)
    return found.excluded.get(one, [])


def tied(people: People, one: UUID, tie: Tie) -> UUID:
    with people.everywhere() as connection:
        return mediators.declare(connection, one, tie, "declared", NOW)


def test_staff_of_the_platform_may_not_and_staff_of_another_may(
    people: People, new_platform: Callable[[], UUID]
) -> None:
    ours, theirs = people.join(), people.join()
    tied(people, ours, Tie(TieKind.STAFF, people.platform_id))
    tied(people, theirs, Tie(TieKind.STAFF, new_platform()))
    case = people.opened()
    for part in Part:
        assert why_not(people, ours, case, part) == ["platform_staff"]
        assert why_not(people, theirs, case, part) == []


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (TieKind.HOUSEHOLD, "household"),
        (TieKind.HELPER, "helper"),
        (TieKind.INTEREST, "interest"),
    ],
)
@pytest.mark.parametrize("side", Side)
def test_a_tie_to_either_side_keeps_off_and_one_to_somebody_else_does_not(
    people: People, kind: TieKind, code: str, side: Side
) -> None:
    case = people.opened()
    member = case.payer_id if side is Side.PAYER else case.payee_id
    tied_one, other, namesake = people.join(), people.join(), people.join()
    tied(people, tied_one, Tie(kind, people.platform_id, member))
    tied(people, other, Tie(kind, people.platform_id, uuid4()))
    tied(people, namesake, Tie(kind, uuid4(), member))  # the same id on another platform
    assert why_not(people, tied_one, case) == [code]
    assert why_not(people, other, case) == []
    assert why_not(people, namesake, case) == []


def test_an_interest_in_the_platform_keeps_off_all_its_cases(people: People) -> None:
    one = people.join()
    tied(people, one, Tie(TieKind.INTEREST, people.platform_id))
    assert why_not(people, one, people.opened()) == ["interest"]


def test_a_tie_that_ended_keeps_off_no_more_and_only_its_mediator_ends_it(people: People) -> None:
    one, stranger, case = people.join(), people.join(), people.opened()
    tie = tied(people, one, Tie(TieKind.HOUSEHOLD, people.platform_id, case.payer_id))
    with people.everywhere() as connection:
        assert not mediators.end_tie(connection, stranger, tie, NOW)
    assert why_not(people, one, case) == ["household"]
    with people.everywhere() as connection:
        assert mediators.end_tie(connection, one, tie, NOW)
        assert not mediators.end_tie(connection, one, tie, NOW)
    assert why_not(people, one, case) == []


def test_whoever_pays_by_the_same_card_may_not_whatever_platform_it_is(people: People) -> None:
    shared, other = people.join(), people.join()
    tied(people, shared, Tie(TieKind.INSTRUMENT, instrument=mediators.instrument("card-1")))
    tied(people, other, Tie(TieKind.INSTRUMENT, instrument=mediators.instrument("card-2")))
    case = people.opened()
    assert why_not(people, shared, case) == []
    with people.inside() as connection:
        uses = Need(instruments=frozenset({mediators.instrument("card-1")}))
        draw.set_needs(connection, case.platform_id, {case.id: uses})
    assert why_not(people, shared, case) == ["payment_instrument"]
    assert why_not(people, other, case) == []


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("side", Side)
def test_an_earlier_case_of_a_side_keeps_off_also_when_they_were_on_the_other_side_then(
    people: People, side: Side, swapped: bool
) -> None:
    one = people.join()
    first = people.opened()
    with people.inside() as connection:
        assert draw.draw(connection, first, "mediator", SEED, NOW) == (one,)
        closed = replace(first, stage=Stage.APPEALABLE)
        assignments.end_left(connection, first.platform_id, [closed], NOW)
    known = first.payer_id if side is Side.PAYER else first.payee_id
    place = "payee_id" if swapped else "payer_id"
    again = people.opened(a_case(people.platform_id, **{place: known}))
    assert why_not(people, one, again, now_later=729) == ["earlier_case"]
    assert why_not(people, one, again, now_later=735) == [], "24 months after they were done"
    assert why_not(people, one, people.opened()) == []


def test_an_earlier_case_that_goes_on_keeps_off_for_as_long_as_it_does(people: People) -> None:
    one = people.join()
    first = people.opened()
    with people.inside() as connection:
        assert draw.draw(connection, first, "mediator", SEED, NOW) == (one,)
    again = people.opened(a_case(people.platform_id, payee_id=first.payer_id))
    assert why_not(people, one, again, now_later=1_500) == ["earlier_case"]


def test_whoever_was_on_the_case_never_comes_back_even_if_the_case_forgot_them(
    people: People,
) -> None:
    one = people.join()
    case = people.opened()
    with people.inside() as connection:
        draw.draw(connection, case, "mediator", SEED, NOW)
    assert why_not(people, one, replace(case, left=frozenset())) == ["on_this_case"]


def test_nobody_reads_or_hears_their_own_decision(people: People) -> None:
    by, second, panellist, left = (people.join(roles=frozenset({"supervisor"})) for _ in range(4))
    case = a_case(people.platform_id)
    appeal = Appeal(Side.PAYER, "procedure", "x" * LEAST_REASONS, NOW, (panellist,))
    wrote, agreed = (people.join(roles=frozenset({"supervisor"})) for _ in range(2))
    ruling = replace(a_ruling(case, wrote), seconded_by=agreed)
    case = replace(
        case,
        mediator_id=by,
        second_id=second,
        appeal=appeal,
        left=frozenset({left}),
        ruling=ruling,
    )
    for part in (Part.SECOND, Part.PANEL):
        for one in (by, second, panellist, left, wrote, agreed):
            assert why_not(people, one, case, part) == ["on_this_case"]


def test_a_full_caseload_counts_cases_of_every_platform_and_open_ones_alone(
    people: People, engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    one = people.join(caseload_cap=1)
    elsewhere = a_case(new_platform())
    people.opened(elsewhere)
    with people.everywhere() as connection:
        mediators.serve(connection, people.pool_id, elsewhere.platform_id)
    with transaction(engine, elsewhere.platform_id) as connection:
        draw.draw(connection, elsewhere, "mediator", SEED, NOW)
    case = people.opened()
    assert why_not(people, one, case) == ["caseload_full"]
    with transaction(engine, elsewhere.platform_id) as connection:
        done = replace(elsewhere, stage=Stage.CLOSED, outcome=Outcome.TO_PAYER)
        assignments.end_left(connection, elsewhere.platform_id, [done], NOW)
    assert why_not(people, one, case) == []


def test_every_language_and_skill_of_the_case_is_needed(people: People) -> None:
    french = people.join()
    both = people.join(languages=frozenset({"fr", "de"}), skills=frozenset({"bicycles"}))
    case = people.opened()
    with people.inside() as connection:
        need = Need(languages=frozenset({"fr", "de"}), skills=frozenset({"bicycles"}))
        draw.set_needs(connection, case.platform_id, {case.id: need})
    assert why_not(people, french, case) == ["language", "skill"]
    assert why_not(people, both, case) == []


def test_whoever_is_away_comes_back_by_themselves(people: People) -> None:
    one = people.join(away_until=NOW + HOUR)
    case = people.opened()
    assert why_not(people, one, case) == ["away"]
    assert why_not(people, one, case, now_later=1) == []
    with people.everywhere() as connection:
        mediators.away(connection, one, None)
    assert why_not(people, one, case) == []


def test_supervisors_read_and_hear_and_operators_do_neither(people: People) -> None:
    supervisor = people.join(roles=frozenset({"supervisor"}))
    operator = people.join(roles=frozenset({"operator"}))
    case = people.opened()
    assert why_not(people, supervisor, case, Part.MEDIATOR) == ["role"]
    assert why_not(people, supervisor, case, Part.SECOND) == []
    assert why_not(people, supervisor, case, Part.PANEL) == []
    for part in Part:
        assert why_not(people, operator, case, part) == ["role"]


def test_whoever_serves_another_platform_or_has_ended_is_not_even_asked(
    people: People, engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    ended, out = people.join(), people.join()
    other = People(engine, new_platform()).join()
    with people.everywhere() as connection:
        mediators.change(connection, ended, ended_at=NOW)
        mediators.take_from_pool(connection, people.pool_id, out)
    with people.inside() as connection:
        found = draw.field(connection, people.opened(), Part.MEDIATOR, NOW)
    assert not {ended, out, other} & {*found.eligible, *found.excluded}


def test_all_reasons_are_named_and_each_rule_has_its_code() -> None:
    case = a_case(uuid4())
    card = mediators.instrument("card")
    ties = (
        Tie(TieKind.STAFF, case.platform_id),
        Tie(TieKind.HOUSEHOLD, case.platform_id, case.payer_id),
        Tie(TieKind.HELPER, case.platform_id, case.payee_id),
        Tie(TieKind.INTEREST, case.platform_id),
        Tie(TieKind.INSTRUMENT, instrument=card),
    )
    candidate = Candidate(
        case.payer_id,
        languages=frozenset(),
        skills=frozenset(),
        roles=frozenset(),
        caseload_cap=1,
        caseload=1,
        away_until=NOW + HOUR,
        ties=ties,
        met=True,
        was_here=True,
    )
    need = Need(frozenset({"fr"}), frozenset({"law"}), frozenset({card}))
    assert reasons(Question(candidate, case, Part.MEDIATOR, need, NOW)) == list(RULES)


def test_ties_on_another_platform_are_none_and_who_is_back_this_moment_is_back() -> None:
    case = a_case(uuid4())
    ties = tuple(
        Tie(kind, uuid4(), member)
        for kind in (TieKind.HOUSEHOLD, TieKind.HELPER, TieKind.INTEREST)
        for member in (case.payer_id, case.payee_id)
    )
    elsewhere = (*ties, Tie(TieKind.STAFF, uuid4()), Tie(TieKind.INTEREST, uuid4()))
    candidate = Candidate(
        uuid4(), frozenset(), frozenset(), frozenset({"mediator"}), 1, 0, NOW, elsewhere
    )
    assert reasons(Question(candidate, case, Part.MEDIATOR, Need(), NOW)) == []


def test_ties_that_name_too_little_or_too_much_are_refused(people: People) -> None:
    one, platform, member = people.join(), people.platform_id, uuid4()
    for tie in (
        Tie(TieKind.STAFF),
        Tie(TieKind.STAFF, platform, member),
        Tie(TieKind.HOUSEHOLD, platform),
        Tie(TieKind.HELPER, None, member),
        Tie(TieKind.INSTRUMENT),
        Tie(TieKind.INTEREST, None, member),
    ):
        with pytest.raises(MediatorInvalid), people.everywhere() as connection:
            mediators.declare(connection, one, tie, "", NOW)
    with pytest.raises(MediatorNotFound), people.everywhere() as connection:
        mediators.declare(connection, uuid4(), Tie(TieKind.STAFF, platform), "", NOW)


def test_mediators_that_cannot_be_are_refused(people: People) -> None:
    with people.everywhere() as connection:
        first = a_mediator(email="Ada@Example.org" + uuid4().hex)
        mediators.add(connection, first)
        with pytest.raises(MediatorEmailTaken):
            mediators.add(connection, a_mediator(email=first.email.upper()))
        for wrong in (
            {"roles": frozenset({"king"})},
            {"roles": frozenset[str]()},
            {"languages": frozenset[str]()},
            {"caseload_cap": -1},
            {"name": " "},
            {"email": "@"},
        ):
            with pytest.raises(MediatorInvalid):
                mediators.add(connection, a_mediator(**wrong))
        with pytest.raises(MediatorInvalid):
            mediators.change(connection, first.id, email="other@example.org")
        with pytest.raises(PoolNotFound):
            mediators.put_in_pool(connection, uuid4(), [first.id])
        with pytest.raises(MediatorNotFound):
            mediators.put_in_pool(connection, people.pool_id, [uuid4()])
        assert mediators.change(connection, first.id, caseload_cap=9) == mediators.get(
            connection, first.id
        )
