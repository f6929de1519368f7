"""Accounts, payouts to banks, chargebacks and answers that fail whatever is tried: left, and shown.

A provider that is away is none of that: it is asked again for as long as it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, RowMapping, text

from service import db
from service.exchanges import contested_looks, evidence
from service.exchanges.desk import Desk
from service.exchanges.model import Exchange
from service.ids import encode, uuid7
from service.operations import dead_letters
from service.operations.dead_letters import MOST_FAILURES, NEVER
from service.payments.port import Account, BankPayout, ProviderUnavailable
from service.payments.providers import Providers
from service.payments.sandbox import Sandbox
from tests.exchanges.contested_world import ContestedWorld
from tests.exchanges.world import SECRET, World
from tests.payments.payees_world import Payees


def _run(world: World, query: str, **values: Any) -> None:
    with db.transaction(world.engine, world.platform_id) as connection:
        connection.execute(text(query), {"p": world.platform_id, **values})


def _one(world: World, query: str) -> Any:
    with db.transaction(world.engine, world.platform_id) as connection:
        return connection.execute(text(query), {"p": world.platform_id}).scalar_one()


def _letters(world: World) -> Sequence[RowMapping]:
    with db.transaction(world.engine, world.platform_id) as connection:
        return dead_letters.page(connection, world.platform_id, limit=50, open_=True)


def _letter(world: World, work: str, attempts: int = MOST_FAILURES) -> RowMapping:
    (letter,) = _letters(world)
    assert (letter["work"], letter["attempts"]) == (work, attempts)
    return letter


def _retry(world: World) -> str:
    with db.transaction(world.engine, world.platform_id) as connection:
        (letter,) = dead_letters.page(connection, world.platform_id, limit=2, open_=True)
        row = dead_letters.retry(connection, world.platform_id, letter["id"], world.now)
        return str(row["resolution"])


class Raising(Sandbox):
    """A sandbox whose accounts and payouts cannot be read, for whatever reason is given."""

    error: Exception | None = None

    def retrieve_account(self, platform_id: UUID, ref: str) -> Account:
        if self.error is not None:
            raise self.error
        return super().retrieve_account(platform_id, ref)

    def retrieve_bank_payout(self, platform_id: UUID, account_ref: str, ref: str) -> BankPayout:
        if self.error is not None:
            raise self.error
        return super().retrieve_bank_payout(platform_id, account_ref, ref)


def _raising(world: Payees, error: Exception | None) -> None:
    sandbox = Raising(world.engine, SECRET, lambda: world.now)
    sandbox.error = error
    world.sandbox = sandbox
    world.desk = Desk(world.engine, Providers(sandbox), world.codes)


@pytest.fixture
def payees(engine: Engine, platform_id: UUID) -> Payees:
    """A platform whose payee has an account that is looked at again every day."""
    world = Payees(engine, platform_id)
    world.open()
    return world


_PAYEE = "SELECT look_again_at FROM service.payee_account WHERE platform_id = :p"


def test_an_account_whose_answer_cannot_be_taken_is_given_up_and_comes_back(
    payees: Payees,
) -> None:
    _raising(payees, ValueError("no code understands this"))
    waits = []
    for _ in range(MOST_FAILURES):
        payees.now = _one(payees, _PAYEE)
        assert payees.look() == 0
        waits.append(_one(payees, _PAYEE) - payees.now)
    assert waits[:-1] == [timedelta(minutes=minutes) for minutes in (1, 4, 16, 64)]
    assert _one(payees, _PAYEE) == NEVER
    letter = _letter(payees, "payee_account")
    assert letter["subject"] == {
        "member": encode("member", payees.payee),
        "provider": "sandbox",
    }
    assert letter["error"] == "ValueError: no code understands this"
    payees.now += timedelta(days=40)
    assert payees.look() == 0
    _raising(payees, None)
    assert _retry(payees) == "retried"
    assert payees.look() == 1
    assert payees.now < _one(payees, _PAYEE) < NEVER
    assert _letters(payees) == []


def test_a_provider_that_is_away_for_weeks_is_no_failure_of_the_account(payees: Payees) -> None:
    _raising(payees, ProviderUnavailable("no answer"))
    for _ in range(3 * MOST_FAILURES):
        payees.now += timedelta(days=1)
        assert payees.look() == 0
    assert _one(payees, "SELECT failures FROM service.payee_account WHERE platform_id = :p") == 0
    assert _letters(payees) == []
    _raising(payees, None)
    payees.now += timedelta(days=1)
    assert payees.look() == 1


def test_failures_that_ended_are_not_counted_with_later_ones(payees: Payees) -> None:
    for _ in range(2):
        _raising(payees, ValueError("for a while"))
        for _ in range(MOST_FAILURES - 1):
            payees.now = _one(payees, _PAYEE)
            assert payees.look() == 0
        _raising(payees, None)
        payees.now = _one(payees, _PAYEE)
        assert payees.look() == 1
    assert _letters(payees) == []


def test_a_payout_to_a_bank_that_cannot_be_followed_is_given_up(payees: Payees) -> None:
    _run(
        payees,
        "INSERT INTO service.bank_payout (platform_id, id, provider, ref, account_ref, member_id, "
        "status, amount, unit, seen_at, look_again_at) VALUES (:p, :id, 'sandbox', 'po_1', "
        ":account, :member, 'pending', 100, 'EUR', :now, :now)",
        id=uuid7(),
        account=payees.ref,
        member=payees.payee,
        now=payees.now,
    )
    _raising(payees, ValueError("no code understands this"))
    due = "SELECT look_again_at FROM service.bank_payout WHERE platform_id = :p"
    for _ in range(MOST_FAILURES):
        payees.now = _one(payees, due)
        assert payees.look() == 0
    assert _one(payees, due) == NEVER
    assert _letter(payees, "bank_payout")["subject"] == {"provider": "sandbox", "ref": "po_1"}
    assert _retry(payees) == "retried"
    assert _one(payees, due) == payees.now


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> ContestedWorld:
    """A platform with banks that take back what was paid."""
    return ContestedWorld(engine, platform_id)


def _spoil(world: World, exchange: Exchange, offer: str | None = '{"kind": "barter"}') -> None:
    """Put an offer into the row that no code understands; None mends it."""
    _run(
        world,
        "UPDATE service.exchange SET proposal = CAST(:offer AS jsonb) WHERE id = :id",
        id=exchange.id,
        offer=offer,
    )


def test_a_dispute_that_cannot_be_followed_is_given_up_and_keeps_no_other_waiting(
    world: ContestedWorld,
) -> None:
    spoilt, healthy = world.sold(), world.sold(2_000)
    rows = [world.contest(one) for one in (spoilt, healthy)]
    _spoil(world, spoilt)
    world.bank.close_dispute(world.platform_id, rows[1]["ref"], "won")
    for _ in range(MOST_FAILURES):
        world.now += timedelta(hours=6, minutes=1)
        contested_looks.look_again(world.desk, world.now, world.platform_id)
    assert world.chargeback(rows[1]["id"])["status"] == "won"
    assert world.chargeback(rows[0]["id"])["look_again_at"] == NEVER
    subject = {"chargeback": encode("chargeback", rows[0]["id"])}
    assert _letter(world, "chargeback")["subject"] == subject
    _spoil(world, spoilt, None)
    assert _retry(world) == "retried"
    assert contested_looks.look_again(world.desk, world.now, world.platform_id) == 1
    assert world.chargeback(rows[0]["id"])["failures"] == 0
    world.check()


def test_an_answer_that_cannot_be_put_together_is_given_up_with_time_to_mend_it(
    world: ContestedWorld,
) -> None:
    exchange = world.released()
    row = world.contest(exchange)
    _spoil(world, exchange)
    world.now = row["due_by"] - timedelta(hours=23)
    for _ in range(MOST_FAILURES):
        assert world.answer() == 0
        world.now += timedelta(minutes=64)
    assert world.chargeback(row["id"])["answer_at"] == NEVER
    assert _letter(world, "evidence")["subject"] == {"chargeback": encode("chargeback", row["id"])}
    assert world.now < row["due_by"]
    _spoil(world, exchange, None)
    assert _retry(world) == "retried"
    assert evidence.answer_due(world.desk, world.now, only=world.platform_id) == 1
    assert world.chargeback(row["id"])["evidence_sent_at"] == world.now
    assert world.answer() == 0


def test_what_a_bank_took_of_an_ended_exchange_and_cannot_be_accounted_for_holds_up_no_other(
    world: ContestedWorld,
) -> None:
    spoilt, healthy = world.released(), world.released()
    missing = "UPDATE service.exchange SET charged_back = :amount WHERE id = :id"
    for one in (spoilt, healthy):
        _run(world, missing, amount=1, id=one.id)
    _spoil(world, spoilt)

    def look() -> int:
        return contested_looks.look_again(world.desk, world.now, world.platform_id)

    assert look() == 1
    assert _letter(world, "chargeback", 1)["subject"] == {"exchange": encode("exchange", spoilt.id)}
    # It is not even tried again, so it is written down once.
    assert _one(world, "SELECT count(*) FROM service.dead_letter WHERE platform_id = :p") == 1
    _spoil(world, spoilt, None)
    look()
    assert len(_letters(world)) == 1
    assert _retry(world) == "retried"
    assert look() >= 1
    assert _letters(world) == []
