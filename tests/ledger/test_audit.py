"""The audit finds every kind of tampering; each is undone at once.

Only the owner of the tables can tamper at all, with triggers off; constraints still hold then,
so a broken floor takes dropping one.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from ledger import accounts
from ledger.audit import MOST_OF_A_KIND, audit
from ledger.posting import reverse
from service.db import SYSTEM, transaction
from tests.ledger.books import OUTSIDE, A, B, Books, move


@pytest.fixture
def books(books: Books) -> Books:
    """Books with a reversal, a cut, two units and a few postings."""
    books.define("HOURS", 2, credit_limit=50)
    books.post(books.posting(move(OUTSIDE, A, 1_000), move(A, B, 300), reference="order 7"))
    books.move(B, A, 25, "HOURS")
    wrong = books.move(OUTSIDE, B, 7)
    with books.open() as connection:
        reverse(connection, books.platform_id, wrong.key, "undo", books.now)
    books.move("platform:fees", A, 10)
    books.cut()
    books.move(OUTSIDE, B, 70)
    return books


def _found(books: Books, *tampering: str) -> set[str]:
    """Tamper, audit, undo; return which checks objected, and that all named this platform."""
    with books.undone(None, unguarded=True) as connection:
        for statement in tampering:
            changed = connection.execute(text(statement), {"p": books.platform_id})
            assert changed.rowcount, "the tampering of the test did nothing"
        problems = audit(connection, books.platform_id).problems
    assert {problem.platform_id for problem in problems} <= {books.platform_id}
    return {problem.check for problem in problems}


_FIRST = "id = (SELECT min(id) FROM ledger.transfer WHERE platform_id = :p)"
_LAST = "id = (SELECT max(id) FROM ledger.transfer WHERE platform_id = :p)"
_OF_REVERSAL = (
    "posting_id = (SELECT id FROM ledger.posting WHERE platform_id = :p AND key = 'undo')"
)


@pytest.mark.breaks_books
@pytest.mark.parametrize(
    ("tampering", "checks"),
    [
        (
            f"UPDATE ledger.transfer SET amount = amount + 1 WHERE platform_id = :p AND {_FIRST}",
            {
                "balance_differs_from_transfers",
                "cut_differs_from_transfers",
                "content_differs_from_hash",
            },
        ),
        (
            f"UPDATE ledger.transfer SET amount = amount + 1 WHERE platform_id = :p AND {_LAST}",
            {"balance_differs_from_transfers", "content_differs_from_hash"},
        ),
        (
            f"UPDATE ledger.transfer SET amount = 6 WHERE platform_id = :p AND {_OF_REVERSAL}",
            {
                "balance_differs_from_transfers",
                "cut_differs_from_transfers",
                "content_differs_from_hash",
                "reversal_not_a_mirror",
            },
        ),
        (
            f"UPDATE ledger.transfer SET debit_account = credit_account, "
            f"credit_account = debit_account WHERE platform_id = :p AND {_LAST}",
            {"balance_differs_from_transfers", "content_differs_from_hash"},
        ),
        (
            f"UPDATE ledger.transfer SET unit = 'USD' WHERE platform_id = :p AND {_LAST}",
            {"transfer_without_its_accounts", "content_differs_from_hash"},
        ),
        (
            f"DELETE FROM ledger.transfer WHERE platform_id = :p AND {_FIRST}",
            {
                "balance_differs_from_transfers",
                "cut_differs_from_transfers",
                "content_differs_from_hash",
            },
        ),
        (
            f"DELETE FROM ledger.transfer WHERE platform_id = :p AND {_LAST}",
            {"balance_differs_from_transfers", "content_differs_from_hash"},
        ),
        (
            "INSERT INTO ledger.transfer (platform_id, posting_id, debit_account, credit_account, "
            "amount, unit) SELECT platform_id, posting_id, debit_account, credit_account, amount, "
            f"unit FROM ledger.transfer WHERE platform_id = :p AND {_LAST}",
            {"balance_differs_from_transfers", "content_differs_from_hash"},
        ),
        (
            "DELETE FROM ledger.posting WHERE platform_id = :p AND reference IS NOT NULL",
            {"transfer_without_its_posting"},
        ),
        (
            "UPDATE ledger.posting SET kind = 'other' WHERE platform_id = :p AND key = 'undo'",
            {"content_differs_from_hash"},
        ),
        (
            "UPDATE ledger.posting SET reference = 'order 8' WHERE platform_id = :p "
            "AND reference = 'order 7'",
            {"content_differs_from_hash"},
        ),
        (
            "UPDATE ledger.posting SET hash = sha256('x') WHERE platform_id = :p AND key = 'undo'",
            {"content_differs_from_hash"},
        ),
        (
            "UPDATE ledger.posting SET reverses = NULL WHERE platform_id = :p AND key = 'undo'",
            {"content_differs_from_hash"},
        ),
        (
            "UPDATE ledger.posting SET reverses = (SELECT id FROM ledger.posting WHERE "
            "platform_id = :p AND reference IS NOT NULL) WHERE platform_id = :p AND key = 'undo'",
            {"content_differs_from_hash", "reversal_not_a_mirror"},
        ),
        (
            "UPDATE ledger.account SET balance = balance + 1 WHERE platform_id = :p "
            "AND path = 'member:a' AND unit = 'EUR'",
            {"balance_differs_from_transfers"},
        ),
        (
            "UPDATE ledger.account SET path = 'member:c' WHERE platform_id = :p "
            "AND path = 'member:a' AND unit = 'EUR'",
            {"content_differs_from_hash"},
        ),
        (
            "UPDATE ledger.account SET unit = 'USD' WHERE platform_id = :p "
            "AND path = 'member:a' AND unit = 'EUR'",
            {"transfer_without_its_accounts"},
        ),
        (
            "DELETE FROM ledger.account WHERE platform_id = :p AND path = 'member:a' "
            "AND unit = 'EUR'",
            {"transfer_without_its_accounts", "content_differs_from_hash"},
        ),
        (
            "UPDATE ledger.cut SET balance = balance - 1 WHERE platform_id = :p",
            {"cut_differs_from_transfers"},
        ),
    ],
)
def test_tampering_is_found(books: Books, tampering: str, checks: set[str]) -> None:
    assert _found(books, tampering) == checks


@pytest.mark.breaks_books
def test_a_posting_without_any_transfer_is_found(books: Books) -> None:
    assert "content_differs_from_hash" in _found(
        books, f"DELETE FROM ledger.transfer WHERE platform_id = :p AND {_OF_REVERSAL}"
    )


@pytest.mark.breaks_books
def test_a_broken_floor_is_found(books: Books) -> None:
    with books.undone(None, unguarded=True) as connection:
        connection.execute(text("ALTER TABLE ledger.account DROP CONSTRAINT ck_account_floor"))
        connection.execute(
            text(
                "UPDATE ledger.account SET floor = balance + 1 WHERE platform_id = :p "
                "AND path = 'member:a' AND unit = 'EUR'"
            ),
            {"p": books.platform_id},
        )
        problems = audit(connection, books.platform_id).problems
    assert [(one.check, one.subject) for one in problems] == [("floor_broken", "member:a EUR")]


@pytest.mark.breaks_books
def test_money_in_suspense_is_found_until_it_is_explained(books: Books) -> None:
    with books.undone("tierce_owner") as connection:
        connection.execute(
            text(
                "INSERT INTO ledger.account (platform_id, path, unit, opened_at) "
                "VALUES (:p, 'suspense', 'EUR', now())"
            ),
            {"p": books.platform_id},
        )
        assert audit(connection, books.platform_id).problems == ()
    books.move(OUTSIDE, "suspense", 5)
    assert [(one.check, one.detail) for one in books.problems()] == [
        ("suspense_not_zero", "5 unexplained")
    ]
    books.move("suspense", OUTSIDE, 5)
    assert books.problems() == []


@pytest.mark.breaks_books
def test_an_audit_of_very_broken_books_names_the_first_of_each_kind(books: Books) -> None:
    books.post(*(books.posting(move(OUTSIDE, f"member:{n}", 1)) for n in range(150)))
    with books.undone(None, unguarded=True) as connection:
        connection.execute(
            text("UPDATE ledger.account SET balance = 9 WHERE platform_id = :p AND balance = 1"),
            {"p": books.platform_id},
        )
        assert len(audit(connection, books.platform_id).problems) == MOST_OF_A_KIND


@pytest.mark.breaks_books
def test_one_audit_of_everybody_finds_whose_books_are_broken(
    books: Books, new_books: Callable[[], Books]
) -> None:
    other = new_books()
    other.move(OUTSIDE, A, 10)
    with books.undone(None, unguarded=True) as connection:
        connection.execute(
            text("UPDATE ledger.account SET balance = 11 WHERE platform_id = :p AND balance = 10"),
            {"p": other.platform_id},
        )
        everybody = audit(connection, None)
        # Other tests of this database may have left something in suspense, as they may.
        broken = [one for one in everybody.problems if one.check != "suspense_not_zero"]
        assert [one.platform_id for one in broken] == [other.platform_id]
        assert audit(connection, books.platform_id).problems == ()


def test_clean_books_are_clean_and_counted(books: Books) -> None:
    with books.open() as connection:
        report = audit(connection, books.platform_id)
        assert len(accounts.balances(connection, books.platform_id)) == report.accounts == 6
    assert (report.entries, report.problems) == (14, ())
    with transaction(books.engine, SYSTEM) as connection:
        everybody = audit(connection, None)
    # Other tests of this database may have left something in suspense, as they may.
    assert books.platform_id not in {problem.platform_id for problem in everybody.problems}
    assert everybody.entries >= 14
