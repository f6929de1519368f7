"""The queue of those who decide: what is theirs, what waits for somebody, and the next to take.

One mediator serves several platforms, so their queue runs in the scope of the whole instance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes.model import Cause, Stage
from disputes.recusal import Part
from ledger.refusals import Refusal


class SupervisorOnly(Refusal):
    """Only a supervisor sees cases that are not their own."""

    code = "supervisor_only"


class Whose(StrEnum):
    """Which cases of the platforms that a mediator serves."""

    MINE = "mine"
    #: Nobody is on them who has to act.
    WAITING = "waiting"
    ALL = "all"


class Sort(StrEnum):
    """What comes first."""

    DUE = "due"
    #: The most first. Amounts of different units are not comparable: filter by ``unit``.
    AMOUNT = "amount"
    #: The oldest first.
    AGE = "age"
    #: Cases of assisted people first, each by what is due.
    GENTLE = "gentle"


@dataclass(frozen=True, slots=True)
class Filters:
    """What is shown; empty sets and None ask nothing. ``least_amount`` is in minor units."""

    whose: Whose = Whose.MINE
    platform_id: UUID | None = None
    stages: frozenset[Stage] = frozenset()
    causes: frozenset[Cause] = frozenset()
    reasons: frozenset[str] = frozenset()
    gentle: bool | None = None
    due_before: datetime | None = None
    unit: str | None = None
    least_amount: int | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A case in a queue. ``amount`` is that of its biggest line, in minor units of ``unit``.

    ``part`` and ``file`` (what was agreed, what is asked and the facts there were) are None on what
    is not one's own.
    """

    platform_id: UUID
    case_id: UUID
    stage: Stage
    cause: Cause
    kind: str
    reason: str
    opened_at: datetime
    due_at: datetime
    decide_by: datetime
    gentle: bool
    unit: str
    amount: int
    part: str | None
    file: Mapping[str, Any] | None


#: Cases in which somebody neutral has to act and nobody is there. The index ``ix_case_waits`` is
#: on the same words.
WAITS: Final = (
    "((c.stage IN ('mediation', 'decision') AND c.mediator_id IS NULL) "
    "OR (c.stage = 'second_look' AND c.second_id IS NULL) "
    "OR (c.stage = 'appeal' AND jsonb_array_length(c.appeal->'panel') "
    "< coalesce(CAST(c.file->>'panel' AS integer), 1)))"
)
SERVED: Final = (
    "c.platform_id = ANY (ARRAY(SELECT p.platform_id FROM disputes.pool_platform AS p "
    "JOIN disputes.pool_member AS m ON m.pool_id = p.pool_id WHERE m.mediator_id = :mediator_id))"
)
#: A supervisor sees nothing of a platform or a member they are tied to.
UNTIED: Final = (
    "NOT EXISTS (SELECT FROM disputes.tie AS t WHERE t.mediator_id = :mediator_id "
    "AND t.ended_at IS NULL AND t.platform_id = c.platform_id "
    "AND (t.member_id IS NULL OR t.member_id IN (c.payer_id, c.payee_id)))"
)
#: Whoever is to decide a case again does not read, as its supervisor, what was decided.
NOT_AGAIN: Final = (
    "NOT EXISTS (SELECT FROM disputes.redecision AS r WHERE r.mediator_id = :mediator_id "
    "AND r.platform_id = c.platform_id AND r.case_id = c.id AND r.decided_at IS NULL)"
)
_OF: Final = {
    Whose.MINE: "a.id IS NOT NULL",
    Whose.WAITING: f"{WAITS} AND {SERVED} AND {UNTIED}",
    Whose.ALL: f"{SERVED} AND {UNTIED}",
}
_KEYS: Final = {
    Sort.DUE: ("(c.due_at, c.id)", "(CAST(:due_at AS timestamptz), CAST(:case_id AS uuid))"),
    Sort.AMOUNT: ("(-l.amount, c.id)", "(-CAST(:amount AS bigint), CAST(:case_id AS uuid))"),
    Sort.AGE: ("(c.opened_at, c.id)", "(CAST(:opened_at AS timestamptz), CAST(:case_id AS uuid))"),
    Sort.GENTLE: (
        "(NOT c.gentle, c.due_at, c.id)",
        "(NOT CAST(:was_gentle AS boolean), CAST(:due_at AS timestamptz), CAST(:case_id AS uuid))",
    ),
}


def _query(filters: Filters, sort: Sort, after: Ticket | None) -> str:
    key, last = _KEYS[sort]
    # An open case has a deadline; said aloud, it lets the index of deadlines answer.
    wanted = ["c.closed_at IS NULL", "c.due_at IS NOT NULL", _OF[filters.whose]]
    asked = {
        "c.platform_id = :platform_id": filters.platform_id is not None,
        "c.stage = ANY(:stages)": bool(filters.stages),
        "c.cause = ANY(:causes)": bool(filters.causes),
        "c.reason = ANY(:reasons)": bool(filters.reasons),
        "c.gentle = :gentle": filters.gentle is not None,
        "c.due_at < :due_before": filters.due_before is not None,
        "l.unit = :unit": filters.unit is not None,
        "l.amount >= :least_amount": filters.least_amount is not None,
        f"{key} > {last}": after is not None,
    }
    wanted += [condition for condition, is_asked in asked.items() if is_asked]
    return (
        "SELECT c.platform_id, c.id AS case_id, c.stage, c.cause, c.kind, c.reason, "  # noqa: S608
        "c.opened_at, c.due_at, c.decide_by, c.gentle, l.unit, l.amount, a.part, "
        "CASE WHEN a.id IS NOT NULL THEN c.file END AS file FROM disputes.case AS c "
        "LEFT JOIN disputes.assignment AS a ON a.platform_id = c.platform_id "
        "AND a.case_id = c.id AND a.mediator_id = :mediator_id AND a.ended_at IS NULL "
        "CROSS JOIN LATERAL (SELECT r.unit, r.amount "
        "FROM jsonb_to_recordset(c.lines) AS r(unit text, amount bigint) "
        "ORDER BY r.amount DESC LIMIT 1) AS l "
        # Columns, not the row: an index has the order of columns, and a page ends the search.
        f"WHERE {' AND '.join(wanted)} ORDER BY {key[1:-1]} LIMIT :limit"
    )


def page(
    connection: Connection,
    mediator_id: UUID,
    filters: Filters,
    sort: Sort = Sort.DUE,
    *,
    after: Ticket | None = None,
    limit: int = 50,
) -> list[Ticket]:
    """Return open cases of a mediator's queue.

    Args:
        after: the last ticket of the page before, as it was then.

    Raises:
        SupervisorOnly: cases that are not one's own, without the role.
    """
    if filters.whose is not Whose.MINE:
        _check_supervisor(connection, mediator_id)
    values: dict[str, Any] = {
        "mediator_id": mediator_id,
        "platform_id": filters.platform_id,
        "stages": sorted(filters.stages),
        "causes": sorted(filters.causes),
        "reasons": sorted(filters.reasons),
        "gentle": filters.gentle,
        "due_before": filters.due_before,
        "unit": filters.unit,
        "least_amount": filters.least_amount,
        "limit": limit,
    }
    if after is not None:
        values |= {
            "due_at": after.due_at,
            "opened_at": after.opened_at,
            "amount": after.amount,
            "was_gentle": after.gentle,
            "case_id": after.case_id,
        }
    rows = connection.execute(text(_query(filters, sort, after)), values)
    return [_ticket(row._asdict()) for row in rows]


def short_reviews(
    connection: Connection, mediator_id: UUID, *, after: Ticket | None = None, limit: int = 50
) -> list[Ticket]:
    """Return one's own cases that silence began, by what is due, each with its file.

    They are read and decided one after the other; each still gets a reasoned decision of its own.
    """
    filters = Filters(causes=frozenset({Cause.SILENCE}))
    return page(connection, mediator_id, filters, Sort.DUE, after=after, limit=limit)


def _ticket(row: dict[str, Any]) -> Ticket:
    return Ticket(**(row | {"stage": Stage(row["stage"]), "cause": Cause(row["cause"])}))


def _check_supervisor(connection: Connection, mediator_id: UUID) -> None:
    query = text(
        "SELECT EXISTS (SELECT FROM disputes.mediator WHERE id = :id AND ended_at IS NULL "
        "AND 'supervisor' = ANY (roles))"
    )
    if not connection.execute(query, {"id": mediator_id}).scalar_one():
        raise SupervisorOnly("Only a supervisor sees cases that are not their own.")


def waiting(
    connection: Connection, limit: int, platforms: Sequence[UUID] | None = None
) -> list[tuple[UUID, UUID]]:
    """Return platform and case of those that wait for somebody, what is due first."""
    query = text(
        f"SELECT c.platform_id, c.id FROM disputes.case AS c WHERE {WAITS} "  # noqa: S608 - ours
        "AND (CAST(:platforms AS uuid[]) IS NULL "
        "OR c.platform_id = ANY(:platforms)) ORDER BY c.due_at, c.id LIMIT :limit"
    )
    values = {"limit": limit, "platforms": None if platforms is None else list(platforms)}
    return [(row.platform_id, row.id) for row in connection.execute(query, values)]


def part_in(connection: Connection, mediator_id: UUID, case_id: UUID) -> tuple[UUID, Part] | None:
    """Return a case's platform and one's own part in it, or None: it is not (any more) theirs."""
    query = text(
        "SELECT platform_id, part FROM disputes.assignment WHERE mediator_id = :mediator_id "
        "AND case_id = :case_id AND ended_at IS NULL"
    )
    values = {"mediator_id": mediator_id, "case_id": case_id}
    row = connection.execute(query, values).one_or_none()
    return None if row is None else (row.platform_id, Part(row.part))


def supervised(connection: Connection, mediator_id: UUID, case_id: UUID) -> UUID | None:
    """Return the platform of a case that a supervisor may see, or None.

    Raises:
        SupervisorOnly: without the role.
    """
    _check_supervisor(connection, mediator_id)
    query = text(
        "SELECT c.platform_id FROM disputes.case AS c "  # noqa: S608 - our own conditions
        f"WHERE c.id = :case_id AND {SERVED} AND {UNTIED} AND {NOT_AGAIN}"
    )
    values = {"mediator_id": mediator_id, "case_id": case_id}
    found: UUID | None = connection.execute(query, values).scalar_one_or_none()
    return found
