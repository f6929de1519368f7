"""Released money goes back: two legs that may each fail, and no cent is paid twice or lost."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from sqlalchemy import Engine

from ledger.refusals import Refusal
from service import db
from service.exchanges import losses, returns
from service.exchanges.losses import NothingMissing
from service.exchanges.model import Exchange
from service.exchanges.refusals import StepNotAllowed
from service.exchanges.returns import ChargebackOpen, Return, TooMuchBack
from tests.exchanges.contested_world import ContestedWorld


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> Iterator[ContestedWorld]:
    made = ContestedWorld(engine, platform_id)
    yield made
    made.check()


def give_back(
    world: ContestedWorld, exchange: Exchange, amount: int, source: str = "platform"
) -> None:
    wanted = Return(amount, source, "decision", "a court said so")
    with db.transaction(world.engine, world.platform_id) as connection:
        returns.give_back(connection, world.platform_id, exchange.id, wanted, world.rules)


def states(world: ContestedWorld, exchange: Exchange, kind: str) -> list[tuple[int, str]]:
    return [(row["amount"], row["state"]) for row in world.payments_of(exchange, kind)]


@pytest.mark.parametrize(("amount", "unit"), [(1, "EUR"), (6_500, "EUR"), (900, "JPY")])
def test_what_the_payee_bears_is_called_back_and_the_payer_refunded(
    world: ContestedWorld, amount: int, unit: str
) -> None:
    exchange = world.released(max(amount, 900), unit)
    give_back(world, exchange, amount, "payee")
    assert world.missing(exchange, unit) == amount  # neither leg has arrived
    world.sweep()
    assert states(world, exchange, "refund") == [(amount, "succeeded")]
    assert states(world, exchange, "reversal") == [(amount, "succeeded")]
    assert world.missing(exchange, unit) == 0


def test_what_the_platform_bears_is_its_expense_at_once(world: ContestedWorld) -> None:
    exchange = world.released()
    give_back(world, exchange, 2_500)
    assert -world.balance("expense:goodwill") == 2_500
    assert world.missing(exchange) == 0
    world.sweep()
    assert states(world, exchange, "refund") == [(2_500, "succeeded")]
    assert states(world, exchange, "reversal") == []


def test_the_payer_is_paid_though_the_payee_cannot_be_called_on_and_the_gap_stays_visible(
    world: ContestedWorld,
) -> None:
    exchange = world.released(20_000)
    give_back(world, exchange, 10_404, "payee")  # the sandbox fails both legs of this amount
    world.sweep()
    assert states(world, exchange, "reversal") == [(10_404, "failed")]
    assert states(world, exchange, "refund") == [(10_404, "failed")]
    assert world.missing(exchange) == 10_404
    assert world.of(world.payer) == 10_404  # what could not reach them is theirs
    with db.transaction(world.engine, world.platform_id) as connection:
        borne = losses.bear(connection, world.platform_id, exchange.id, "gone", world.rules)
    assert borne == 10_404
    assert world.missing(exchange) == 0


def test_a_call_that_failed_can_be_made_again_and_not_beside_one_under_way(
    world: ContestedWorld,
) -> None:
    exchange = world.released(40_000)
    give_back(world, exchange, 10_404, "payee")
    world.sweep()
    assert world.missing(exchange) == 10_404
    with db.transaction(world.engine, world.platform_id) as connection:
        returns.recover(connection, world.platform_id, exchange.id, world.rules)
    with (
        pytest.raises(NothingMissing),
        db.transaction(world.engine, world.platform_id) as connection,
    ):
        returns.recover(connection, world.platform_id, exchange.id, world.rules)
    assert states(world, exchange, "reversal") == [(10_404, "failed"), (10_404, "submitting")]


def test_no_more_goes_back_than_was_collected_less_refunds_and_what_banks_took(
    world: ContestedWorld,
) -> None:
    exchange = world.released()
    world.decide(world.contest(exchange, 1_000), "lost")
    give_back(world, exchange, 2_000)
    with pytest.raises(TooMuchBack, match="At most 3500"):
        give_back(world, exchange, 3_501)
    give_back(world, exchange, 3_500)
    with pytest.raises(TooMuchBack, match="At most 0"):
        give_back(world, exchange, 1)


def test_nothing_goes_back_beside_an_open_chargeback_nor_before_the_release(
    world: ContestedWorld,
) -> None:
    exchange = world.released()
    world.contest(exchange, 1)
    with pytest.raises(ChargebackOpen):
        give_back(world, exchange, 1)
    with pytest.raises(StepNotAllowed):
        give_back(world, world.sold(), 1)


def test_a_chargeback_that_comes_before_the_refund_was_asked_for_takes_its_place(
    world: ContestedWorld,
) -> None:
    exchange = world.released()
    give_back(world, exchange, 2_500)
    ref = world.bank.contest(world.platform_id, world.collect_ref(exchange), "dispute", 2_500)
    world.follow(ref)
    world.sweep()
    assert states(world, exchange, "refund") == [(2_500, "submitting")]
    world.bank.close_dispute(world.platform_id, ref, "lost")
    world.sweep()
    world.pass_time(minutes=11)
    assert states(world, exchange, "refund") == [(2_500, "canceled")]
    assert world.missing(exchange) == 0
    assert -world.balance("expense:goodwill") == 2_500
    assert world.balance("expense:chargebacks") == 0


def test_two_requests_at_the_same_time_give_back_no_more_than_there_is(
    world: ContestedWorld,
) -> None:
    exchange = world.released()

    def ask(_number: int) -> bool:
        try:
            give_back(world, exchange, 4_000)
        except Refusal:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(ask, range(4)))
    assert done.count(True) == 1
    world.sweep()
    assert states(world, exchange, "refund") == [(4_000, "succeeded")]
