"""Payees at Stripe, over real HTTP: onboarding, waiting money, banks, lost answers and events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from service import db
from service.exchanges import payouts
from service.exchanges.model import Exchange
from service.ids import uuid7
from service.payments import bank_payouts, payees
from service.payments.payee import Payee, State, UnknownProviderObject
from service.payments.port import ProviderUnavailable
from tests.http.client import at_once
from tests.lives.stripe_lives import StripeLives
from tests.stripe_server import StripeServer

_BACK = "https://platform.test/back"


class AtStripe(StripeLives):
    """A platform at Stripe with a payee who has no account there yet."""

    def __init__(self, engine: Engine, platform_id: UUID, server: StripeServer) -> None:
        super().__init__(engine, platform_id, server)
        self.payee = self.member()

    def wait(self, **length: float) -> None:
        """Let time pass here and at Stripe, where everything due then happens."""
        self.now += timedelta(**length)
        self.server.now = self.now
        self.ticks += 3600.0

    def sold(self, amount: int = 6_500, method: str = "pm_card_visa") -> Exchange:
        """A sale paid by card and released by both."""
        exchange = self.funded(self.sale(amount), method)
        self.settle()
        self.both_confirm(exchange)
        self.settle()
        return self.read(exchange)

    def open(self) -> Payee:
        """Open the payee's account, and tell Stripe nothing yet."""
        self.onboard(self.payee, complete=False)
        return self.account_of_payee()

    def ready(self) -> None:
        """Open the payee's account, tell Stripe everything, and hear of it."""
        self.onboard(self.payee)

    def account_of_payee(self) -> Payee:
        with db.transaction(self.engine, self.platform_id) as connection:
            found = payees.find(connection, self.platform_id, self.payee, "stripe")
        assert found is not None
        return found

    @property
    def ref(self) -> str:
        ref = self.account_of_payee().account_ref
        assert ref is not None
        return ref

    def look(self) -> int:
        """Run the sweep of what no event spoke of."""
        return payouts.follow_stale(
            self.engine, self.desk.providers, self.now, only=self.platform_id
        )

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """What the payee was told beside their exchanges, oldest first."""
        with db.transaction(self.engine, self.platform_id) as connection:
            rows = connection.execute(
                text(
                    "SELECT type, data FROM service.event WHERE platform_id = :p "
                    "AND member_id = :m AND exchange_id IS NULL ORDER BY tx, id"
                ),
                {"p": self.platform_id, "m": self.payee},
            )
            return [(row.type, row.data) for row in rows]

    def payouts(self) -> list[Any]:
        with db.transaction(self.engine, self.platform_id) as connection:
            rows = connection.execute(
                text(
                    "SELECT amount, state, exchange_id FROM service.payment "
                    "WHERE platform_id = :p AND kind = 'payout' ORDER BY id"
                ),
                {"p": self.platform_id},
            )
            return [tuple(row) for row in rows]

    def accounts_of_payee(self) -> list[str]:
        """The accounts that Stripe has for the member."""
        return [
            ref
            for ref, account in self.server.world.accounts.items()
            if str(self.payee) in str(account.obj.get("metadata"))
        ]


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> Iterator[AtStripe]:
    """A fresh platform at Stripe; our books and Stripe's must say the same at the end."""
    with StripeServer() as server:
        made = AtStripe(engine, platform_id, server)
        yield made
        made.agree()
        made.stripe.close()


def test_a_payee_is_taken_through_onboarding_and_told_what_is_due(world: AtStripe) -> None:
    opened = world.open()
    assert opened.state is State.DUE
    assert any(name.startswith("individual.") for name in opened.due)
    link = world.stripe.account_link(world.platform_id, world.ref, _BACK, _BACK)
    assert world.server.open_link(link) == world.ref
    with pytest.raises(LookupError):
        world.server.open_link(link)
    world.settle()
    assert world.account_of_payee().state is State.DUE
    world.server.complete_onboarding(world.ref)
    world.settle(duplicate=1.0)
    assert world.account_of_payee().state is State.READY
    assert world.account_of_payee().bank_ready
    deadline = world.now + timedelta(days=14)
    world.server.require(world.ref, ["individual.verification.document"], deadline)
    world.settle()
    account = world.account_of_payee()
    assert (account.ready, account.due) == (True, ("individual.verification.document",))
    assert account.due_by == deadline.replace(microsecond=0)
    world.wait(days=15)
    world.settle()
    assert not world.account_of_payee().ready
    kinds = [kind for kind, _ in world.told()]
    assert kinds[:3] == ["payee.requirements_due", "payee.ready", "payee.requirements_due"]
    assert kinds[-1] in {"payee.disabled", "payee.requirements_due"}
    assert "payee.disabled" in kinds


def test_an_account_that_stripe_closes_is_told_and_takes_no_money(world: AtStripe) -> None:
    world.open()
    world.server.complete_onboarding(world.ref)
    world.settle()
    world.server.disable(world.ref, "rejected.fraud")
    world.settle()
    account = world.account_of_payee()
    assert (account.state, account.disabled_reason) == (State.DISABLED, "rejected.fraud")
    assert world.told()[-1][0] == "payee.disabled"


def test_two_openings_at_once_make_one_account_at_stripe(world: AtStripe) -> None:
    def try_to_open() -> None:
        with suppress(ProviderUnavailable):  # another's call is under way: the sweep goes on
            world.open()

    at_once(*[try_to_open] * 4)
    world.wait(minutes=1)
    world.look()
    assert world.accounts_of_payee() == [world.ref]


@pytest.mark.parametrize("fault", ["before", "after", "500", "500_after"])
def test_a_lost_answer_to_an_opening_leaves_one_account(world: AtStripe, fault: str) -> None:
    # The client tries once more by itself: both of its tries are lost.
    world.server.fault("/v1/accounts", fault, times=5)
    with pytest.raises(ProviderUnavailable):
        world.open()
    assert world.account_of_payee().state is State.OPENING
    world.server.clear_faults()
    world.wait(days=2)  # long enough for Stripe to have forgotten the key
    assert world.look() == 1
    assert world.account_of_payee().state is State.DUE
    assert world.accounts_of_payee() == [world.ref]


def test_without_an_account_released_money_waits_and_is_paid_once_when_it_is_ready(
    world: AtStripe,
) -> None:
    exchange = world.sold(6_500)
    assert world.of(world.payee) == 6_500
    assert world.payouts() == []
    assert "payout.waiting" in world.events(exchange)
    world.open()
    world.server.complete_onboarding(world.ref)
    world.server.deliver(duplicate=1.0)

    def follow() -> None:
        payouts.follow_account(world.engine, world.stripe, world.platform_id, world.ref, world.now)

    at_once(*[follow] * 3)
    world.settle()
    # Nothing is available yet: the transfer names the charge that it comes from.
    assert world.payouts() == [(6_500, "succeeded", exchange.id)]
    assert world.of(world.payee) == 0
    assert "payout.succeeded" in world.events(exchange)
    transfers = [
        one for one in world.server.requests if (one.method, one.path) == ("POST", "/v1/transfers")
    ]
    assert len(transfers) == 1
    assert transfers[0].params["source_transaction"].startswith("ch_")
    assert transfers[0].params["destination"] == world.ref


def test_lost_events_are_made_good_by_the_daily_look(world: AtStripe) -> None:
    world.sold(6_500)
    world.open()
    world.server.complete_onboarding(world.ref)
    world.settle(drop=1.0)
    assert not world.account_of_payee().ready
    world.wait(days=1)
    world.look()
    assert world.account_of_payee().ready
    world.sweep()
    assert [state for _, state, _ in world.payouts()] == ["succeeded"]


def test_money_on_its_way_to_a_bank_is_told_when_it_comes_and_when_it_comes_back(
    world: AtStripe,
) -> None:
    world.open()
    world.server.complete_onboarding(world.ref)
    world.settle()
    world.sold(6_500)
    for _ in range(6):  # funds become available, the payout is made, and arrives
        world.wait(days=1)
        world.settle()
    with db.transaction(world.engine, world.platform_id) as connection:
        (row,) = bank_payouts.page(connection, world.platform_id, world.payee, limit=10)
    assert (row["status"], row["amount"], row["unit"]) == ("succeeded", 6_500, "EUR")
    world.server.fail_payout(row["ref"])
    world.settle(rng=Random(1), duplicate=1.0)
    told = [(kind, facts["amount"]) for kind, facts in world.told() if "bank" in kind]
    assert told == [("bank_payout.paid", 6_500), ("bank_payout.failed", 6_500)]


def test_an_account_that_is_not_ours_is_refused_unasked(world: AtStripe) -> None:
    """One that the same Stripe account has for other ends, and one of another platform's."""
    stray = world.stripe.open_account(world.platform_id, uuid7(), {"country": "FR"}).ref
    world.server.complete_onboarding(stray)
    before = len(world.server.requests)
    for ref in (stray, "acct_of_nobody"):
        with pytest.raises(UnknownProviderObject):
            payouts.follow_account(world.engine, world.stripe, world.platform_id, ref, world.now)
        with pytest.raises(UnknownProviderObject):
            bank_payouts.follow_bank_payout(
                world.engine, world.stripe, world.platform_id, ref, "po_1", world.now
            )
    assert len(world.server.requests) == before
    world.settle()
    world.now += timedelta(days=2)
    world.sweep()
    with db.transaction(world.engine, world.platform_id) as connection:
        rows = connection.execute(
            text(
                "SELECT applied_at, refused_at, note FROM service.provider_event "
                "WHERE platform_id = :p AND topic = 'account' AND object_ref = :ref"
            ),
            {"p": world.platform_id, "ref": stray},
        ).all()
    assert rows
    for row in rows:
        assert row.applied_at is None
        assert row.refused_at is not None
        assert row.note
