"""Prove the books from their rows: every check is one statement over all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Problem:
    """A contradiction: which check found it, on which platform, in what, and how."""

    check: str
    platform_id: UUID
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    """What an audit read (entries are two per transfer) and every problem that it found."""

    entries: int
    accounts: int
    problems: tuple[Problem, ...]


#: A broken book may have millions of problems; the first of each kind tell enough.
MOST_OF_A_KIND: Final = 100

_CHECKS: Final = {
    "balance_differs_from_transfers": """
        SELECT a.platform_id, a.path || ' ' || a.unit AS subject,
               format('balance %s, transfers sum to %s', a.balance, f.amount) AS detail
        FROM ledger.account a LEFT JOIN (
            SELECT e.platform_id, e.account_id, sum(e.amount) AS amount
            FROM ledger.entry e GROUP BY e.platform_id, e.account_id
        ) f ON f.platform_id = a.platform_id AND f.account_id = a.id
        WHERE a.floor IS NOT NULL AND a.balance <> coalesce(f.amount, 0)""",
    "cut_differs_from_transfers": """
        SELECT a.platform_id, a.path || ' ' || a.unit AS subject, 'the cut is wrong' AS detail
        FROM ledger.account a
        JOIN ledger.cut c ON c.platform_id = a.platform_id AND c.account_id = a.id
        WHERE a.floor IS NULL AND c.balance <> (
            SELECT coalesce(sum(e.amount), 0) FROM (
                SELECT t.amount, t.tx FROM ledger.transfer t
                WHERE t.platform_id = a.platform_id AND t.credit_account = a.id
                UNION ALL
                SELECT -t.amount, t.tx FROM ledger.transfer t
                WHERE t.platform_id = a.platform_id AND t.debit_account = a.id) e
            WHERE pg_visible_in_snapshot(e.tx, c.snapshot))""",
    "floor_broken": """
        SELECT a.platform_id, a.path || ' ' || a.unit AS subject,
               format('balance %s below floor %s', a.balance, a.floor) AS detail
        FROM ledger.account a WHERE a.balance < a.floor""",
    "suspense_not_zero": """
        SELECT a.platform_id, a.path || ' ' || a.unit AS subject,
               format('%s unexplained', ledger.unfloored_balance(a.platform_id, a.id)) AS detail
        FROM ledger.account a WHERE split_part(a.path, ':', 1) = 'suspense'
          AND ledger.unfloored_balance(a.platform_id, a.id) <> 0""",
    "transfer_without_its_accounts": """
        SELECT t.platform_id, t.id::text AS subject, 'account missing or in another unit' AS detail
        FROM ledger.transfer t
        LEFT JOIN ledger.account d ON d.platform_id = t.platform_id AND d.id = t.debit_account
        LEFT JOIN ledger.account c ON c.platform_id = t.platform_id AND c.id = t.credit_account
        WHERE d.unit IS DISTINCT FROM t.unit OR c.unit IS DISTINCT FROM t.unit""",
    "transfer_without_its_posting": """
        SELECT t.platform_id, t.id::text AS subject, 'posting missing' AS detail
        FROM ledger.transfer t LEFT JOIN ledger.posting b
          ON b.platform_id = t.platform_id AND b.id = t.posting_id WHERE b.id IS NULL""",
    # The canonical text is that of ledger.posting.content_hash.
    "content_differs_from_hash": """
        SELECT b.platform_id, b.key AS subject, 'its rows were changed, or are missing' AS detail
        FROM ledger.posting b LEFT JOIN (
            SELECT t.platform_id, t.posting_id, string_agg(
                d.path || '|' || c.path || '|' || t.amount || '|' || t.unit, E'\\n' ORDER BY t.id)
                AS lines
            FROM ledger.transfer t
            JOIN ledger.account d ON d.platform_id = t.platform_id AND d.id = t.debit_account
            JOIN ledger.account c ON c.platform_id = t.platform_id AND c.id = t.credit_account
            GROUP BY t.platform_id, t.posting_id
        ) m ON m.platform_id = b.platform_id AND m.posting_id = b.id
        WHERE b.hash IS DISTINCT FROM sha256(convert_to(
            b.kind || E'\\n' || coalesce(b.reference, '') || E'\\n'
            || coalesce(b.reverses::text, '') || E'\\n' || m.lines, 'UTF8'))""",
    "reversal_not_a_mirror": """
        SELECT r.platform_id, r.key AS subject, 'does not undo what it names' AS detail
        FROM ledger.posting r WHERE r.reverses IS NOT NULL AND EXISTS (
            SELECT FROM (
                SELECT t.debit_account AS d, t.credit_account AS c, t.amount, 1 AS n
                FROM ledger.transfer t
                WHERE t.platform_id = r.platform_id AND t.posting_id = r.id
                UNION ALL
                SELECT t.credit_account, t.debit_account, t.amount, -1 FROM ledger.transfer t
                WHERE t.platform_id = r.platform_id AND t.posting_id = r.reverses) both_ways
            GROUP BY d, c, amount HAVING sum(n) <> 0)""",
}


def audit(connection: Connection, platform_id: UUID | None) -> Report:
    """Audit one platform's books, or everybody's (None, in a transaction of the system's scope)."""
    values = {"platform_id": platform_id, "most": MOST_OF_A_KIND}
    found = [
        Problem(check, row.platform_id, row.subject, row.detail)
        for check, query in _CHECKS.items()
        for row in connection.execute(
            text(
                f"SELECT * FROM ({query}) AS problem "  # noqa: S608 - our constants
                "WHERE CAST(:platform_id AS uuid) IS NULL OR platform_id = :platform_id LIMIT :most"
            ),
            values,
        )
    ]
    read = connection.execute(
        text(
            "SELECT (SELECT count(*) FROM ledger.transfer WHERE CAST(:platform_id AS uuid) IS NULL "
            "  OR platform_id = :platform_id) AS transfers, "
            "(SELECT count(*) FROM ledger.account WHERE CAST(:platform_id AS uuid) IS NULL "
            "  OR platform_id = :platform_id) AS accounts"
        ),
        values,
    ).one()
    return Report(2 * read.transfers, read.accounts, tuple(found))
