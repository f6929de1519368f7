"""Balances of accounts without a floor stay right however transactions finish around a cut."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from ledger import accounts
from ledger.posting import Status, post
from tests.ledger.books import OUTSIDE, A, Books, C, move, race


def _post(books: Books, connection: Connection, member: str, amount: int) -> None:
    made = books.posting(move(OUTSIDE, member, amount))
    (outcome,) = post(connection, books.platform_id, [made], books.now)
    assert outcome.status is Status.CREATED


def _low_id(books: Books) -> int:
    with books.open() as connection:
        value: int = connection.execute(
            text(
                "SELECT c.low_id FROM ledger.cut c JOIN ledger.account a "
                "ON a.platform_id = c.platform_id AND a.id = c.account_id WHERE a.path = :path"
            ),
            {"path": OUTSIDE},
        ).scalar_one()
    return value


def _last_id(books: Books) -> int:
    with books.open() as connection:
        value: int = connection.execute(text("SELECT max(id) FROM ledger.transfer")).scalar_one()
    return value


@pytest.mark.parametrize("cuts", [1, 2, 5])
def test_who_drew_an_early_id_and_commits_after_the_cut_is_not_lost(
    books: Books, cuts: int
) -> None:
    books.move(OUTSIDE, C, 1)
    with books.open() as slow:
        _post(books, slow, A, 10)  # draws its id now, commits last
        for n in range(cuts):
            books.move(OUTSIDE, f"member:{n}", 100)
            books.cut()
            assert books.balance(OUTSIDE) == -1 - 100 * (n + 1)
    total = -11 - 100 * cuts
    assert books.balance(OUTSIDE) == total
    for _ in range(3):
        books.cut()
        assert books.balance(OUTSIDE) == total
    books.move(OUTSIDE, C, 1)
    assert books.balance(OUTSIDE) == total - 1


def test_who_began_before_a_cut_and_posts_after_it_is_not_lost(books: Books) -> None:
    books.move(OUTSIDE, C, 1)
    with books.open() as slow:
        slow.execute(text("SELECT pg_current_xact_id()"))
        books.cut()
        books.cut()
        _post(books, slow, A, 10)
        books.move(OUTSIDE, C, 5)
        books.cut()
        assert books.balance(OUTSIDE) == -6
    assert books.balance(OUTSIDE) == -16
    books.cut()
    assert books.balance(OUTSIDE) == -16


def test_who_rolls_back_after_the_cut_is_not_counted(books: Books) -> None:
    books.move(OUTSIDE, C, 1)
    with books.undone("tierce_runtime") as slow:
        _post(books, slow, A, 10)
        books.move(OUTSIDE, C, 5)
        books.cut()
    assert books.balance(OUTSIDE) == -6
    books.cut()
    assert books.balance(OUTSIDE) == -6


def test_a_transaction_sees_its_own_postings_over_the_cut(books: Books) -> None:
    books.move(OUTSIDE, C, 1)
    with books.open() as connection:
        _post(books, connection, A, 10)
        books.cut()
        _post(books, connection, A, 20)
        assert accounts.balance(connection, books.platform_id, OUTSIDE, "EUR") == -31
        books.cut()
        assert accounts.balance(connection, books.platform_id, OUTSIDE, "EUR") == -31


def test_a_cut_covers_the_accounts_without_a_floor_of_its_platform_alone(
    books: Books, new_books: Callable[[], Books]
) -> None:
    assert books.cut() == 0
    books.move(OUTSIDE, A, 10)
    books.move(A, "platform:fees", 1)
    other = new_books()
    other.move(OUTSIDE, A, 10)
    assert books.cut() == 2
    with other.open() as connection:
        assert connection.execute(text("SELECT count(*) FROM ledger.cut")).scalar_one() == 0


def test_what_a_cut_covers_is_not_read_again(books: Books) -> None:
    for _ in range(5):
        books.move(OUTSIDE, A, 10)
    covered = _last_id(books)
    # A transaction of some other test may be running; until it ends nothing is settled.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        books.cut()
        if _low_id(books) >= covered:
            break
        time.sleep(0.05)
    assert _low_id(books) >= covered
    with books.open() as connection:
        marks: int = connection.execute(text("SELECT count(*) FROM ledger.mark")).scalar_one()
    assert marks <= 2, "settled marks are forgotten"
    assert books.balance(OUTSIDE) == -50


def test_cuts_at_once_wait_for_each_other(books: Books) -> None:
    books.move(OUTSIDE, A, 10)
    assert race([books.cut] * 6) == [1] * 6
    assert books.balance(OUTSIDE) == -10


@dataclass
class _Open:
    """A transaction that has not finished, and what it has moved."""

    stack: ExitStack
    connection: Connection
    member: str
    moved: int = 0


@dataclass
class _Interleaving:
    """Transactions of one thread, finished in any order, and what the outside account must say."""

    books: Books
    finished: int = 0
    begun: int = 0
    running: list[_Open] = field(default_factory=list)

    def begin(self) -> None:
        if len(self.running) < 5:
            stack = ExitStack()
            connection = stack.enter_context(self.books.engine.connect())
            connection.execute(
                text("SELECT set_config('tierce.platform_id', :p, true)"),
                {"p": str(self.books.platform_id)},
            )
            self.begun += 1
            self.running.append(_Open(stack, connection, f"member:{self.begun}"))

    def post(self, which: int, amount: int) -> None:
        if self.running:
            one = self.running[which % len(self.running)]
            _post(self.books, one.connection, one.member, amount)
            one.moved += amount

    def end(self, which: int, commit: bool) -> None:
        if self.running:
            one = self.running.pop(which % len(self.running))
            if commit:
                one.connection.commit()
                self.finished += one.moved
            one.stack.close()

    def check(self) -> None:
        assert self.books.balance(OUTSIDE) == -self.finished


_ACTS = st.lists(
    st.one_of(
        st.just(("begin",)),
        st.tuples(st.just("post"), st.integers(0, 4), st.integers(1, 1_000)),
        st.tuples(st.just("end"), st.integers(0, 4), st.booleans()),
        st.just(("cut",)),
    ),
    min_size=10,
    max_size=40,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_ACTS)
def test_however_transactions_interleave_with_cuts_the_balance_is_what_finished(
    new_books: Callable[[], Books], acts: list[tuple[object, ...]]
) -> None:
    books = new_books()
    books.move(OUTSIDE, C, 1)
    state = _Interleaving(books, finished=1)
    for _ in range(3):
        state.begin()
    try:
        for act in acts:
            match act:
                case ("begin",):
                    state.begin()
                case ("post", int(which), int(amount)):
                    state.post(which, amount)
                case ("end", int(which), bool(commit)):
                    state.end(which, commit)
                case _:
                    books.cut()
            state.check()
        while state.running:
            state.end(0, commit=True)
            state.check()
    finally:
        for one in state.running:
            one.stack.close()
    books.cut()
    state.check()
    assert books.problems() == []


def test_whatever_is_posted_while_cuts_are_taken_every_reading_sums_to_zero(
    books: Books, seed: int
) -> None:
    books.define("HOURS", 2, credit_limit=1_000)
    done = Event()
    members = [f"member:{n}" for n in range(8)]
    others = [OUTSIDE, "provider:second", "platform:fees", "expense:provider_fees"]

    def write(number: int) -> int:
        chance = random.Random(seed + number)
        created = 0
        for _ in range(25):
            batch = []
            for _ in range(chance.randint(1, 8)):
                debit, credit = chance.sample(members + others, 2)
                unit = chance.choice(["EUR", "HOURS"])
                batch.append(books.posting(move(debit, credit, chance.randint(1, 300), unit)))
            created += books.statuses(*batch).count("created")
        return created

    def cut() -> int:
        number = 0
        while not done.is_set():
            books.cut()
            number += 1
        return number

    def read() -> int:
        number = 0
        while not done.is_set():
            sums: dict[str, int] = {}
            for (_path, unit), amount in books.balances().items():
                sums[unit] = sums.get(unit, 0) + amount
            assert set(sums.values()) <= {0}, sums
            number += 1
        return number

    def write_all() -> int:
        try:
            written = [lambda number=number: write(number) for number in range(5)]
            return sum(race(written))
        finally:
            done.set()

    created, cuts, readings = race([write_all, cut, read])
    assert created > 100
    assert cuts > 2
    assert readings > 2
    with books.open() as connection:
        posted = connection.execute(text("SELECT count(*) FROM ledger.posting")).scalar_one()
    assert posted == created
    books.cut()
    assert books.problems() == []
