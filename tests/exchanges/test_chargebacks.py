"""The payer's bank takes money back: the cases in which two things happen at the same time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from service import db
from service.exchanges.fees import FeeRule
from service.exchanges.model import Exchange, State
from service.ids import uuid7
from service.payments import payments
from service.payments.payee import UnknownProviderObject
from service.payments.port import ProviderRefused
from service.payments.sandbox_disputes import DISPUTE_FEE, Outcome
from tests.exchanges.contested_world import PAYEE, PAYER, ContestedWorld


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> Iterator[ContestedWorld]:
    made = ContestedWorld(engine, platform_id)
    yield made
    made.check()


def refunds(world: ContestedWorld, exchange: Exchange) -> list[tuple[int, str]]:
    return [(row["amount"], row["state"]) for row in world.payments_of(exchange, "refund")]


def expense(world: ContestedWorld, unit: str = "EUR") -> int:
    return -world.balance("expense:chargebacks", unit)


def outside_to(world: ContestedWorld, exchange: Exchange) -> int:
    """What the payer has got back of the exchange, by whatever way."""
    sent = sum(amount for amount, state in refunds(world, exchange) if state == "succeeded")
    taken: int = sum(row["withdrawn"] for row in world.chargebacks(exchange))
    return sent + taken


@pytest.mark.parametrize(("amount", "unit"), [(1, "EUR"), (6_500, "EUR"), (900, "JPY")])
def test_every_minor_unit_is_booked_with_the_bank_s_fee(
    world: ContestedWorld, amount: int, unit: str
) -> None:
    exchange = world.sold(amount, unit)
    before = world.outside(unit)
    row = world.contest(exchange)
    assert row["withdrawn"] == amount
    assert world.missing(exchange, unit) == amount
    assert world.outside(unit) == before - amount - DISPUTE_FEE
    assert -world.balance("expense:provider_fees", unit) == DISPUTE_FEE
    world.decide(row, "lost")
    assert world.read(exchange).state is State.REFUNDED
    assert refunds(world, exchange) == []
    assert world.missing(exchange, unit) == 0


def test_a_dispute_that_is_first_heard_of_when_it_is_lost_is_the_refund(
    world: ContestedWorld,
) -> None:
    exchange = world.sold()
    ref = world.bank.contest(world.platform_id, world.collect_ref(exchange), "dispute")
    world.bank.close_dispute(world.platform_id, ref, "lost")
    world.sweep()
    assert world.read(exchange).state is State.REFUNDED
    assert refunds(world, exchange) == []
    assert world.missing(exchange) == 0


def test_a_part_first_heard_of_when_it_is_lost_counts_as_the_payers(
    world: ContestedWorld,
) -> None:
    exchange = world.sold()
    ref = world.bank.contest(world.platform_id, world.collect_ref(exchange), "dispute", 2_000)
    world.bank.close_dispute(world.platform_id, ref, "lost")
    world.sweep()
    exchange = world.read(exchange)
    assert (exchange.state, exchange.charged_back) == (State.ACTIVE, 2_000)
    world.both_confirm(exchange)
    world.sweep()
    share = world.read(exchange).legs[0].share
    assert share is not None
    assert (share.to_payer, share.to_payee) == (2_000, 4_500)
    assert world.missing(exchange) == 0


def test_a_dispute_that_is_first_heard_of_when_it_is_won_changes_nothing_but_the_fee(
    world: ContestedWorld,
) -> None:
    exchange = world.sold()
    ref = world.bank.contest(world.platform_id, world.collect_ref(exchange), "dispute")
    world.bank.close_dispute(world.platform_id, ref, "won")
    world.sweep()
    exchange = world.read(exchange)
    assert (exchange.state, exchange.frozen_at, exchange.charged_back) == (State.ACTIVE, None, 0)
    assert world.missing(exchange) == 0


def test_a_dispute_heard_of_before_the_payment_itself_freezes_the_exchange(
    world: ContestedWorld,
) -> None:
    exchange = world.propose(world.draft("sale", [("price", 6_500, "EUR")]))
    world.step(exchange, "fund", PAYER, payment_method="pm_sandbox_lost_event")
    assert world.read(exchange).state is State.FUNDING
    assert world.bank.retrieve(world.platform_id, world.collect_ref(exchange)).captured == 6_500
    ref = world.bank.contest(world.platform_id, world.collect_ref(exchange), "dispute")
    world.follow(ref)
    exchange = world.read(exchange)
    assert exchange.state is State.ACTIVE
    assert exchange.frozen_at is not None
    assert exchange.charged_back == 6_500
    world.sweep()


def test_a_part_contested_at_the_hold_limit_leaves_the_rest_to_the_payer_in_the_end(
    world: ContestedWorld,
) -> None:
    exchange = world.sold()
    row = world.contest(exchange, 2_000)
    world.pass_time(days=85, seconds=1)
    exchange = world.read(exchange)
    assert exchange.state is State.REFUNDED
    assert [state for _, state in refunds(world, exchange)] in ([], ["submitting"])
    world.decide(row, "lost")
    world.pass_time(minutes=11)
    assert refunds(world, exchange) == [(4_500, "succeeded")]
    assert outside_to(world, exchange) == 6_500
    assert world.missing(exchange) == 0
    assert expense(world) == 0


@pytest.mark.parametrize("amount", [1, 2_000, 6_499, 6_500])
def test_what_is_won_after_the_hold_limit_is_the_payers(world: ContestedWorld, amount: int) -> None:
    exchange = world.sold()
    row = world.contest(exchange, amount)
    world.pass_time(days=85, seconds=1)
    assert world.read(exchange).state is State.REFUNDED
    world.decide(row, "won")
    world.pass_time(minutes=11)
    assert outside_to(world, exchange) == 6_500
    assert world.missing(exchange) == 0
    assert world.of(world.payer) == 0


def test_a_chargeback_at_the_instant_of_the_hold_limit_pays_the_payer_once(
    world: ContestedWorld,
) -> None:
    exchange = world.sold()
    world.now += timedelta(days=85, seconds=1)
    ref = world.bank.contest(world.platform_id, world.collect_ref(exchange), "dispute")
    assert world.fire()  # the refund is written, and nobody has asked for it yet
    world.follow(ref)
    world.sweep()
    assert refunds(world, exchange) == [(6_500, "submitting")]
    world.bank.close_dispute(world.platform_id, ref, "lost")
    world.sweep()
    world.pass_time(minutes=11)
    assert [state for _, state in refunds(world, exchange)] == ["canceled"]
    assert outside_to(world, exchange) == 6_500
    assert world.missing(exchange) == 0
    assert (expense(world), world.of(world.payer)) == (0, 0)


def test_a_refund_that_the_provider_refused_beside_the_chargeback_is_not_owed_twice(
    world: ContestedWorld,
) -> None:
    exchange = world.sold(10_404)  # the sandbox fails a refund of this amount
    world.step(exchange, "propose_cancellation", PAYEE)
    proposal = world.read(exchange).proposal
    assert proposal is not None
    world.step(exchange, "accept_proposal", PAYER, proposal_id=proposal.id)
    world.sweep()
    assert refunds(world, exchange) == [(10_404, "failed")]
    assert world.of(world.payer) == 10_404
    row = world.contest(exchange)
    world.decide(row, "lost")
    assert outside_to(world, exchange) == 10_404
    assert world.of(world.payer) == 0
    assert world.missing(exchange) == 0
    assert expense(world) == 0


def test_what_waits_on_a_payees_balance_covers_what_they_are_to_bear(
    world: ContestedWorld,
) -> None:
    exchange = world.released(10_404, borne_by="payee")  # the sandbox fails a payout of this amount
    assert world.of(world.payee) == 10_404
    row = world.contest(exchange, 4_000)
    world.decide(row, "lost")
    assert world.missing(exchange) == 0
    assert world.of(world.payee) == 6_404
    assert world.payments_of(exchange, "reversal") == []


def test_two_chargebacks_lost_one_after_the_other_call_each_part_back_once(
    world: ContestedWorld,
) -> None:
    exchange = world.released(20_000, borne_by="payee")
    first = world.contest(exchange, 10_408)  # the sandbox is slow with a reversal of this amount
    world.decide(first, "lost")
    assert [row["state"] for row in world.payments_of(exchange, "reversal")] == ["pending"]
    second = world.contest(exchange, 2_000)
    world.decide(second, "lost")
    assert [row["amount"] for row in world.payments_of(exchange, "reversal")] == [10_408, 2_000]
    world.pass_time(minutes=1)
    assert world.missing(exchange) == 0


def test_two_chargebacks_at_the_same_time_are_each_decided_for_itself(
    world: ContestedWorld,
) -> None:
    exchange = world.sold()
    first = world.contest(exchange, 2_000)
    second = world.contest(exchange, 3_000)
    assert world.read(exchange).charged_back == 5_000
    world.decide(first, "won")
    exchange = world.read(exchange)
    assert (exchange.charged_back, exchange.frozen_at is None) == (3_000, False)
    world.decide(second, "lost")
    exchange = world.read(exchange)
    assert (exchange.charged_back, exchange.frozen_at) == (3_000, None)
    world.both_confirm(exchange)
    world.sweep()
    assert world.missing(exchange) == 0
    assert world.payments_of(exchange, "payout")[0]["amount"] == 3_500


@pytest.mark.parametrize("borne_by", ["platform", "payee"])
def test_what_a_bank_gives_back_after_it_was_lost_goes_to_who_bore_it(
    world: ContestedWorld, borne_by: str
) -> None:
    exchange = world.released(borne_by=borne_by)
    row = world.contest(exchange, 2_500)
    row = world.decide(row, "lost")
    assert world.missing(exchange) == 0
    assert expense(world) == (2_500 if borne_by == "platform" else 0)
    reinstate(world, row["ref"])
    row = world.chargeback(row["id"])
    assert (row["status"], row["withdrawn"]) == ("won", 0)
    assert world.missing(exchange) == 0
    assert expense(world) == 0
    assert world.of(world.payer) == 0
    paid = sum(one["amount"] for one in world.payments_of(exchange, "payout"))
    back = sum(one["amount"] for one in world.payments_of(exchange, "reversal"))
    assert paid - back + world.of(world.payee) == 6_500


def reinstate(world: ContestedWorld, ref: str) -> None:
    """Let an appeal be won after the bank had decided for the payer."""
    with db.transaction(world.engine, db.SYSTEM) as connection:
        connection.execute(
            text("UPDATE service.sandbox_dispute SET status = 'under_review' WHERE ref = :ref"),
            {"ref": ref},
        )
    world.bank.close_dispute(world.platform_id, ref, "won")
    world.sweep()


def test_a_dispute_after_the_whole_refund_is_a_loss_and_no_riddle(world: ContestedWorld) -> None:
    exchange = world.sold()
    world.step(exchange, "propose_cancellation", PAYEE)
    proposal = world.read(exchange).proposal
    assert proposal is not None
    world.step(exchange, "accept_proposal", PAYER, proposal_id=proposal.id)
    world.sweep()
    assert refunds(world, exchange) == [(6_500, "succeeded")]
    row = world.contest(exchange, 6_500)
    assert world.missing(exchange) == 6_500
    world.decide(row, "lost")
    assert world.missing(exchange) == 0
    assert expense(world) == 6_500


def test_a_dispute_about_another_platforms_payment_books_nothing(
    world: ContestedWorld, engine: Engine
) -> None:
    exchange = world.sold()
    ref = world.bank.contest(world.platform_id, world.collect_ref(exchange), "dispute")
    with db.transaction(engine, db.SYSTEM) as connection:
        connection.execute(
            text("UPDATE service.sandbox_dispute SET collect_ref = :other WHERE ref = :ref"),
            {"ref": ref, "other": f"sb_collect_{uuid7().hex}"},
        )
    with pytest.raises(UnknownProviderObject):
        world.follow(ref)
    world.sweep()
    assert world.chargebacks(exchange) == []
    assert world.missing(exchange) == 0
    world.pass_time(days=1, seconds=1)
    with db.transaction(engine, world.platform_id) as connection:
        refused = connection.scalar(
            text("SELECT note FROM service.provider_event WHERE object_ref = :ref"), {"ref": ref}
        )
    assert "No collection of this platform" in refused


@pytest.mark.parametrize("seed", range(8))
def test_told_in_any_order_and_any_number_of_times_the_books_are_the_same(
    world: ContestedWorld, seed: int
) -> None:
    rng = Random(seed)
    exchange = world.sold() if seed % 2 else world.released()
    ref = world.bank.contest(world.platform_id, world.collect_ref(exchange), "inquiry", 2_500)
    for outcome in ("escalated", "lost"):
        for _ in range(rng.randrange(3)):
            world.follow(ref)
        world.bank.close_dispute(world.platform_id, ref, outcome)
    for _ in range(rng.randrange(3)):
        world.follow(ref)
    world.sweep()
    world.follow(ref)
    (row,) = world.chargebacks(exchange)
    assert (row["status"], row["withdrawn"]) == ("lost", 2_500)
    exchange = world.read(exchange)
    if seed % 2:
        assert exchange.charged_back == 2_500
        world.both_confirm(exchange)
        world.sweep()
        assert world.payments_of(exchange, "payout")[0]["amount"] == 4_000
    else:
        assert expense(world) == 2_500
    assert world.missing(exchange) == 0


def test_the_sandbox_refuses_to_contest_more_than_is_left_and_what_was_decided(
    world: ContestedWorld,
) -> None:
    exchange = world.sold()
    row = world.contest(exchange, 6_000)
    with pytest.raises(ProviderRefused, match="1 to 500"):
        world.contest(exchange, 501)
    world.decide(row, "won")
    with pytest.raises(ProviderRefused, match="decided otherwise"):
        world.decide(row, "lost")


@pytest.mark.parametrize("amount", [6_400, 6_501, 6_629])
def test_a_fee_that_the_terms_keep_gives_way_to_what_the_bank_took(
    world: ContestedWorld, amount: int
) -> None:
    fee = FeeRule(fixed=130, borne_by="payer", on_refund="kept")
    exchange = world.funded(world.sale(6_500, fee=fee))
    world.decide(world.contest(exchange, amount), "lost")
    world.both_confirm(exchange)
    world.sweep()
    assert world.missing(exchange) == 0
    paid = sum(row["amount"] for row in world.payments_of(exchange, "payout"))
    sent = sum(given for given, _ in refunds(world, exchange))
    assert amount + sent + paid + world.balance("platform:fees") == 6_630


@pytest.mark.parametrize("decided", ["won", "lost"])
def test_the_hold_limit_and_the_bank_in_two_processes_pay_the_payer_once(
    world: ContestedWorld, decided: Outcome
) -> None:
    exchange = world.sold()
    world.now += timedelta(days=85, seconds=1)
    ref = world.bank.contest(world.platform_id, world.collect_ref(exchange), "dispute", 2_500)
    with ThreadPoolExecutor(4) as pool:
        fired = pool.submit(world.fire)
        for followed in [pool.submit(world.follow, ref) for _ in range(3)]:
            followed.result()
        fired.result()
    world.sweep()
    world.bank.close_dispute(world.platform_id, ref, decided)
    world.sweep()
    world.pass_time(minutes=11)
    assert world.read(exchange).closed_at is not None
    assert outside_to(world, exchange) == 6_500
    assert (world.missing(exchange), world.of(world.payer), expense(world)) == (0, 0, 0)
    assert len(world.chargebacks(exchange)) == 1


def test_a_process_that_dies_before_it_could_write_leaves_nothing_half_booked(
    world: ContestedWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = world.released(borne_by="payee")
    ref = world.bank.contest(world.platform_id, world.collect_ref(exchange), "dispute", 2_500)
    world.bank.close_dispute(world.platform_id, ref, "lost")
    for step in ("mark_disputed", "create"):
        with monkeypatch.context() as dying:
            dying.setattr(payments, step, _die)
            with pytest.raises(KeyboardInterrupt):
                world.follow(ref)
        assert world.chargebacks(exchange) == []
        assert world.missing(exchange) == 0
    world.sweep()
    assert world.missing(exchange) == 0
    assert [row["amount"] for row in world.payments_of(exchange, "reversal")] == [2_500]


def _die(*_arguments: object) -> None:
    raise KeyboardInterrupt
