"""Write the books as plain-text accounting, so that independent programs can agree or object."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from ledger import accounts, units
from ledger.units import Unit

#: Where each kind of account stands in a balance sheet.
_ROOTS: Final = {
    "hold": "Liabilities:Hold",
    "member": "Liabilities:Member",
    "transit": "Liabilities:Transit",
    "receivable": "Assets:Receivable",
    "provider": "Assets:Provider",
    "platform": "Income:Platform",
    "expense": "Expenses:Fees",
    "suspense": "Equity:Suspense",
}
_ROWS: Final = text(
    "SELECT b.id, b.key, b.kind, b.reference, b.recorded_at, d.path AS debit, c.path AS credit, "
    "t.amount, t.unit FROM ledger.transfer t "
    "JOIN ledger.posting b ON b.platform_id = t.platform_id AND b.id = t.posting_id "
    "JOIN ledger.account d ON d.platform_id = t.platform_id AND d.id = t.debit_account "
    "JOIN ledger.account c ON c.platform_id = t.platform_id AND c.id = t.credit_account "
    "WHERE t.platform_id = :platform_id ORDER BY b.recorded_at, t.id"
)


def account_name(path: str) -> str:
    """Return the name of an account as both formats take it: ``Liabilities:Hold:X0193-…``.

    A component begins with a capital or a digit and has letters, digits and dashes, so an ``X`` is
    put before each and what else a path may hold becomes a dash.
    """
    kind, *rest = path.split(":")
    parts = ["X" + part.upper().replace("_", "-").replace(".", "-") for part in rest]
    return ":".join([_ROOTS[kind], *parts])


@dataclass(frozen=True, slots=True)
class _Book:
    """What both formats write: units by code, and how to read the rows."""

    connection: Connection
    platform_id: UUID
    units: dict[str, Unit]

    def rows(self) -> Iterator[Any]:
        """Stream every transfer in order, however many."""
        streamed = self.connection.execution_options(yield_per=2_000)
        yield from streamed.execute(_ROWS, {"platform_id": self.platform_id})

    def amount(self, minor: int, unit: str) -> str:
        return f"{self.units[unit].decimal(minor)} {_commodity(unit)}"


def _commodity(code: str) -> str:
    # It ends in a letter or a digit there, which the code of a community unit may not.
    whole = code.rstrip("_")
    ending = f".{len(code) - len(whole)}" if whole != code else ""
    return whole.replace("_", "-") + ending


def _open(connection: Connection, platform_id: UUID) -> _Book:
    codes = connection.scalars(
        text("SELECT DISTINCT unit FROM ledger.account WHERE platform_id = :platform_id"),
        {"platform_id": platform_id},
    ).all()
    return _Book(connection, platform_id, units.find_many(connection, platform_id, codes))


def beancount(connection: Connection, platform_id: UUID) -> Iterator[str]:
    """Yield the lines of a Beancount file of one platform's books, with every balance asserted.

    A debit is positive there. Balances are asserted ``~ 0``: without it Beancount lets a balance of
    two decimals drift by a cent.
    """
    book = _open(connection, platform_id)
    yield 'option "title" "Tierce"'
    opened: set[str] = set()
    last: datetime | None = None
    for head, lines in _by_posting(book.rows()):
        last = head.recorded_at
        day = f"{last:%Y-%m-%d}"
        for path in dict.fromkeys(p for line in lines for p in (line.debit, line.credit)):
            if path not in opened:
                opened.add(path)
                yield f"{day} open {account_name(path)}"
        yield f"{day} * {_quoted(head.kind)} {_quoted(head.key)}"
        for line in lines:
            yield f"  {account_name(line.debit)}  {book.amount(line.amount, line.unit)}"
            yield f"  {account_name(line.credit)}  {book.amount(-line.amount, line.unit)}"
    if last is not None:
        day = f"{last + timedelta(days=1):%Y-%m-%d}"
        for found in accounts.balances(connection, platform_id):
            yield (
                f"{day} balance {account_name(found.path)}  "
                f"{book.units[found.unit].decimal(-found.balance)} ~ 0 {_commodity(found.unit)}"
            )


def hledger(connection: Connection, platform_id: UUID) -> Iterator[str]:
    """Yield the lines of an hledger journal of one platform's books, balances asserted."""
    book = _open(connection, platform_id)
    for code, unit in sorted(book.units.items()):
        # The directive wants a decimal mark even where no decimals follow.
        yield f"commodity 1000.{'0' * unit.exponent} {_hledger_commodity(code)}"
    last: datetime | None = None
    for head, lines in _by_posting(book.rows()):
        last = head.recorded_at
        yield f"{last:%Y-%m-%d} ({head.key}) {head.kind}"
        for line in lines:
            for path, sign in ((line.debit, 1), (line.credit, -1)):
                amount = book.units[line.unit].decimal(sign * line.amount)
                yield f"    {account_name(path)}  {amount} {_hledger_commodity(line.unit)}"
    if last is not None:
        yield f"{last:%Y-%m-%d} (balances) asserted"
        for found in accounts.balances(connection, platform_id):
            commodity = _hledger_commodity(found.unit)
            asserted = book.units[found.unit].decimal(-found.balance)
            yield f"    {account_name(found.path)}  0 {commodity} = {asserted} {commodity}"


def _hledger_commodity(code: str) -> str:
    # Only letters may stand unquoted in a journal.
    return code if code.isalpha() else f'"{code}"'


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _by_posting(rows: Iterator[Any]) -> Iterator[tuple[Any, list[Any]]]:
    """Group consecutive transfers of one posting."""
    lines: list[Any] = []
    for row in rows:
        if lines and row.id != lines[0].id:
            yield lines[0], lines
            lines = []
        lines.append(row)
    if lines:
        yield lines[0], lines


FORMATS: Final[dict[str, Callable[[Connection, UUID], Iterator[str]]]] = {
    "beancount": beancount,
    "hledger": hledger,
}
