"""The ties that were told of mediators, as they stand on record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes.mediators import Teller
from disputes.recusal import Tie, TieKind
from ledger.refusals import Refusal


class TieNotFound(Refusal):
    """No such tie, or it is not for whoever asks."""

    code = "tie_not_found"


@dataclass(frozen=True, slots=True)
class Told:
    """A tie on record: of whom, who told of it, and until when it holds."""

    id: UUID
    mediator_id: UUID
    tie: Tie
    note: str
    declared_by: Teller
    declared_at: datetime
    ended_at: datetime | None


_COLUMNS: Final = (
    "id, mediator_id, kind, platform_id, member_id, instrument, note, declared_by, declared_at, "
    "ended_at"
)
_PAGE: Final = text(
    f"SELECT {_COLUMNS} FROM disputes.tie "  # noqa: S608 - our own columns
    "WHERE mediator_id = coalesce(:mediator_id, mediator_id) "
    "AND declared_by = coalesce(:by, declared_by) "
    "AND (CAST(:platform_id AS uuid) IS NULL OR platform_id = :platform_id) "
    "AND (CAST(:after AS uuid) IS NULL OR id > :after) ORDER BY id LIMIT :limit"
)
_ONE: Final = text(
    f"SELECT {_COLUMNS} FROM disputes.tie WHERE id = :id"  # noqa: S608 - our own columns
)


def page(
    connection: Connection,
    after: UUID | None,
    limit: int,
    *,
    mediator_id: UUID | None = None,
    platform_id: UUID | None = None,
    by: Teller | None = None,
) -> list[Told]:
    """Return ties, the oldest first, those that ended too: of whom, of where, told by whom."""
    values = {
        "mediator_id": mediator_id,
        "platform_id": platform_id,
        "by": by,
        "after": after,
        "limit": limit,
    }
    return [_told(row._asdict()) for row in connection.execute(_PAGE, values)]


def get(connection: Connection, tie_id: UUID) -> Told:
    """Return one tie.

    Raises:
        TieNotFound: there is none, or this transaction may not see it.
    """
    row = connection.execute(_ONE, {"id": tie_id}).one_or_none()
    if row is None:
        raise TieNotFound("No tie with this id.")
    return _told(row._asdict())


def _told(row: dict[str, Any]) -> Told:
    hashed = row.pop("instrument")
    tie = Tie(
        TieKind(row.pop("kind")),
        row.pop("platform_id"),
        row.pop("member_id"),
        None if hashed is None else bytes(hashed),
    )
    return Told(tie=tie, **row)
