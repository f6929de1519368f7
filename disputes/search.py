"""Cases of a platform by what is asked of them, and what may be told of them to their sides."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes import assignments, store
from disputes.model import Case, Stage

#: What each part of a filter asks of a row. Only what is asked for is in the query: so the planner
#: sees which index fits.
_ASKS: Final = {
    "after": "id < :after",
    "stages": "stage = ANY(:stages)",
    "open": "(closed_at IS NULL) = :open",
    "subject_id": "subject_id = :subject_id",
    "member_id": "(payer_id = :member_id OR payee_id = :member_id)",
    "reason": "reason = :reason",
}
#: The last line of each that wrote, told or undid a decision.
_LAST_WORD: Final = text(
    "SELECT DISTINCT ON (case_id) case_id, type FROM disputes.entry "
    "WHERE platform_id = :platform_id AND case_id = ANY(:ids) "
    "AND type IN ('decision_written', 'decided', 'appeal_decided', 'return_disputed') "
    "ORDER BY case_id, sequence DESC"
)
_TELLS: Final = frozenset({"decided", "appeal_decided"})
_NAMES: Final = text("SELECT id, name FROM disputes.mediator WHERE id = ANY(:ids)")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which cases a page shows; every part that is None lets all through."""

    stages: Sequence[Stage] | None = None
    open: bool | None = None
    subject_id: UUID | None = None
    member_id: UUID | None = None
    reason: str | None = None


def page(
    connection: Connection,
    platform_id: UUID,
    filters: Filters,
    *,
    limit: int,
    after: UUID | None = None,
) -> list[Case]:
    """Return up to ``limit`` cases, newest first, older than ``after``."""
    given = {
        "after": after,
        "stages": None if filters.stages is None else list(filters.stages),
        "open": filters.open,
        "subject_id": filters.subject_id,
        "member_id": filters.member_id,
        "reason": filters.reason,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    where = " AND ".join(["platform_id = :platform_id", *(_ASKS[name] for name in asked)])
    query = text(
        f"SELECT id FROM disputes.case WHERE {where} ORDER BY id DESC LIMIT :limit"  # noqa: S608
    )
    values = {"platform_id": platform_id, "limit": limit, **asked}
    ids = list(connection.scalars(query, values))
    found = store.load(connection, platform_id, ids, lock=False)
    return [found[case_id] for case_id in ids]


def told(connection: Connection, platform_id: UUID, cases: Collection[Case]) -> frozenset[UUID]:
    """Return those of the cases whose ruling both sides know.

    One that a second mediator had not read when the limit came is nobody's to see.
    """
    ids = [one.id for one in cases if one.ruling is not None]
    if not ids:
        return frozenset()
    rows = connection.execute(_LAST_WORD, {"platform_id": platform_id, "ids": ids})
    return frozenset(row.case_id for row in rows if row.type in _TELLS)


def people(case: Case, *, told: bool) -> dict[UUID, str]:
    """Return the neutrals of whom the sides know, each with their part: so they can be challenged.

    Args:
        told: both sides know the ruling; who made it is then one of them.
    """
    panel = () if case.appeal is None else case.appeal.panel
    on_it = assignments.people_on(case)
    found = {one: "panel" for one in panel if one in on_it}
    for one, part in ((case.mediator_id, "mediator"), (case.second_id, "second")):
        if one is not None and one in on_it:
            found.setdefault(one, part)
    if told and case.ruling is not None:
        for decided in case.ruling.by:
            found.setdefault(decided, "decided")
        if case.ruling.seconded_by is not None:
            found.setdefault(case.ruling.seconded_by, "second")
    return found


def names(connection: Connection, ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of neutrals, by their ids."""
    if not ids:
        return {}
    return {row.id: row.name for row in connection.execute(_NAMES, {"ids": list(ids)})}
