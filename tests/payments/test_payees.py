"""Payees' accounts: opened once, followed whatever events say, shown with what is due."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import RestrictViolation
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from service import db
from service.exchanges import payouts
from service.ids import uuid7
from service.payments import bank_payouts, payees
from service.payments.payee import (
    PayoutAccountElsewhere,
    Readiness,
    State,
    UnknownProviderObject,
    payout_notice,
    payout_view,
)
from service.payments.payments import LEASE
from service.payments.port import Account, ProviderRefused, ProviderUnavailable
from service.payments.requirements import grouped, plain
from service.payments.sandbox import Sandbox
from service.payments.sandbox_accounts import NO_ACCOUNTS_IN, WANTED
from service.platforms import members
from tests.http.client import at_once
from tests.payments.payees_world import Payees


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


# The sandbox itself


def test_the_sandbox_tells_events_of_accounts_and_banks_with_their_topic(world: Payees) -> None:
    world.open()
    world.ready()
    payout = world.sandbox.send_to_bank(world.platform_id, world.ref, 100, "EUR", "paid", "a")
    told = []

    def deliver(events: Sequence[tuple[UUID, bytes, str]]) -> None:
        for platform_id, body, signature in events:
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
