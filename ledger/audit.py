"""Prove the books from their rows, each check over all of them, in memory that stays the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
            SELECT e.platform_id, e.account_id, sum(e.amount) AS amount FROM (
                SELECT platform_id, debit_account AS account_id, -amount AS amount
                FROM ledger.transfer
                UNION ALL
                SELECT platform_id, credit_account, amount FROM ledger.transfer) e
            GROUP BY e.platform_id, e.account_id
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

# Every check reads whole tables and hopes to find nothing. The planner, told to stop at the first
# hundred problems, or knowing nothing of a young table yet, would look its rows up one by one.
# work_mem is what a node of a plan may keep: more is sorted on disk, so an audit of large books
# needs the memory of one of small books.
_READ_WHOLE: Final = text(
    "SELECT set_config('enable_nestloop', 'off', true), set_config('work_mem', '16MB', true)"
)
_READ_AS_BEFORE: Final = (
    text("SET LOCAL enable_nestloop = DEFAULT"),
    text("SET LOCAL work_mem = DEFAULT"),
)

#: Postings and transfers, each read once for three checks; the canonical text is that of
#: ledger.posting.content_hash.
_WRITTEN: Final = text("""
    SELECT f."check", f.platform_id, f.subject, f.detail FROM (
        SELECT k."check", w.platform_id, k.subject, k.detail,
               row_number() OVER (PARTITION BY k."check") AS nth
        FROM (
            SELECT coalesce(b.platform_id, m.platform_id) AS platform_id, b.key, m.first, m.strays,
                   b.hash IS DISTINCT FROM sha256(convert_to(
                       b.kind || E'\\n' || coalesce(b.reference, '') || E'\\n'
                       || coalesce(b.reverses::text, '') || E'\\n' || m.lines, 'UTF8')) AS differs
            FROM (
                SELECT * FROM ledger.posting
                WHERE CAST(:platform_id AS uuid) IS NULL OR platform_id = :platform_id
            ) b FULL JOIN (
                SELECT t.platform_id, t.posting_id, min(t.id) AS first,
                       array_agg(t.id) FILTER (WHERE d.unit IS DISTINCT FROM t.unit
                                               OR c.unit IS DISTINCT FROM t.unit) AS strays,
                       string_agg(d.path || '|' || c.path || '|' || t.amount || '|' || t.unit,
                                  E'\\n' ORDER BY t.id) AS lines
                FROM ledger.transfer t
                LEFT JOIN ledger.account d
                    ON d.platform_id = t.platform_id AND d.id = t.debit_account
                LEFT JOIN ledger.account c
                    ON c.platform_id = t.platform_id AND c.id = t.credit_account
                WHERE CAST(:platform_id AS uuid) IS NULL OR t.platform_id = :platform_id
                GROUP BY t.platform_id, t.posting_id
            ) m ON m.platform_id = b.platform_id AND m.posting_id = b.id
        ) w CROSS JOIN LATERAL (
            SELECT 'content_differs_from_hash' AS "check", w.key AS subject,
                   'its rows were changed, or are missing' AS detail WHERE w.key IS NOT NULL
                   AND w.differs
            UNION ALL
            SELECT 'transfer_without_its_posting', w.first::text, 'posting missing'
            WHERE w.key IS NULL
            UNION ALL
            SELECT 'transfer_without_its_accounts', stray::text,
                   'account missing or in another unit' FROM unnest(w.strays) AS stray
        ) k
        WHERE w.key IS NULL OR w.strays IS NOT NULL OR w.differs
    ) f WHERE f.nth <= :most
""")


def audit(connection: Connection, platform_id: UUID | None) -> Report:
    """Audit one platform's books, or everybody's (None, in a transaction of the system's scope)."""
    problems = [*contents(connection, platform_id), *sums(connection, platform_id)]
    return Report(*size(connection, platform_id), tuple(problems))


def contents(connection: Connection, platform_id: UUID | None) -> list[Problem]:
    """Prove that postings and their transfers are what was written: whole, and unchanged."""
    with _reading_whole(connection):
        rows = connection.execute(_WRITTEN, _values(platform_id)).all()
    return [Problem(row.check, row.platform_id, row.subject, row.detail) for row in rows]


def sums(connection: Connection, platform_id: UUID | None) -> list[Problem]:
    """Prove what comes of the transfers: balances, cuts, floors, reversals, nothing in suspense."""
    found: list[Problem] = []
    with _reading_whole(connection):
        for check, query in _CHECKS.items():
            limited = text(
                f"SELECT * FROM ({query}) AS problem "  # noqa: S608 - our constants
                "WHERE CAST(:platform_id AS uuid) IS NULL OR platform_id = :platform_id LIMIT :most"
            )
            found += [
                Problem(check, row.platform_id, row.subject, row.detail)
                for row in connection.execute(limited, _values(platform_id))
            ]
    return found


def size(connection: Connection, platform_id: UUID | None) -> tuple[int, int]:
    """Return how many entries (two per transfer) and accounts there are."""
    read = connection.execute(
        text(
            "SELECT (SELECT count(*) FROM ledger.transfer WHERE CAST(:platform_id AS uuid) IS NULL "
            "  OR platform_id = :platform_id) AS transfers, "
            "(SELECT count(*) FROM ledger.account WHERE CAST(:platform_id AS uuid) IS NULL "
            "  OR platform_id = :platform_id) AS accounts"
        ),
        _values(platform_id),
    ).one()
    return 2 * read.transfers, read.accounts


def _values(platform_id: UUID | None) -> dict[str, object]:
    return {"platform_id": platform_id, "most": MOST_OF_A_KIND}


@contextmanager
def _reading_whole(connection: Connection) -> Iterator[None]:
    connection.execute(_READ_WHOLE)
    yield
    for statement in _READ_AS_BEFORE:
        connection.execute(statement)
