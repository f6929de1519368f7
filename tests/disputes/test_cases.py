"""Cases in the database: opened, stepped, journaled, and never ownerless or late in silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import pytest
from psycopg.errors import RestrictViolation
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from disputes import cases, journal, store
from disputes.cases import NewCase
from disputes.commands import Command, Entry, Move
from disputes.model import Case, Cause, Stage
from disputes.outcomes import Line, Outcome, Side
from disputes.reasons import REASONS, SILENCE
from disputes.refusals import CaseNotFound, CaseOpen, NobodyEligible, NotYourCase
from ledger.refusals import Refusal
from service import db

NOW: Final = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)
WHY: Final = "The photographs show the scratch that the seller's own text denies. " * 3
PEOPLE: Final = tuple(uuid4() for _ in range(6))


def draw(_connection: Connection, case: Case, _part: str, how_many: int) -> tuple[UUID, ...]:
    """Whoever is not on the case yet."""
    on_it = case.left | {case.mediator_id, case.second_id}
    free = [one for one in PEOPLE if one not in on_it]
    if len(free) < how_many:
        raise NobodyEligible("Everybody was on it.")
    return tuple(free[:how_many])


def nobody(_connection: Connection, _case: Case, part: str, _how_many: int) -> tuple[UUID, ...]:
    raise NobodyEligible("Nobody.", reasons={"caseload_full": 2})


@pytest.fixture
def connection(engine: Engine, platform_id: UUID) -> Iterator[Connection]:
    with db.transaction(engine, platform_id) as connection:
        yield connection


def new(**more: Any) -> NewCase:
    found = NewCase(
        id=uuid4(),
        subject_id=uuid4(),
        kind="sale",
        cause=Cause.CLAIM,
        reason=REASONS["not_received"],
        claimant=Side.PAYER,
        payer_id=uuid4(),
        payee_id=uuid4(),
        lines=(Line(uuid4(), "EUR", 6_500), Line(uuid4(), "HOURS", 1)),
        decide_by=NOW + timedelta(days=60),
        agreed={"title": "A bicycle"},
        answers={"when_expected": "on Monday"},
    )
    return replace(found, **more)


def opened(connection: Connection, platform_id: UUID, **more: Any) -> Case:
    (case,) = cases.open_cases(connection, platform_id, [new(**more)], draw, NOW)
    assert isinstance(case, Case)
    return case


def act(
    connection: Connection, case: Case, name: str, now: datetime = NOW, **more: Any
) -> Move | Refusal:
    command = Command(name, uuid4(), **more)
    (done,) = cases.act(connection, case.platform_id, [(case.id, command)], draw, now)
    return done


def step(connection: Connection, case: Case, name: str, now: datetime = NOW, **more: Any) -> Case:
    done = act(connection, case, name, now, **more)
    assert isinstance(done, Move), done
    return done.case


def read(connection: Connection, case: Case) -> Case:
    return store.load(connection, case.platform_id, [case.id], lock=False)[case.id]


def test_what_was_written_is_read_back_as_it_was_at_every_stage(
    connection: Connection, platform_id: UUID
) -> None:
    case = opened(connection, platform_id)
    assert read(connection, case) == case
    case = step(
        connection,
        case,
        "make_offer",
        member_id=case.payee_id,
        outcome=Outcome.SPLIT,
        split={line.id: 1 for line in case.lines},
        text="Half?",
    )
    assert case.offer is not None
    assert read(connection, case) == case
    case = step(connection, case, "end_talk", case.due_at)
    at = case.stage_since
    case = step(
        connection, case, "propose", at, mediator_id=case.mediator_id, outcome=Outcome.TO_PAYER
    )
    assert case.proposal is not None
    case = step(
        connection, case, "accept_proposal", at, member_id=case.payer_id, about=case.proposal.id
    )
    assert read(connection, case) == case
    decision = {"outcome": Outcome.CANNOT_DECIDE, "reason_code": "not_proven", "text": WHY}
    case = step(connection, case, "decide", at, mediator_id=case.mediator_id, **decision)
    assert case.stage is Stage.SECOND_LOOK
    assert read(connection, case) == case
    case = step(connection, case, "agree_with", at, mediator_id=case.second_id)
    case = step(
        connection,
        case,
        "appeal",
        at,
        member_id=case.payee_id,
        text="New photos.",
        reason_code="new_evidence",
    )
    assert case.appeal is not None
    assert len(case.appeal.panel) == 1, "less than is heard by three"
    vote = {"outcome": Outcome.TO_PAYEE, "reason_code": "evidence", "text": WHY}
    case = step(connection, case, "vote", at, mediator_id=case.appeal.panel[0], **vote)
    assert case.stage is Stage.CLOSED
    assert case.settlement == {line.id: line.amount for line in case.lines}
    assert read(connection, case).settlement == case.settlement


def test_the_file_says_before_how_it_can_end_and_what_each_end_would_move(
    connection: Connection, platform_id: UUID
) -> None:
    case = opened(connection, platform_id)
    shown = {one["outcome"]: one["to_payee"] for one in case.file["outcomes"]}
    first = str(case.lines[0].id)
    assert shown["to_payee"][first] == 6_500
    assert shown["to_payer"][first] == shown["cannot_decide"][first] == 0
    assert "return_then_refund" not in shown
    assert cases.fingerprint(case.file) == case.file_hash


def test_the_journal_is_a_chain_that_shows_every_change(
    connection: Connection, platform_id: UUID
) -> None:
    case = opened(connection, platform_id)
    step(connection, case, "end_talk", case.due_at)
    lines = journal.read(connection, platform_id, case.id)
    assert [line.type for line in lines] == ["opened", "talk_ended", "assigned"]
    assert journal.first_broken(lines) is None
    for index, line in enumerate(lines):
        changes: list[dict[str, Any]] = [
            {"actor": "somebody"},
            {"data": {**line.data, "x": 1}},
            {"at": line.at + timedelta(microseconds=1)},
            {"sequence": line.sequence + 1},
        ]
        for change in changes:
            spoiled = [*lines[:index], replace(line, **change), *lines[index + 1 :]]
            assert journal.first_broken(spoiled) == index + 1
    assert journal.first_broken(lines[1:]) == 1
    forged = journal.chain(case.id, [Entry("decided", "clock")], 0, bytes(32), NOW)
    assert journal.first_broken([*forged, *lines[1:]]) == 2


def test_the_database_refuses_to_change_the_journal_or_what_a_case_is_about(
    engine: Engine, platform_id: UUID
) -> None:
    with db.transaction(engine, platform_id) as connection:
        case = opened(connection, platform_id)
    for statement in (
        "UPDATE disputes.case SET reason = 'damaged' WHERE id = :id",
        "UPDATE disputes.case SET lines = '[]' WHERE id = :id",
        "UPDATE disputes.case SET file = '{}' WHERE id = :id",
    ):
        with (
            pytest.raises(DBAPIError) as refused,
            db.transaction(engine, platform_id) as connection,
        ):
            connection.execute(text(statement), {"id": case.id})
        assert isinstance(refused.value.orig, RestrictViolation)
    with pytest.raises(DBAPIError), db.transaction(engine, platform_id) as connection:
        connection.execute(text("DELETE FROM disputes.entry WHERE case_id = :id"), {"id": case.id})


def test_one_subject_has_one_open_case_and_another_when_that_is_closed(
    engine: Engine, platform_id: UUID
) -> None:
    subject = uuid4()
    with db.transaction(engine, platform_id) as connection:
        case = opened(connection, platform_id, subject_id=subject)
        twice = [new(subject_id=subject), new(subject_id=uuid4())]
        found = cases.open_cases(connection, platform_id, twice, draw, NOW)
        assert isinstance(found[0], CaseOpen)
        assert isinstance(found[1], Case)
        step(connection, case, "withdraw_claim", member_id=case.payer_id)
        opened(connection, platform_id, subject_id=subject)
    other = replace(case, id=uuid4())
    with pytest.raises(IntegrityError), db.transaction(engine, platform_id) as connection:
        store.insert(connection, platform_id, [Move(other, [Entry("opened", "payer")])], NOW)


def test_one_refusal_in_a_batch_leaves_the_others(
    connection: Connection, platform_id: UUID
) -> None:
    one, other = opened(connection, platform_id), opened(connection, platform_id)
    stranger = Command("make_offer", uuid4(), member_id=uuid4(), outcome=Outcome.TO_PAYER)
    fair = Command("make_offer", uuid4(), member_id=other.payee_id, outcome=Outcome.TO_PAYER)
    found = cases.act(
        connection,
        platform_id,
        [(one.id, stranger), (other.id, fair), (uuid4(), fair)],
        draw,
        NOW,
    )
    assert isinstance(found[0], NotYourCase)
    assert isinstance(found[1], Move)
    assert isinstance(found[2], CaseNotFound)
    assert read(connection, one) == one
    assert read(connection, other).offer is not None


def test_silence_begins_with_a_neutral_and_so_does_what_may_do_harm(
    connection: Connection, platform_id: UUID
) -> None:
    silent = opened(connection, platform_id, cause=Cause.SILENCE, reason=SILENCE, claimant=None)
    assert silent.stage is Stage.DECISION
    assert silent.mediator_id in PEOPLE
    scam = opened(connection, platform_id, reason=REASONS["pressure_or_scam"])
    assert scam.stage is Stage.MEDIATION
    assert scam.mediator_id in PEOPLE


def test_without_anybody_a_case_waits_in_the_queue_with_its_clock_running(
    connection: Connection, platform_id: UUID
) -> None:
    (case,) = cases.open_cases(
        connection, platform_id, [new(reason=REASONS["unauthorised"])], nobody, NOW
    )
    assert isinstance(case, Case)
    assert case.mediator_id is None
    assert case.due_at > NOW
    last = journal.read(connection, platform_id, case.id)[-1]
    assert (last.type, last.data["reasons"]) == ("nobody_eligible", {"caseload_full": 2})


def test_the_clock_brings_every_case_to_its_end_whatever_its_people_do(
    connection: Connection, platform_id: UUID
) -> None:
    made = [opened(connection, platform_id, gentle=gentle) for gentle in (True, False)]
    now = NOW
    for _ in range(200):
        now += timedelta(hours=12)
        found = [
            (case_id, Command(name, uuid4()))
            for case_id, name in cases.due(connection, platform_id, now, 100)
        ]
        for done in cases.act(connection, platform_id, found, draw, now):
            assert isinstance(done, Move), done
        waiting = connection.scalar(
            text("SELECT count(*) FROM disputes.case WHERE due_at <= :now"), {"now": now}
        )
        assert waiting == 0, "nothing is late in silence"
    for case in made:
        ended = read(connection, case)
        assert ended.outcome is Outcome.CANNOT_DECIDE
        assert ended.closed_at is not None
        assert ended.closed_at <= case.decide_by + timedelta(hours=12)
        lines = journal.read(connection, platform_id, case.id)
        assert journal.first_broken(lines) is None
        assert len(lines) == ended.entries
