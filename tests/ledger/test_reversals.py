"""A correction is a new posting: the mirror of the wrong one, linked to it, made once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ledger import accounts, posting
from ledger.accounts import Moved, Posted
from ledger.posting import Outcome, Status
from ledger.refusals import AlreadyReversed, PostingNotFound, Refusal
from tests.ledger.books import OUTSIDE, A, B, Books, move, race


def _reverse(books: Books, key: str, new_key: str) -> Outcome:
    with books.open() as connection:
        return posting.reverse(connection, books.platform_id, key, new_key, books.now)


def _filed(books: Books, reference: str) -> list[Posted]:
    with books.open() as connection:
        return accounts.postings(connection, books.platform_id, reference)


def test_a_reversal_is_the_linked_mirror_of_its_posting(books: Books) -> None:
    wrong = books.posting(move(OUTSIDE, A, 100), move(A, B, 30), reference="order 7")
    (made,) = books.post(wrong)
    books.pass_time(days=1)
    outcome = _reverse(books, wrong.key, "undo")
    assert outcome.status is Status.CREATED
    first, second = _filed(books, "order 7")
    assert (first.id, first.reverses) == (made.posting_id, None)
    assert (second.id, second.reverses) == (outcome.posting_id, made.posting_id)
    assert (second.kind, second.recorded_at) == ("reversal", books.now)
    assert second.transfers == (Moved(B, A, 30, "EUR"), Moved(A, OUTSIDE, 100, "EUR"))
    assert set(books.balances().values()) == {0}


def test_the_same_reversal_again_exists(books: Books) -> None:
    wrong = books.move(OUTSIDE, A, 100)
    first = _reverse(books, wrong.key, "undo")
    assert _reverse(books, wrong.key, "undo") == Outcome(Status.EXISTS, first.posting_id)
    assert books.balance(A) == 0


def test_a_second_reversal_under_another_key_is_refused(books: Books) -> None:
    wrong = books.move(OUTSIDE, A, 100)
    _reverse(books, wrong.key, "undo")
    with pytest.raises(AlreadyReversed, match="reversed by undo"):
        _reverse(books, wrong.key, "undo more")
    assert books.balance(A) == 0


def test_a_reversal_does_not_take_the_key_of_something_else(books: Books) -> None:
    wrong, other = books.move(OUTSIDE, A, 100), books.move(OUTSIDE, B, 5)
    assert _reverse(books, wrong.key, other.key).status is Status.DIFFERS
    assert books.balance(A) == 100


def test_a_floor_can_refuse_a_reversal_which_is_possible_later(books: Books) -> None:
    wrong = books.move(OUTSIDE, A, 100)
    books.move(A, B, 1)
    assert _reverse(books, wrong.key, "undo") == Outcome(Status.BREAKS_FLOOR, None, A)
    assert (books.balance(A), books.balance(B)) == (99, 1)
    books.move(B, A, 1)
    assert _reverse(books, wrong.key, "undo").status is Status.CREATED


def test_a_reversal_can_be_reversed(books: Books) -> None:
    wrong = books.move(OUTSIDE, A, 100)
    _reverse(books, wrong.key, "undo")
    assert _reverse(books, "undo", "redo").status is Status.CREATED
    assert books.balance(A) == 100
    with pytest.raises(AlreadyReversed):
        _reverse(books, wrong.key, "undo again")


def test_what_was_never_posted_here_cannot_be_reversed(
    books: Books, new_books: Callable[[], Books]
) -> None:
    elsewhere = new_books().move(OUTSIDE, A, 100)
    for key in ("nothing", elsewhere.key):
        with pytest.raises(PostingNotFound):
            _reverse(books, key, "undo")


def test_reversals_at_once_under_one_key_undo_once(books: Books) -> None:
    wrong = books.move(OUTSIDE, A, 100)
    outcomes = race([lambda: _reverse(books, wrong.key, "undo")] * 6)
    assert sorted(str(one.status) for one in outcomes) == ["created"] + ["exists"] * 5
    assert books.balance(A) == 0


def test_reversals_at_once_under_several_keys_undo_once(books: Books) -> None:
    wrong = books.move(OUTSIDE, A, 100)

    def undo(number: int) -> str:
        try:
            return str(_reverse(books, wrong.key, f"undo {number}").status)
        except Refusal as refusal:
            return refusal.code

    answers = race([lambda number=number: undo(number) for number in range(6)])  # type: ignore[misc]
    assert sorted(answers) == ["already_reversed"] * 5 + ["created"]
    assert books.balance(A) == 0
