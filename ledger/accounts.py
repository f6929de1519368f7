"""Read the books: balances now and then, statements, postings; and set a member's credit limit.

Balance = credits - debits, in minor units: what the account's owner is owed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.errors import CheckViolation
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from ledger import units
from ledger.refusals import CreditLimitPassed, InvalidUnit

_BALANCE: Final = """CASE WHEN a.floor IS NULL
    THEN ledger.unfloored_balance(a.platform_id, a.id) ELSE a.balance END"""
#: Moved after an instant, to be taken off the present balance: costs what happened since.
_SINCE: Final = """(SELECT coalesce(sum(m.amount), 0) FROM (
    SELECT t.amount, t.posting_id FROM ledger.transfer t
    WHERE t.platform_id = a.platform_id AND t.credit_account = a.id
    UNION ALL
    SELECT -t.amount, t.posting_id FROM ledger.transfer t
    WHERE t.platform_id = a.platform_id AND t.debit_account = a.id) m
    JOIN ledger.posting b ON b.platform_id = a.platform_id AND b.id = m.posting_id
    WHERE b.recorded_at > :at)"""


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's balance in minor units of ``unit``; ``floor`` None where it has none."""

    path: str
    unit: str
    balance: int
    floor: int | None


def balance(
    connection: Connection,
    platform_id: UUID,
    path: str,
    unit: str,
    at: datetime | None = None,
) -> int:
    """Return the balance of an account, now or as of the instant ``at``; 0 if never used."""
    found = balances(connection, platform_id, [path], at, unit=unit)
    return found[0].balance if found else 0


def balances(
    connection: Connection,
    platform_id: UUID,
    paths: Sequence[str] | None = None,
    at: datetime | None = None,
    *,
    kinds: Sequence[str] | None = None,
    unit: str | None = None,
) -> list[Balance]:
    """Return the balances of the accounts named by ``paths`` or by ``kinds`` (``member``, …)."""
    amount = _BALANCE if at is None else f"({_BALANCE} - {_SINCE})::bigint"
    rows = connection.execute(
        text(
            f"SELECT a.path, a.unit, {amount} AS balance, a.floor "  # noqa: S608 - our constants
            "FROM ledger.account a WHERE a.platform_id = :platform_id "
            "AND (CAST(:paths AS text[]) IS NULL OR a.path = ANY(:paths)) "
            "AND (CAST(:kinds AS text[]) IS NULL OR split_part(a.path, ':', 1) = ANY(:kinds)) "
            "AND (CAST(:unit AS text) IS NULL OR a.unit = :unit) ORDER BY a.path, a.unit"
        ),
        {
            "platform_id": platform_id,
            "paths": None if paths is None else list(paths),
            "kinds": None if kinds is None else list(kinds),
            "unit": unit,
            "at": at,
        },
    )
    return [Balance(row.path, row.unit, row.balance, row.floor) for row in rows]


@dataclass(frozen=True, slots=True)
class Line:
    """One movement of an account: signed ``amount`` and the ``balance`` after it, minor units."""

    transfer_id: int
    posting_id: UUID
    kind: str
    reference: str | None
    recorded_at: datetime
    other: str
    amount: int
    balance: int


#: The account is one value, not a row joined to: so its index is read from the end, a page far.
_LINES: Final = text(
    f"""
    WITH a AS (
        SELECT a.platform_id, a.id, {_BALANCE} AS balance FROM ledger.account a
        WHERE a.platform_id = :platform_id AND a.path = :path AND a.unit = :unit
    ), lines AS (
        (SELECT t.id, t.posting_id, t.debit_account AS other, t.amount
         FROM ledger.transfer t
         WHERE t.platform_id = :platform_id AND t.credit_account = (SELECT id FROM a)
           AND t.id < coalesce(CAST(:after AS bigint), 9223372036854775807)
         ORDER BY t.id DESC LIMIT :limit)
        UNION ALL
        (SELECT t.id, t.posting_id, t.credit_account, -t.amount
         FROM ledger.transfer t
         WHERE t.platform_id = :platform_id AND t.debit_account = (SELECT id FROM a)
           AND t.id < coalesce(CAST(:after AS bigint), 9223372036854775807)
         ORDER BY t.id DESC LIMIT :limit)
    )
    SELECT l.id, l.posting_id, b.kind, b.reference, b.recorded_at, o.path AS other, l.amount,
           (SELECT balance FROM a) AS current
    FROM lines l
    JOIN ledger.posting b ON b.platform_id = :platform_id AND b.id = l.posting_id
    JOIN ledger.account o ON o.platform_id = :platform_id AND o.id = l.other
    ORDER BY l.id DESC LIMIT :limit
    """  # noqa: S608 - our constants
)


def statement(
    connection: Connection,
    platform_id: UUID,
    path: str,
    unit: str,
    *,
    limit: int,
    after: tuple[int, int] | None = None,
) -> list[Line]:
    """Return up to ``limit`` movements, newest first, each with the balance after it.

    ``after`` is where the page before ended: its last line's transfer id, and the balance before
    that line (``line.balance - line.amount``). A page costs the same however old the account is.
    """
    rows = connection.execute(
        _LINES,
        {
            "platform_id": platform_id,
            "path": path,
            "unit": unit,
            "limit": limit,
            "after": None if after is None else after[0],
        },
    ).all()
    lines = []
    running = after[1] if after is not None else (rows[0].current if rows else 0)
    for row in rows:
        lines.append(
            Line(
                row.id,
                row.posting_id,
                row.kind,
                row.reference,
                row.recorded_at,
                row.other,
                row.amount,
                running,
            )
        )
        running -= row.amount
    return lines


@dataclass(frozen=True, slots=True)
class Moved:
    """A transfer as people read it: from one account to another, minor units of ``unit``."""

    debit: str
    credit: str
    amount: int
    unit: str


@dataclass(frozen=True, slots=True)
class Posted:
    """A posting with its transfers, in order."""

    id: UUID
    key: str
    kind: str
    reference: str | None
    recorded_at: datetime
    reverses: UUID | None
    transfers: tuple[Moved, ...]


_POSTED: Final = """
    SELECT b.id, b.key, b.kind, b.reference, b.recorded_at, b.reverses,
           d.path AS debit, c.path AS credit, t.amount, t.unit
    FROM ledger.posting b
    JOIN ledger.transfer t ON t.platform_id = b.platform_id AND t.posting_id = b.id
    JOIN ledger.account d ON d.platform_id = t.platform_id AND d.id = t.debit_account
    JOIN ledger.account c ON c.platform_id = t.platform_id AND c.id = t.credit_account
    WHERE b.platform_id = :platform_id AND """


def postings(connection: Connection, platform_id: UUID, reference: str) -> list[Posted]:
    """Return every posting filed under ``reference``, oldest first."""
    query = text(_POSTED + "b.reference = :reference ORDER BY t.id")
    rows = connection.execute(query, {"platform_id": platform_id, "reference": reference})
    found: dict[UUID, list[Any]] = {}
    for row in rows:
        found.setdefault(row.id, []).append(row)
    return [
        Posted(
            id_,
            lines[0].key,
            lines[0].kind,
            lines[0].reference,
            lines[0].recorded_at,
            lines[0].reverses,
            tuple(Moved(line.debit, line.credit, line.amount, line.unit) for line in lines),
        )
        for id_, lines in found.items()
    ]


def set_credit_limit(
    connection: Connection,
    platform_id: UUID,
    member_path: str,
    unit: str,
    limit: int,
    now: datetime,
) -> None:
    """Let one member's account go down to ``-limit`` minor units of a community unit.

    Raises:
        UnknownUnit, InvalidUnit: money has no credit limit, and the limit is 0 to 10^15.
        CreditLimitPassed: the member is below the new limit already.
    """
    if not units.get(connection, platform_id, unit).community:
        raise InvalidUnit(f"{unit} is money: nobody goes below zero in it.", pointer="/unit")
    if not 0 <= limit <= units.MOST_CREDIT:
        raise InvalidUnit(f"A credit limit is 0 to {units.MOST_CREDIT}.", pointer="/limit")
    try:
        with connection.begin_nested():
            connection.execute(
                text("SELECT ledger.set_credit_limit(:platform_id, :path, :unit, :limit, :now)"),
                {
                    "platform_id": platform_id,
                    "path": member_path,
                    "unit": unit,
                    "limit": limit,
                    "now": now,
                },
            )
    except IntegrityError as error:
        if isinstance(error.orig, CheckViolation):
            raise CreditLimitPassed(
                "The member's balance is below this limit already.", pointer="/limit"
            ) from error
        raise
