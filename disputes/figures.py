"""How disputes went, for everybody to read: by quarters, in counts that point at nobody.

A quarter is counted when it is over. So no two answers overlap, and nobody learns of one case from
the difference of two answers. A count below :data:`FEWEST` is withheld, with as many others of its
group as it takes that the total does not give it away.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from disputes.model import Stage
from disputes.reasons import REASONS

#: The least that is told of people: fewer could be recognised.
FEWEST: Final = 5
#: Counted is counted: what is added here counts every quarter anew.
VERSION: Final = 1

#: By the line of the journal that a stage begins with. A case begins in one that its reason says.
_BEGINS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("talk_ended", "mediator_called"), Stage.MEDIATION),
    **dict.fromkeys(("proposal_rejected", "mediation_ended"), Stage.DECISION),
    **dict.fromkeys(("decision_sent_back", "return_disputed", "repair_disputed"), Stage.DECISION),
    "decision_written": Stage.SECOND_LOOK,
    "decided": Stage.APPEALABLE,
    "appealed": Stage.APPEAL,
    "return_awaited": Stage.RETURNING,
    "repair_awaited": Stage.REPAIRING,
    **dict.fromkeys(("closed", "claim_withdrawn", "flag_lifted"), Stage.CLOSED),
    **dict.fromkeys(("moot", "repair_confirmed"), Stage.CLOSED),
}
_QUARTER: Final = re.compile(r"([0-9]{4})-Q([1-4])")


@dataclass(frozen=True, slots=True)
class Quarter:
    """Three months, in UTC."""

    year: int
    number: int

    @property
    def name(self) -> str:
        """Such as 2027-Q1."""
        return f"{self.year:04}-Q{self.number}"

    @property
    def since(self) -> datetime:
        """Its first instant."""
        return datetime(self.year, 3 * self.number - 2, 1, tzinfo=UTC)

    @property
    def until(self) -> datetime:
        """The first instant after it."""
        return self.next.since

    @property
    def next(self) -> Quarter:
        """The one after it."""
        return Quarter(self.year + self.number // 4, self.number % 4 + 1)

    @property
    def before(self) -> Quarter:
        """The one before it."""
        return Quarter(self.year - (self.number == 1), (self.number - 2) % 4 + 1)


def named(name: str) -> Quarter | None:
    """Return the quarter of a name, or None if it is none."""
    found = _QUARTER.fullmatch(name)
    if found is None or not 2000 <= int(found[1]) < 2200:
        return None
    return Quarter(int(found[1]), int(found[2]))


def at(now: datetime) -> Quarter:
    """Return the quarter that ``now`` is in."""
    there = now.astimezone(UTC)
    return Quarter(there.year, (there.month + 2) // 3)


def withhold(counts: Mapping[str, int]) -> dict[str, int | None]:
    """Return the counts of a group whose total is known, without those that point at somebody.

    What is withheld has together :data:`FEWEST` or more and is never one count alone.
    """
    hidden = {name for name, count in counts.items() if 0 < count < FEWEST}
    rest = sorted((count, name) for name, count in counts.items() if count >= FEWEST)
    while hidden and rest and (len(hidden) < 2 or sum(counts[one] for one in hidden) < FEWEST):
        hidden.add(rest.pop(0)[1])
    return {name: None if name in hidden else count for name, count in counts.items()}


def _alone(count: int) -> int | None:
    return None if 0 < count < FEWEST else count


_CLOSED: Final = (
    "WITH closed AS MATERIALIZED (SELECT * FROM disputes.case WHERE platform_id = ANY(:platforms) "
    "AND closed_at >= :since AND closed_at < :until)"
)
_OPENED: Final = text(
    "SELECT reason, count(*) AS n FROM disputes.case WHERE platform_id = ANY(:platforms) "
    "AND opened_at >= :since AND opened_at < :until GROUP BY reason ORDER BY reason"
)
_ENDED: Final = text(
    f"""{_CLOSED}, shared AS (
        SELECT c.platform_id, c.id, avg((c.settlement ->> (line ->> 'id'))::numeric
                                        / nullif((line ->> 'amount')::numeric, 0)) AS to_payee
          FROM closed AS c, jsonb_array_elements(c.lines) AS line
         WHERE c.settlement IS NOT NULL GROUP BY c.platform_id, c.id)
    SELECT c.reason, c.outcome, count(*) AS n, count(s.to_payee) AS shared,
           coalesce(sum(s.to_payee), 0)::float8 AS to_payee,
           array_agg(extract(epoch FROM c.closed_at - c.opened_at)::float8) AS seconds
      FROM closed AS c LEFT JOIN shared AS s USING (platform_id, id)
     GROUP BY c.reason, c.outcome ORDER BY c.reason, c.outcome"""  # noqa: S608 - our own names
)
_STAGES: Final = text(
    f"""{_CLOSED}, marks AS (
        SELECT c.platform_id, c.id, c.claimant, c.reason, e.sequence, e.at, e.type,
               lag(e.type) OVER (PARTITION BY c.platform_id, c.id ORDER BY e.sequence) AS before
          FROM closed AS c
          JOIN disputes.entry AS e ON e.platform_id = c.platform_id AND e.case_id = c.id
         WHERE e.type IN ('opened', 'challenged') OR CAST(:begins AS jsonb) ? e.type),
    entered AS (
        SELECT platform_id, id, sequence, at, CASE
                 WHEN type <> 'opened' AND type <> 'challenged'
                 THEN CAST(:begins AS jsonb) ->> type
                 -- Whoever reads a decision is challenged: it is to be decided again.
                 WHEN type = 'challenged'
                 THEN CASE WHEN before = 'decision_written' THEN 'decision' END
                 WHEN claimant IS NULL THEN 'decision'
                 WHEN reason = ANY(:at_once) THEN 'mediation' ELSE 'talk' END AS stage
          FROM marks),
    spans AS (
        SELECT platform_id, id, stage,
               lead(at) OVER (PARTITION BY platform_id, id ORDER BY sequence) - at AS lasted
          FROM entered WHERE stage IS NOT NULL)
    SELECT stage, count(DISTINCT (platform_id, id)) AS cases,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM lasted)) AS seconds
      FROM spans WHERE lasted IS NOT NULL AND stage <> 'closed'
     GROUP BY stage"""  # noqa: S608 - our own names
)
_ON_THE_WAY: Final = text(
    f"""{_CLOSED}
    SELECT count(*) FILTER (WHERE e.type = 'reassigned') AS silent,
           count(*) FILTER (WHERE e.type = 'challenged') AS challenged,
           count(*) FILTER (WHERE e.type = 'declined') AS declined,
           count(*) FILTER (WHERE e.type = 'limit_reached') AS limit_reached,
           count(*) FILTER (WHERE e.type = 'appealed') AS appealed,
           count(*) FILTER (WHERE e.type = 'appeal_decided'
                              AND NOT (e.data ->> 'stands')::boolean) AS changed,
           count(*) FILTER (WHERE e.type = 'appeal_decided'
                              AND (e.data ->> 'stands')::boolean) AS stood
      FROM closed AS c
      JOIN disputes.entry AS e ON e.platform_id = c.platform_id AND e.case_id = c.id"""  # noqa: S608
)
_REDECIDED: Final = text(
    "SELECT count(*) FILTER (WHERE agrees) AS alike, count(*) FILTER (WHERE NOT agrees) AS "
    "otherwise FROM disputes.redecision WHERE platform_id = ANY(:platforms) "
    "AND decided_at >= :since AND decided_at < :until"
)


def of_quarter(
    connection: Connection, platforms: Collection[UUID], quarter: Quarter, now: datetime
) -> Mapping[str, Any]:
    """Return the figures of a quarter that is over, in the system's scope.

    They are counted once. ``platforms``: those whose cases are real.
    """
    key = {"name": quarter.name, "version": VERSION}
    find = text("SELECT figures FROM disputes.quarter WHERE name = :name AND version = :version")
    found: Mapping[str, Any] | None = connection.execute(find, key).scalar_one_or_none()
    if found is not None:
        return found
    figures = orjson.dumps(count(connection, platforms, quarter)).decode()
    insert = text(
        "INSERT INTO disputes.quarter (name, version, figures, made_at) "
        "VALUES (:name, :version, CAST(:figures AS jsonb), :now) ON CONFLICT DO NOTHING"
    )
    connection.execute(insert, key | {"figures": figures, "now": now})
    made: Mapping[str, Any] = connection.execute(find, key).scalar_one()
    return made


def count(connection: Connection, platforms: Collection[UUID], quarter: Quarter) -> dict[str, Any]:
    """Count a quarter: cases that were opened in it, and those that were closed, with their way."""
    values = {"platforms": list(platforms), "since": quarter.since, "until": quarter.until}
    opened = {row.reason: row.n for row in connection.execute(_OPENED, values)}
    ended = connection.execute(_ENDED, values).all()
    by_outcome: dict[str, int] = {}
    by_reason: dict[str, int] = {}
    for row in ended:
        by_outcome[row.outcome] = by_outcome.get(row.outcome, 0) + row.n
        by_reason[row.reason] = by_reason.get(row.reason, 0) + row.n
    closed, seconds = sum(by_reason.values()), sorted(one for row in ended for one in row.seconds)
    return {
        "opened": {"cases": _alone(sum(opened.values())), "by_reason": withhold(opened)},
        "closed": {
            "cases": _alone(closed),
            "by_reason": withhold(by_reason),
            "by_outcome": withhold(by_outcome),
            "median_days": _days(_median(seconds)) if closed >= FEWEST else None,
        },
        "shares": _shares(ended),
        "stages": _stages(connection, values),
        **_on_the_way(connection, values),
    }


def _median(ordered: list[float]) -> float | None:
    if not ordered:
        return None
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return (low + high) / 2


def _days(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 86_400, 1)


def _shares(ended: Collection[Any]) -> dict[str, Any]:
    """Return how what was disputed was shared out, as the mean of the cases, in whole percent."""

    def of(rows: Collection[Any]) -> int | None:
        cases: int = sum(row.shared for row in rows)
        to_payee: float = sum(row.to_payee for row in rows)
        return None if cases < FEWEST else round(100 * to_payee / cases)

    reasons = sorted({row.reason for row in ended})
    by_reason = {one: of([row for row in ended if row.reason == one]) for one in reasons}
    # One alone that is withheld could be worked out from the whole and the others.
    told = [one for one, percent in by_reason.items() if percent is not None]
    if len(told) == len(reasons) - 1 and told:
        by_reason[told[-1]] = None
    return {"to_payee_percent": of(ended), "by_reason": by_reason}


def _stages(connection: Connection, values: Mapping[str, Any]) -> dict[str, Any]:
    at_once = [one.code for one in REASONS.values() if one.at_once]
    more = {"begins": orjson.dumps(_BEGINS).decode(), "at_once": at_once}
    rows = {row.stage: row for row in connection.execute(_STAGES, {**values, **more})}
    found: dict[str, Any] = {}
    for stage in Stage:
        row = rows.get(stage)
        if row is not None:
            enough = row.cases >= FEWEST
            found[str(stage)] = {
                "cases": _alone(row.cases),
                "median_days": _days(row.seconds) if enough else None,
            }
    return found


def _on_the_way(connection: Connection, values: Mapping[str, Any]) -> dict[str, Any]:
    row = connection.execute(_ON_THE_WAY, values).one()
    again = connection.execute(_REDECIDED, values).one()
    not_heard = row.appealed - row.changed - row.stood
    heard = {"changed": row.changed, "stood": row.stood, "not_heard": not_heard}
    alike = {"alike": again.alike, "otherwise": again.otherwise}
    return {
        "appeals": {"made": _alone(row.appealed), **withhold(heard)},
        "late": {
            "mediator_silent": _alone(row.silent),
            "limit_reached": _alone(row.limit_reached),
        },
        "other_mediator": {
            "challenged": _alone(row.challenged),
            "declined": _alone(row.declined),
        },
        "decided_again": {
            "decisions": _alone(again.alike + again.otherwise),
            **withhold(alike),
        },
    }
