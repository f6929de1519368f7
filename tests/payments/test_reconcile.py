"""Reconciliation with a provider whose books the test writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from ledger.posting import Posting, Transfer, post
from service import db
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.payments import reconcile as reconcile_module
from service.payments import stops
from service.payments.port import Movement, Provider, ProviderUnavailable
from service.payments.reconcile import DayNotOver, Run, reconcile
from tests.exchanges.world import START, World

TODAY = START.date()
TOMORROW = START + timedelta(days=1)


class Books:
    """A provider's books, as told to it."""

    name = "sandbox"

    def __init__(self, world: World) -> None:
        self.world = world
        self.lines: list[Movement] = []
        self.hidden = 0  # of what is held, on no line

    def add(self, kind: str, of: str | None, amount: int, fee: int = 0, **more: Any) -> Movement:
        ref = f"txn_{len(self.lines)}_{self.world.platform_id.hex[:8]}"
        line = Movement(ref, kind, of, amount, fee, "EUR", more.pop("at", START), **more)
        self.lines.append(line)
        return line

    def movements(self, platform_id: UUID, since: datetime, until: datetime) -> Iterable[Movement]:
        assert platform_id == self.world.platform_id
        return [line for line in self.lines if since <= line.at < until]

    def held(self, platform_id: UUID) -> Mapping[str, int]:
        assert platform_id == self.world.platform_id
        return {"EUR": self.hidden + sum(line.amount - line.fee for line in self.lines)}

    def run(self, day: date = TODAY, now: datetime = TOMORROW) -> Run:
        provider = cast(Provider, self)
        return reconcile(self.world.engine, provider, self.world.platform_id, day, now)


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> World:
    return World(engine, platform_id)


@pytest.fixture
def books(world: World) -> Books:
    return Books(world)


def ref(world: World, exchange: Exchange, kind: str) -> str:
    with db.transaction(world.engine, world.platform_id) as connection:
        found = connection.scalar(
            text(
                "SELECT provider_ref FROM service.payment WHERE platform_id = :p "
                "AND exchange_id = :e AND kind = :k"
            ),
            {"p": world.platform_id, "e": exchange.id, "k": kind},
        )
    assert isinstance(found, str)
    return found


def paid(world: World, amount: int = 6_500) -> tuple[Exchange, str]:
    exchange = world.funded(world.sale(amount))
    return exchange, ref(world, exchange, "collect")


def differences(world: World) -> list[Any]:
    with db.transaction(world.engine, world.platform_id) as connection:
        return list(
            connection.execute(
                text(
                    "SELECT * FROM service.reconciliation_difference WHERE platform_id = :p "
                    "ORDER BY id"
                ),
                {"p": world.platform_id},
            )
        )


def open_kinds(world: World) -> list[str]:
    return [row.kind for row in differences(world) if row.resolved_at is None]


def stopped(world: World) -> bool:
    with db.transaction(world.engine, world.platform_id) as connection:
        return stops.stopped(connection, world.platform_id)


def told(world: World) -> list[str]:
    # From the table, not from the feed, which waits for whatever transaction still runs elsewhere.
    with db.transaction(world.engine, world.platform_id) as connection:
        types = connection.scalars(text("SELECT type FROM service.event ORDER BY tx, id")).all()
    own = ("reconciliation.", "payouts.", "platform.")
    return [type_ for type_ in types if type_.startswith(own)]


def counts(run: Run) -> tuple[int, ...]:
    """Matched, ours only, theirs only, another amount, in flight."""
    return (run.matched, run.ours_only, run.theirs_only, run.amount_differs, run.in_flight)


def test_a_life_whose_every_line_is_known_is_matched_and_nothing_is_open(
    world: World, books: Books
) -> None:
    exchange, collect = paid(world)
    books.add("collect", collect, 6_500)
    world.both_confirm(exchange)
    world.sweep()
    books.add("payout", ref(world, exchange, "payout"), -6_500)
    run = books.run()
    assert counts(run) == (2, 0, 0, 0, 0)
    assert run.finished_at == TOMORROW
    assert told(world) == []
    assert counts(books.run()) == (2, 0, 0, 0, 0)


def test_a_day_that_is_not_over_is_not_reconciled(books: Books) -> None:
    with pytest.raises(DayNotOver):
        books.run(now=START)


def test_a_fee_that_nobody_had_booked_is_booked_and_counts_as_matched(
    world: World, books: Books
) -> None:
    _, collect = paid(world)
    books.add("collect", collect, 6_500, fee=123)
    assert counts(books.run()) == (1, 0, 0, 0, 0)
    assert world.outside() == 6_377
    assert world.balance("expense:provider_fees") == -123
    books.add("fee", None, -200)
    assert counts(books.run()) == (2, 0, 0, 0, 0)
    books.run()
    assert world.outside() == 6_177
    assert open_kinds(world) == []
    world.check()


def test_what_the_provider_alone_has_is_suspended_told_and_stops_payouts(
    world: World, books: Books
) -> None:
    books.add("collect", "py_of_nobody", 1_000, fee=40)
    for _ in range(2):
        assert counts(books.run()) == (0, 0, 1, 0, 0)
    assert world.balance("suspense:sandbox") == 960
    assert world.outside() == 960
    assert stopped(world)
    assert told(world) == ["reconciliation.difference", "payouts.stopped"]


def test_what_we_alone_have_is_told_and_stops_payouts_but_moves_nothing(
    world: World, books: Books
) -> None:
    paid(world)
    assert counts(books.run()) == (0, 1, 0, 0, 0)
    assert open_kinds(world) == ["ours_only"]  # the balance says the same, and is not told beside
    assert world.outside() == 6_500
    assert stopped(world)
    world.check()


def test_a_line_that_the_provider_writes_a_day_later_heals_what_was_ours_alone(
    world: World, books: Books
) -> None:
    _, collect = paid(world)
    books.run()
    books.add("collect", collect, 6_500, at=TOMORROW)
    run = books.run(TOMORROW.date(), TOMORROW + timedelta(days=1))
    assert counts(run) == (1, 0, 0, 0, 0)
    assert open_kinds(world) == []
    assert not stopped(world)
    assert told(world)[-2:] == ["reconciliation.resolved", "payouts.resumed"]


def test_a_line_of_a_neighbouring_day_matches_at_once(world: World, books: Books) -> None:
    _, collect = paid(world)
    books.add("collect", collect, 6_500, at=START - timedelta(days=1))
    assert counts(books.run()) == (0, 0, 0, 0, 0)
    assert open_kinds(world) == []


def test_another_amount_is_suspended_by_the_difference_alone(world: World, books: Books) -> None:
    _, collect = paid(world)
    books.add("collect", collect, 6_400)
    assert counts(books.run()) == (0, 0, 0, 1, 0)
    assert world.balance("suspense:sandbox") == -100
    assert world.outside() == 6_400
    (row,) = differences(world)
    assert (row.ours, row.theirs) == (6_500, 6_400)


def test_one_payment_collected_twice_is_a_difference_the_second_time(
    world: World, books: Books
) -> None:
    _, collect = paid(world)
    books.add("collect", collect, 6_500)
    books.add("collect", collect, 6_500)
    assert counts(books.run()) == (1, 0, 1, 0, 0)
    assert world.balance("suspense:sandbox") == 6_500


def test_a_line_whose_word_was_lost_heals_when_it_comes(world: World, books: Books) -> None:
    exchange = world.sale()
    world.step(exchange, "fund", Role.PAYER)
    collect = ref(world, exchange, "collect")
    books.add("collect", collect, 6_500, fee=123)
    assert counts(books.run()) == (0, 0, 1, 0, 0)
    assert world.balance("suspense:sandbox") == 6_377
    world.sweep()
    assert counts(books.run()) == (1, 0, 0, 0, 0)
    assert world.balance("suspense:sandbox") == 0
    assert world.outside() == 6_377
    assert not stopped(world)
    world.check()


def test_a_refund_that_the_provider_has_not_finished_is_no_difference(
    world: World, books: Books
) -> None:
    exchange, collect = paid(world)
    books.add("collect", collect, 6_500)
    world.step(exchange, "propose_cancellation", Role.PAYEE)
    proposal = world.read(exchange).proposal
    assert proposal is not None
    world.step(exchange, "accept_proposal", Role.PAYER, proposal_id=proposal.id)
    with db.transaction(world.engine, world.platform_id) as connection:
        refund = connection.scalar(
            text("SELECT id FROM service.payment WHERE platform_id = :p AND kind = 'refund'"),
            {"p": world.platform_id},
        )
    books.add("refund", f"payment:{refund}", -6_500)
    assert counts(books.run()) == (1, 0, 0, 0, 1)
    assert not stopped(world)
    world.sweep()
    assert counts(books.run()) == (2, 0, 0, 0, 0)
    assert open_kinds(world) == []
    assert told(world) == []


def test_a_balance_that_no_line_explains_is_told_until_it_agrees(
    world: World, books: Books
) -> None:
    books.hidden = 50
    for _ in range(2):
        books.run()
    assert open_kinds(world) == ["balance_differs"]
    assert stopped(world)
    assert world.outside() == 0
    books.hidden = 0
    books.run()
    assert open_kinds(world) == []
    assert not stopped(world)


def test_what_happens_after_the_day_is_no_difference_of_the_balance(
    world: World, books: Books
) -> None:
    exchange = world.sale()
    world.step(exchange, "fund", Role.PAYER)
    books.add("collect", ref(world, exchange, "collect"), 6_500, at=TOMORROW)
    assert counts(books.run(now=TOMORROW + timedelta(minutes=1))) == (0, 0, 0, 0, 0)
    assert open_kinds(world) == []


def test_a_line_in_another_unit_is_not_what_we_booked(world: World, books: Books) -> None:
    _, collect = paid(world)
    books.lines.append(replace(books.add("collect", collect, 6_500), unit="USD"))
    books.lines.pop(0)
    run = books.run()
    assert counts(run)[1:4] == (1, 1, 0)
    assert world.balance("suspense:sandbox", "USD") == 6_500


def test_thousands_of_lines_are_judged_in_batches_and_summed(world: World, books: Books) -> None:
    postings = []
    for number in range(3_000):
        line = books.add("dispute", "dp", -1 - number)
        move = Transfer("receivable:x", "provider:sandbox", 1 + number, "EUR")
        postings.append(Posting(f"chargeback:{line.ref}", "chargeback", (move,)))
    with db.transaction(world.engine, world.platform_id) as connection:
        post(connection, world.platform_id, postings, START)
    books.add("fee", None, -200)
    run = books.run()
    assert counts(run) == (3_001, 0, 0, 0, 0)
    assert run.lines == 3_001
    assert run.totals == {"EUR": {"amount": -sum(range(3_001)) - 200, "fees": 0}}


def test_more_postings_than_a_page_that_no_line_speaks_of_are_each_found(
    world: World, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile_module, "BATCH", 3)
    postings = [
        Posting(f"x:{n}", "x", (Transfer("receivable:x", "provider:sandbox", 1 + n, "EUR"),))
        for n in range(10)
    ]
    with db.transaction(world.engine, world.platform_id) as connection:
        post(connection, world.platform_id, postings[:7], START)
        post(connection, world.platform_id, postings[7:], START + timedelta(hours=3))
    assert counts(books.run()) == (0, 10, 0, 0, 0)
    assert {row.posting_key for row in differences(world)} == {one.key for one in postings}
    assert sum(row.ours for row in differences(world)) == -55


def test_a_fee_on_what_failed_at_once_is_booked_all_the_same(world: World, books: Books) -> None:
    exchange, collect = paid(world, 20_404)  # the sandbox fails a payout of this amount
    books.add("collect", collect, 20_404)
    world.both_confirm(exchange)
    world.sweep()
    payout = ref(world, exchange, "payout")
    books.add("payout", payout, -20_404, fee=25)
    books.add("reversal", payout, 20_404)
    assert counts(books.run()) == (3, 0, 0, 0, 0)
    assert world.balance("expense:provider_fees") == -25
    assert open_kinds(world) == []


# Crashes and company


class Broken(Books):
    """A provider that falls silent after so many lines."""

    breaks_after = 0

    def movements(self, platform_id: UUID, since: datetime, until: datetime) -> Iterable[Movement]:
        for told, line in enumerate(super().movements(platform_id, since, until)):
            if told == self.breaks_after:
                raise ProviderUnavailable("silent")
            yield line


@pytest.mark.parametrize("breaks_after", [0, 1, 2, 3, 4, 5])
def test_a_run_that_broke_off_anywhere_is_finished_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch, breaks_after: int
) -> None:
    monkeypatch.setattr(reconcile_module, "BATCH", 2)
    books = Broken(world)
    for fee in range(3):
        _, collect = paid(world, 1_000)
        books.add("collect", collect, 1_000, fee=fee)
        books.add("other", None, 10)
    books.breaks_after = breaks_after
    with pytest.raises(ProviderUnavailable):
        books.run()
    books.breaks_after = 100
    assert counts(books.run()) == (3, 0, 3, 0, 0)
    assert world.outside() == 3_030 - 3
    assert world.balance("suspense:sandbox") == 30
    assert told(world).count("reconciliation.difference") == 3


def test_several_runs_at_once_come_to_the_same_as_one(
    world: World, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile_module, "BATCH", 2)
    for fee in range(4):
        _, collect = paid(world, 1_000)
        books.add("collect", collect, 1_000, fee=fee)
        books.add("other", None, 10)
        books.add("bank_payout", "po", -100)
    with ThreadPoolExecutor(4) as pool:
        runs = [each.result() for each in [pool.submit(books.run) for _ in range(4)]]
    assert {counts(run) for run in runs} == {(8, 0, 4, 0, 0)}
    assert world.outside() == 4_040 - 6 - 400
    assert world.balance("suspense:sandbox") == 40
    kinds = Counter(open_kinds(world))
    assert kinds == {"theirs_only": 4, "bank_payout_exceeds_own_money": 4}
    assert told(world).count("reconciliation.difference") == 8
    assert told(world).count("payouts.stopped") == 1
