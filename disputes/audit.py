"""Prove cases from their rows: somebody is on each, its journal is whole, its outcome adds up.

What needs the subject of a case, or what time it is, is proved by those who know it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes import journal
from ledger.audit import Problem

#: A broken instance may have millions of problems; the first of each kind tell enough.
MOST_OF_A_KIND: Final = 100

_CHECKS: Final = {
    # Whoever has to act is named by the case and by the record of who was given it; where nobody is
    # named, the case waits in the queue (disputes.queue.WAITS).
    "case_person_without_assignment": """
        SELECT c.platform_id, c.id::text AS subject,
               format('in %s, %s is to act and was not given the case', c.stage, one) AS detail
        FROM disputes.case AS c CROSS JOIN LATERAL (
            SELECT c.mediator_id AS one WHERE c.stage IN ('mediation', 'decision')
            UNION ALL SELECT c.second_id WHERE c.stage = 'second_look'
            UNION ALL SELECT CAST(p AS uuid) FROM jsonb_array_elements_text(
                CASE WHEN c.stage = 'appeal' THEN c.appeal->'panel' ELSE '[]' END) AS p) AS people
        WHERE c.closed_at IS NULL AND one IS NOT NULL AND NOT EXISTS (
            SELECT FROM disputes.assignment AS a WHERE a.platform_id = c.platform_id
            AND a.case_id = c.id AND a.mediator_id = one AND a.ended_at IS NULL)""",
    "assignment_without_work": """
        SELECT a.platform_id, a.case_id::text AS subject,
               format('%s still has a part of a case that is in %s', a.mediator_id, c.stage)
               AS detail
        FROM disputes.assignment AS a LEFT JOIN disputes.case AS c
          ON c.platform_id = a.platform_id AND c.id = a.case_id
        WHERE a.ended_at IS NULL AND (c.id IS NULL OR c.closed_at IS NOT NULL
          OR c.stage IN ('talk', 'appealable'))""",
    "case_stage_without_its_words": """
        SELECT c.platform_id, c.id::text AS subject,
               format('in %s without what that stage is about', c.stage) AS detail
        FROM disputes.case AS c
        WHERE (c.stage IN ('second_look', 'appealable', 'appeal') AND c.ruling IS NULL)
           OR (c.stage = 'appeal' AND c.appeal IS NULL)""",
    "case_settlement_does_not_fit": """
        SELECT c.platform_id, c.id::text AS subject,
               format('%s settled, and %s disputed', c.settlement, c.lines) AS detail
        FROM disputes.case AS c
        WHERE (c.settlement IS NULL) <> (c.closed_at IS NULL
               OR c.outcome IN ('withdrawn', 'moot', 'repair'))
           OR c.settlement IS NOT NULL AND (
               (SELECT count(*) FROM jsonb_object_keys(c.settlement)) <> jsonb_array_length(c.lines)
               OR EXISTS (SELECT FROM jsonb_to_recordset(c.lines) AS l(id text, amount bigint)
                   WHERE coalesce(CAST(c.settlement->>l.id AS bigint) NOT BETWEEN 0 AND l.amount,
                                  true)))""",
    "journal_has_a_gap": """
        SELECT c.platform_id, c.id::text AS subject,
               format('%s lines counted, %s there', c.entries, count(e.sequence)) AS detail
        FROM disputes.case AS c LEFT JOIN disputes.entry AS e
          ON e.platform_id = c.platform_id AND e.case_id = c.id
        GROUP BY c.platform_id, c.id, c.entries
        HAVING count(e.sequence) <> c.entries OR c.entries = 0""",
}
_LINES: Final = text(
    "SELECT platform_id, case_id, sequence, at, type, actor, data, previous, hash "
    "FROM disputes.entry WHERE CAST(:platform_id AS uuid) IS NULL OR platform_id = :platform_id "
    "ORDER BY platform_id, case_id, sequence"
)
#: The name of every problem that :func:`audit` may find.
CHECKS: Final = frozenset({*_CHECKS, "journal_broken"})
#: How many lines of journals are in memory at once.
_AT_ONCE: Final = 1_000


def audit(connection: Connection, platform_id: UUID | None) -> list[Problem]:
    """Return every contradiction in cases, their people and their journals.

    ``platform_id`` None looks at all platforms (in a transaction of the system's scope).
    """
    found = []
    for check, query in _CHECKS.items():
        scoped = text(
            f"SELECT * FROM ({query}) AS problem "  # noqa: S608 - our own constants
            "WHERE CAST(:platform_id AS uuid) IS NULL OR platform_id = :platform_id LIMIT :most"
        )
        values = {"platform_id": platform_id, "most": MOST_OF_A_KIND}
        found += [
            Problem(check, row.platform_id, row.subject, row.detail)
            for row in connection.execute(scoped, values)
        ]
    return found + _broken_journals(connection, platform_id)


def _broken_journals(connection: Connection, platform_id: UUID | None) -> list[Problem]:
    """Return each journal with a line that does not follow from those before it, hash for hash."""
    found: list[Problem] = []
    for (owner, case_id), lines in groupby(_read(connection, platform_id), lambda one: one[0]):
        broken = journal.first_broken(line for _, line in lines)
        if broken is not None:
            detail = f"line {broken} does not follow from those before it"
            found.append(Problem("journal_broken", owner, str(case_id), detail))
        if len(found) == MOST_OF_A_KIND:
            break
    return found


def _read(
    connection: Connection, platform_id: UUID | None
) -> Iterator[tuple[tuple[UUID, UUID], journal.Line]]:
    rows = connection.execution_options(yield_per=_AT_ONCE).execute(
        _LINES, {"platform_id": platform_id}
    )
    for row in rows:
        line = journal.Line(
            row.case_id,
            row.sequence,
            row.at,
            row.type,
            row.actor,
            row.data,
            bytes(row.previous),
            bytes(row.hash),
        )
        yield (row.platform_id, row.case_id), line
