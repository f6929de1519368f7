"""What a neutral may ask of one side of a case: what its reason lists, and nothing else.

A request is a sort of evidence or a question from the reason's lists; it has no words of its own,
so that nobody is asked for what is not theirs to give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from disputes import assignments, store
from disputes.commands import Entry, Move, reason_of
from disputes.evidence_refusals import (
    AnswerDoesNotFit,
    AskedAlready,
    NotListed,
    RequestAnswered,
    RequestNotFound,
)
from disputes.model import Case, Stage
from disputes.outcomes import Side
from disputes.reasons import Reason
from disputes.refusals import NotNowInCase, NotYourCase

#: How long a side has to answer, unless the stage ends before.
ANSWER_WITHIN: Final = timedelta(days=3)
#: Stages in which a neutral looks for what happened.
_ASKED_IN: Final = frozenset({Stage.MEDIATION, Stage.DECISION, Stage.APPEAL})


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of one side: a ``sort`` of evidence or a ``question``, never both."""

    id: UUID
    case_id: UUID
    side: Side
    sort: str | None
    question: str | None
    mediator_id: UUID
    at: datetime
    due_at: datetime
    answered_at: datetime | None = None
    evidence_id: UUID | None = None

    @property
    def said(self) -> dict[str, str]:
        """What is asked, as the journal says it."""
        if self.sort is not None:
            return {"sort": self.sort}
        return {"question": str(self.question)}


def open_questions(case: Case, side: Side) -> tuple[str, ...]:
    """Return the questions that may be asked of a side: its own of the case's reason."""
    reason: Reason = reason_of(case)
    return reason.questions if case.claimant is side else reason.asked


def open_sorts(case: Case) -> tuple[str, ...]:
    """Return the sorts of evidence that may be asked of either side.

    What a carrier says is for the platform to bring and asked of nobody.
    """
    reason = reason_of(case)
    return tuple(sorted((reason.needs | reason.helps) - {"carrier", "handover_proof"}))


_INSERT: Final = text(
    "INSERT INTO disputes.evidence_request "
    "(platform_id, id, case_id, side, sort, question, mediator_id, at, due_at) VALUES "
    "(:platform_id, :id, :case_id, :side, :sort, :question, :mediator_id, :at, :due_at)"
)
_ASKED: Final = text(
    "SELECT EXISTS (SELECT FROM disputes.evidence_request WHERE platform_id = :platform_id "
    "AND case_id = :case_id AND side = :side AND coalesce(sort, question) = :asked "
    "AND answered_at IS NULL)"
)
_OF_CASE: Final = text(
    "SELECT * FROM disputes.evidence_request WHERE platform_id = :platform_id "
    "AND case_id = :case_id ORDER BY at, id"
)
_ONE: Final = text(
    "SELECT * FROM disputes.evidence_request WHERE platform_id = :platform_id "
    "AND case_id = :case_id AND id = :id"
)
_ANSWER: Final = text(
    "UPDATE disputes.evidence_request SET answered_at = :now, evidence_id = :evidence_id "
    "WHERE platform_id = :platform_id AND id = :id AND answered_at IS NULL"
)


def ask(
    connection: Connection,
    case: Case,
    request_id: UUID,
    mediator_id: UUID,
    side: Side,
    asked: Mapping[str, str | None],
    now: datetime,
) -> Request:
    """Ask one side for something, with a line in the journal of the case, which is locked.

    Args:
        asked: ``sort`` or ``question``, one of them.

    Raises:
        NotYourCase: it is not assigned to this mediator.
        NotNowInCase: no neutral looks for evidence at this stage, or it ends now.
        NotListed: neither the sort nor the question is one that the case's reason lists.
        AskedAlready: it is asked of this side and not answered yet.
    """
    if mediator_id not in assignments.people_on(case):
        raise NotYourCase("This case is not assigned to you.")
    if case.stage not in _ASKED_IN or case.due_at <= now:
        raise NotNowInCase(
            f"Nothing is asked for while the case is in {case.stage}.", stage=case.stage
        )
    sort, question = asked.get("sort"), asked.get("question")
    sorts, questions = open_sorts(case), open_questions(case, side)
    if (sort is None) == (question is None) or (sort or question) not in {
        *(sorts if sort is not None else ()),
        *(questions if question is not None else ()),
    }:
        raise NotListed(
            "In a case for this reason, one of these may be asked of this side, and nothing else.",
            pointer="/question" if sort is None else "/sort",
            sorts=list(sorts),
            questions=list(questions),
        )
    request = Request(
        id=request_id,
        case_id=case.id,
        side=side,
        sort=sort,
        question=question,
        mediator_id=mediator_id,
        at=now,
        due_at=min(now + ANSWER_WITHIN, case.due_at),
    )
    key = {"platform_id": case.platform_id, "case_id": case.id, "side": side}
    if connection.execute(_ASKED, key | {"asked": sort or question}).scalar_one():
        raise AskedAlready("This is asked of this side already.", side=side)
    values = {
        **key,
        "id": request.id,
        "sort": sort,
        "question": question,
        "mediator_id": mediator_id,
        "at": now,
        "due_at": request.due_at,
    }
    connection.execute(_INSERT, values)
    said = {
        "request": str(request.id),
        "side": side,
        "due_at": request.due_at.isoformat(),
        **request.said,
    }
    write_down(
        connection, case, [Entry("evidence_requested", f"mediator:{mediator_id}", said)], now
    )
    return request


def of_case(connection: Connection, platform_id: UUID, case_id: UUID) -> list[Request]:
    """Return everything that was asked in a case, oldest first."""
    rows = connection.execute(_OF_CASE, {"platform_id": platform_id, "case_id": case_id})
    return [_request(row) for row in rows.mappings()]


def to_answer(
    connection: Connection, case: Case, request_id: UUID, author: str, sort: str
) -> Request:
    """Return a request of a locked case that this piece of evidence answers.

    Raises:
        RequestNotFound: there is none in this case to this side.
        RequestAnswered: it has its answer.
        AnswerDoesNotFit: it asks for another sort; a question is answered in text.
    """
    values = {"platform_id": case.platform_id, "case_id": case.id, "id": request_id}
    row = connection.execute(_ONE, values).mappings().one_or_none()
    if row is None or row["side"] != author:
        raise RequestNotFound("Nothing with this id is asked of this side.", pointer="/request")
    request = _request(row)
    if request.answered_at is not None:
        raise RequestAnswered("This has been answered.", pointer="/request")
    wanted = request.sort or "text"
    if sort != wanted:
        raise AnswerDoesNotFit(f"This asks for '{wanted}'.", pointer="/sort", sort=wanted)
    return request


def answered(
    connection: Connection, platform_id: UUID, request_id: UUID, evidence_id: UUID, now: datetime
) -> None:
    """Record what answers a request; its case is locked, and it was open."""
    values = {
        "platform_id": platform_id,
        "id": request_id,
        "evidence_id": evidence_id,
        "now": now,
    }
    if connection.execute(_ANSWER, values).rowcount != 1:
        raise store.LostWrite(f"request {request_id} was open, and could not be answered")


def write_down(connection: Connection, case: Case, entries: Sequence[Entry], now: datetime) -> None:
    """Add lines to the journal of a case that the caller has locked and read."""
    move = Move(replace(case, version=case.version + 1), list(entries))
    store.update(connection, case.platform_id, [move], now)


def _request(row: RowMapping) -> Request:
    return Request(
        id=row["id"],
        case_id=row["case_id"],
        side=Side(row["side"]),
        sort=row["sort"],
        question=row["question"],
        mediator_id=row["mediator_id"],
        at=row["at"],
        due_at=row["due_at"],
        answered_at=row["answered_at"],
        evidence_id=row["evidence_id"],
    )
