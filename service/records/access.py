"""Who may have the records of a case: its platform, its two sides, and the mediators on it."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes.refusals import CaseNotFound
from service.records import decisions
from service.records.decisions import Known

#: Whoever declined, was challenged or was silent for too long has no business with it any more.
_OF_MEDIATOR: Final = text(
    "SELECT platform_id FROM disputes.assignment WHERE case_id = :case_id "
    "AND mediator_id = :mediator_id AND (ended_at IS NULL OR ended_why = 'done') LIMIT 1"
)


def for_side(
    connection: Connection,
    platform_id: UUID,
    case_id: UUID,
    issuer: str,
    member_id: UUID | None = None,
) -> Known:
    """Return a case for its platform; with ``member_id``, only if that member is a side of it.

    Raises:
        CaseNotFound: there is none, or it is none of this member's business.
    """
    known = decisions.read(connection, platform_id, case_id, issuer)
    if member_id is not None and known.case.side_of(member_id) is None:
        raise CaseNotFound("No case with this id.")
    return known


def for_mediator(connection: Connection, case_id: UUID, mediator_id: UUID, issuer: str) -> Known:
    """Return a case for a mediator on it, in the system's scope.

    Raises:
        CaseNotFound: there is none, or it is none of theirs.
    """
    values = {"case_id": case_id, "mediator_id": mediator_id}
    platform_id = connection.execute(_OF_MEDIATOR, values).scalar_one_or_none()
    if platform_id is None:
        raise CaseNotFound("No case with this id.")
    return decisions.read(connection, platform_id, case_id, issuer)
