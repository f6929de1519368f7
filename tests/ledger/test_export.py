"""Independent programs read the exported books and come to the same balances, or object."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from beancount import loader
from beancount.core import realization
from sqlalchemy import text

from ledger import accounts, export, units
from tests.ledger.books import OUTSIDE, A, B, Books, move

_KEYS = ['say "hi"', "back\\slash", "it's; #1 *!", "(round) [square]", "éü→ 漢字", '"', "\\"]


@pytest.fixture
def books(books: Books) -> Books:
    """Books with currencies of 0, 2, 3 and 4 decimals, community units and awkward keys."""
    books.define("HOURS", 2, credit_limit=5_000)
    books.define("BON_2", 0, credit_limit=10)
    books.define("TIME__", 4, credit_limit=10)
    for key in _KEYS:
        made = books.posting(move(OUTSIDE, A, 6_501), key=key)
        assert books.statuses(made) == ["created"]
    for unit in ("JPY", "IQD", "CLF", "EUR"):
        books.move(OUTSIDE, B, 1_234_567, unit)
        books.move(B, "hold:0193-ab", 567, unit)
        books.pass_time(days=1)
    for unit in ("HOURS", "BON_2", "TIME__"):
        books.move(A, B, 7, unit)
    books.move("hold:0193-ab", "platform:fees", 1)
    books.move("hold:0193-ab", "transit:1.x_y", 1)
    books.move("expense:provider_fees", OUTSIDE, 25)
    books.move("receivable:b", OUTSIDE, 3)
    books.move(OUTSIDE, "suspense", 1)
    books.move("suspense", OUTSIDE, 1)
    books.cut()
    return books


def _export(books: Books, form: str) -> list[str]:
    with books.open() as connection:
        return list(export.FORMATS[form](connection, books.platform_id))


def _bean_check(path: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("bean-check")
    return subprocess.run(
        [program, "--no-cache", path], capture_output=True, text=True, check=False, timeout=60
    )


def _load(path: Path, lines: Sequence[str]) -> tuple[list[Any], list[Any]]:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    entries, errors, _options = loader.load_file(str(path))
    return entries, errors


def test_beancount_agrees_with_every_balance(books: Books, tmp_path: Path) -> None:
    path = tmp_path / "books.beancount"
    entries, errors = _load(path, _export(books, "beancount"))
    assert errors == []
    checked = _bean_check(path)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    root = realization.realize(entries)  # type: ignore[no-untyped-call]
    with books.open() as connection:
        ours = accounts.balances(connection, books.platform_id)
        known = units.find_many(connection, books.platform_id, {one.unit for one in ours})
    commodities = {"BON_2": "BON-2", "TIME__": "TIME.2"}
    for one in ours:
        name = export.account_name(one.path)
        account = realization.get(root, name)  # type: ignore[no-untyped-call]
        theirs = account.balance.get_currency_units(commodities.get(one.unit, one.unit)).number
        assert theirs == -Decimal(known[one.unit].decimal(one.balance)), one
    assert {entry.narration for entry in entries if hasattr(entry, "narration")} >= set(_KEYS)


def test_beancount_refuses_books_in_which_any_amount_is_off_by_a_minor_unit(
    books: Books, tmp_path: Path
) -> None:
    lines = _export(books, "beancount")
    for unit, whole, off in (
        ("EUR", "65.01", "65.02"),
        ("JPY", "1234567", "1234568"),
        ("IQD", "1234.567", "1234.568"),
        ("CLF", "123.4567", "123.4568"),
        ("HOURS", "0.07", "0.08"),
    ):
        changed = list(lines)
        at = next(n for n, line in enumerate(lines) if line.endswith(f"  {whole} {unit}"))
        for n in (at, at + 1):  # both sides, so that the posting itself balances
            changed[n] = changed[n].replace(whole, off)
        path = tmp_path / f"{unit}.beancount"
        _entries, errors = _load(path, changed)
        assert errors, unit
        assert all("Balance failed" in error.message for error in errors)
    assert _bean_check(path).returncode != 0


@pytest.mark.breaks_books
def test_beancount_refuses_books_whose_balance_was_changed(books: Books, tmp_path: Path) -> None:
    with books.undone(None, unguarded=True) as connection:
        connection.execute(
            text(
                "UPDATE ledger.account SET balance = balance + 1 WHERE platform_id = :p "
                "AND path = 'member:b' AND unit = 'EUR'"
            ),
            {"p": books.platform_id},
        )
        lines = list(export.beancount(connection, books.platform_id))
    _entries, errors = _load(tmp_path / "books.beancount", lines)
    assert len(errors) == 1
    assert "Balance failed for 'Liabilities:Member:XB'" in errors[0].message


def test_the_hledger_journal_has_every_transfer_and_asserts_every_balance(books: Books) -> None:
    lines = _export(books, "hledger")
    commodities = [line for line in lines if line.startswith("commodity ")]
    assert commodities == [
        'commodity 1000. "BON_2"',
        "commodity 1000.0000 CLF",
        "commodity 1000.00 EUR",
        "commodity 1000.00 HOURS",
        "commodity 1000.000 IQD",
        "commodity 1000. JPY",
        'commodity 1000.0000 "TIME__"',
    ]
    with books.open() as connection:
        ours = accounts.balances(connection, books.platform_id)
    asserted = lines[-len(ours) :]
    assert lines[-len(ours) - 1].endswith("(balances) asserted")
    assert "    Liabilities:Member:XA  0 EUR = -455.07 EUR" in asserted
    assert "    Assets:Provider:XSANDBOX  0 JPY = 1234567 JPY" in asserted
    assert '    Liabilities:Member:XA  0 "BON_2" = 7 "BON_2"' in asserted
    sums: dict[str, Decimal] = {}
    for line in lines:
        if line.startswith("    ") and "=" not in line:
            _account, amount = line.strip().split("  ")
            number, commodity = amount.split(" ", 1)
            sums[commodity] = sums.get(commodity, Decimal(0)) + Decimal(number)
        else:
            assert line.startswith("commodity ") or line[:4] == "2027" or "=" in line
    assert len(sums) == 7
    assert set(sums.values()) == {Decimal(0)}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("member:0193-ab", "Liabilities:Member:X0193-AB"),
        ("hold:1", "Liabilities:Hold:X1"),
        ("transit:1.x_y", "Liabilities:Transit:X1-X-Y"),
        ("provider:sandbox", "Assets:Provider:XSANDBOX"),
        ("receivable:a:b", "Assets:Receivable:XA:XB"),
        ("platform:fees", "Income:Platform:XFEES"),
        ("expense:provider_fees", "Expenses:Fees:XPROVIDER-FEES"),
        ("suspense", "Equity:Suspense"),
    ],
)
def test_an_account_stands_where_an_accountant_looks_for_it(path: str, name: str) -> None:
    assert export.account_name(path) == name


@pytest.mark.parametrize("form", sorted(export.FORMATS))
def test_empty_books_are_exported_too(new_books: Any, tmp_path: Path, form: str) -> None:
    lines = _export(new_books(), form)
    if form == "beancount":
        _entries, errors = _load(tmp_path / "empty.beancount", lines)
        assert errors == []
    else:
        assert lines == []


def test_an_export_does_not_hold_the_books_of_another_platform(
    books: Books, new_books: Any
) -> None:
    other: Books = new_books()
    other.move("provider:elsewhere", "member:stranger", 5)
    for form in export.FORMATS:
        assert "STRANGER" not in "".join(_export(books, form))
        assert "STRANGER" in "".join(_export(other, form))
