"""Evidence joined to an exchange: brought and asked for in one transaction with what is told of it.

The exchange is locked first, its case after it: the one order everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes import assignments, evidence, requests, store
from disputes.evidence import New
from disputes.evidence_rows import Piece
from disputes.model import Case
from disputes.outcomes import Side
from disputes.refusals import CaseNotFound
from disputes.requests import Request
from service.exchanges import cases, helping
from service.exchanges import store as exchanges
from service.exchanges.decide import Rules
from service.exchanges.model import Exchange

_LOCK_FILE: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_GIVEN_TO: Final = text(
    "SELECT platform_id, true AS again FROM disputes.redecision WHERE mediator_id = :mediator_id "
    "AND case_id = :case_id AND decided_at IS NULL UNION ALL "
    "SELECT platform_id, false FROM disputes.assignment WHERE mediator_id = :mediator_id "
    "AND case_id = :case_id AND ended_at IS NULL LIMIT 1"
)


def lock_name(file_hash: str) -> str:
    """Return the name under which a file is neither removed nor newly named by a row."""
    return f"evidence-file:{file_hash}"


def add(connection: Connection, platform_id: UUID, new: New, rules: Rules) -> Piece:
    """Add a piece of evidence, and tell of it. A file of it was stored before this transaction.

    Raises:
        Refusal: as :func:`disputes.evidence.add` says, and :func:`helping.check` of a helper.
    """
    subject = _lock_subject(connection, cases.find(connection, platform_id, new.case_id))
    told = helping.check_case(
        connection, subject, new.member_id, new.helper_id, "evidence", rules.now
    )
    if new.file is not None:
        # A sweep that is removing a file of these bytes ends first; then the caller looks again.
        connection.execute(_LOCK_FILE, {"name": lock_name(new.file.hash)})
    piece = evidence.add(connection, platform_id, new, rules.now)
    cases.tell(connection, platform_id, [new.case_id], rules, told)
    return piece


def ask(
    connection: Connection,
    case: Case,
    request_id: UUID,
    mediator_id: UUID,
    side: Side,
    asked: Mapping[str, str | None],
    rules: Rules,
) -> Request:
    """Ask a side of a case for a listed thing, and tell of it.

    Raises:
        Refusal: as :func:`disputes.requests.ask` says; CaseClosed when it has ended meanwhile.
    """
    _lock_subject(connection, case)
    held = evidence.open_case(connection, case.platform_id, case.id, lock=True)
    request = requests.ask(connection, held, request_id, mediator_id, side, asked, rules.now)
    cases.tell(connection, case.platform_id, [case.id], rules)
    return request


def for_mediator(connection: Connection, case_id: UUID, mediator_id: UUID) -> Case:
    """Return a case that a mediator has now, or is to decide again blindly (system's scope).

    Raises:
        CaseNotFound: there is none, or it is not theirs.
    """
    values = {"case_id": case_id, "mediator_id": mediator_id}
    row = connection.execute(_GIVEN_TO, values).one_or_none()
    if row is not None:
        case = store.load(connection, row.platform_id, [case_id], lock=False)[case_id]
        if row.again or mediator_id in assignments.people_on(case):
            return case
    raise CaseNotFound("No case with this id.")


def for_member(
    connection: Connection, platform_id: UUID, case_id: UUID, member_id: UUID | None
) -> Case:
    """Return a case of a platform; with ``member_id``, only to a side of it.

    Raises:
        CaseNotFound: there is none, or it is none of this member's business.
    """
    case = cases.find(connection, platform_id, case_id)
    if member_id is not None and case.side_of(member_id) is None:
        raise CaseNotFound("No case with this id.")
    return case


def _lock_subject(connection: Connection, case: Case) -> Exchange:
    found = exchanges.load(connection, case.platform_id, [case.subject_id], lock=True)
    return found[case.subject_id]
