"""What somebody at the desk has decided, whom they met there, and strikes that they supervise.

One mediator serves several platforms, so this runs in the scope of the whole instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Row, text

from disputes.model import Stage
from disputes.queue import NOT_AGAIN, SERVED, UNTIED

#: Both sides have been told what was decided.
TOLD: Final = frozenset({Stage.APPEALABLE, Stage.APPEAL, Stage.RETURNING, Stage.CLOSED})


@dataclass(frozen=True, slots=True)
class Struck:
    """A strike as it stands on record."""

    id: UUID
    reason: str
    at: datetime
    expires_at: datetime
    lifted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Decided:
    """A case whose decision both sides know.

    ``claimant`` is the side that claimed, None where nobody did. ``outcome`` is what was decided;
    ``strike`` what was found of the claim, if anything.
    """

    platform_id: UUID
    case_id: UUID
    title: str
    reason: str
    claimant: str | None
    outcome: str
    at: datetime
    strike: Struck | None


@dataclass(frozen=True, slots=True)
class Met:
    """A case that somebody was given, and who its two sides are."""

    platform_id: UUID
    case_id: UUID
    title: str
    payer_id: UUID
    payee_id: UUID


_FACTS: Final = (
    "SELECT c.platform_id, c.id AS case_id, c.file->'agreed'->'terms'->>'title' AS title, "
    "c.reason, c.claimant, c.ruling->>'outcome' AS outcome, "
    "CAST(c.ruling->>'made_at' AS timestamptz) AS at, s.id AS strike_id, "
    "s.reason AS strike_reason, s.at AS strike_at, s.expires_at, s.lifted_at "
)
_DECIDED: Final = text(
    f"{_FACTS} FROM (SELECT DISTINCT platform_id, case_id FROM disputes.assignment "  # noqa: S608
    "WHERE mediator_id = :mediator_id AND part IN ('mediator', 'panel')) AS a "
    "JOIN disputes.case AS c ON c.platform_id = a.platform_id AND c.id = a.case_id "
    "LEFT JOIN disputes.strike AS s ON s.platform_id = c.platform_id AND s.case_id = c.id "
    "WHERE c.ruling->'by' @> to_jsonb(CAST(:mediator_id AS text)) AND c.stage = ANY(:told) "
    "AND (CAST(:case_id AS uuid) IS NULL OR c.id = :case_id) "
    "ORDER BY at DESC, c.id LIMIT :limit"
)
_STRUCK: Final = text(
    f"{_FACTS} FROM disputes.strike AS s "
    "JOIN disputes.case AS c ON c.platform_id = s.platform_id AND c.id = s.case_id "
    f"WHERE {SERVED} AND {UNTIED} AND {NOT_AGAIN} AND s.lifted_at IS NULL "
    "ORDER BY s.at DESC, s.id LIMIT :limit"
)
_MET: Final = text(
    "SELECT c.platform_id, c.id AS case_id, "  # noqa: S608 - our own conditions
    "c.file->'agreed'->'terms'->>'title' AS title, c.payer_id, c.payee_id "
    "FROM (SELECT platform_id, case_id, max(at) AS at FROM disputes.assignment "
    "WHERE mediator_id = :mediator_id GROUP BY 1, 2) AS a "
    "JOIN disputes.case AS c ON c.platform_id = a.platform_id AND c.id = a.case_id "
    f"WHERE {SERVED} ORDER BY a.at DESC, c.id LIMIT :limit"
)


def decided(
    connection: Connection, mediator_id: UUID, limit: int, case_id: UUID | None = None
) -> list[Decided]:
    """Return what somebody has decided and both sides know, the newest first; or one case of it."""
    values = {
        "mediator_id": mediator_id,
        "told": sorted(TOLD),
        "case_id": case_id,
        "limit": limit,
    }
    return [_decided(row) for row in connection.execute(_DECIDED, values)]


def struck(connection: Connection, supervisor_id: UUID, limit: int) -> list[Decided]:
    """Return cases whose claim was found to be in bad faith, and was not cleared, newest first.

    Of the platforms that a supervisor serves, and of nobody they are tied to. Whether they have
    the role is for the caller to know.
    """
    rows = connection.execute(_STRUCK, {"mediator_id": supervisor_id, "limit": limit})
    return [_decided(row) for row in rows]


def met(connection: Connection, mediator_id: UUID, limit: int) -> list[Met]:
    """Return the cases that somebody was given on platforms that they serve, the newest first."""
    rows = connection.execute(_MET, {"mediator_id": mediator_id, "limit": limit})
    return [Met(**row._asdict()) for row in rows]


def _decided(row: Row[tuple[object, ...]]) -> Decided:
    strike = None
    if row.strike_id is not None:
        strike = Struck(
            row.strike_id, row.strike_reason, row.strike_at, row.expires_at, row.lifted_at
        )
    return Decided(
        row.platform_id,
        row.case_id,
        row.title,
        row.reason,
        row.claimant,
        row.outcome,
        row.at,
        strike,
    )
