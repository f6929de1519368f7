"""The database keeps the books even from those who go round the code: every role is tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from ledger import accounts, cuts
from ledger.posting import post
from service.db import SYSTEM, transaction
from tests.ledger.books import OUTSIDE, A, B, Books, move

RUNTIME, SYSTEM_ROLE, OWNER, LOGIN = "tierce_runtime", "tierce_system", "tierce_owner", None
RUNNING = [RUNTIME, SYSTEM_ROLE]
MAKING = [OWNER, LOGIN]
EVERYBODY = [*RUNNING, *MAKING]
DENIED = errors.InsufficientPrivilege
_APPEND_ONLY = errors.RestrictViolation


@pytest.fixture
def books(books: Books) -> Books:
    """Books in which two members hold euros and one of them hours too."""
    books.define("HOURS", 2, credit_limit=50)
    books.move(OUTSIDE, A, 1_000)
    books.move(OUTSIDE, B, 500)
    books.move(B, A, 25, "HOURS")
    return books


def refused(
    books: Books, role: str | None, statement: str, error: type[Exception], **values: Any
) -> str:
    """Expect ``error`` from a statement of ``role``; return its message."""
    values = {"p": books.platform_id, **values}
    with books.undone(role) as connection, pytest.raises(DBAPIError) as caught:
        connection.execute(text(statement), values)
    assert isinstance(caught.value.orig, error), repr(caught.value.orig)
    return str(caught.value.orig)


def account_id(books: Books, path: str, unit: str = "EUR") -> int:
    with books.open() as connection:
        value: int = connection.execute(
            text("SELECT id FROM ledger.account WHERE path = :path AND unit = :unit"),
            {"path": path, "unit": unit},
        ).scalar_one()
    return value


def posting_id(books: Books) -> UUID:
    with books.open() as connection:
        value: UUID = connection.execute(text("SELECT id FROM ledger.posting LIMIT 1")).scalar_one()
    return value


_INSERT_TRANSFER = (
    "INSERT INTO ledger.transfer (platform_id, posting_id, debit_account, credit_account, amount, "
    "unit) VALUES (:p, :posting, :debit, :credit, :amount, :unit)"
)
#: The trigger has a way of its own for a statement of one transfer.
_INSERT_TRANSFERS = (
    _INSERT_TRANSFER,
    f"{_INSERT_TRANSFER}, (:own, :good_posting, :good_debit, :good_credit, 1, 'EUR')",
)
_INSERT_POSTING = (
    "INSERT INTO ledger.posting (platform_id, id, key, hash, kind, reverses, recorded_at) "
    "VALUES (:p, gen_random_uuid(), 'by hand', sha256('x'), 'test', :reverses, now())"
)
_INSERT_ACCOUNT = (
    "INSERT INTO ledger.account (platform_id, path, unit, floor, balance, opened_at) "
    "VALUES (:p, :path, 'EUR', :floor, :balance, now())"
)


def transfer(books: Books, **changes: Any) -> dict[str, Any]:
    good = {"posting": posting_id(books), "debit": account_id(books, A)}
    good["credit"] = account_id(books, B)
    beside = {"own": books.platform_id} | {f"good_{name}": value for name, value in good.items()}
    return {**good, "amount": 1, "unit": "EUR"} | beside | changes


@pytest.mark.parametrize("role", RUNNING)
@pytest.mark.parametrize("table", ["posting", "transfer", "account", "cut", "mark"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.{} SET platform_id = platform_id",
        "DELETE FROM ledger.{}",
        "TRUNCATE ledger.{}",
    ],
)
def test_a_running_instance_changes_no_row_of_the_books(
    books: Books, role: str, table: str, statement: str
) -> None:
    refused(books, role, statement.format(table), DENIED)


@pytest.mark.parametrize("role", RUNNING)
def test_a_running_instance_inserts_only_through_the_one_writer(books: Books, role: str) -> None:
    refused(books, role, _INSERT_TRANSFER, DENIED, **transfer(books))
    refused(books, role, _INSERT_POSTING, DENIED, reverses=None)
    refused(books, role, _INSERT_ACCOUNT, DENIED, path="member:x", floor=0, balance=0)
    refused(
        books, role, "INSERT INTO ledger.cut VALUES (:p, 1, 0, pg_current_snapshot(), 0)", DENIED
    )
    refused(books, role, "INSERT INTO ledger.mark VALUES (:p, 1, pg_current_xact_id())", DENIED)


@pytest.mark.parametrize("role", RUNNING)
@pytest.mark.parametrize("column", ["floor", "balance", "path", "unit"])
def test_a_running_instance_changes_no_column_of_an_account(
    books: Books, role: str, column: str
) -> None:
    refused(books, role, f"UPDATE ledger.account SET {column} = {column}", DENIED)


@pytest.mark.parametrize("role", RUNNING)
def test_a_running_instance_calls_no_inner_function(books: Books, role: str) -> None:
    inner = (
        "ledger.write_batch(:p, now(), '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', "
        "'{}')",
        "ledger.floor_broken(:p, '{}', '{}', '{}', '{}')",
        "ledger.open_accounts(:p, now(), '{}', '{}', '{}', '{}', '{}')",
        "ledger.lock_accounts(:p, now(), '{}', '{}', '{}', '{}', '{}')",
    )
    for call in inner:
        refused(books, role, f"SELECT {call}", DENIED)
    refused(books, RUNTIME, "SELECT ledger.take_cut(:p)", DENIED)


@pytest.mark.parametrize("role", RUNNING)
def test_a_running_instance_does_not_switch_the_guards_off(books: Books, role: str) -> None:
    refused(books, role, "SET LOCAL session_replication_role = replica", DENIED)
    refused(books, role, "ALTER TABLE ledger.transfer DISABLE TRIGGER USER", DENIED)
    refused(books, role, "ALTER TABLE ledger.account DISABLE ROW LEVEL SECURITY", DENIED)
    refused(books, role, "DROP TABLE ledger.transfer", DENIED)
    refused(books, role, "CREATE TABLE ledger.mine (id int)", DENIED)


@pytest.mark.parametrize("role", RUNNING)
def test_what_a_unit_is_worth_cannot_change(books: Books, role: str) -> None:
    refused(books, role, "UPDATE ledger.unit SET exponent = 0", DENIED)
    refused(books, role, "UPDATE ledger.unit SET code = 'DAYS'", DENIED)
    refused(books, role, "DELETE FROM ledger.unit", DENIED)


@pytest.mark.parametrize("role", MAKING)
@pytest.mark.parametrize("table", ["posting", "transfer"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.{} SET platform_id = platform_id",
        "DELETE FROM ledger.{} WHERE platform_id = :p",
        "TRUNCATE ledger.{} CASCADE",
    ],
)
def test_what_is_posted_stays_also_for_those_who_own_it(
    books: Books, role: str | None, table: str, statement: str
) -> None:
    assert "append-only" in refused(books, role, statement.format(table), _APPEND_ONLY)


@pytest.mark.parametrize("role", MAKING)
@pytest.mark.parametrize("statement", ["DELETE FROM ledger.account", "TRUNCATE ledger.account"])
def test_an_account_is_never_removed(books: Books, role: str | None, statement: str) -> None:
    refused(books, role, statement, _APPEND_ONLY)


@pytest.mark.parametrize("role", MAKING)
@pytest.mark.parametrize(
    "change", ["balance = balance + 1", "path = 'member:z'", "unit = 'USD'", "opened_at = now()"]
)
def test_neither_a_balance_nor_what_an_account_is_changes_by_hand(
    books: Books, role: str | None, change: str
) -> None:
    refused(
        books,
        role,
        f"UPDATE ledger.account SET {change} WHERE platform_id = :p AND path = 'member:a' "
        "AND unit = 'EUR'",
        _APPEND_ONLY,
    )


@pytest.mark.parametrize("role", MAKING)
@pytest.mark.parametrize(
    ("path", "floor", "balance", "error"),
    [
        ("member:x", 0, 5, _APPEND_ONLY),
        ("platform:x", None, 5, _APPEND_ONLY),
        ("member:x", None, 0, errors.CheckViolation),
        ("platform:x", 0, 0, errors.CheckViolation),
        ("member:x", 1, 0, errors.CheckViolation),
        ("nobody:x", None, 0, errors.CheckViolation),
        ("member:x y", 0, 0, errors.CheckViolation),
        ("member:a", 0, 0, errors.UniqueViolation),
    ],
)
def test_an_account_opens_at_zero_with_the_floor_of_its_kind(
    books: Books,
    role: str | None,
    path: str,
    floor: int | None,
    balance: int,
    error: type[Exception],
) -> None:
    refused(books, role, _INSERT_ACCOUNT, error, path=path, floor=floor, balance=balance)


@pytest.mark.parametrize("role", MAKING)
@pytest.mark.parametrize("amount", [0, -1, -(2**63)])
def test_an_amount_is_positive(books: Books, role: str | None, amount: int) -> None:
    refused(books, role, _INSERT_TRANSFER, errors.CheckViolation, **transfer(books, amount=amount))


@pytest.mark.parametrize("role", MAKING)
@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e400"])
def test_an_amount_is_a_number(books: Books, role: str | None, amount: str) -> None:
    refused(
        books,
        role,
        _INSERT_TRANSFER.replace(":amount", f"'{amount}'::numeric"),
        errors.Error,
        **transfer(books),
    )


@pytest.mark.parametrize("role", MAKING)
def test_a_transfer_is_between_two_accounts(books: Books, role: str | None) -> None:
    one = account_id(books, A)
    refused(
        books,
        role,
        _INSERT_TRANSFER,
        errors.CheckViolation,
        **transfer(books, debit=one, credit=one),
    )


@pytest.mark.parametrize("statement", _INSERT_TRANSFERS)
@pytest.mark.parametrize("role", MAKING)
def test_a_transfer_stays_in_one_unit(books: Books, role: str | None, statement: str) -> None:
    hours = account_id(books, A, "HOURS")
    for change in ({"credit": hours}, {"debit": hours}, {"unit": "HOURS"}, {"unit": "USD"}):
        message = refused(
            books, role, statement, errors.ForeignKeyViolation, **transfer(books, **change)
        )
        assert "in one unit" in message


@pytest.mark.parametrize("statement", _INSERT_TRANSFERS)
@pytest.mark.parametrize("role", MAKING)
def test_a_transfer_has_a_posting_and_accounts_that_exist(
    books: Books, role: str | None, statement: str
) -> None:
    for change in ({"posting": uuid4()}, {"debit": 2**40}, {"credit": 2**40}):
        refused(books, role, statement, errors.ForeignKeyViolation, **transfer(books, **change))
    refused(
        books,
        role,
        statement,
        errors.NotNullViolation,
        **transfer(books, posting=None),
    )


@pytest.mark.parametrize("statement", _INSERT_TRANSFERS)
def test_a_transfer_does_not_join_the_accounts_of_two_platforms(
    books: Books, new_books: Callable[[], Books], statement: str
) -> None:
    other = new_books()
    other.move(OUTSIDE, A, 10)
    for role in MAKING:
        for change in (
            {"credit": account_id(other, A)},
            {"posting": posting_id(other)},
            {"p": other.platform_id},
        ):
            refused(
                books,
                role,
                statement,
                errors.ForeignKeyViolation,
                **transfer(books, **change),
            )


@pytest.mark.parametrize("statement", _INSERT_TRANSFERS)
@pytest.mark.parametrize("role", MAKING)
def test_a_floor_holds_for_those_who_own_the_books(
    books: Books, role: str | None, statement: str
) -> None:
    message = refused(
        books, role, statement, errors.CheckViolation, **transfer(books, amount=1_001)
    )
    assert "ck_account_floor" in message
    for floor in ("1", "NULL", "10 - balance"):
        refused(
            books,
            role,
            f"UPDATE ledger.account SET floor = {floor} WHERE platform_id = :p AND path = :path "
            "AND unit = 'HOURS'",
            errors.CheckViolation,
            path=B,
        )


@pytest.mark.parametrize("role", MAKING)
def test_a_posting_is_reversed_once(books: Books, role: str | None) -> None:
    first = posting_id(books)
    with books.undone(role) as connection:
        connection.execute(text(_INSERT_POSTING), {"p": books.platform_id, "reverses": first})
        again = _INSERT_POSTING.replace("'by hand'", "'by hand again'")
        with pytest.raises(DBAPIError) as caught:
            connection.execute(text(again), {"p": books.platform_id, "reverses": first})
    assert isinstance(caught.value.orig, errors.UniqueViolation)
    refused(books, role, _INSERT_POSTING, errors.ForeignKeyViolation, reverses=uuid4())


@pytest.mark.parametrize("role", MAKING)
def test_a_posting_has_a_key_a_kind_and_a_whole_hash(books: Books, role: str | None) -> None:
    for old, new in (
        ("'by hand'", "''"),
        ("'by hand'", f"'{'k' * 201}'"),
        ("sha256('x')", "'\\x00'::bytea"),
        ("'test'", "'Te st'"),
    ):
        refused(
            books, role, _INSERT_POSTING.replace(old, new), errors.CheckViolation, reverses=None
        )


def test_a_balance_moves_with_whatever_is_inserted_and_nothing_else(books: Books) -> None:
    with books.undone(OWNER) as connection:
        connection.execute(
            text(_INSERT_TRANSFER), {"p": books.platform_id, **transfer(books, amount=1_000)}
        )
        found = {
            one.path: one.balance
            for one in accounts.balances(connection, books.platform_id, [A, B], unit="EUR")
        }
    assert found == {A: 0, B: 1_500}


def test_a_cut_is_refused_in_a_transaction_that_has_posted(books: Books) -> None:
    with books.undone(SYSTEM_ROLE) as connection:
        post(connection, books.platform_id, [books.posting(move(OUTSIDE, A, 1))], books.now)
        with pytest.raises(DBAPIError, match="a transaction of its own"):
            cuts.cut(connection, books.platform_id)


def test_a_cut_is_refused_under_a_snapshot_taken_before_it(books: Books) -> None:
    still = books.engine.execution_options(isolation_level="REPEATABLE READ")
    with (
        pytest.raises(DBAPIError, match="read committed"),
        transaction(still, SYSTEM) as connection,
    ):
        cuts.cut(connection, books.platform_id)
