"""What one call of ledger.post does with a list of postings, alone and raced by others."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from ledger.posting import MOST_AMOUNT, Outcome, Posting, Status, Transfer, post
from ledger.refusals import InvalidPosting
from tests.ledger.books import OUTSIDE, A, B, Books, C, move, race


def test_a_new_posting_is_created_and_moves_both_balances(books: Books) -> None:
    (outcome,) = books.post(books.posting(move(OUTSIDE, A, 6_500)))
    assert outcome.status is Status.CREATED
    assert outcome.posting_id is not None
    assert (books.balance(A), books.balance(OUTSIDE)) == (6_500, -6_500)


def test_the_same_posting_again_exists_and_moves_nothing(books: Books) -> None:
    posting = books.posting(move(OUTSIDE, A, 6_500), reference="order 7")
    (first,) = books.post(posting)
    (second,) = books.post(posting)
    assert second == Outcome(Status.EXISTS, first.posting_id)
    assert books.balance(A) == 6_500


@pytest.mark.parametrize(
    "words", ['say "so"', "back\\slash", "{a,b}", "NULL", 'a"}, {"b', "é 漢 ☕", "' -- ", "\\x00"]
)
def test_a_key_and_a_reference_are_kept_as_they_are_written(books: Books, words: str) -> None:
    posting = books.posting(move(OUTSIDE, A, 1), move(A, B, 1), key=words, reference=words)
    before = books.posting(move(OUTSIDE, A, 2))
    assert [one.status for one in books.post(before, posting)] == ["created", "created"]
    with books.open() as connection:
        query = text("SELECT key, reference FROM ledger.posting ORDER BY id DESC LIMIT 1")
        assert tuple(connection.execute(query).one()) == (words, words)
    assert books.statuses(posting) == ["exists"]
    assert books.problems() == []


def test_a_unit_may_be_called_null(books: Books) -> None:
    books.define("NULL", 0)
    books.move(OUTSIDE, A, 7, "NULL")
    assert books.balance(A, "NULL") == 7


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "other"},
        {"reference": "order 8"},
        {"reference": None},
        {"transfers": (move(OUTSIDE, A, 6_501),)},
        {"transfers": (move(OUTSIDE, B, 6_500),)},
        {"transfers": (move(OUTSIDE, A, 6_500, "USD"),)},
        {"transfers": (move(OUTSIDE, A, 6_500), move(OUTSIDE, A, 1))},
    ],
)
def test_other_content_under_a_used_key_differs_and_moves_nothing(
    books: Books, change: dict[str, Any]
) -> None:
    posting = books.posting(move(OUTSIDE, A, 6_500), reference="order 7")
    (first,) = books.post(posting)
    (second,) = books.post(replace(posting, **change))
    assert second == Outcome(Status.DIFFERS, first.posting_id)
    assert books.balances() == {(A, "EUR"): 6_500, (OUTSIDE, "EUR"): -6_500}


@pytest.mark.parametrize("path", [A, "hold:1", "transit:1"])
def test_a_posting_that_breaks_a_floor_names_the_account_and_leaves_no_trace(
    books: Books, path: str
) -> None:
    books.move(OUTSIDE, path, 100)
    guilty = books.posting(move(path, B, 101))
    assert books.post(guilty) == [Outcome(Status.BREAKS_FLOOR, None, path)]
    assert books.balances() == {(path, "EUR"): 100, (OUTSIDE, "EUR"): -100}
    books.move(OUTSIDE, path, 1)
    assert books.statuses(guilty) == ["created"], "the refusal did not use the key up"


def test_an_account_that_never_was_cannot_be_overdrawn(books: Books) -> None:
    assert books.post(books.posting(move(A, B, 1))) == [Outcome(Status.BREAKS_FLOOR, None, A)]
    assert books.balances() == {}


@pytest.mark.parametrize("path", ["platform:fees", "expense:provider_fees", "receivable:x"])
def test_an_account_without_a_floor_goes_below_zero(books: Books, path: str) -> None:
    books.move(path, A, 100)
    assert books.balance(path) == -100


def test_a_floor_is_held_by_the_net_of_a_posting_not_by_its_steps(books: Books) -> None:
    through = books.posting(move(A, B, 100), move(OUTSIDE, A, 100))
    assert books.statuses(through) == ["created"]
    assert (books.balance(A), books.balance(B)) == (0, 100)


def test_a_balance_beyond_bigint_is_out_of_range_and_leaves_the_others(books: Books) -> None:
    books.move(OUTSIDE, A, MOST_AMOUNT)
    statuses = books.statuses(
        books.posting(move("provider:other", B, 1)),
        books.posting(move("provider:other", A, 1)),
        books.posting(move("provider:other", B, 2)),
    )
    assert statuses == ["created", "out_of_range", "created"]
    assert (books.balance(A), books.balance(B)) == (MOST_AMOUNT, 3)
    assert books.balance(OUTSIDE) == -MOST_AMOUNT


def test_one_guilty_posting_leaves_the_others_of_its_batch(books: Books) -> None:
    books.move(OUTSIDE, A, 100)
    existing = books.move(OUTSIDE, C, 5)
    outcomes = books.post(
        books.posting(move(A, B, 60)),
        books.posting(move(A, B, 60), move(OUTSIDE, C, 1)),
        existing,
        replace(existing, kind="other"),
        books.posting(move(A, B, 40)),
        books.posting(move(A, B, 1)),
    )
    assert [(str(one.status), one.account) for one in outcomes] == [
        ("created", None),
        ("breaks_floor", A),
        ("exists", None),
        ("differs", None),
        ("created", None),
        ("breaks_floor", A),
    ]
    assert (books.balance(A), books.balance(B), books.balance(C)) == (0, 100, 5)


def test_postings_of_a_batch_are_decided_in_order(books: Books) -> None:
    spend, earn = books.posting(move(A, B, 10)), books.posting(move(OUTSIDE, A, 10))
    too_much = books.posting(move(C, B, 1))
    assert books.statuses(too_much, spend, earn) == ["breaks_floor", "breaks_floor", "created"]
    assert books.statuses(too_much, spend) == ["breaks_floor", "created"]


def test_a_batch_that_holds_as_a_whole_is_not_decided_one_by_one(books: Books) -> None:
    spend, earn = books.posting(move(A, B, 10)), books.posting(move(OUTSIDE, A, 10))
    assert books.statuses(spend, earn) == ["created", "created"]


def test_a_key_twice_in_one_batch_is_created_once(books: Books) -> None:
    posting = books.posting(move(OUTSIDE, A, 10))
    outcomes = books.post(posting, posting, replace(posting, kind="other"))
    assert [str(one.status) for one in outcomes] == ["created", "exists", "differs"]
    assert len({one.posting_id for one in outcomes}) == 1
    assert books.balance(A) == 10


@pytest.mark.parametrize("guilty", [False, True])
def test_the_first_of_several_contents_under_one_key_wins_in_a_long_batch(
    books: Books, guilty: bool, seed: int
) -> None:
    keys = [f"k{n}" for n in range(30)] * 10
    random.Random(seed).shuffle(keys)
    batch = [books.posting(move(OUTSIDE, A, n), key=key) for n, key in enumerate(keys, 1)]
    expected = ["created" if key not in keys[:n] else "differs" for n, key in enumerate(keys)]
    if guilty:
        batch.append(books.posting(move(B, C, 1)))
        expected.append("breaks_floor")
    assert books.statuses(*batch) == expected


def test_several_units_move_in_one_posting_and_each_has_its_own_floor(books: Books) -> None:
    books.define("HOURS", 2, credit_limit=100)
    swap = books.posting(
        move(OUTSIDE, A, 10, "EUR"), move(B, A, 100, "HOURS"), move(OUTSIDE, B, 7, "JPY")
    )
    assert books.statuses(swap) == ["created"]
    assert books.balances() == {
        (A, "EUR"): 10,
        (A, "HOURS"): 100,
        (B, "HOURS"): -100,
        (B, "JPY"): 7,
        (OUTSIDE, "EUR"): -10,
        (OUTSIDE, "JPY"): -7,
    }
    guilty = books.posting(move(A, B, 10, "EUR"), move(B, A, 1, "HOURS"))
    assert books.post(guilty) == [Outcome(Status.BREAKS_FLOOR, None, B)]
    assert books.balance(A, "EUR") == 10


def test_a_posting_of_many_transfers_keeps_their_order(books: Books) -> None:
    transfers = [move(OUTSIDE, f"member:{n % 7}", n) for n in range(1, 301)]
    posting = books.posting(*transfers)
    assert books.statuses(posting) == ["created"]
    assert books.problems() == [], "the audit hashes the transfers in their order"
    assert books.balance(OUTSIDE) == -sum(range(1, 301))


def test_no_postings_are_no_work(books: Books) -> None:
    assert books.post() == []


def test_keys_are_of_one_platform(books: Books, new_books: Any) -> None:
    posting = books.move(OUTSIDE, A, 10)
    other: Books = new_books()
    assert other.statuses(posting) == ["created"]


_WELL = move(OUTSIDE, A, 1)


@pytest.mark.parametrize(
    "malformed",
    [
        Posting("k", "test", ()),
        Posting("", "test", (_WELL,)),
        Posting("k" * 201, "test", (_WELL,)),
        Posting("k", "", (_WELL,)),
        Posting("k", "Test", (_WELL,)),
        Posting("k", "te st", (_WELL,)),
        Posting("k", "test\n", (_WELL,)),
        Posting("k", "test", (_WELL,), "two\nlines"),
        Posting("k", "test", (_WELL,), "r" * 201),
        Posting("k\0", "test", (_WELL,)),
        *(
            Posting("k", "test", (transfer,))
            for transfer in (
                move(OUTSIDE, A, 0),
                move(OUTSIDE, A, -1),
                move(OUTSIDE, A, MOST_AMOUNT + 1),
                Transfer(OUTSIDE, A, 1.5, "EUR"),  # type: ignore[arg-type]
                Transfer(OUTSIDE, A, True, "EUR"),
                move(A, A, 1),
                move("nobody:a", A, 1),
                move("member:", A, 1),
                move("member:a b", B, 1),
                move("member:a\n", B, 1),
                move("member:é", B, 1),
                move("member:a:b:c:d", B, 1),
                move("member:" + "a" * 81, B, 1),
                move("", A, 1),
                move(OUTSIDE, A, 1, ""),
                move(OUTSIDE, A, 1, "eur"),
                move(OUTSIDE, A, 1, "E|R"),
            )
        ),
    ],
)
def test_a_malformed_posting_is_refused_with_its_whole_batch(
    books: Books, malformed: Posting
) -> None:
    with pytest.raises(InvalidPosting):
        books.post(books.posting(move(OUTSIDE, A, 5)), malformed)
    assert books.balances() == {}


def test_a_key_raced_by_eight_threads_is_created_once(books: Books) -> None:
    posting = books.posting(move(OUTSIDE, A, 10))
    outcomes = [outcome for (outcome,) in race([lambda: books.post(posting)] * 8)]
    assert sorted(str(one.status) for one in outcomes) == ["created"] + ["exists"] * 7
    assert len({one.posting_id for one in outcomes}) == 1
    assert books.balance(A) == 10


def test_batches_that_share_keys_in_any_order_create_each_once(books: Books, seed: int) -> None:
    postings = [books.posting(move(OUTSIDE, f"member:{n % 5}", 10)) for n in range(40)]
    orders = [random.Random(seed + n).sample(postings, 40) for n in range(8)]
    raced = race([lambda order=order: books.statuses(*order) for order in orders])  # type: ignore[misc]
    assert [sum(part.count("created") for part in raced)] == [40]
    assert books.balance(OUTSIDE) == -400


def test_one_key_raced_with_eight_contents_has_one_winner(books: Books) -> None:
    contents = [books.posting(move(OUTSIDE, A, n), key="raced") for n in range(1, 9)]
    raced = race([lambda one=one: books.statuses(one) for one in contents])  # type: ignore[misc]
    assert sorted(status for (status,) in raced) == ["created"] + ["differs"] * 7
    assert books.balance(A) == 1 + raced.index(["created"])


@pytest.mark.parametrize("batch", [1, 5])
def test_no_crowd_overdraws_an_account(books: Books, batch: int) -> None:
    books.move(OUTSIDE, A, 1_000)

    def spend() -> list[str]:
        return [
            status
            for _ in range(20 // batch)
            for status in books.statuses(
                *(books.posting(move(A, f"member:to{n}", 17)) for n in range(batch))
            )
        ]

    statuses = [status for part in race([spend] * 8) for status in part]
    assert statuses.count("created") == 1_000 // 17
    assert set(statuses) == {"created", "breaks_floor"}
    assert books.balance(A) == 1_000 % 17


def test_batches_crossing_the_same_accounts_neither_deadlock_nor_lose_money(
    books: Books, seed: int
) -> None:
    members = [f"member:{n}" for n in range(6)]
    for member in members:
        books.move(OUTSIDE, member, 100)

    def cross(number: int) -> set[str]:
        chance = random.Random(seed + number)
        seen: set[str] = set()
        for _ in range(15):
            pairs = [chance.sample(members, 2) for _ in range(10)]
            # 90 is often more than is there: most batches are decided one by one.
            batch = [books.posting(move(d, c, chance.randint(1, 90))) for d, c in pairs]
            seen |= set(books.statuses(*batch))
        return seen

    seen = race([lambda number=number: cross(number) for number in range(8)])  # type: ignore[misc]
    assert set().union(*seen) == {"created", "breaks_floor"}
    assert sum(books.balance(member) for member in members) == 600
    assert min(books.balance(member) for member in members) >= 0


def test_a_transaction_that_rolls_back_posts_nothing(books: Books) -> None:
    made = books.posting(move(OUTSIDE, A, 10))
    with books.undone("tierce_runtime") as connection:
        (outcome,) = post(connection, books.platform_id, [made], books.now)
    assert outcome.status is Status.CREATED
    assert books.balances() == {}
    assert books.statuses(made) == ["created"]
