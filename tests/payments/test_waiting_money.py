"""Money that waits for a payee's account, goes to their bank, or stands in the way of leaving."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import LockNotAvailable
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from ledger.refusals import Refusal
from service import db
from service.exchanges import leaving, payouts
from service.exchanges.kinds import Role
from service.payments import bank_payouts, customers, payees
from service.payments.payee import (
    PayeeNotReady,
)
from service.payments.port import Account, BankPayout, Status
from service.payments.sandbox_accounts import WANTED
from service.platforms import members
from tests.http.client import at_once
from tests.payments.payees_world import Payees


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> Iterator[Payees]:
    """A fresh platform; whatever the test did, its books must be clean at the end."""
    made = Payees(engine, platform_id)
    yield made
    made.check()


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
    exchange = world.funded(world.sale(10_404))  # its refund will come back
    offered = world.step(exchange, "propose_cancellation", Role.PAYEE)
    assert offered.proposal is not None
    world.step(exchange, "accept_proposal", Role.PAYER, proposal_id=offered.proposal.id)
    world.sweep()
    assert world.of(world.payer) == 10_404
    world.payee = world.payer
    world.open()
    world.ready()
    assert world.account().ready
    assert world.live_payouts() == []
    assert world.of(world.payer) == 10_404
    with db.transaction(world.engine, world.platform_id) as connection:
        payouts.pay_out(
            connection, world.platform_id, world.payer, 10_000, "EUR", world.sandbox, world.now
        )
    world.sweep()
    assert [one["state"] for one in world.live_payouts()] == ["succeeded"]


def test_an_account_does_not_become_ready_while_a_release_decides_to_wait(world: Payees) -> None:
    """Or the money would be left on the balance just after what waits was paid."""
    world.open()
    asked = world.account()
    ready = Account(world.ref, ready=True, bank_ready=True, submitted=True)
    with db.transaction(world.engine, world.platform_id) as release:
        found = payees.readiness(
            release, world.platform_id, [world.payee], world.sandbox, lock=True
        )
        assert not found[world.payee].ready
        with db.transaction(world.engine, world.platform_id) as connection:
            connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
            with pytest.raises(DBAPIError) as waits, connection.begin_nested():
                payees.record(connection, asked, ready, world.now)
        assert isinstance(waits.value.orig, LockNotAvailable)
    with db.transaction(world.engine, world.platform_id) as connection:
        assert payees.record(connection, asked, ready, world.now) is not None


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
    engine, platform_id, payer = world.engine, world.platform_id, world.payer
    with db.transaction(engine, platform_id) as connection:

        def tell(*methods: str | None) -> None:
            told = [customers.Known(payer, "sandbox", "cus_1", method) for method in methods]
            customers.remember_customers(connection, platform_id, told, world.now)

        def known() -> dict[tuple[UUID, str], customers.Customer]:
            return customers.customers(connection, platform_id, [payer, world.payee])

        tell("pm_1")
        tell(None)
        kept = {(payer, "sandbox"): customers.Customer(payer, "cus_1", "pm_1")}
        assert known() == kept
        tell("pm_2", None)
        assert known()[payer, "sandbox"].saved_method == "pm_2"
        members.erase(connection, platform_id, payer, world.now)
        leaving.leave(connection, platform_id, payer)
        assert known() == {}
        tell("pm_1")
        assert known() == {}, "what is told of somebody who left is not kept"


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
