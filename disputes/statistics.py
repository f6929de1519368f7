"""How those who decide are doing, and how cases of a platform end: counted from the records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class OfMediator:
    """One mediator, of what they were given in a time.

    ``redecided`` of their decisions were decided again by somebody who did not know them;
    ``agreed`` of these alike. ``median_time``: from being given a case to having done their part.
    """

    mediator_id: UUID
    name: str
    caseload: int
    caseload_cap: int
    given: int
    done: int
    declined: int
    #: Taken from them: they missed a clock, or a side asked for somebody else.
    left: int
    median_time: timedelta | None
    redecided: int
    agreed: int


@dataclass(frozen=True, slots=True)
class OfPlatform:
    """Cases of a platform that were opened in a time, as they stand."""

    opened: int
    closed: int
    #: Open, and their clock has run out.
    overdue: int
    #: Closed without a decision: the two sides agreed, the claim was withdrawn, or time ran out.
    without_decision: int
    appealed: int
    median_time: timedelta | None
    by_outcome: Mapping[str, int]
    by_reason: Mapping[str, int]


_OF_MEDIATORS: Final = text(
    """
    SELECT m.id AS mediator_id, m.name,
           least(m.caseload_cap, m.caseload_wish) AS caseload_cap,
           coalesce(a.caseload, 0) AS caseload, coalesce(a.given, 0) AS given,
           coalesce(a.done, 0) AS done, coalesce(a.declined, 0) AS declined,
           coalesce(a.left, 0) AS left, a.median_time,
           coalesce(r.redecided, 0) AS redecided, coalesce(r.agreed, 0) AS agreed
      FROM disputes.mediator AS m
      LEFT JOIN (
        SELECT mediator_id,
               count(*) FILTER (WHERE ended_at IS NULL) AS caseload,
               count(*) FILTER (WHERE at >= :since AND at < :until) AS given,
               count(*) FILTER (WHERE at >= :since AND at < :until AND ended_why = 'done') AS done,
               count(*) FILTER (
                   WHERE at >= :since AND at < :until AND ended_why = 'declined') AS declined,
               count(*) FILTER (WHERE at >= :since AND at < :until AND ended_why = 'left') AS left,
               percentile_disc(0.5) WITHIN GROUP (ORDER BY ended_at - at)
                   FILTER (WHERE at >= :since AND at < :until AND ended_why = 'done')
                   AS median_time
          FROM disputes.assignment GROUP BY mediator_id) AS a ON a.mediator_id = m.id
      LEFT JOIN (
        SELECT first_id, count(*) AS redecided, count(*) FILTER (WHERE agrees) AS agreed
          FROM disputes.redecision
         WHERE decided_at >= :since AND decided_at < :until GROUP BY first_id
      ) AS r ON r.first_id = m.id
     WHERE (CAST(:mediator_id AS uuid) IS NULL OR m.id = :mediator_id)
       AND (m.ended_at IS NULL OR m.ended_at > :since)
     ORDER BY m.id
    """
)
_OF_PLATFORM: Final = text(
    """
    WITH cases AS MATERIALIZED (
        SELECT * FROM disputes.case
         WHERE platform_id = :platform_id AND opened_at >= :since AND opened_at < :until)
    SELECT count(*) AS opened, count(closed_at) AS closed,
           count(*) FILTER (WHERE closed_at IS NULL AND due_at < :now) AS overdue,
           count(*) FILTER (WHERE closed_at IS NOT NULL AND ruling IS NULL) AS without_decision,
           count(*) FILTER (WHERE appeal IS NOT NULL) AS appealed,
           percentile_disc(0.5) WITHIN GROUP (ORDER BY closed_at - opened_at) AS median_time,
           coalesce((SELECT jsonb_object_agg(outcome, n) FROM (
               SELECT outcome, count(*) AS n FROM cases
                WHERE closed_at IS NOT NULL GROUP BY outcome) AS o), '{}') AS by_outcome,
           coalesce((SELECT jsonb_object_agg(reason, n) FROM (
               SELECT reason, count(*) AS n FROM cases GROUP BY reason) AS r), '{}') AS by_reason
      FROM cases
    """
)


def of_mediators(
    connection: Connection, since: datetime, until: datetime, mediator_id: UUID | None = None
) -> list[OfMediator]:
    """Return one line a mediator, over all platforms; the caseload is that of now."""
    values = {"since": since, "until": until, "mediator_id": mediator_id}
    rows = connection.execute(_OF_MEDIATORS, values)
    return [OfMediator(**row._asdict()) for row in rows]


def of_platform(
    connection: Connection, platform_id: UUID, since: datetime, until: datetime, now: datetime
) -> OfPlatform:
    """Return how cases of a platform that were opened from ``since`` to ``until`` have gone."""
    values = {"platform_id": platform_id, "since": since, "until": until, "now": now}
    return OfPlatform(**connection.execute(_OF_PLATFORM, values).one()._asdict())
