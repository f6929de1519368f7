"""The books of a platform are nobody else's, neither to read nor to post to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from ledger import accounts
from ledger.posting import post
from service.db import SYSTEM, transaction
from tests.ledger.books import OUTSIDE, A, B, Books, move
from tests.ledger.test_database_refuses import DENIED, RUNTIME, refused


@pytest.fixture
def books(books: Books) -> Books:
    """Books in which two members hold euros."""
    books.define("HOURS", 2, credit_limit=50)
    books.move(OUTSIDE, A, 1_000)
    books.move(OUTSIDE, B, 500)
    return books


def _foreign(connection: Connection, other: Books) -> int:
    rows: int = connection.execute(
        text(
            "SELECT (SELECT count(*) FROM ledger.posting WHERE platform_id = :p) "
            "+ (SELECT count(*) FROM ledger.transfer WHERE platform_id = :p) "
            "+ (SELECT count(*) FROM ledger.account WHERE platform_id = :p) "
            "+ (SELECT count(*) FROM ledger.entry WHERE platform_id = :p) "
            "+ (SELECT count(*) FROM ledger.cut WHERE platform_id = :p) "
            "+ (SELECT count(*) FROM ledger.mark WHERE platform_id = :p) "
            "+ (SELECT count(*) FROM ledger.unit WHERE platform_id = :p)"
        ),
        {"p": other.platform_id},
    ).scalar_one()
    return rows


def test_the_books_of_another_platform_are_not_readable(
    books: Books, new_books: Callable[[], Books]
) -> None:
    other = new_books()
    other.define("POINTS", 0)
    other.move(OUTSIDE, A, 10)
    other.cut()
    with books.open() as connection:
        assert _foreign(connection, other) == 0
        assert accounts.balances(connection, other.platform_id) == []
        assert accounts.balance(connection, other.platform_id, OUTSIDE, "EUR") == 0
        assert accounts.statement(connection, other.platform_id, A, "EUR", limit=5) == []
    with other.open() as connection:
        assert _foreign(connection, other) > 8
    with transaction(books.engine, SYSTEM) as connection:
        assert _foreign(connection, other) > 8


def test_nothing_is_posted_to_another_platform(
    books: Books, new_books: Callable[[], Books]
) -> None:
    other = new_books()
    one_and_two = [[other.posting(move(OUTSIDE, A, 1))] * many for many in (1, 2)]
    for postings in one_and_two:  # each has a way of its own into the books
        with pytest.raises(DBAPIError, match="belongs to another platform"), books.open() as inside:
            post(inside, other.platform_id, postings, books.now)
    refused(
        books,
        RUNTIME,
        "SELECT ledger.set_credit_limit(:other, 'member:a', 'HOURS', 5, now())",
        DENIED,
        other=other.platform_id,
    )
    refused(
        books,
        RUNTIME,
        "INSERT INTO ledger.unit (platform_id, code, name, exponent, credit_limit) "
        "VALUES (:other, 'DAYS', 'Days', 0, 0)",
        DENIED,
        other=other.platform_id,
    )
    assert other.balances() == {}


def test_a_runtime_that_is_in_no_platform_neither_reads_nor_posts(books: Books) -> None:
    with books.undone(RUNTIME) as connection:
        connection.execute(text("SELECT set_config('tierce.platform_id', '', true)"))
        assert _foreign(connection, books) == 0
        with pytest.raises(DBAPIError, match="belongs to another platform"):
            post(connection, books.platform_id, [books.posting(move(OUTSIDE, A, 1))], books.now)


def test_the_system_scope_posts_on_every_platform(books: Books) -> None:
    with transaction(books.engine, SYSTEM) as connection:
        post(connection, books.platform_id, [books.posting(move(OUTSIDE, A, 1))], books.now)
    assert books.balance(A) == 1_001
    assert books.balance(OUTSIDE) == -1_501
