"""Evidence of a case: who brings what, when it is late, what is asked, seen and deleted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from disputes import evidence, evidence_deletion, journal, requests, store, views
from disputes.evidence import MOST_BYTES, MOST_PIECES, New
from disputes.evidence_refusals import (
    AnswerDoesNotFit,
    AskedAlready,
    EvidenceDeleted,
    EvidenceNotFound,
    NotListed,
    RequestAnswered,
    RequestNotFound,
    SortRefused,
    TooMuchEvidence,
)
from disputes.evidence_rows import Piece, StoredFile
from disputes.model import Case, Stage
from disputes.outcomes import Outcome, Side
from disputes.reasons import REASONS, SILENCE, missing
from disputes.refusals import CaseClosed, CaseNotFound, NotNowInCase, NotYourCase
from service.ids import uuid7
from tests.disputes.people import DAY, HOUR, NOW, People, a_case, a_ruling

PHOTO = StoredFile("a" * 64, "b" * 64, "image/jpeg", 1_000)
PAPER = StoredFile("c" * 64, "d" * 64, "application/pdf", 2_000)


@pytest.fixture
def people(engine: Engine, platform_id: UUID) -> People:
    return People(engine, platform_id)


def bring(
    people: People,
    case: Case,
    by: UUID | None,
    sort: str = "text",
    now: datetime = NOW,
    **more: Any,
) -> Piece:
    if sort == "text":
        more.setdefault("text", "It never came.")
    with people.inside() as connection:
        new = New(uuid7(), case.id, sort, by, "member" if by else "platform", **more)
        return evidence.add(connection, people.platform_id, new, now)


def lines(people: People, case: Case) -> list[journal.Line]:
    with people.inside() as connection:
        return journal.read(connection, people.platform_id, case.id)


def ask(
    people: People,
    case: Case,
    mediator: UUID,
    side: Side = Side.PAYEE,
    now: datetime = NOW,
    **what: str,
) -> requests.Request:
    with people.inside() as connection:
        held = evidence.open_case(connection, people.platform_id, case.id, lock=True)
        return requests.ask(connection, held, uuid7(), mediator, side, what, now)


def close(people: People, case: Case, now: datetime) -> Case:
    with people.inside() as connection:
        held = store.load(connection, people.platform_id, [case.id], lock=True)[case.id]
    return people.changed(
        held, now, stage=Stage.CLOSED, outcome=Outcome.TO_PAYER, closed_at=now, mediator_id=None
    )


def test_a_piece_has_its_hash_author_time_and_a_line_of_the_journal(people: People) -> None:
    case = people.opened()
    piece = bring(people, case, case.payer_id, "photo", NOW + HOUR, file=PHOTO, text="The box.")
    with people.inside() as connection:
        [found] = evidence.of_case(connection, people.platform_id, case.id)
    assert found == piece
    assert (found.author, found.at, found.late, found.file) == ("payer", NOW + HOUR, False, PHOTO)
    assert found.hash == evidence.content_hash("photo", "The box.", {}, PHOTO.hash)
    _opened, line = lines(people, case)
    assert (line.type, line.actor, line.at) == ("evidence_added", "payer", NOW + HOUR)
    assert line.data["hash"] == found.hash
    assert line.data["file_hash"] == PHOTO.hash
    assert "The box." not in str(line.data)
    assert journal.first_broken(lines(people, case)) is None


def test_every_sort_that_a_reason_names_can_be_brought_by_somebody() -> None:
    named = set().union(*(one.needs | one.helps for one in (*REASONS.values(), SILENCE)))
    assert named <= evidence.SORTS
    assert {"carrier", "handover_proof"} == evidence.SORTS - evidence.OF_SIDES


def test_a_claim_is_complete_once_what_its_reason_needs_was_brought(people: People) -> None:
    case = people.opened(reason="damaged")
    with people.inside() as connection:
        brought = evidence.given(connection, people.platform_id, case.id)
    assert missing(REASONS["damaged"], brought) == ["photo"]
    bring(people, case, case.payer_id, "photo", file=PHOTO)
    with people.inside() as connection:
        brought = evidence.given(connection, people.platform_id, case.id)
    assert missing(REASONS["damaged"], brought) == []


@pytest.mark.parametrize("sort", ["carrier", "handover_proof"])
def test_what_a_carrier_or_a_hand_over_proves_is_the_platform_s_to_bring(
    people: People, sort: str
) -> None:
    case = people.opened()
    facts = {"event": "delivered", "at": "2027-02-28T10:00:00Z"}
    with pytest.raises(SortRefused):
        bring(people, case, case.payee_id, sort, data=facts)
    piece = bring(people, case, None, sort, data=facts)
    assert (piece.author, piece.via, piece.data) == ("platform", "platform", facts)


@pytest.mark.parametrize(
    ("sort", "more"),
    [
        ("photo", {"text": "No file at all."}),
        ("document", {}),
        ("photo", {"file": PAPER}),
        ("text", {"file": PHOTO}),
        ("condition_out", {"data": {"part": "frame"}}),
        ("text", {"text": "  \n"}),
        ("gps", {"text": "There."}),
    ],
)
def test_a_sort_in_another_form_than_its_own_is_refused_and_nothing_is_kept(
    people: People, sort: str, more: dict[str, Any]
) -> None:
    case = people.opened()
    with pytest.raises(SortRefused):
        bring(people, case, case.payer_id, sort, **more)
    with people.inside() as connection:
        assert evidence.of_case(connection, people.platform_id, case.id) == []
    assert len(lines(people, case)) == 1


def test_facts_without_any_fact_are_refused(people: People) -> None:
    with pytest.raises(SortRefused):
        bring(people, people.opened(), None, "carrier", text="It was delivered, believe me.")


def test_a_stranger_a_foreign_case_and_a_closed_one_are_refused(
    people: People, engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    case = people.opened()
    with pytest.raises(NotYourCase):
        bring(people, case, uuid4())
    other = People(engine, new_platform())
    with pytest.raises(CaseNotFound):
        bring(other, case, case.payer_id)
    with pytest.raises(CaseNotFound):
        bring(people, a_case(people.platform_id), None)
    close(people, case, NOW + DAY)
    with pytest.raises(CaseClosed):
        bring(people, case, case.payer_id)


@pytest.mark.parametrize(
    ("more", "late"),
    [
        ({"stage": Stage.TALK}, False),
        ({"stage": Stage.MEDIATION}, False),
        ({"stage": Stage.DECISION}, True),
        ({"stage": Stage.SECOND_LOOK}, True),
        ({"stage": Stage.APPEALABLE}, True),
        ({"stage": Stage.APPEAL}, True),
        ({"stage": Stage.RETURNING}, False),
        # Nobody claimed, or nobody confirmed a return: the neutral's first look is the time for it.
        ({"stage": Stage.DECISION, "claimant": None, "reason": "silence"}, False),
        ({"stage": Stage.SECOND_LOOK, "claimant": None, "reason": "silence"}, True),
        ({"stage": Stage.DECISION, "returned_at": NOW}, False),
    ],
)
def test_what_comes_when_the_time_for_evidence_is_over_is_kept_and_marked(
    people: People, more: dict[str, Any], late: bool
) -> None:
    case = people.opened(**more)
    assert bring(people, case, case.payee_id).late is late
    assert lines(people, case)[-1].data["late"] is late


def test_a_decision_that_was_sent_back_does_not_open_the_time_again(people: People) -> None:
    case = a_case(people.platform_id, stage=Stage.DECISION, claimant=None, reason="silence")
    case = people.opened(case, ruling=None)
    written = people.changed(case, ruling=a_ruling(case, uuid4()))
    assert bring(people, written, written.payer_id).late


def test_a_side_brings_so_many_pieces_and_the_other_is_not_held_to_it(people: People) -> None:
    case = people.opened()
    for _ in range(MOST_PIECES):
        bring(people, case, case.payer_id)
    with pytest.raises(TooMuchEvidence):
        bring(people, case, case.payer_id)
    assert bring(people, case, case.payee_id).ordinal == MOST_PIECES + 1


def test_a_side_brings_so_many_bytes(people: People) -> None:
    case = people.opened()
    whole = StoredFile("a" * 64, "b" * 64, "image/jpeg", MOST_BYTES)
    bring(people, case, case.payer_id, "photo", file=whole)
    with pytest.raises(TooMuchEvidence):
        bring(people, case, case.payer_id, "photo", file=PHOTO)
    bring(people, case, case.payer_id)
    bring(people, case, case.payee_id, "photo", file=PHOTO)


def test_condition_records_stand_beside_each_other_part_by_part(people: People) -> None:
    case = people.opened(kind="rental", reason="deposit_damage")
    out_frame = bring(
        people, case, case.payee_id, "condition_out", file=PHOTO, data={"part": "frame"}
    )
    back_bell = bring(
        people, case, case.payee_id, "condition_back", text="Gone.", data={"part": "bell"}
    )
    back_frame = bring(
        people, case, case.payer_id, "condition_back", file=PHOTO, data={"part": "frame"}
    )
    bring(people, case, case.payer_id)
    with people.inside() as connection:
        found = evidence.side_by_side(evidence.of_case(connection, people.platform_id, case.id))
    assert [(one.part, one.out, one.back) for one in found] == [
        ("frame", (out_frame,), (back_frame,)),
        ("bell", (), (back_bell,)),
    ]


def test_a_neutral_asks_for_what_the_reason_lists_and_a_side_answers_it(people: People) -> None:
    mediator = people.join()
    case = people.opened(mediator_id=mediator)
    photo = ask(people, case, mediator, sort="photo")
    question = ask(people, case, mediator, question="how_handed_over")
    assert (photo.side, photo.due_at) == (Side.PAYEE, NOW + requests.ANSWER_WITHIN)
    brought = bring(people, case, case.payee_id, "photo", file=PHOTO, request_id=photo.id)
    said = bring(people, case, case.payee_id, text="In person.", request_id=question.id)
    with people.inside() as connection:
        found = requests.of_case(connection, people.platform_id, case.id)
    assert [(one.evidence_id, one.answered_at) for one in found] == [
        (brought.id, NOW),
        (said.id, NOW),
    ]
    assert [line.type for line in lines(people, case)] == [
        "opened",
        "evidence_requested",
        "evidence_requested",
        "evidence_added",
        "evidence_answered",
        "evidence_added",
        "evidence_answered",
    ]
    assert lines(people, case)[1].actor == f"mediator:{mediator}"


@pytest.mark.parametrize(
    ("side", "what"),
    [
        (Side.PAYEE, {"sort": "condition_out"}),  # not of this reason
        (Side.PAYEE, {"sort": "carrier"}),  # no side's to bring
        (Side.PAYEE, {"sort": "bank_statement"}),
        (Side.PAYEE, {"question": "when_expected"}),  # asked of the claimant
        (Side.PAYER, {"question": "how_handed_over"}),  # asked of the other side
        (Side.PAYEE, {"question": "where_do_you_live"}),
        (Side.PAYEE, {"sort": "how_handed_over"}),
        (Side.PAYEE, {"sort": "photo", "question": "how_handed_over"}),
        (Side.PAYEE, {}),
    ],
)
def test_nothing_else_may_be_asked_of_a_party(
    people: People, side: Side, what: dict[str, str]
) -> None:
    mediator = people.join()
    case = people.opened(mediator_id=mediator)
    with pytest.raises(NotListed):
        ask(people, case, mediator, side, NOW, **what)
    assert len(lines(people, case)) == 1


def test_only_whoever_has_the_case_asks_and_only_while_it_is_looked_into(people: People) -> None:
    mediator, other = people.join(), people.join()
    case = people.opened(mediator_id=mediator)
    with pytest.raises(NotYourCase):
        ask(people, case, other, sort="photo")
    decided = people.changed(case, stage=Stage.RETURNING)
    with pytest.raises(NotNowInCase):
        ask(people, decided, mediator, sort="photo")


def test_the_same_is_not_asked_twice_while_it_is_open(people: People) -> None:
    mediator = people.join()
    case = people.opened(mediator_id=mediator)
    first = ask(people, case, mediator, sort="photo")
    with pytest.raises(AskedAlready):
        ask(people, case, mediator, sort="photo")
    ask(people, case, mediator, Side.PAYER, sort="photo")
    bring(people, case, case.payee_id, "photo", file=PHOTO, request_id=first.id)
    ask(people, case, mediator, sort="photo")


def test_a_request_is_answered_once_by_its_side_with_what_it_asks_for(people: People) -> None:
    mediator = people.join()
    case, elsewhere = people.opened(mediator_id=mediator), people.opened(mediator_id=mediator)
    asked = ask(people, case, mediator, sort="photo")
    with pytest.raises(RequestNotFound):
        bring(people, case, case.payer_id, "photo", file=PHOTO, request_id=asked.id)
    with pytest.raises(RequestNotFound):
        bring(people, elsewhere, elsewhere.payee_id, "photo", file=PHOTO, request_id=asked.id)
    with pytest.raises(AnswerDoesNotFit):
        bring(people, case, case.payee_id, request_id=asked.id)
    bring(people, case, case.payee_id, "photo", file=PHOTO, request_id=asked.id)
    with pytest.raises(RequestAnswered):
        bring(people, case, case.payee_id, "photo", file=PHOTO, request_id=asked.id)


@pytest.mark.parametrize(
    ("after", "late"), [(timedelta(), False), (timedelta(microseconds=1), True)]
)
def test_what_was_asked_for_is_in_time_until_it_is_due_and_kept_as_late_after(
    people: People, after: timedelta, late: bool
) -> None:
    mediator = people.join()
    case = people.opened(mediator_id=mediator, stage=Stage.DECISION)
    asked = ask(people, case, mediator, sort="text")
    brought = bring(people, case, case.payee_id, now=asked.due_at + after, request_id=asked.id)
    assert brought.late is late
    assert bring(people, case, case.payee_id, now=NOW).late


def test_a_request_is_due_before_the_stage_ends(people: People) -> None:
    mediator = people.join()
    case = people.opened(mediator_id=mediator, due_at=NOW + HOUR)
    assert ask(people, case, mediator, sort="text").due_at == NOW + HOUR
    with pytest.raises(NotNowInCase):
        ask(people, case, mediator, Side.PAYER, NOW + HOUR, sort="text")


def test_every_look_is_written_down(people: People) -> None:
    mediator = people.join()
    case = people.opened(mediator_id=mediator)
    first = bring(people, case, case.payer_id, "photo", file=PHOTO)
    said = bring(people, case, case.payee_id)
    with people.inside() as connection:
        key = (connection, people.platform_id, case.id)
        assert views.see_list(*key, "payee", NOW) == [first, said]
        assert views.see_file(*key, first.id, f"mediator:{mediator}", NOW + HOUR) == first
        with pytest.raises(EvidenceNotFound):
            views.see_file(*key, said.id, "payer", NOW + HOUR)
        with pytest.raises(EvidenceNotFound):
            views.see_file(*key, uuid4(), "payer", NOW + HOUR)
        found = views.of_case(*key)
    assert [(one.viewer, one.at, one.evidence_id, one.upto) for one in found] == [
        ("payee", NOW, None, 2),
        (f"mediator:{mediator}", NOW + HOUR, first.id, None),
    ]


def test_what_was_said_goes_on_its_date_and_the_hashes_stay(people: People) -> None:
    case = people.opened()
    photo = bring(people, case, case.payer_id, "photo", file=PHOTO, text="The box.")
    bring(people, case, None, "carrier", data={"event": "delivered"}, keep_days=200)
    assert photo.delete_at is None
    ended = NOW + DAY
    close(people, case, ended)
    date = ended + timedelta(days=evidence.KEEP_DAYS)

    def deleted(now: datetime) -> list[str | None]:
        with people.inside() as connection:
            return evidence_deletion.delete_due(connection, people.platform_id, now, 100)

    assert deleted(date - timedelta(microseconds=1)) == []
    assert deleted(date) == [PHOTO.hash]
    assert deleted(date) == []
    with people.inside() as connection:
        key = (connection, people.platform_id, case.id)
        gone, kept = evidence.of_case(*key)
        with pytest.raises(EvidenceDeleted):
            views.see_file(*key, photo.id, "payer", date)
    assert (gone.text, gone.data, gone.delete_at, gone.deleted_at) == (None, {}, date, date)
    assert (gone.hash, gone.file) == (photo.hash, PHOTO)
    assert (kept.data, kept.deleted_at) == ({"event": "delivered"}, None)
    assert deleted(ended + timedelta(days=200)) == [None]
    assert journal.first_broken(lines(people, case)) is None


def test_evidence_of_an_open_case_has_no_date(people: People) -> None:
    case = people.opened()
    bring(people, case, case.payer_id)
    with people.inside() as connection:
        assert not evidence_deletion.delete_due(
            connection, people.platform_id, NOW + 10_000 * DAY, 100
        )


def test_a_file_is_in_use_while_any_platform_needs_it(
    people: People, engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    other = People(engine, new_platform())
    file = StoredFile(uuid4().hex * 2, "b" * 64, "image/jpeg", 10)
    first, second = people.opened(), other.opened()
    bring(people, first, first.payer_id, "photo", file=file)
    bring(other, second, second.payer_id, "photo", file=file)
    for closing, case, still in ((people, first, {file.hash}), (other, second, set())):
        close(closing, case, NOW)
        with closing.inside() as connection:
            date = NOW + timedelta(days=evidence.KEEP_DAYS)
            evidence_deletion.delete_due(connection, closing.platform_id, date, 100)
        with people.everywhere() as connection:
            assert evidence_deletion.in_use(connection, [file.hash]) == still


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE disputes.evidence SET text = 'Something else.' WHERE id = :id",
        "UPDATE disputes.evidence SET delete_at = NULL WHERE id = :id",
        "UPDATE disputes.evidence SET hash = repeat('0', 64) WHERE id = :id",
        "DELETE FROM disputes.evidence WHERE id = :id",
        "DELETE FROM disputes.evidence_view WHERE evidence_id = :id",
        "UPDATE disputes.evidence_view SET viewer = 'payee' WHERE evidence_id = :id",
        "UPDATE disputes.evidence_request SET due_at = due_at + '1 day' WHERE evidence_id = :id",
        "DELETE FROM disputes.evidence_request WHERE evidence_id = :id",
    ],
)
def test_what_was_brought_asked_and_seen_cannot_be_changed(
    people: People, engine: Engine, statement: str
) -> None:
    mediator = people.join()
    case = people.opened(mediator_id=mediator)
    asked = ask(people, case, mediator, sort="photo")
    piece = bring(people, case, case.payee_id, "photo", file=PHOTO, request_id=asked.id)
    with people.inside() as connection:
        views.see_file(connection, people.platform_id, case.id, piece.id, "payer", NOW)
    close(people, case, NOW)
    with pytest.raises(DBAPIError), people.inside() as connection:
        connection.execute(text(statement), {"id": piece.id})
    # Nor by whoever owns the tables.
    with pytest.raises(DBAPIError), engine.begin() as connection:
        connection.execute(text(statement), {"id": piece.id})


def test_another_platform_sees_nothing_of_it(
    people: People, engine: Engine, new_platform: Callable[[], UUID]
) -> None:
    case = people.opened()
    piece = bring(people, case, case.payer_id, "photo", file=PHOTO)
    other = People(engine, new_platform())
    with other.inside() as connection:
        for platform_id in (other.platform_id, people.platform_id):
            assert evidence.of_case(connection, platform_id, case.id) == []
            with pytest.raises(EvidenceNotFound):
                evidence.find(connection, platform_id, case.id, piece.id)
