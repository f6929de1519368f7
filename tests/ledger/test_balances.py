"""Reading the books: balances now and then, statements, credit limits, units, shares."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import accounts, units
from ledger.accounts import Balance, Line
from ledger.refusals import CreditLimitPassed, InvalidUnit, UnitTaken, UnknownUnit
from ledger.shares import split
from tests.ledger.books import OUTSIDE, A, B, Books, C, move


def _limit(books: Books, path: str, limit: int, unit: str = "HOURS") -> None:
    with books.open() as connection:
        accounts.set_credit_limit(connection, books.platform_id, path, unit, limit, books.now)


def _pages(books: Books, path: str, limit: int) -> list[Line]:
    lines: list[Line] = []
    after: tuple[int, int] | None = None
    while True:
        with books.open() as connection:
            page = accounts.statement(
                connection, books.platform_id, path, "EUR", limit=limit, after=after
            )
        assert len(page) <= limit
        lines += page
        if not page:
            return lines
        after = (page[-1].transfer_id, page[-1].balance - page[-1].amount)


def test_an_account_never_used_has_nothing(books: Books) -> None:
    assert books.balance(A) == 0
    assert books.balance(A, at=books.now) == 0


@pytest.mark.parametrize("cut", [False, True])
def test_a_balance_as_of_an_instant_is_what_it_was_then(books: Books, cut: bool) -> None:
    instants = []
    for amount in (100, 20, 3):
        books.move(OUTSIDE, A, amount)
        instants.append(books.now)
        books.pass_time(hours=1)
        if cut:
            books.cut()
    a_moment = timedelta(microseconds=1)
    for path, sign in ((A, 1), (OUTSIDE, -1)):
        then = [books.balance(path, at=at) for at in instants]
        assert then == [sign * 100, sign * 120, sign * 123]
        assert books.balance(path, at=instants[0] - a_moment) == 0
        assert books.balance(path, at=instants[1] - a_moment) == sign * 100
        assert books.balance(path) == sign * 123


def test_balances_are_found_by_path_by_kind_and_by_unit(books: Books) -> None:
    books.define("HOURS", 2, credit_limit=100)
    books.move(OUTSIDE, A, 10)
    books.move(OUTSIDE, "hold:1", 20)
    books.move(A, B, 30, "HOURS")
    with books.open() as connection:
        read = accounts.balances
        members = read(connection, books.platform_id, kinds=["member"])
        assert members == [
            Balance(A, "EUR", 10, 0),
            Balance(A, "HOURS", -30, -100),
            Balance(B, "HOURS", 30, -100),
        ]
        assert read(connection, books.platform_id, [A], unit="EUR") == members[:1]
        assert read(connection, books.platform_id, [OUTSIDE]) == [
            Balance(OUTSIDE, "EUR", -30, None)
        ]
        assert read(connection, books.platform_id, []) == []
        every = read(connection, books.platform_id)
        assert [one.path for one in every] == sorted(one.path for one in every)
        assert len(every) == 5


def test_a_path_that_begins_like_another_is_another(books: Books) -> None:
    books.move(OUTSIDE, "member:1", 10)
    books.move(OUTSIDE, "member:11", 20)
    assert books.balance("member:1") == 10


@pytest.mark.parametrize("limit", [1, 2, 7, 100])
@pytest.mark.parametrize("path", [A, OUTSIDE])
def test_a_statement_runs_on_across_its_pages(books: Books, limit: int, path: str) -> None:
    for n in range(1, 8):
        books.move(OUTSIDE, A, 10 * n)
        books.move(A, B, n)
        books.move(B, OUTSIDE, 1)
        books.pass_time(minutes=1)
        if n == 4:
            books.cut()
    lines = _pages(books, path, limit)
    assert len(lines) == 14
    assert lines[0].balance == books.balance(path)
    assert [line.transfer_id for line in lines] == sorted(
        (line.transfer_id for line in lines), reverse=True
    )
    running = 0
    for line in reversed(lines):
        running += line.amount
        assert line.balance == running
    if path == A:
        assert [(line.other, line.amount) for line in lines[:4]] == [
            (B, -7),
            (OUTSIDE, 70),
            (B, -6),
            (OUTSIDE, 60),
        ]


def test_a_page_stays_true_while_new_movements_arrive(books: Books) -> None:
    for n in range(1, 7):
        books.move(OUTSIDE, A, n)
    with books.open() as connection:
        first = accounts.statement(connection, books.platform_id, A, "EUR", limit=2)
    books.move(OUTSIDE, A, 1_000)
    last = first[-1]
    with books.open() as connection:
        second = accounts.statement(
            connection,
            books.platform_id,
            A,
            "EUR",
            limit=2,
            after=(last.transfer_id, last.balance - last.amount),
        )
    assert [line.balance for line in (*first, *second)] == [21, 15, 10, 6]


def test_postings_are_found_by_their_reference_in_order(books: Books) -> None:
    first = books.posting(move(OUTSIDE, A, 5), move(A, B, 5), reference="order 7")
    second = books.posting(move(B, C, 5), reference="order 7")
    books.post(first, books.posting(move(OUTSIDE, A, 1), reference="order 8"))
    books.post(second)
    with books.open() as connection:
        found = accounts.postings(connection, books.platform_id, "order 7")
    assert [one.key for one in found] == [first.key, second.key]
    assert [(t.debit, t.credit, t.amount, t.unit) for t in found[0].transfers] == [
        (OUTSIDE, A, 5, "EUR"),
        (A, B, 5, "EUR"),
    ]


def test_a_member_goes_below_zero_as_far_as_the_unit_lets(books: Books) -> None:
    books.define("HOURS", 2, credit_limit=100)
    assert books.statuses(books.posting(move(A, B, 101, "HOURS"))) == ["breaks_floor"]
    books.move(A, B, 100, "HOURS")
    assert books.statuses(books.posting(move(A, B, 1, "HOURS"))) == ["breaks_floor"]
    assert books.balance(A, "HOURS") == -100


def test_a_unit_without_credit_lets_nobody_below_zero(books: Books) -> None:
    books.define("HOURS", 2)
    assert books.statuses(books.posting(move(A, B, 1, "HOURS"))) == ["breaks_floor"]


def test_a_credit_limit_is_set_before_and_after_the_first_movement(books: Books) -> None:
    books.define("HOURS", 2, credit_limit=100)
    _limit(books, A, 30)
    assert books.statuses(books.posting(move(A, B, 31, "HOURS"))) == ["breaks_floor"]
    books.move(A, B, 30, "HOURS")
    _limit(books, A, 500)
    books.move(A, B, 470, "HOURS")
    assert books.balance(A, "HOURS") == -500
    assert books.statuses(books.posting(move(A, B, 1, "HOURS"))) == ["breaks_floor"]


def test_a_credit_limit_below_what_is_owed_is_refused_and_changes_nothing(books: Books) -> None:
    books.define("HOURS", 2, credit_limit=100)
    books.move(A, B, 80, "HOURS")
    with books.open() as connection:
        with pytest.raises(CreditLimitPassed):
            accounts.set_credit_limit(connection, books.platform_id, A, "HOURS", 79, books.now)
        (found,) = accounts.balances(connection, books.platform_id, [A])
    assert found.floor == -100, "and the transaction goes on"
    _limit(books, A, 80)


@pytest.mark.parametrize("limit", [-1, 10**15 + 1])
def test_a_credit_limit_out_of_bounds_is_refused(books: Books, limit: int) -> None:
    books.define("HOURS", 2)
    with pytest.raises(InvalidUnit):
        _limit(books, A, limit)


def test_money_has_no_credit_limit(books: Books) -> None:
    with pytest.raises(InvalidUnit):
        _limit(books, A, 100, "EUR")
    with pytest.raises(UnknownUnit):
        _limit(books, A, 100, "HOURS")


@pytest.mark.parametrize(
    ("code", "exponent"),
    [
        ("EUR", 2), ("USD", 2), ("GBP", 2), ("CHF", 2), ("INR", 2), ("NGN", 2), ("MGA", 2),
        ("MRU", 2), ("HUF", 2), ("TWD", 2), ("IDR", 2), ("COP", 2), ("CRC", 2), ("AFN", 2),
        ("ALL", 2), ("IRR", 2), ("LBP", 2), ("MMK", 2), ("PKR", 2), ("RSD", 2), ("SYP", 2),
        ("SOS", 2), ("YER", 2), ("LAK", 2), ("KPW", 2), ("JPY", 0), ("KRW", 0), ("VND", 0),
        ("ISK", 0), ("CLP", 0), ("XOF", 0), ("XAF", 0), ("XPF", 0), ("UGX", 0), ("PYG", 0),
        ("RWF", 0), ("KMF", 0), ("GNF", 0), ("DJF", 0), ("BIF", 0), ("VUV", 0), ("UYI", 0),
        ("IQD", 3), ("KWD", 3), ("BHD", 3), ("OMR", 3), ("JOD", 3), ("TND", 3), ("LYD", 3),
        ("CLF", 4), ("UYW", 4),
    ],
)  # fmt: skip
def test_a_currency_has_the_decimals_of_iso_4217(code: str, exponent: int) -> None:
    unit = units.iso(code)
    assert (unit.exponent, unit.community, unit.credit_limit) == (exponent, False, 0)


@pytest.mark.parametrize("code", ["DEM", "XXX", "XTS", "eur", "EU", "EURO", "", "ZZZ"])
def test_what_is_no_currency_in_use_is_unknown(books: Books, code: str) -> None:
    with pytest.raises(UnknownUnit):
        units.iso(code)
    with books.open() as connection, pytest.raises(UnknownUnit):
        units.get(connection, books.platform_id, code)


@pytest.mark.parametrize(
    ("code", "amount", "written"),
    [
        ("EUR", 123_456, "1234.56 EUR"),
        ("EUR", -150, "-1.50 EUR"),
        ("EUR", 5, "0.05 EUR"),
        ("EUR", -5, "-0.05 EUR"),
        ("EUR", 0, "0.00 EUR"),
        ("JPY", 1_234, "1234 JPY"),
        ("JPY", -7, "-7 JPY"),
        ("JPY", 0, "0 JPY"),
        ("IQD", 1, "0.001 IQD"),
        ("IQD", -12_345, "-12.345 IQD"),
        ("CLF", 10_000, "1.0000 CLF"),
        ("EUR", 2**63 - 1, "92233720368547758.07 EUR"),
    ],
)
def test_an_amount_is_written_exactly(code: str, amount: int, written: str) -> None:
    assert units.iso(code).format(amount) == written


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 4))
def test_no_amount_is_rounded_in_writing(amount: int, exponent: int) -> None:
    written = units.Unit("HOURS", exponent, "Hours", True).decimal(amount)
    _sign, digits, power = Decimal(written).as_tuple()
    assert power == -exponent
    value = int("".join(map(str, digits)))
    assert (-value if written.startswith("-") else value) == amount


def test_a_community_unit_is_defined_once_and_known_to_its_platform_alone(
    books: Books, new_books: Callable[[], Books]
) -> None:
    hours = books.define("HOURS", 2, credit_limit=100)
    points = books.define("BON_2", 0)
    other = new_books()
    with books.open() as connection:
        assert units.community(connection, books.platform_id) == [points, hours]
        assert units.get(connection, books.platform_id, "HOURS") == hours
        assert units.get(connection, books.platform_id, "EUR") == units.iso("EUR")
        with pytest.raises(UnitTaken):
            units.define(connection, books.platform_id, "HOURS", "Others", 0, 0)
    with other.open() as connection:
        with pytest.raises(UnknownUnit):
            units.get(connection, other.platform_id, "HOURS")
        assert units.community(connection, other.platform_id) == []


@pytest.mark.parametrize(
    ("code", "exponent", "limit"),
    [
        ("EUR", 2, 0),
        ("ABC", 2, 0),
        ("hours", 2, 0),
        ("Hours", 2, 0),
        ("1HOUR", 2, 0),
        ("_HOUR", 2, 0),
        ("HOU RS", 2, 0),
        ("HOURS\n", 2, 0),
        ("HÔURS", 2, 0),
        ("H" * 13, 2, 0),
        ("HOURS", -1, 0),
        ("HOURS", 5, 0),
        ("HOURS", 2, -1),
        ("HOURS", 2, 10**15 + 1),
    ],
)
def test_a_community_unit_out_of_bounds_is_refused(
    books: Books, code: str, exponent: int, limit: int
) -> None:
    with pytest.raises(InvalidUnit):
        books.define(code, exponent, limit)


_WEIGHTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=12).filter(any)


@given(st.integers(0, 10**15), _WEIGHTS)
def test_shares_sum_to_the_whole_and_are_within_one_of_their_part(
    amount: int, weights: list[int]
) -> None:
    shares = split(amount, weights)
    whole = sum(weights)
    assert sum(shares) == amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share * whole - amount * weight) < whole
        assert share == 0 if weight == 0 else share >= 0


@given(st.integers(0, 10**15), _WEIGHTS, st.integers(2, 50))
def test_only_the_proportions_of_weights_count(
    amount: int, weights: list[int], factor: int
) -> None:
    assert split(amount, weights) == split(amount, [weight * factor for weight in weights])


def test_what_cannot_be_shared_evenly_goes_to_the_earlier() -> None:
    assert split(100, [1, 1, 1]) == (34, 33, 33)
    assert split(1, [1, 1]) == (1, 0)
    assert split(101, [97, 3]) == (98, 3)
    assert split(0, [1, 2]) == (0, 0)


@pytest.mark.parametrize(
    ("amount", "weights"), [(-1, [1]), (1, []), (1, [0]), (1, [0, 0]), (1, [2, -1]), (1, [-1])]
)
def test_nonsense_is_not_shared(amount: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match="shared by weights"):
        split(amount, weights)
