"""Nobody who is tied to a case is given it: each rule is tried on each way to come by a case."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from disputes import assignments, draw, hand_over, mediators, redecisions
from disputes.model import Appeal, Case, Stage
from disputes.outcomes import Outcome, Side
from disputes.recusal import Need, Part, Tie, TieKind
from disputes.refusals import NobodyEligible, NotYourCase
from service.exchanges import cases
from service.exchanges.kinds import Role
from tests.disputes.people import NOW, SEED, People, a_case, a_ruling
from tests.exchanges.court import Court, seats
from tests.exchanges.world import World

CARD: Final = mediators.instrument("card-of-the-payer")
#: Reads decisions as well.
BOTH: Final = frozenset({"mediator", "supervisor"})


@pytest.fixture
def people(engine: Engine, platform_id: UUID) -> People:
    return People(engine, platform_id)


def declared(people: People, one: UUID, tie: Tie) -> UUID:
    with people.everywhere() as connection:
        return mediators.declare(connection, one, tie, "declared", NOW)


def met(people: People, one: UUID, case: Case) -> None:
    """Let somebody have had an earlier case, that is over, of one of the sides."""
    earlier = people.opened(a_case(people.platform_id, payer_id=case.payee_id))
    over = replace(earlier, stage=Stage.APPEALABLE)
    with people.inside() as connection:
        key = (connection, earlier, Part.MEDIATOR, [one], NOW)
        assignments.add(*key, seed=SEED, eligible=[one], excluded={})
        assignments.end_left(connection, people.platform_id, [over], NOW)
    people.changed(earlier, stage=Stage.CLOSED, closed_at=NOW, outcome=Outcome.WITHDRAWN)


#: By rule: what ties somebody to a case.
TIES: Final[dict[str, Callable[[People, UUID, Case], object]]] = {
    "platform_staff": lambda people, one, _: declared(
        people, one, Tie(TieKind.STAFF, people.platform_id)
    ),
    "household": lambda people, one, case: declared(
        people, one, Tie(TieKind.HOUSEHOLD, people.platform_id, case.payer_id)
    ),
    "helper": lambda people, one, case: declared(
        people, one, Tie(TieKind.HELPER, people.platform_id, case.payee_id)
    ),
    "payment_instrument": lambda people, one, _: declared(
        people, one, Tie(TieKind.INSTRUMENT, instrument=CARD)
    ),
    "interest": lambda people, one, case: declared(
        people, one, Tie(TieKind.INTEREST, people.platform_id, case.payee_id)
    ),
    "interest in the platform": lambda people, one, _: declared(
        people, one, Tie(TieKind.INTEREST, people.platform_id)
    ),
    "earlier_case": met,
}


@dataclass
class Way:
    """A way in which somebody comes by a case: what it looks like before, and who gets it then."""

    before: Callable[[People], Case]
    give: Callable[[People, Case], set[UUID]]


def _with_need(people: People, case: Case) -> Case:
    with people.inside() as connection:
        draw.set_needs(connection, case.platform_id, {case.id: Need(instruments=frozenset({CARD}))})
    return case


def _opened(stage: Stage) -> Callable[[People], Case]:
    def before(people: People) -> Case:
        case = a_case(people.platform_id, stage=stage)
        if stage in {Stage.SECOND_LOOK, Stage.APPEAL, Stage.APPEALABLE}:
            author = people.join(caseload_cap=0)
            case = replace(case, ruling=a_ruling(case, author))
        if stage is Stage.APPEAL:
            case = replace(case, appeal=Appeal(Side.PAYER, "procedure", "", NOW))
        return _with_need(people, people.opened(case))

    return before


def _declining(people: People) -> Case:
    """A case whose mediator is about to give it back."""
    one = people.join()
    case = people.opened()
    with people.everywhere() as connection:
        claimed = hand_over.claim_next(connection, one, NOW)
    assert claimed is not None
    assert claimed.id == case.id
    return _with_need(people, claimed)


def _by_draw(people: People, case: Case) -> set[UUID]:
    with people.inside() as connection:
        try:
            return set(draw.draw(connection, case, Part.MEDIATOR, SEED, NOW))
        except NobodyEligible:
            return set()


def _by_the_worker(people: People, _case: Case) -> set[UUID]:
    with people.inside() as connection:
        seed = lambda: os.urandom(32)  # noqa: E731
        found = hand_over.draw_again(connection, people.platform_id, seed, NOW, 10)
    return {one for case in found for one in seats(case)}


def _by_claim(people: People, _case: Case) -> set[UUID]:
    """Everybody who serves the platform asks for the next."""
    got = set()
    with people.everywhere() as connection:
        query = text("SELECT mediator_id FROM disputes.pool_member WHERE pool_id = :id")
        crowd = list(connection.scalars(query, {"id": people.pool_id}))
    for one in crowd:
        with people.everywhere() as connection:
            try:
                found = hand_over.claim_next(connection, one, NOW)
            except hand_over.NotAvailable:
                continue
        got |= set() if found is None else {one}
    return got


def _by_declining(people: People, case: Case) -> set[UUID]:
    assert case.mediator_id is not None
    with people.inside() as connection:
        key = (connection, people.platform_id, case.id, case.mediator_id)
        return set(seats(hand_over.decline(*key, "I am ill.", SEED, NOW)))


def _by_deciding_again(people: People, case: Case) -> set[UUID]:
    with people.inside() as connection:
        redecisions.begin(connection, case, SEED, NOW, 1_000)
        query = text("SELECT mediator_id FROM disputes.redecision WHERE case_id = :id")
        return set(connection.scalars(query, {"id": case.id}))


WAYS: Final = {
    "draw": Way(_opened(Stage.MEDIATION), _by_draw),
    "draw of what waits": Way(_opened(Stage.DECISION), _by_the_worker),
    "claim of the next": Way(_opened(Stage.DECISION), _by_claim),
    "somebody gave it back": Way(_declining, _by_declining),
    "second reading": Way(_opened(Stage.SECOND_LOOK), _by_the_worker),
    "claim of a second reading": Way(_opened(Stage.SECOND_LOOK), _by_claim),
    "panel": Way(_opened(Stage.APPEAL), _by_the_worker),
    "decided again": Way(_opened(Stage.APPEALABLE), _by_deciding_again),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rule", TIES)
def test_who_is_tied_comes_by_no_case_whatever_the_way(people: People, rule: str, way: str) -> None:
    case = WAYS[way].before(people)
    tied = people.join(roles=BOTH)
    TIES[rule](people, tied, case)
    assert WAYS[way].give(people, case) == set(), "nobody else is there, and they may not"
    untied = {people.join(roles=BOTH) for _ in range(3 if way == "panel" else 1)}
    if way == "somebody gave it back":
        assert _by_the_worker(people, case) == untied
    else:
        assert WAYS[way].give(people, case) == untied


@pytest.fixture
def court(engine: Engine, platform_id: UUID) -> Iterator[Court]:
    """A platform with nobody in its pool; its books and cases are clean at the end."""
    world = World(engine, platform_id)
    yield Court(world, People(engine, platform_id))
    world.check()


LATE: Final = [rule for rule in TIES if rule not in {"earlier_case", "payment_instrument"}]


def pays_by_card(court: Court, case: Case) -> None:
    with court.people.inside() as connection:
        draw.set_needs(connection, case.platform_id, {case.id: Need(instruments=frozenset({CARD}))})


@pytest.mark.parametrize("rule", [*LATE, "payment_instrument"])
def test_a_tie_that_is_declared_after_the_draw_stops_them_at_once_and_moves_the_case(
    court: Court, rule: str
) -> None:
    people = court.people
    tied = people.join()
    exchange, case = court.mediated()
    assert case.mediator_id == tied
    pays_by_card(court, case)
    TIES[rule](people, tied, case)
    with pytest.raises(NotYourCase, match="tied"):
        court.decide(case)
    with pytest.raises(NotYourCase, match="tied"):
        court.take(case, "propose", mediator_id=tied, outcome=Outcome.TO_PAYER)
    assert court.case(exchange) == case
    court.find_people()
    case = court.case(exchange)
    assert (case.mediator_id, case.left) == (None, frozenset({tied}))
    other = people.join()
    assert court.find_people() == 1
    assert court.case(exchange).mediator_id == other
    assert court.find_people() == 0
    assert court.types(case)[-3:] == ["declined", "nobody_eligible", "assigned"]
    told = court.world.events(exchange)
    assert told.count("case.declined") == 1
    assert [row["ended_why"] for row in people.assignments(case)] == ["declined", None]


def test_a_tie_to_somebody_else_or_one_that_ended_moves_nothing(court: Court) -> None:
    people = court.people
    one = people.join()
    exchange, case = court.mediated()
    ended = declared(people, one, Tie(TieKind.HOUSEHOLD, people.platform_id, case.payer_id))
    declared(people, one, Tie(TieKind.HELPER, people.platform_id, court.world.member()))
    with people.everywhere() as connection:
        mediators.end_tie(connection, one, ended, NOW)
    assert court.find_people() == 0
    assert court.case(exchange) == case
    court.decide(case)


@pytest.mark.parametrize("who", ["author", "reader"])
def test_a_tie_of_who_wrote_or_reads_a_decision_that_nobody_was_told_of(
    court: Court, who: str
) -> None:
    people = court.people
    for _ in range(2):
        people.join()
    exchange, case = court.mediated(30_000)
    case = court.decide(case)
    assert case.stage is Stage.SECOND_LOOK
    tied = case.mediator_id if who == "author" else case.second_id
    assert tied is not None
    declared(people, tied, Tie(TieKind.INTEREST, people.platform_id, case.payee_id))
    if who == "reader":
        with pytest.raises(NotYourCase, match="tied"):
            court.take(case, "agree_with", mediator_id=tied)
    people.join()
    assert court.find_people() == 1
    after = court.case(exchange)
    if who == "author":  # what they wrote stands for nothing any more
        assert (after.stage, after.ruling) == (Stage.DECISION, None)
    else:
        assert (after.stage, after.ruling) == (Stage.SECOND_LOOK, case.ruling)
    assert tied not in {after.mediator_id, after.second_id}
    assert seats(after)


def test_a_tie_of_one_of_a_panel_takes_their_vote_with_them(court: Court) -> None:
    people = court.people
    for _ in range(6):
        people.join()
    exchange, case = court.mediated(60_000)
    case = court.decide(case, Outcome.TO_PAYEE)
    court.take(case, "agree_with", mediator_id=case.second_id)
    case = court.take(
        case, "appeal", member_id=case.payer_id, text="A letter.", reason_code="new_evidence"
    )
    assert case.appeal is not None
    first, second, third = case.appeal.panel
    case = court.vote(case, first, Outcome.TO_PAYER)
    declared(people, first, Tie(TieKind.HOUSEHOLD, people.platform_id, case.payee_id))
    assert court.find_people() == 1
    case = court.case(exchange)
    assert case.appeal is not None
    assert case.appeal.votes == {}
    assert case.appeal.panel[:2] == (second, third)
    assert first not in case.appeal.panel
    assert len(set(case.appeal.panel)) == 3
    case = court.vote(case, second, Outcome.TO_PAYER)
    assert case.stage is Stage.APPEAL, "one of three is no majority"
    assert court.vote(case, third, Outcome.TO_PAYER).stage is Stage.CLOSED


def test_a_platform_learns_only_that_somebody_stepped_back(court: Court) -> None:
    people = court.people
    tied = people.join()
    exchange, case = court.mediated()
    declared(people, tied, Tie(TieKind.HOUSEHOLD, people.platform_id, case.payee_id))
    court.find_people()
    with people.inside() as connection:
        query = text("SELECT data FROM service.event WHERE exchange_id = :id ORDER BY sequence")
        told = str(list(connection.scalars(query, {"id": exchange.id})))
        assert cases.find(connection, people.platform_id, case.id).mediator_id is None
    assert "household" not in told
    assert str(tied) not in told
    assert exchange.member(Role.PAYEE) == case.payee_id


def test_the_ties_of_another_platform_are_not_to_be_asked_for(
    people: People, new_platform: Callable[[], UUID]
) -> None:
    for asked in (new_platform(), None):
        with (
            pytest.raises(Exception, match="another platform"),
            people.inside() as connection,
        ):
            connection.execute(text("SELECT disputes.tied(:asked, NULL)"), {"asked": asked})
