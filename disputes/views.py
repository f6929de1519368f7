"""Who looked at which evidence, and when: written before it is shown, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes import evidence
from disputes.evidence_refusals import EvidenceDeleted, EvidenceNotFound
from disputes.evidence_rows import Piece


@dataclass(frozen=True, slots=True)
class View:
    """One look: at the file of one piece, or at the list of a case's first ``upto`` pieces."""

    at: datetime
    viewer: str
    evidence_id: UUID | None
    upto: int | None


_ADD: Final = text(
    "INSERT INTO disputes.evidence_view (platform_id, case_id, viewer, at, evidence_id, upto) "
    "VALUES (:platform_id, :case_id, :viewer, :at, :evidence_id, :upto)"
)
_OF_CASE: Final = text(
    "SELECT at, viewer, evidence_id, upto FROM disputes.evidence_view "
    "WHERE platform_id = :platform_id AND case_id = :case_id ORDER BY id"
)


def see_list(
    connection: Connection, platform_id: UUID, case_id: UUID, viewer: str, now: datetime
) -> list[Piece]:
    """Return the pieces of a case for somebody to read, and write down that they did.

    ``viewer`` is named as the journal names actors: a side, "platform" or "mediator:<id>". Whether
    the case is theirs is for the caller to know.
    """
    pieces = evidence.of_case(connection, platform_id, case_id)
    if pieces:
        _add(connection, platform_id, case_id, viewer, now, upto=pieces[-1].ordinal)
    return pieces


def see_file(
    connection: Connection,
    platform_id: UUID,
    case_id: UUID,
    evidence_id: UUID,
    viewer: str,
    now: datetime,
) -> Piece:
    """Return a piece whose file somebody is about to be shown, and write that down.

    Raises:
        EvidenceNotFound: the case has no such piece, or it has no file.
        EvidenceDeleted: its date has passed.
    """
    piece = evidence.find(connection, platform_id, case_id, evidence_id)
    if piece.file is None:
        raise EvidenceNotFound("This evidence has no file.")
    if piece.deleted_at is not None:
        raise EvidenceDeleted("This was deleted on its date; its hash is kept.")
    _add(connection, platform_id, case_id, viewer, now, evidence_id=evidence_id)
    return piece


def of_case(connection: Connection, platform_id: UUID, case_id: UUID) -> Sequence[View]:
    """Return every look at the evidence of a case, oldest first."""
    rows = connection.execute(_OF_CASE, {"platform_id": platform_id, "case_id": case_id})
    return [View(row.at, row.viewer, row.evidence_id, row.upto) for row in rows]


def _add(
    connection: Connection,
    platform_id: UUID,
    case_id: UUID,
    viewer: str,
    now: datetime,
    *,
    evidence_id: UUID | None = None,
    upto: int | None = None,
) -> None:
    values = {
        "platform_id": platform_id,
        "case_id": case_id,
        "viewer": viewer,
        "at": now,
        "evidence_id": evidence_id,
        "upto": upto,
    }
    connection.execute(_ADD, values)
