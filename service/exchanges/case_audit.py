"""Prove that cases, exchanges and time say the same: what neither knows alone."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes import audit as disputes_audit
from ledger.audit import Problem
from service.exchanges.case_clocks import due

#: What the clock was to do an hour ago has been swept past, and is a mistake of ours.
_LATE: Final = "interval '1 hour'"
#: A stage that begins at the limit has a day, and no more than three of them can follow.
_BEYOND: Final = "interval '3 days'"
_NOW: Final = "service.platform_now(c.platform_id, clock_timestamp())"

_CHECKS: Final = {
    "case_overdue": f"""
        SELECT c.platform_id, c.id::text AS subject,
               format('%s was over at %s', c.stage, {due("c")}) AS detail
        FROM disputes.case AS c
        WHERE c.due_at IS NOT NULL AND {due("c")} < {_NOW} - {_LATE}""",  # noqa: S608 - ours
    "case_beyond_its_limit": f"""
        SELECT c.platform_id, c.id::text AS subject,
               format('%s was to have its outcome by %s', c.stage, c.decide_by) AS detail
        FROM disputes.case AS c
        WHERE c.closed_at IS NULL AND c.decide_by < {_NOW} - {_BEYOND}""",  # noqa: S608
    "case_unknown_to_its_exchange": """
        SELECT c.platform_id, c.id::text AS subject,
               format('exchange %s names %s', c.subject_id, coalesce(e.case_id::text, 'no case'))
               AS detail
        FROM disputes.case AS c LEFT JOIN service.exchange AS e
          ON e.platform_id = c.platform_id AND e.id = c.subject_id
        WHERE c.closed_at IS NULL AND e.case_id IS DISTINCT FROM c.id""",
    # A closed case is kept by its exchange while a bank keeps what it decided from being done.
    "exchange_in_no_case": """
        SELECT e.platform_id, e.id::text AS subject,
               format('names case %s, which is %s', e.case_id, coalesce(c.stage, 'not there'))
               AS detail
        FROM service.exchange AS e LEFT JOIN disputes.case AS c
          ON c.platform_id = e.platform_id AND c.id = e.case_id AND c.subject_id = e.id
        WHERE e.case_id IS NOT NULL
          AND (c.id IS NULL OR c.closed_at IS NOT NULL AND e.award IS NULL)""",
    "disputed_without_case": """
        SELECT l.platform_id, l.id::text AS subject,
               format('exchange %s is in no case', l.exchange_id) AS detail
        FROM service.leg AS l JOIN service.exchange AS e
          ON e.platform_id = l.platform_id AND e.id = l.exchange_id
        WHERE l.disputed AND e.case_id IS NULL""",
    "award_without_decision": """
        SELECT e.platform_id, e.id::text AS subject, 'an award, and no case decided it' AS detail
        FROM service.exchange AS e LEFT JOIN disputes.case AS c
          ON c.platform_id = e.platform_id AND c.id = e.case_id
        WHERE e.award IS NOT NULL AND c.closed_at IS NULL""",
    # Fees lie between what was decided and what each got; what a bank took back, or still contested
    # when the exchange ended, is a matter of its own.
    "leg_differs_from_case": """
        SELECT c.platform_id, c.id::text AS subject,
               format('leg %s: %s of %s decided, payee got %s, payer %s', l.id, s.value, l.amount,
                      l.to_payee, l.to_payer) AS detail
        FROM disputes.case AS c
        JOIN service.exchange AS e ON e.platform_id = c.platform_id AND e.id = c.subject_id
        CROSS JOIN LATERAL jsonb_each_text(c.settlement) AS s(key, value)
        LEFT JOIN service.leg AS l ON l.platform_id = c.platform_id
          AND l.exchange_id = c.subject_id AND l.id = CAST(s.key AS uuid)
        WHERE c.settlement IS NOT NULL AND e.award IS NULL AND NOT EXISTS (
            SELECT FROM service.chargeback AS b
            WHERE b.platform_id = e.platform_id AND b.exchange_id = e.id AND (b.withdrawn > 0
              OR coalesce(b.closed_at, 'infinity') >= coalesce(e.closed_at, 'infinity')))
          AND (l.id IS NULL OR l.state <> 'settled'
            OR l.to_payee NOT BETWEEN CAST(s.value AS bigint) - l.payee_fee
                              AND CAST(s.value AS bigint)
            OR l.to_payer NOT BETWEEN l.amount - CAST(s.value AS bigint)
                              AND l.amount - CAST(s.value AS bigint) + l.payer_fee)""",
}

#: The name of every problem that :func:`audit` may find.
CHECKS: Final = disputes_audit.CHECKS | frozenset(_CHECKS)
#: A broken instance may have millions of problems; the first of each kind tell enough.
MOST_OF_A_KIND: Final = 100


def audit(connection: Connection, platform_id: UUID | None) -> list[Problem]:
    """Return every contradiction in cases, and between them, their exchanges and the clock.

    ``platform_id`` None looks at all platforms (in a transaction of the system's scope).
    """
    found = disputes_audit.audit(connection, platform_id)
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
    return found
