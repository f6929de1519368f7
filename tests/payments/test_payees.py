"""Payees' accounts: opened once, followed whatever events say, paid what waited exactly once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import RestrictViolation
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from ledger.refusals import Refusal
from service import db
from service.exchanges import leaving, payouts
from service.exchanges.model import Exchange
from service.ids import uuid7
from service.payments import bank_payouts, customers, payees
from service.payments.payee import (
    Payee,
    PayeeNotReady,
    PayoutAccountElsewhere,
    Readiness,
    State,
    UnknownProviderObject,
    payout_notice,
    payout_view,
)
from service.payments.payments import LEASE
from service.payments.port import Account, BankPayout, ProviderRefused, ProviderUnavailable, Status
from service.payments.requirements import grouped, plain
from service.payments.sandbox import Sandbox
from service.payments.sandbox_accounts import NO_ACCOUNTS_IN, WANTED
from service.platforms import members
from tests.exchanges.world import World
from tests.http.client import at_once


class Payees(World):
    """A world in which the payee has dealings with the provider."""

    def begin(self, member: UUID | None = None, country: str = "FR") -> Payee:
        """Write down that an account is to be opened, as the first transaction of the route."""
        with db.transaction(self.engine, self.platform_id) as connection:
            return payees.begin(
                connection, self.platform_id, member or self.payee, "sandbox", country, self.now
            )

    def open(self, member: UUID | None = None) -> Payee:
        """Open an account for the payee, all the way."""
        member = member or self.payee
        self.begin(member)
        payouts.open_account(self.engine, self.sandbox, self.platform_id, member, self.now)
        return self.account(member)

    def account(self, member: UUID | None = None) -> Payee:
        with db.transaction(self.engine, self.platform_id) as connection:
            found = payees.find(connection, self.platform_id, member or self.payee, "sandbox")
        assert found is not None
        return found

    @property
    def ref(self) -> str:
        ref = self.account().account_ref
        assert ref is not None
        return ref

    def happens(self, outcome: Any, **more: Any) -> None:
        """Let something happen to the payee's account at the provider, and an event tell of it."""
        self.sandbox.act_on_account(self.platform_id, self.ref, outcome, **more)

    def follow(self) -> None:
        """Follow up what an event told of the account."""
        payouts.follow_account(self.engine, self.sandbox, self.platform_id, self.ref, self.now)

    def ready(self) -> None:
        """Let the payee tell the provider everything, and hear of it."""
        self.happens("complete")
        self.follow()

    def look(self) -> int:
        """Run the sweep of what no event spoke of."""
        return payouts.follow_stale(
            self.engine, self.desk.providers, self.now, only=self.platform_id
        )

    def readiness(self, *ids: UUID, provider: Any = None) -> dict[UUID, Readiness]:
        with db.transaction(self.engine, self.platform_id) as connection:
            return payees.readiness(connection, self.platform_id, ids, provider or self.sandbox)

    def told(self, member: UUID | None = None) -> list[str]:
        """The types of the events that a member was told, oldest first."""
        return [kind for kind, _ in self.facts(member)]

    def facts(self, member: UUID | None = None) -> list[tuple[str, dict[str, Any]]]:
        with db.transaction(self.engine, self.platform_id) as connection:
            rows = connection.execute(
                text(
                    "SELECT type, data FROM service.event WHERE platform_id = :p "
                    "AND member_id = :m AND exchange_id IS NULL ORDER BY tx, id"
                ),
                {"p": self.platform_id, "m": member or self.payee},
            )
            return [(row.type, row.data) for row in rows]

    def rows(self, statement: str) -> list[Any]:
        with db.transaction(self.engine, self.platform_id) as connection:
            rows = connection.execute(text(statement), {"p": self.platform_id})
            return [dict(row) for row in rows.mappings()]

    def sold(self, amount: int = 6_500) -> Exchange:
        """A sale funded and released by both, and everything done that follows from it."""
        exchange = self.funded(self.sale(amount))
        self.both_confirm(exchange)
        self.sweep()
        return self.read(exchange)

    def live_payouts(self) -> list[dict[str, Any]]:
        return self.rows(
            "SELECT id, amount, exchange_id, source_id, state FROM service.payment "
            "WHERE platform_id = :p AND kind = 'payout' ORDER BY id"
        )


class NeedsAccount:
    """A provider that pays to accounts alone, as far as readiness is concerned."""

    name = "stripe"
    needs_account = True


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> Iterator[Payees]:
    """A fresh platform; whatever the test did, its books must be clean at the end."""
    made = Payees(engine, platform_id)
    yield made
    made.check()


# Opening


def test_an_account_is_opened_and_tells_what_the_provider_wants(world: Payees) -> None:
    assert world.begin().state is State.OPENING
    opened = world.open()
    assert opened.state is State.DUE
    assert opened.due == WANTED
    assert not opened.ready
    assert world.told() == ["payee.requirements_due"]
    assert world.facts()[0][1]["due"] == list(WANTED)


def test_two_openings_at_once_make_one_account(world: Payees) -> None:
    opened = at_once(*[world.open] * 4)
    assert len({one.account_ref for one in opened}) == 1
    assert len(world.rows("SELECT ref FROM service.sandbox_account WHERE platform_id = :p")) == 1
    assert world.told() == ["payee.requirements_due"]


def test_a_process_that_died_before_the_call_is_finished_by_the_sweep(world: Payees) -> None:
    world.begin()
    assert world.look() == 0, "the process that wrote the row has its time"
    world.now += LEASE
    assert world.look() == 1
    assert world.account().state is State.DUE


def test_a_process_that_died_after_the_call_finds_the_account_it_opened(world: Payees) -> None:
    world.begin()
    made = world.sandbox.open_account(world.platform_id, world.payee, {"country": "FR"})
    world.now += LEASE
    assert world.look() == 1
    assert world.account().account_ref == made.ref
    assert len(world.rows("SELECT ref FROM service.sandbox_account WHERE platform_id = :p")) == 1


class Silent(Sandbox):
    """A sandbox that does not answer."""

    def open_account(self, *_args: Any) -> Account:
        raise ProviderUnavailable("no answer")

    def retrieve_account(self, *_args: Any) -> Account:
        raise ProviderUnavailable("no answer")


def test_a_provider_that_does_not_answer_is_asked_again_ever_later(world: Payees) -> None:
    world.begin()
    silent = Silent(world.engine, "secret", lambda: world.now)
    with pytest.raises(ProviderUnavailable):
        payouts.open_account(world.engine, silent, world.platform_id, world.payee, world.now)
    assert world.account().state is State.OPENING
    looks = []
    for _ in range(3):
        (row,) = world.rows(
            "SELECT look_again_at AS at FROM service.payee_account WHERE platform_id = :p"
        )
        looks.append(row["at"])
        world.now = row["at"]
        (due,) = payees.due_for_a_look(world.engine, world.now, 10, world.platform_id)
        payees.put_off(world.engine, due, world.now)
    assert looks[2] - looks[1] > looks[1] - looks[0]
    world.now += timedelta(days=1)
    assert world.look() == 1
    assert world.account().state is State.DUE


def test_a_refused_account_may_be_asked_for_in_another_country(world: Payees) -> None:
    world.begin(country=NO_ACCOUNTS_IN)
    payouts.open_account(world.engine, world.sandbox, world.platform_id, world.payee, world.now)
    refused = world.account()
    assert (refused.state, refused.failure) == (State.REFUSED, "country_unsupported")
    assert world.told() == ["payee.refused"]
    world.now += timedelta(days=400)
    assert world.look() == 0, "what was refused is not asked for by itself"
    assert world.open().state is State.DUE


def test_an_account_in_another_country_is_not_opened_beside_the_first(world: Payees) -> None:
    world.open()
    with pytest.raises(PayoutAccountElsewhere) as refused:
        world.begin(country="BE")
    assert refused.value.facts == {"country": "FR"}


def test_the_database_refuses_to_put_another_account_in_the_place_of_a_member_s(
    world: Payees,
) -> None:
    world.open()
    with (
        pytest.raises(DBAPIError) as refused,
        db.transaction(world.engine, world.platform_id) as connection,
    ):
        connection.execute(text("UPDATE service.payee_account SET account_ref = 'acct_thief'"))
    assert isinstance(refused.value.orig, RestrictViolation)


def test_an_erased_or_foreign_member_gets_no_account(world: Payees, new_platform: Any) -> None:
    other = Payees(world.engine, new_platform())
    with pytest.raises(members.MemberNotFound):
        world.begin(other.payee)
    with db.transaction(world.engine, world.platform_id) as connection:
        members.erase(connection, world.platform_id, world.payee, world.now)
    with pytest.raises(members.MemberErased):
        world.begin()


# Following


def test_what_the_account_becomes_is_told_once(world: Payees) -> None:
    world.open()
    world.happens("complete")
    for _ in range(3):
        world.follow()
    assert world.account().state is State.READY
    until = world.now + timedelta(days=10)
    world.happens("require", due=["individual.id_number"], due_by=until)
    for _ in range(2):
        world.follow()
    account = world.account()
    assert (account.state, account.due, account.due_by) == (
        State.READY,
        ("individual.id_number",),
        until,
    )
    world.happens("disable")
    for _ in range(2):
        world.follow()
    assert world.account().state is State.DISABLED
    assert world.told() == [
        "payee.requirements_due",
        "payee.ready",
        "payee.requirements_due",
        "payee.disabled",
    ]


def test_an_account_stops_when_what_is_due_was_not_told_in_time(world: Payees) -> None:
    world.open()
    world.ready()
    world.happens("require", due_by=world.now + timedelta(days=3))
    world.follow()
    assert world.account().ready
    world.now += timedelta(days=3)
    world.follow()
    assert world.account().state is State.DUE
    assert world.told()[-1] == "payee.disabled"


def test_a_lost_event_is_made_good_within_a_day(world: Payees) -> None:
    world.open()
    world.happens("complete")
    world.now += timedelta(hours=23)
    assert world.look() == 0
    world.now += timedelta(hours=1)
    assert world.look() == 1
    assert world.account().ready
    assert world.look() == 0


def test_a_ready_account_is_looked_at_weekly(world: Payees) -> None:
    world.open()
    world.ready()
    world.happens("disable")
    world.now += timedelta(days=7)
    assert world.look() == 1
    assert world.account().state is State.DISABLED


def test_an_account_that_cannot_be_read_waits_for_the_next_day_and_holds_nobody_up(
    world: Payees,
) -> None:
    world.open()
    other = world.member()
    world.open(other)
    world.happens("complete")
    with db.transaction(world.engine, db.SYSTEM) as connection:
        gone = {"m": other}
        connection.execute(
            text("UPDATE service.sandbox_account SET ref = 'gone' WHERE member_id = :m"), gone
        )
    world.now += timedelta(days=1)
    assert world.look() == 1
    assert world.account().ready
    assert world.look() == 0, "the one that cannot be read is left for a day"


def test_an_account_of_another_platform_is_refused_and_nothing_is_written(
    world: Payees, new_platform: Any
) -> None:
    other = Payees(world.engine, new_platform())
    other.open()
    world.open()
    before = world.account()
    with pytest.raises(UnknownProviderObject) as refused:
        payouts.follow_account(world.engine, world.sandbox, world.platform_id, other.ref, world.now)
    assert refused.value.code == "unknown_provider_object"
    with pytest.raises(UnknownProviderObject):
        bank_payouts.follow_bank_payout(
            world.engine, world.sandbox, world.platform_id, other.ref, "po_1", world.now
        )
    assert world.account() == before
    assert world.rows("SELECT ref FROM service.bank_payout WHERE platform_id = :p") == []


class Overtaken(Sandbox):
    """A sandbox whose first answer is old by the time that it arrives."""

    world: Payees
    answers = 0

    def retrieve_account(self, platform_id: UUID, ref: str) -> Account:
        seen = super().retrieve_account(platform_id, ref)
        self.answers += 1
        if self.answers == 1:
            self.world.ready()
        return seen


def test_an_old_answer_never_covers_a_newer_one(world: Payees) -> None:
    world.open()
    slow = Overtaken(world.engine, "secret", lambda: world.now)
    slow.world = world
    payouts.follow_account(world.engine, slow, world.platform_id, world.ref, world.now)
    assert world.account().ready
    assert slow.answers == 2
    assert world.told() == ["payee.requirements_due", "payee.ready"]


# Readiness


def test_without_an_account_the_provider_decides_whether_one_is_needed(world: Payees) -> None:
    assert world.readiness(world.payee)[world.payee] == Readiness(ready=True)
    assert world.readiness(world.payee, provider=NeedsAccount())[world.payee] == Readiness(
        ready=False, reason="no_account"
    )


def test_with_an_account_it_must_be_ready(world: Payees) -> None:
    world.open()
    other = world.member()
    found = world.readiness(world.payee, other)
    assert found[world.payee] == Readiness(False, WANTED, None, "requirements_due")
    assert found[other].ready
    world.ready()
    assert world.readiness(world.payee)[world.payee] == Readiness(ready=True)


def test_a_notice_names_what_is_due_in_plain_words_and_until_when(world: Payees) -> None:
    assert payout_notice(Readiness(ready=True)) is None
    due_by = world.now.replace(month=3, day=14, hour=23, minute=30)
    due = ("individual.dob.day", "individual.dob.month", "external_account")
    soon = payout_notice(Readiness(True, due, due_by), "Europe/Paris")
    assert soon == {
        "code": "payout_requirements_due_soon",
        "words": "The payment provider still needs by 15 March 2027: the date of birth and the "
        "bank account to be paid to (IBAN). After that, payments stop.",
        "due_by": due_by,
    }
    late = payout_notice(Readiness(False, due, due_by, "requirements_due"))
    assert late is not None
    assert late["words"].startswith("The payee cannot be paid yet. The payment provider still")
    assert "14 March 2027" in late["words"]
    assert late["words"].endswith("Released money waits for them.")
    view = payout_view(Readiness(True, due, due_by))
    assert view["due"][0] == {
        "words": "the date of birth",
        "names": ["individual.dob.day", "individual.dob.month"],
    }


@pytest.mark.parametrize("reason", ["no_account", *State])
def test_every_reason_has_words_of_its_own(reason: str) -> None:
    if reason == State.READY:
        return
    notice = payout_notice(Readiness(False, reason=reason))
    assert notice is not None
    assert notice["code"] == f"payout_{reason}"
    assert notice["words"].startswith("The payee cannot be paid yet.")


def test_requirements_are_told_by_what_they_are_whoever_they_are_of() -> None:
    assert plain("individual.verification.document") == "a copy of an identity document"
    assert plain("person_1Ab.dob.year") == plain("representative.dob.day") == "the date of birth"
    assert plain("company.address.line1") == "the postal address"
    assert plain("something.new.from_the_provider") == "something.new.from_the_provider"
    assert grouped(["individual.dob.day", "x", "individual.dob.year"]) == {
        "the date of birth": ["individual.dob.day", "individual.dob.year"],
        "x": ["x"],
    }


# Money that waits


def test_what_is_released_to_a_payee_without_a_ready_account_waits_and_is_then_paid_once(
    world: Payees,
) -> None:
    world.open()
    first, second = world.sold(6_500), world.sold(2_000)
    assert world.of(world.payee) == 8_500
    assert world.live_payouts() == []
    assert "payout.waiting" in world.events(first)
    world.happens("complete")
    at_once(*[world.follow] * 4)
    asked = world.live_payouts()
    assert [(one["amount"], one["exchange_id"]) for one in asked] == [
        (6_500, first.id),
        (2_000, second.id),
    ]
    assert asked[0]["source_id"] == first.collect_id
    assert world.of(world.payee) == 0
    assert world.told().count("payee.ready") == 1
    assert world.told().count("payout.asked") == 2
    world.sweep()
    assert [one["state"] for one in world.live_payouts()] == ["succeeded", "succeeded"]
    assert "payout.succeeded" in world.events(first)
    world.follow()
    assert len(world.live_payouts()) == 2
    assert world.outside() == 0


def test_what_was_paid_on_request_is_not_paid_again(world: Payees) -> None:
    world.open()
    world.sold(6_500)
    world.ready()
    assert len(world.live_payouts()) == 1
    world.happens("require")
    world.follow()
    world.sold(2_000)
    assert world.of(world.payee) == 2_000
    world.happens("complete")
    with db.transaction(world.engine, world.platform_id) as connection:
        connection.execute(text("UPDATE service.payee_account SET ready = true"))
        payouts.pay_out(
            connection, world.platform_id, world.payee, 1_500, "EUR", world.sandbox, world.now
        )
    world.follow()
    assert [one["amount"] for one in world.live_payouts()] == [6_500, 1_500, 500]
    world.sweep()


def test_a_payout_that_failed_is_paid_when_the_account_is_ready_again(world: Payees) -> None:
    # The sandbox sends back what ends in these digits.
    exchange = world.sold(10_404)
    failed = world.live_payouts()
    assert [one["state"] for one in failed] == ["failed"]
    assert world.of(world.payee) == 10_404
    world.open()
    world.ready()
    assert [(one["amount"], one["exchange_id"]) for one in world.live_payouts()[1:]] == [
        (10_404, exchange.id)
    ]
    world.sweep()


def test_a_payer_s_refund_that_came_back_is_not_paid_to_their_account_by_itself(
    world: Payees,
) -> None:
    """Only what exchanges released to a member as payee waits for their account."""
    world.open()
    with db.transaction(world.engine, world.platform_id) as connection:
        paid = payouts.pay_waiting(connection, world.platform_id, world.payee, "sandbox", world.now)
    assert paid == []


def test_a_payout_on_request_is_refused_while_the_account_is_not_ready(world: Payees) -> None:
    world.open()
    world.sold()
    with (
        pytest.raises(PayeeNotReady) as refused,
        db.transaction(world.engine, world.platform_id) as connection,
    ):
        payouts.pay_out(
            connection, world.platform_id, world.payee, 100, "EUR", world.sandbox, world.now
        )
    assert refused.value.facts["reason"] == "requirements_due"
    assert refused.value.facts["due"] == list(WANTED)
    assert world.of(world.payee) == 6_500


# Banks


def test_a_payout_to_the_bank_is_told_with_its_amount(world: Payees) -> None:
    world.open()
    world.ready()
    paid = world.sandbox.send_to_bank(world.platform_id, world.ref, 6_500, "EUR", "paid", "a")
    failed = world.sandbox.send_to_bank(world.platform_id, world.ref, 900, "EUR", "failed", "b")
    for payout in (paid, paid, failed, paid, failed):
        bank_payouts.follow_bank_payout(
            world.engine, world.sandbox, world.platform_id, world.ref, payout.ref, world.now
        )
    told = [line for line in world.facts() if line[0].startswith("bank_payout")]
    assert [(kind, facts["amount"], facts["unit"], facts["failure"]) for kind, facts in told] == [
        ("bank_payout.paid", 6_500, "EUR", None),
        ("bank_payout.failed", 900, "EUR", "account_closed"),
    ]
    with db.transaction(world.engine, world.platform_id) as connection:
        rows = bank_payouts.page(connection, world.platform_id, world.payee, limit=10)
    assert [(row["ref"], row["status"]) for row in rows] == [
        (failed.ref, "failed"),
        (paid.ref, "succeeded"),
    ]


def _seen(world: Payees, status: Status, **more: Any) -> None:
    seen = BankPayout("po_1", world.ref, status, 6_500, "EUR", **more)
    with db.transaction(world.engine, world.platform_id) as connection:
        bank_payouts.record(connection, world.account(), seen, world.now)


def test_money_that_a_bank_sends_back_after_it_was_told_as_paid_is_told_as_failed(
    world: Payees,
) -> None:
    world.open()
    _seen(world, Status.PENDING)
    _seen(world, Status.SUCCEEDED)
    _seen(world, Status.FAILED, failure="account_closed")
    _seen(world, Status.SUCCEEDED)  # an answer that is older than the one before
    assert world.told()[1:] == ["bank_payout.paid", "bank_payout.failed"]


def test_a_payout_to_a_bank_that_changes_its_amount_is_never_recorded(world: Payees) -> None:
    world.open()
    _seen(world, Status.PENDING)
    with (
        pytest.raises(bank_payouts.PayoutDiffers),
        db.transaction(world.engine, world.platform_id) as connection,
    ):
        bank_payouts.record(
            connection,
            world.account(),
            BankPayout("po_1", world.ref, Status.SUCCEEDED, 6_501, "EUR"),
            world.now,
        )


# Leaving


def test_a_member_does_not_leave_while_money_waits_or_is_on_its_way_to_their_bank(
    world: Payees,
) -> None:
    world.open()
    world.sold()
    assert _leave(world).facts == {"units": ["EUR"]}
    world.ready()
    world.sweep()
    _seen(world, Status.PENDING)
    assert _leave(world).facts == {"bank_payout": "po_1"}
    _seen(world, Status.SUCCEEDED)
    with db.transaction(world.engine, world.platform_id) as connection:
        leaving.leave(connection, world.platform_id, world.payee)
    world.now += timedelta(days=30)
    assert payees.due_for_a_look(world.engine, world.now, 10, world.platform_id) == []


def _leave(world: Payees) -> Refusal:
    with (
        pytest.raises(leaving.MemberBusy) as refused,
        db.transaction(world.engine, world.platform_id) as connection,
    ):
        leaving.leave(connection, world.platform_id, world.payee)
    return refused.value


def test_a_member_who_leaves_is_forgotten_as_a_customer(world: Payees) -> None:
    with db.transaction(world.engine, world.platform_id) as connection:
        one = (connection, world.platform_id, world.payer, "sandbox")
        customers.remember_customer(*one, "cus_1", "pm_1", world.now)
        customers.remember_customer(*one, "cus_1", None, world.now)
        assert customers.customer(*one) == customers.Customer(world.payer, "cus_1", "pm_1")
        assert customers.customer(connection, world.platform_id, world.payee, "sandbox") is None
        members.erase(connection, world.platform_id, world.payer, world.now)
        leaving.leave(connection, world.platform_id, world.payer)
        assert customers.customer(*one) is None
        customers.remember_customer(*one, "cus_1", "pm_1", world.now)
        assert customers.customer(*one) is None, "what is told of somebody who left is not kept"


def test_an_account_that_was_being_opened_when_its_member_left_is_not_opened_any_more(
    world: Payees,
) -> None:
    world.begin()
    with db.transaction(world.engine, world.platform_id) as connection:
        members.erase(connection, world.platform_id, world.payee, world.now)
        leaving.leave(connection, world.platform_id, world.payee)
    world.now += timedelta(days=1)
    assert world.look() == 0
    assert world.rows("SELECT ref FROM service.sandbox_account WHERE platform_id = :p") == []


# The sandbox itself


def test_the_sandbox_tells_events_of_accounts_and_banks_with_their_topic(world: Payees) -> None:
    world.open()
    world.ready()
    payout = world.sandbox.send_to_bank(world.platform_id, world.ref, 100, "EUR", "paid", "a")
    told = []

    def deliver(platform_id: UUID, body: bytes, signature: str) -> None:
        event = world.sandbox.read_event(platform_id, "payees", body, signature)
        if platform_id == world.platform_id:
            told.append((event.topic, event.object_ref, event.account))

    world.sandbox.tick(deliver)
    assert told == [("account", world.ref, world.ref), ("bank", payout.ref, world.ref)]


def test_the_sandbox_refuses_what_it_does_not_know(world: Payees) -> None:
    for call in (
        lambda: world.sandbox.retrieve_account(world.platform_id, "sb_account_none"),
        lambda: world.sandbox.account_link(
            world.platform_id, "sb_account_none", "https://a.fr", "https://a.fr"
        ),
        lambda: world.sandbox.act_on_account(world.platform_id, "sb_account_none", "complete"),
        lambda: world.sandbox.retrieve_bank_payout(world.platform_id, "sb_account_none", "x"),
        lambda: world.sandbox.open_account(world.platform_id, uuid7(), {"country": NO_ACCOUNTS_IN}),
    ):
        with pytest.raises(ProviderRefused):
            call()
    world.open()
    with pytest.raises(ProviderRefused, match="bank"):
        world.sandbox.send_to_bank(world.platform_id, world.ref, 1, "EUR", "paid", "a")
