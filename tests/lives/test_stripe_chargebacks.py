"""The payer's bank takes money back: while it is held, after it was released, whole and in part."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from service import db
from service.exchanges import chargebacks, losses
from service.exchanges.kinds import Role
from service.exchanges.losses import NothingMissing
from service.exchanges.model import Exchange, State
from service.exchanges.refusals import ExchangeFrozen
from service.payments.contests import ChargebackOver
from tests.exchanges.test_deposits import loan
from tests.lives.stripe_lives import StripeLives

PAYER, PAYEE = Role.PAYER, Role.PAYEE
DISPUTE_FEE = 2_000
#: What the platform has at Stripe beside the exchanges' money, for fees and losses.
OWN = 20_000


@pytest.fixture
def rich(world: StripeLives) -> StripeLives:
    world.server.top_up(world.account, OWN)
    return world


def sale(world: StripeLives, borne_by: str = "platform") -> Exchange:
    draft = world.draft("sale", [("price", 6_500, "EUR")], chargeback_borne_by=borne_by)
    return world.funded(world.propose(draft))


def released(world: StripeLives, borne_by: str = "platform") -> Exchange:
    exchange = sale(world, borne_by)
    world.both_confirm(exchange)
    world.settle()
    return world.read(exchange)


def contest(world: StripeLives, exchange: Exchange, amount: int | None = None) -> str:
    (intent,) = world.refs(exchange, "collect")
    ref: str = world.server.dispute(intent, amount)
    world.settle()
    return ref


def rows(world: StripeLives, exchange: Exchange) -> list[Any]:
    with db.transaction(world.engine, world.platform_id) as connection:
        return list(
            connection.execute(
                text(
                    "SELECT id, kind, status, withdrawn, due_by FROM service.chargeback "
                    "WHERE platform_id = :p AND exchange_id = :e ORDER BY id"
                ),
                {"p": world.platform_id, "e": exchange.id},
            )
        )


def missing(world: StripeLives, exchange: Exchange) -> int:
    return -world.balance(f"receivable:{exchange.id}")


def test_while_a_bank_contests_nothing_is_released_and_the_books_show_what_is_missing(
    rich: StripeLives,
) -> None:
    exchange = sale(rich)
    contest(rich, exchange)
    assert rich.read(exchange).frozen_at is not None
    assert missing(rich, exchange) == 6_500
    with pytest.raises(ExchangeFrozen, match="contests this payment"):
        rich.step(exchange, "confirm", PAYER)
    (row,) = rows(rich, exchange)
    assert (row.status, row.withdrawn) == ("needs_response", 6_500)
    assert row.due_by is not None
    rich.agree(own=OWN)


def test_a_chargeback_lost_while_the_money_was_held_is_the_refund(rich: StripeLives) -> None:
    exchange = sale(rich)
    ref = contest(rich, exchange)
    rich.server.close_dispute(ref, won=False)
    rich.settle()
    exchange = rich.read(exchange)
    assert exchange.state is State.REFUNDED
    assert rich.refs(exchange, "refund") == []
    assert missing(rich, exchange) == 0
    rich.agree(own=OWN)


def test_a_chargeback_won_lets_the_exchange_go_on(rich: StripeLives) -> None:
    exchange = sale(rich)
    ref = contest(rich, exchange)
    rich.server.close_dispute(ref, won=True)
    rich.settle()
    assert rich.read(exchange).frozen_at is None
    assert missing(rich, exchange) == 0
    assert rich.both_confirm(exchange).state is State.COMPLETED
    rich.settle()
    rich.agree(own=OWN)


def test_a_part_lost_while_held_leaves_the_rest_to_the_members(rich: StripeLives) -> None:
    exchange = sale(rich)
    ref = contest(rich, exchange, 2_000)
    rich.server.close_dispute(ref, won=False)
    rich.settle()
    assert rich.read(exchange).state is State.ACTIVE
    done = rich.both_confirm(exchange)
    rich.settle()
    share = done.legs[0].share
    assert share is not None
    assert (share.to_payer, share.to_payee) == (2_000, 4_500)
    assert rich.refs(exchange, "refund") == []
    assert missing(rich, exchange) == 0
    rich.agree(own=OWN)


@pytest.mark.parametrize("amount", [1, 2_500, 6_500])
def test_a_part_lost_after_release_is_the_platforms_loss_if_the_terms_say_so(
    rich: StripeLives, amount: int
) -> None:
    exchange = released(rich)
    ref = contest(rich, exchange, amount)
    assert rich.read(exchange).state is State.COMPLETED
    assert missing(rich, exchange) == amount
    rich.agree(own=OWN)
    rich.server.close_dispute(ref, won=False)
    rich.settle()
    assert missing(rich, exchange) == 0
    assert -rich.balance("expense:chargebacks") == amount
    rich.agree(own=OWN)


def test_a_part_lost_after_release_is_called_back_from_the_payee_if_the_terms_say_so(
    rich: StripeLives,
) -> None:
    exchange = released(rich, "payee")
    assert exchange.terms["chargeback"] == {"borne_by": "payee"}
    rich.pass_time(days=2)  # the payee's account has the money available, and not yet sent on
    ref = contest(rich, exchange, 2_500)
    rich.server.close_dispute(ref, won=False)
    rich.settle()
    if missing(rich, exchange):  # it was sent to their bank meanwhile
        assert "reversal.failed" in rich.events(exchange)
    else:
        assert "reversal.succeeded" in rich.events(exchange)
    rich.agree(own=OWN)


def test_what_a_payee_cannot_give_back_stays_open_until_the_platform_bears_it(
    rich: StripeLives,
) -> None:
    exchange = released(rich, "payee")
    rich.pass_time(days=5)  # the money has gone on to the payee's bank
    ref = contest(rich, exchange)
    rich.server.close_dispute(ref, won=False)
    rich.settle()
    assert "reversal.failed" in rich.events(exchange)
    assert missing(rich, exchange) == 6_500
    rich.agree(own=OWN)
    with db.transaction(rich.engine, rich.platform_id) as connection:
        assert losses.bear(connection, rich.platform_id, exchange.id, "gone", rich.rules) == 6_500
    assert missing(rich, exchange) == 0
    rich.agree(own=OWN)
    with (
        pytest.raises(NothingMissing),
        db.transaction(rich.engine, rich.platform_id) as connection,
    ):
        losses.bear(connection, rich.platform_id, exchange.id, "again", rich.rules)


def test_a_payout_that_was_not_sent_yet_waits_for_the_bank(rich: StripeLives) -> None:
    exchange = sale(rich)
    rich.both_confirm(exchange)  # released in our books, and nobody has asked Stripe yet
    (intent,) = rich.refs(exchange, "collect")
    ref = rich.server.dispute(intent)
    rich.follow_dispute(ref)
    rich.settle()
    assert rich.refs(exchange, "payout") == []
    rich.server.close_dispute(ref, won=True)
    rich.settle()
    rich.pass_time(minutes=11)
    assert len(rich.refs(exchange, "payout")) == 1
    rich.agree(own=OWN)


def test_a_refund_that_was_not_sent_yet_is_not_paid_beside_the_chargeback(
    rich: StripeLives,
) -> None:
    exchange = sale(rich)
    rich.step(exchange, "propose_settlement", PAYEE, to_payee=(2_500,))
    proposal = rich.read(exchange).proposal
    assert proposal is not None
    rich.step(exchange, "accept_proposal", PAYER, proposal_id=proposal.id)
    (intent,) = rich.refs(exchange, "collect")
    ref = rich.server.dispute(intent, 3_000)
    rich.follow_dispute(ref)
    rich.settle()
    assert rich.refs(exchange, "refund") == []
    rich.server.close_dispute(ref, won=False)
    rich.settle()
    rich.pass_time(minutes=11)
    assert len(rich.refs(exchange, "refund")) == 1  # of 4 000 the bank gave 3 000: 1 000 is sent
    assert rich.of(rich.payer) == 0
    assert missing(rich, exchange) == 0
    rich.agree(own=OWN)


def test_the_database_refuses_a_refund_beside_a_chargeback(rich: StripeLives) -> None:
    exchange = sale(rich)
    contest(rich, exchange)
    with (
        pytest.raises(DBAPIError, match="charged back"),
        db.transaction(rich.engine, rich.platform_id) as connection,
    ):
        connection.execute(
            text(
                "UPDATE service.payment SET refund_asked = 1 "
                "WHERE platform_id = :p AND exchange_id = :e"
            ),
            {"p": rich.platform_id, "e": exchange.id},
        )


def test_the_hold_limit_during_a_chargeback_pays_nobody_twice_and_a_later_win_pays_the_payer(
    rich: StripeLives,
) -> None:
    exchange = sale(rich)
    ref = contest(rich, exchange)
    with rich.bank_waits():
        rich.pass_time(days=85, seconds=1)
        assert rich.read(exchange).state is State.REFUNDED
        assert rich.refs(exchange, "refund") == []
        assert missing(rich, exchange) == 0
        rich.check()
        rich.server.close_dispute(ref, won=True)
    rich.pass_time(hours=7)  # whatever was told meanwhile was lost: open disputes are read again
    assert len(rich.refs(exchange, "refund")) == 1
    assert "chargeback.given_on" in rich.events(exchange)
    rich.agree(own=OWN)


def test_an_inquiry_freezes_and_takes_nothing_and_may_become_a_dispute(rich: StripeLives) -> None:
    exchange = sale(rich)
    (intent,) = rich.refs(exchange, "collect")
    ref = rich.server.dispute(intent, inquiry=True)
    rich.settle()
    assert rich.read(exchange).frozen_at is not None
    assert missing(rich, exchange) == 0
    rich.agree(own=OWN)
    rich.server.escalate(ref)
    rich.settle()
    assert missing(rich, exchange) == 6_500
    rich.server.close_dispute(ref, won=False)
    rich.settle()
    assert rich.read(exchange).state is State.REFUNDED
    rich.agree(own=OWN)


def test_an_early_warning_freezes_until_it_is_lifted_with_a_reason(rich: StripeLives) -> None:
    exchange = sale(rich)
    (intent,) = rich.refs(exchange, "collect")
    rich.server.warn(intent)
    rich.settle()
    assert rich.read(exchange).frozen_at is not None
    (row,) = rows(rich, exchange)
    with db.transaction(rich.engine, rich.platform_id) as connection:
        chargebacks.lift_warning(
            connection, rich.platform_id, row.id, "the payer says it was them", rich.rules
        )
    assert rich.read(exchange).frozen_at is None
    with (
        pytest.raises(ChargebackOver),
        db.transaction(rich.engine, rich.platform_id) as connection,
    ):
        chargebacks.lift_warning(connection, rich.platform_id, row.id, "again", rich.rules)
    assert rich.both_confirm(exchange).state is State.COMPLETED


def test_a_warning_that_nothing_follows_ends_by_itself(rich: StripeLives) -> None:
    exchange = sale(rich)
    (intent,) = rich.refs(exchange, "collect")
    rich.server.warn(intent)
    rich.settle()
    rich.pass_time(days=30, seconds=1)
    assert rich.read(exchange).frozen_at is None


def test_a_dispute_after_a_warning_takes_its_place(rich: StripeLives) -> None:
    exchange = sale(rich)
    (intent,) = rich.refs(exchange, "collect")
    rich.server.warn(intent)
    rich.settle()
    ref = contest(rich, exchange)
    rich.server.close_dispute(ref, won=True)
    rich.settle()
    assert rich.read(exchange).frozen_at is None
    assert [row.status for row in rows(rich, exchange)] == ["closed", "won"]
    rich.agree(own=OWN)


def test_a_deposit_that_was_taken_can_be_charged_back(rich: StripeLives) -> None:
    exchange = rich.funded(loan(rich, "capture"))
    ref = contest(rich, exchange)
    rich.server.close_dispute(ref, won=False)
    rich.settle()
    assert rich.read(exchange).state is State.REFUNDED
    rich.agree(own=OWN)


@pytest.mark.parametrize("seed", range(6))
def test_events_of_a_chargeback_in_any_order_reach_the_same_books(
    rich: StripeLives, seed: int
) -> None:
    exchange = released(rich)
    (intent,) = rich.refs(exchange, "collect")
    ref = rich.server.dispute(intent, 2_500)
    rich.settle(rng=Random(seed), duplicate=0.5, drop=0.3)
    rich.server.close_dispute(ref, won=seed % 2 == 0)
    rich.settle(rng=Random(seed), duplicate=0.5, drop=0.3)
    rich.pass_time(hours=7)
    rich.poll()
    assert missing(rich, exchange) == 0
    assert -rich.balance("expense:chargebacks") == (0 if seed % 2 == 0 else 2_500)
    (row,) = rows(rich, exchange)
    assert row.status == ("won" if seed % 2 == 0 else "lost")
    rich.agree(own=OWN)


@pytest.mark.parametrize("borne_by", ["platform", "payee"])
def test_what_a_bank_took_of_a_released_price_is_not_taken_from_the_deposit(
    rich: StripeLives, borne_by: str
) -> None:
    legs = [("price", 2_000, "EUR"), ("deposit", 15_000, "EUR")]
    draft = rich.draft("rental", legs, chargeback_borne_by=borne_by)
    exchange = rich.funded(rich.propose(draft))
    rich.both_confirm(exchange)  # the price is paid on, the deposit held
    rich.settle()
    ref = contest(rich, exchange, 2_000)
    rich.server.close_dispute(ref, won=False)
    rich.settle()
    assert rich.read(exchange).state is State.ACTIVE
    rich.both_confirm(exchange)
    rich.settle()
    exchange = rich.read(exchange)
    assert exchange.state is State.COMPLETED
    deposit = exchange.legs[1].share
    assert deposit is not None
    assert (deposit.to_payer, deposit.to_payee) == (15_000, 0)
    (refund,) = rich.refs(exchange, "refund")
    assert rich.server.object(refund)["amount"] == 15_000
    assert exchange.charged_back == 0
    assert missing(rich, exchange) == 0
    assert -rich.balance("expense:chargebacks") == (2_000 if borne_by == "platform" else 0)
    rich.agree(own=OWN)


def test_an_agreed_refund_counts_what_the_bank_has_given_back_already(rich: StripeLives) -> None:
    exchange = sale(rich)
    ref = contest(rich, exchange, 2_000)
    rich.server.close_dispute(ref, won=False)
    rich.settle()
    rich.step(exchange, "propose_cancellation", PAYEE)
    proposal = rich.read(exchange).proposal
    assert proposal is not None
    rich.step(exchange, "accept_proposal", PAYER, proposal_id=proposal.id)
    rich.settle()
    (refund,) = rich.refs(exchange, "refund")
    assert rich.server.object(refund)["amount"] == 4_500
    assert missing(rich, exchange) == 0
    rich.agree(own=OWN)
