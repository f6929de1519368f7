"""Random batches against a few lines of plain Python that know what must come of them."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.posting import MOST_AMOUNT, Posting, Transfer
from tests.ledger.books import OUTSIDE, A, B, Books, C

_CREDIT = 500
_FLOORED = ("member", "hold", "transit")
_PATHS = [A, B, C, "hold:1", "transit:1", OUTSIDE, "platform:fees", "expense:provider_fees"]


class Oracle:
    """What the books should say, kept in dictionaries."""

    def __init__(self) -> None:
        self.balances: dict[tuple[str, str], int] = {}
        self.content: dict[str, Posting] = {}

    def post(self, batch: list[Posting]) -> list[tuple[str, str | None]]:
        """Decide a batch: as a whole if all of it holds, otherwise one by one."""
        before = dict(self.balances), dict(self.content)
        whole = [self._write(posting) for posting in batch]
        if not self._broken():
            return [(status, None) for status in whole]
        self.balances, self.content = before
        return [self._decide(posting) for posting in batch]

    def _decide(self, posting: Posting) -> tuple[str, str | None]:
        before = dict(self.balances), dict(self.content)
        status = self._write(posting)
        broken = self._broken()
        if not broken:
            return status, None
        self.balances, self.content = before
        path, why = broken[0]
        return why, path if why == "breaks_floor" else None

    def _write(self, posting: Posting) -> str:
        known = self.content.setdefault(posting.key, posting)
        if known is not posting:
            return "exists" if known == posting else "differs"
        for transfer in posting.transfers:
            for path, amount in ((transfer.debit, -1), (transfer.credit, 1)):
                at = path, transfer.unit
                self.balances[at] = self.balances.get(at, 0) + amount * transfer.amount
        return "created"

    def _broken(self) -> list[tuple[str, str]]:
        found = []
        for (path, unit), amount in self.balances.items():
            if path.split(":")[0] in _FLOORED:
                floor = -_CREDIT if unit == "HOURS" and path.startswith("member:") else 0
                if amount < floor:
                    found.append((path, "breaks_floor"))
        return sorted(found)


_TRANSFERS = st.tuples(
    st.sampled_from(_PATHS),
    st.sampled_from(_PATHS),
    st.one_of(st.integers(1, 300), st.integers(1, 5_000)),
    st.sampled_from(["EUR", "HOURS", "JPY"]),
).filter(lambda parts: parts[0] != parts[1])


@st.composite
def _postings(draw: st.DrawFn) -> Posting:
    transfers = draw(st.lists(_TRANSFERS, min_size=1, max_size=3))
    return Posting(
        f"k{draw(st.integers(0, 40))}",  # few keys: the same comes again, and with other content
        draw(st.sampled_from(["test", "test", "test", "other"])),
        tuple(Transfer(*parts) for parts in transfers),
        draw(st.sampled_from([None, "order 7", "été"])),
    )


@st.composite
def _batches(draw: st.DrawFn) -> list[list[Posting]]:
    batches = draw(st.lists(st.lists(_postings(), min_size=1, max_size=8), min_size=1, max_size=6))
    every = [posting for batch in batches for posting in batch]
    # Repeat some, as a client that lost an answer does.
    again = draw(st.lists(st.sampled_from(every), max_size=6))
    # Let there be something to spend.
    funds = [
        Posting(f"fund {path} {unit}", "test", (Transfer(OUTSIDE, path, 1_000, unit),))
        for path in (A, B, "hold:1")
        for unit in ("EUR", "JPY")
    ]
    return [funds, *batches, again]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_batches(), st.lists(st.booleans(), min_size=8, max_size=8))
def test_every_status_and_balance_is_what_the_oracle_says(
    new_books: Callable[[], Books], batches: list[list[Posting]], cuts: list[bool]
) -> None:
    books, oracle = new_books(), Oracle()
    books.define("HOURS", 2, credit_limit=_CREDIT)
    for batch, cut in zip(batches, cuts, strict=False):
        expected = oracle.post([_copy(posting) for posting in batch])
        outcomes = books.post(*batch)
        assert [(str(one.status), one.account) for one in outcomes] == expected
        _agree(books, oracle)
        if cut:
            books.cut()
            _agree(books, oracle)
    assert books.problems() == []


def _copy(posting: Posting) -> Posting:
    """The oracle tells a posting from its repetition by identity."""
    return Posting(posting.key, posting.kind, posting.transfers, posting.reference)


def _agree(books: Books, oracle: Oracle) -> None:
    ours = {at: amount for at, amount in books.balances().items() if amount}
    assert ours == {at: amount for at, amount in oracle.balances.items() if amount}


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, MOST_AMOUNT), min_size=2, max_size=6))
def test_amounts_of_any_size_are_posted_exactly_or_are_out_of_range(
    new_books: Callable[[], Books], amounts: list[int]
) -> None:
    books = new_books()
    held = 0
    for n, amount in enumerate(amounts):
        (outcome,) = books.post(
            books.posting(Transfer(f"provider:{n}", A, amount, "EUR")),
        )
        fits = held + amount <= MOST_AMOUNT
        assert str(outcome.status) == ("created" if fits else "out_of_range")
        held += amount if fits else 0
        assert books.balance(A) == held
    assert books.problems() == []
