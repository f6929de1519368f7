"""A case and those who are drawn for it, step by step through the database."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine

from disputes import cases, draw, hand_over, journal, queue, strikes
from disputes.cases import NewCase
from disputes.commands import Command, Move
from disputes.model import Case, Cause, Stage
from disputes.outcomes import Line, Outcome, Side
from disputes.reasons import REASONS, SILENCE
from disputes.refusals import ReasonsMissing
from disputes.strikes import CoolDown
from ledger.refusals import Refusal
from tests.disputes.people import DAY, HOUR, NOW, People, a_case, a_ruling

TEXT = "The photographs show the scratch that the seller's own text denies. " * 3


@pytest.fixture
def people(engine: Engine, platform_id: UUID) -> People:
    return People(engine, platform_id)


def by_lot(now: datetime) -> cases.Draw:
    def drawn(connection: Connection, case: Case, part: str, how_many: int) -> tuple[UUID, ...]:
        return draw.draw(connection, case, part, os.urandom(32), now, how_many)

    return drawn


def claimed(people: People, why: str = "not_received", **more: Any) -> Case:
    new: dict[str, Any] = {
        "id": uuid4(),
        "subject_id": uuid4(),
        "kind": "sale",
        "cause": Cause.CLAIM,
        "reason": REASONS[why],
        "claimant": Side.PAYER,
        "payer_id": uuid4(),
        "payee_id": uuid4(),
        "lines": (Line(uuid4(), "EUR", 60_000),),
        "decide_by": NOW + 80 * DAY,
        "agreed": {},
        "answers": {},
        "panel": 3,
    }
    with people.inside() as connection:
        [case] = cases.open_cases(
            connection, people.platform_id, [NewCase(**(new | more))], by_lot(NOW), NOW
        )
    assert isinstance(case, Case)
    return case


def act(people: People, case: Case, now: datetime, step: str, **more: Any) -> Case:
    with people.inside() as connection:
        command = Command(step, uuid4(), **more)
        [outcome] = cases.act(
            connection, people.platform_id, [(case.id, command)], by_lot(now), now
        )
    if isinstance(outcome, Refusal):
        raise outcome
    assert isinstance(outcome, Move)
    return outcome.case


def open_parts(people: People, case: Case) -> Mapping[UUID, str]:
    rows = people.assignments(case)
    return {row["mediator_id"]: row["part"] for row in rows if row["ended_at"] is None}


def decide(people: People, case: Case, now: datetime, outcome: Outcome) -> Case:
    return act(
        people,
        case,
        now,
        "decide",
        mediator_id=case.mediator_id,
        outcome=outcome,
        text=TEXT,
        reason_code="facts",
    )


def test_five_people_decide_one_case_and_each_is_free_again_when_their_part_is_done(
    people: People,
) -> None:
    for _ in range(6):
        people.join(caseload_cap=1)
    case = claimed(people, "unauthorised", second=True)
    assert case.mediator_id is not None
    assert open_parts(people, case) == {case.mediator_id: "mediator"}
    case = decide(people, case, NOW + DAY, Outcome.TO_PAYER)
    assert case.second_id is not None
    assert open_parts(people, case) == {case.mediator_id: "mediator", case.second_id: "second"}
    case = act(people, case, NOW + DAY, "agree_with", mediator_id=case.second_id)
    assert (case.stage, open_parts(people, case)) == (Stage.APPEALABLE, {})
    case = act(
        people,
        case,
        NOW + 2 * DAY,
        "appeal",
        member_id=case.payee_id,
        reason_code="procedure",
        text="Not asked.",
    )
    assert case.appeal is not None
    assert open_parts(people, case) == dict.fromkeys(case.appeal.panel, "panel")
    assert len({*case.appeal.panel, case.mediator_id, case.second_id}) == 5
    for one in case.appeal.panel:
        vote = {"outcome": Outcome.TO_PAYEE, "text": TEXT, "reason_code": "facts"}
        if case.stage is not Stage.CLOSED:
            case = act(people, case, NOW + 3 * DAY, "vote", mediator_id=one, **vote)
    assert (case.stage, case.outcome) == (Stage.CLOSED, Outcome.TO_PAYEE)
    assert open_parts(people, case) == {}
    assert {row["ended_why"] for row in people.assignments(case)} == {"done"}
    with people.inside() as connection:
        lines = journal.read(connection, case.platform_id, case.id)
    assert journal.first_broken(lines) is None


def test_one_who_is_silent_and_one_who_is_challenged_do_not_come_back(people: People) -> None:
    for _ in range(3):
        people.join()
    case = claimed(people, "unauthorised")
    gone = [case.mediator_id]
    case = act(people, case, case.due_at, "end_mediation")
    case = act(people, case, case.due_at, "reassign")
    gone.append(case.mediator_id)
    now = case.stage_since + HOUR
    case = act(people, case, now, "challenge", member_id=case.payee_id, text="my neighbour")
    assert case.mediator_id is not None
    assert len({*gone, case.mediator_id}) == 3
    assert open_parts(people, case) == {case.mediator_id: "mediator"}
    assert [row["ended_why"] for row in people.assignments(case)] == ["left", "left", None]
    case = act(people, case, case.due_at, "reassign")
    assert (case.mediator_id, open_parts(people, case)) == (None, {})  # it waits in the queue
    newcomer = people.join()
    with people.everywhere() as connection:
        taken = hand_over.claim_next(connection, newcomer, case.stage_since)
    assert taken is not None
    assert (taken.id, taken.mediator_id) == (case.id, newcomer)


def test_short_reviews_are_decided_together_and_each_by_a_reasoned_decision_of_its_own(
    people: People,
) -> None:
    one = people.join()
    quiet: dict[str, Any] = {"cause": Cause.SILENCE, "reason": SILENCE, "claimant": None}
    opened = sorted((claimed(people, **quiet) for _ in range(3)), key=lambda case: case.id)
    claimed(people, "unauthorised")
    with people.everywhere() as connection:
        tickets = queue.short_reviews(connection, one)
    assert [ticket.case_id for ticket in tickets] == [case.id for case in opened]
    assert [ticket.file for ticket in tickets] == [case.file for case in opened]
    said = (TEXT + "First.", "same as above", TEXT + "Third.")
    commands = [
        (
            ticket.case_id,
            Command(
                "decide",
                uuid4(),
                mediator_id=one,
                outcome=Outcome.TO_PAYER,
                text=text,
                reason_code="not_proven",
            ),
        )
        for ticket, text in zip(tickets, said, strict=True)
    ]
    with people.inside() as connection:
        first, second, third = cases.act(connection, people.platform_id, commands, by_lot(NOW), NOW)
    assert isinstance(second, ReasonsMissing)
    for move, text in ((first, said[0]), (third, said[2])):
        assert isinstance(move, Move)
        assert move.case.ruling is not None
        assert (move.case.stage, move.case.ruling.reasons) == (Stage.APPEALABLE, text)
    with people.everywhere() as connection:
        [left] = queue.short_reviews(connection, one)
    assert left.case_id == opened[1].id


def test_bad_faith_delays_the_mediator_and_not_the_case(people: People) -> None:
    by, member = people.join(), uuid4()
    for _ in range(3):
        old = people.opened(a_case(people.platform_id, payer_id=member))
        old = people.changed(old, stage=Stage.APPEALABLE, ruling=a_ruling(old, by))
        with people.inside() as connection:
            strikes.add(connection, old, member, by, "untrue_facts", NOW - DAY)
    case = claimed(people, payer_id=member)
    with pytest.raises(CoolDown):
        act(people, case, NOW + 3 * DAY, "call_mediator", member_id=member)
    soon = NOW + timedelta(days=7)
    assert act(people, case, soon, "call_mediator", member_id=member).stage is Stage.MEDIATION
    other = claimed(people, payer_id=member)
    moved = act(people, other, NOW + 3 * DAY, "call_mediator", member_id=other.payee_id)
    assert moved.stage is Stage.MEDIATION
