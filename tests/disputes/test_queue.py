"""The queue: each sees what is theirs, and what waits goes to one of those who reach for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from disputes import draw, hand_over, journal, mediators, queue, store
from disputes.hand_over import NotAvailable
from disputes.model import Appeal, Case, Cause, Proposal, Stage
from disputes.outcomes import Line, Outcome, Side
from disputes.queue import Filters, Sort, SupervisorOnly, Ticket, Whose
from disputes.recusal import Tie, TieKind
from disputes.refusals import AlreadyVoted, CaseNotFound, NotYourCase, ReasonsMissing
from tests.disputes.people import DAY, HOUR, NOW, SEED, People, a_ruling


@pytest.fixture
def people(engine: Engine, platform_id: UUID) -> People:
    return People(engine, platform_id)


def claim(people: People, one: UUID) -> Case | None:
    with people.everywhere() as connection:
        return hand_over.claim_next(connection, one, NOW)


def read(people: People, case: Case) -> Case:
    with people.inside() as connection:
        return store.load(connection, case.platform_id, [case.id], lock=False)[case.id]


def entries(people: People, case: Case) -> list[str]:
    with people.inside() as connection:
        lines = journal.read(connection, case.platform_id, case.id)
    assert journal.first_broken(lines) is None
    return [line.type for line in lines]


def lines(amount: int, unit: str = "EUR") -> tuple[Line, ...]:
    return (Line(uuid4(), unit, 1), Line(uuid4(), unit, amount))


def test_the_next_is_what_is_due_first_and_it_is_on_the_record(people: People) -> None:
    one = people.join()
    later = people.opened(due_at=NOW + 3 * DAY)
    soon = people.opened(due_at=NOW + DAY)
    people.opened(due_at=NOW - HOUR)  # the clock moves it on in a moment
    people.opened(stage=Stage.TALK)
    claimed = claim(people, one)
    assert claimed is not None
    assert (claimed.id, claimed.mediator_id) == (soon.id, one)
    assert read(people, soon) == claimed
    assert entries(people, soon) == ["opened", "assigned"]
    [record] = people.assignments(soon)
    assert (record["how"], record["seed"], record["eligible"]) == ("claim", None, [one])
    assert [found.id for _ in range(2) if (found := claim(people, one))] == [later.id]


def test_many_who_claim_at_the_same_moment_get_each_a_case_of_their_own(people: People) -> None:
    crowd = [people.join() for _ in range(8)]
    cases = [people.opened(due_at=NOW + n * HOUR + DAY) for n in range(5)]
    start, found = threading.Barrier(len(crowd)), dict[UUID, Case | None]()

    def attempt(one: UUID) -> None:
        start.wait()
        found[one] = claim(people, one)

    threads = [threading.Thread(target=attempt, args=(one,)) for one in crowd]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(crowd)
    got = {one: case.id for one, case in found.items() if case is not None}
    assert sorted(got.values()) == sorted(set(got.values()))
    # Whoever was passed over while another held a case asks again, and then nothing is left.
    for one in crowd:
        if one not in got and (case := claim(people, one)) is not None:
            got[one] = case.id
    assert sorted(got.values()) == sorted(case.id for case in cases)
    for one, case_id in got.items():
        [case] = [case for case in cases if case.id == case_id]
        assert read(people, case).mediator_id == one
        assert [row["mediator_id"] for row in people.assignments(case)] == [one]


def test_one_case_goes_to_one_of_two(people: People) -> None:
    pair = [people.join(), people.join()]
    for _ in range(5):
        case = people.opened()
        start, found = threading.Barrier(2), list[UUID]()

        def attempt(one: UUID, start: threading.Barrier, found: list[UUID]) -> None:
            start.wait()
            if claim(people, one) is not None:
                found.append(one)

        threads = [threading.Thread(target=attempt, args=(one, start, found)) for one in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [read(people, case).mediator_id] == found


def test_one_who_claims_twice_at_once_does_not_pass_their_cap(people: People) -> None:
    one = people.join(caseload_cap=1)
    for _ in range(4):
        people.opened()
    start, outcomes = threading.Barrier(4), list[str]()

    def attempt() -> None:
        start.wait()
        try:
            outcomes.append("none" if claim(people, one) is None else "got")
        except NotAvailable:
            outcomes.append("full")

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["full", "full", "full", "got"]


def test_the_next_passes_over_what_one_is_tied_to(people: People) -> None:
    one = people.join()
    first, second = people.opened(due_at=NOW + DAY), people.opened(due_at=NOW + 2 * DAY)
    with people.everywhere() as connection:
        tie = Tie(TieKind.HOUSEHOLD, people.platform_id, first.payee_id)
        mediators.declare(connection, one, tie, "my brother", NOW)
    claimed = claim(people, one)
    assert claimed is not None
    assert claimed.id == second.id
    assert claim(people, one) is None


def test_whoever_is_away_or_full_is_told_so(people: People) -> None:
    away, full = people.join(away_until=NOW + HOUR), people.join(caseload_cap=0)
    people.opened()
    for one, why in ((away, "away"), (full, "caseload_full")):
        with pytest.raises(NotAvailable) as refused:
            claim(people, one)
        assert refused.value.facts["reasons"] == [why]


def test_whoever_wrote_a_decision_cannot_claim_to_read_it(people: People) -> None:
    author = people.join()
    reader = people.join(roles=frozenset({"supervisor"}))
    case = people.opened(stage=Stage.SECOND_LOOK, mediator_id=author)
    assert claim(people, author) is None
    claimed = claim(people, reader)
    assert claimed is not None
    assert (claimed.id, claimed.mediator_id, claimed.second_id) == (case.id, author, reader)


def test_what_waits_is_drawn_as_soon_as_somebody_may(people: People) -> None:
    mediation = people.opened()
    appeal = Appeal(Side.PAYER, "procedure", "", NOW)
    heard = people.opened(stage=Stage.APPEAL, appeal=appeal, lines=lines(60_000))

    def again() -> list[UUID]:
        with people.inside() as connection:
            seed = lambda: os.urandom(32)  # noqa: E731
            found = hand_over.draw_again(connection, people.platform_id, seed, NOW, 10)
        return [case.id for case in found]

    with people.everywhere() as connection:
        waiting = queue.waiting(connection, 10, [people.platform_id])
    assert sorted(case_id for _, case_id in waiting) == sorted([mediation.id, heard.id])
    assert again() == []
    assert entries(people, mediation) == ["opened"]
    first = people.join()
    assert again() == [mediation.id]
    assert read(people, mediation).mediator_id == first
    for _ in range(2):
        people.join(roles=frozenset({"supervisor"}))
    assert again() == [heard.id]
    found = read(people, heard).appeal
    assert found is not None
    assert len(set(found.panel)) == 3
    assert again() == []


def test_who_declines_is_let_go_and_another_is_drawn(people: People) -> None:
    first, second = people.join(), people.join()
    case = people.opened()
    claimed = claim(people, first)
    assert claimed is not None
    offered = Proposal(uuid4(), first, Outcome.TO_PAYER, {}, "", NOW + DAY)
    people.changed(claimed, proposal=offered)
    with people.inside() as connection:
        moved = hand_over.decline(
            connection, case.platform_id, case.id, first, "I know them", SEED, NOW + HOUR
        )
    assert (moved.mediator_id, moved.left) == (second, frozenset({first}))
    assert moved.proposal is None  # nobody answers for what it proposes any more
    assert read(people, case) == moved
    assert entries(people, case) == ["opened", "assigned", "step", "declined", "assigned"]
    old, new = people.assignments(case)
    assert (old["ended_why"], new["mediator_id"], new["ended_at"]) == ("declined", second, None)
    with people.inside() as connection:
        alone = hand_over.decline(connection, case.platform_id, case.id, second, "x", SEED, NOW)
    assert alone.mediator_id is None
    assert entries(people, case)[-2:] == ["declined", "nobody_eligible"]
    assert claim(people, first) is None


def test_one_of_a_panel_who_declines_leaves_the_others_and_their_votes(people: People) -> None:
    four = [people.join() for _ in range(4)]
    case = people.opened(stage=Stage.APPEAL, appeal=Appeal(Side.PAYEE, "procedure", "", NOW))
    with people.inside() as connection:
        drawn = draw.draw(connection, case, "panel", SEED, NOW, 3)
    assert case.appeal is not None
    case = people.changed(case, appeal=replace(case.appeal, panel=drawn))
    with people.inside() as connection:
        moved = hand_over.decline(connection, case.platform_id, case.id, drawn[0], "ill", SEED, NOW)
    assert moved.appeal is not None
    assert moved.appeal.panel == (*drawn[1:], *(one for one in four if one not in drawn))


def test_a_seat_of_a_panel_that_nobody_could_take_is_drawn_as_soon_as_somebody_can(
    people: People,
) -> None:
    for _ in range(3):
        people.join()
    case = people.opened(stage=Stage.APPEAL, appeal=Appeal(Side.PAYEE, "procedure", "", NOW))
    with people.inside() as connection:
        drawn = draw.draw(connection, case, "panel", SEED, NOW, 3)
    assert case.appeal is not None
    voted = {drawn[1]: a_ruling(case, drawn[1])}
    case = people.changed(case, appeal=replace(case.appeal, panel=drawn, votes=voted))
    with people.inside() as connection:
        assert queue.waiting(connection, 10, [people.platform_id]) == []
        left = hand_over.decline(connection, case.platform_id, case.id, drawn[0], "ill", SEED, NOW)
    assert left.appeal is not None
    assert left.appeal.panel == drawn[1:]
    with people.inside() as connection:
        waiting = queue.waiting(connection, 10, [people.platform_id])
        assert waiting == [(people.platform_id, case.id)]
        assert hand_over.draw_again(connection, people.platform_id, lambda: SEED, NOW, 10) == []
    late = people.join()
    people.join(roles=frozenset({"operator"}))
    with people.inside() as connection:
        (seated,) = hand_over.draw_again(connection, people.platform_id, lambda: SEED, NOW, 10)
        assert queue.waiting(connection, 10, [people.platform_id]) == []
    assert seated.appeal is not None
    assert seated.appeal.panel == (*drawn[1:], late)
    assert seated.appeal.votes.keys() == voted.keys(), "a word that was given stands"


def test_only_who_has_the_case_declines_it_and_says_why(people: People) -> None:
    one, stranger = people.join(), people.join()
    case = people.opened()
    claim(people, one)
    with people.inside() as connection:
        for who, reason, error in (
            (stranger, "no", NotYourCase),
            (one, "  ", ReasonsMissing),
        ):
            with pytest.raises(error):
                hand_over.decline(connection, case.platform_id, case.id, who, reason, SEED, NOW)
        with pytest.raises(CaseNotFound):
            hand_over.decline(connection, case.platform_id, uuid4(), one, "no", SEED, NOW)
    assert read(people, case).mediator_id == one


@pytest.fixture
def mine(people: People) -> tuple[UUID, list[Case]]:
    """Somebody's cases, each different from the others in one thing or more."""
    one = people.join(caseload_cap=50)
    cases = [
        people.opened(due_at=NOW + 5 * DAY, opened_at=NOW - 1 * DAY, lines=lines(500)),
        people.opened(due_at=NOW + 1 * DAY, opened_at=NOW - 2 * DAY, lines=lines(9_000)),
        people.opened(
            due_at=NOW + 4 * DAY, opened_at=NOW - 9 * DAY, lines=lines(700, "JPY"), gentle=True
        ),
        people.opened(
            due_at=NOW + 2 * DAY,
            opened_at=NOW - 3 * DAY,
            lines=lines(3_000),
            cause=Cause.SILENCE,
            reason="silence",
            claimant=None,
            stage=Stage.DECISION,
        ),
    ]
    while claim(people, one):
        pass
    return one, cases


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        (Sort.DUE, [1, 3, 2, 0]),
        (Sort.AMOUNT, [1, 3, 2, 0]),
        (Sort.AGE, [2, 3, 1, 0]),
        (Sort.GENTLE, [2, 1, 3, 0]),
    ],
)
def test_a_queue_is_read_in_the_order_asked_for_whole_or_page_by_page(
    people: People, mine: tuple[UUID, list[Case]], sort: Sort, order: list[int]
) -> None:
    one, cases = mine
    wanted = [cases[number].id for number in order]
    with people.everywhere() as connection:
        whole = queue.page(connection, one, Filters(), sort)
        assert [ticket.case_id for ticket in whole] == wanted
        paged: list[Ticket] = []
        while part := queue.page(
            connection, one, Filters(), sort, after=paged[-1] if paged else None, limit=3
        ):
            paged += part
    assert paged == whole


def test_a_queue_is_narrowed_by_each_filter(people: People, mine: tuple[UUID, list[Case]]) -> None:
    one, cases = mine
    for filters, wanted in (
        (Filters(gentle=True), [2]),
        (Filters(causes=frozenset({Cause.SILENCE})), [3]),
        (Filters(reasons=frozenset({"not_received"})), [1, 2, 0]),
        (Filters(stages=frozenset({Stage.DECISION})), [3]),
        (Filters(unit="EUR", least_amount=3_000), [1, 3]),
        (Filters(due_before=NOW + 4 * DAY), [1, 3]),
        (Filters(platform_id=people.platform_id), [1, 3, 2, 0]),
        (Filters(platform_id=uuid4()), []),
    ):
        with people.everywhere() as connection:
            found = queue.page(connection, one, filters)
        assert [ticket.case_id for ticket in found] == [cases[n].id for n in wanted], filters


def test_the_short_reviews_come_with_what_is_needed_to_decide_each(
    people: People, mine: tuple[UUID, list[Case]]
) -> None:
    one, cases = mine
    with people.everywhere() as connection:
        [ticket] = queue.short_reviews(connection, one)
    assert (ticket.case_id, ticket.file, ticket.part) == (
        cases[3].id,
        cases[3].file,
        "mediator",
    )


def test_nobody_sees_what_is_not_theirs_but_a_supervisor_who_is_not_tied_to_it(
    people: People, new_platform: Callable[[], UUID], engine: Engine
) -> None:
    one, boss = people.join(), people.join(roles=frozenset({"supervisor"}))
    assigned, waits = people.opened(due_at=NOW + DAY), people.opened(due_at=NOW + 2 * DAY)
    assert claim(people, one) is not None
    foreign = People(engine, new_platform())
    foreign.opened()
    with people.everywhere() as connection:
        assert queue.page(connection, boss, Filters()) == []
        for whose in (Whose.ALL, Whose.WAITING):
            with pytest.raises(SupervisorOnly):
                queue.page(connection, one, Filters(whose=whose))
        every = queue.page(connection, boss, Filters(whose=Whose.ALL))
        assert [ticket.case_id for ticket in every] == [assigned.id, waits.id]
        assert {ticket.file is None for ticket in every} == {True}
        waiting = queue.page(connection, boss, Filters(whose=Whose.WAITING))
        assert [ticket.case_id for ticket in waiting] == [waits.id]
        tie = Tie(TieKind.HELPER, people.platform_id, waits.payer_id)
        mediators.declare(connection, boss, tie, "helps at home", NOW)
        assert queue.page(connection, boss, Filters(whose=Whose.WAITING)) == []
        mediators.declare(connection, boss, Tie(TieKind.STAFF, people.platform_id), "", NOW)
        assert queue.page(connection, boss, Filters(whose=Whose.ALL)) == []


def test_a_vote_that_was_given_is_not_taken_back_by_declining(people: People) -> None:
    one = people.join()
    appeal = Appeal(Side.PAYEE, "procedure", "", NOW)
    case = people.opened(stage=Stage.APPEAL, appeal=appeal)
    with people.inside() as connection:
        draw.draw(connection, case, "panel", SEED, NOW)
    ruling = a_ruling(case, one)
    case = people.changed(case, appeal=replace(appeal, panel=(one,), votes={one: ruling}))
    with pytest.raises(AlreadyVoted), people.inside() as connection:
        hand_over.decline(connection, case.platform_id, case.id, one, "no", SEED, NOW)


def test_what_waits_is_found_without_reading_every_case_there_ever_was(people: People) -> None:
    people.opened()
    with people.inside() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.scalars(
            text(
                f"EXPLAIN SELECT c.id FROM disputes.case AS c WHERE {queue.WAITS} "
                "ORDER BY c.due_at, c.id LIMIT 10"
            )
        ).all()
    assert any("ix_case_waits" in line for line in plan), plan
