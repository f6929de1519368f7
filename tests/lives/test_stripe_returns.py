"""Released money goes back: two legs, each with its own state, and what stays open between them."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from service import db
from service.exchanges import losses, returns
from service.exchanges.advance import Done
from service.exchanges.losses import NothingMissing
from service.exchanges.model import Exchange
from service.exchanges.refusals import StepNotAllowed
from service.exchanges.returns import ChargebackOpen, Return, TooMuchBack
from tests.lives.stripe_lives import StripeLives
from tests.lives.test_stripe_chargebacks import OWN, contest, missing, released, rich, sale

__all__ = ["rich"]


def give_back(world: StripeLives, exchange: Exchange, amount: int, source: str) -> Done:
    wanted = Return(amount, source, "conformity", "the bicycle had no brakes")
    with db.transaction(world.engine, world.platform_id) as connection:
        return returns.give_back(connection, world.platform_id, exchange.id, wanted, world.rules)


def test_the_payer_is_refunded_and_the_payee_called_back(rich: StripeLives) -> None:
    exchange = released(rich)
    give_back(rich, exchange, 2_500, "payee")
    assert missing(rich, exchange) == 2_500
    rich.settle()
    assert {"refund.succeeded", "reversal.succeeded"} <= set(rich.events(exchange))
    assert missing(rich, exchange) == 0
    rich.agree(own=OWN)


def test_the_platform_bears_what_it_gives_by_itself(rich: StripeLives) -> None:
    exchange = released(rich)
    give_back(rich, exchange, 6_500, "platform")
    rich.settle()
    assert -rich.balance("expense:goodwill") == 6_500
    assert missing(rich, exchange) == 0
    assert rich.refs(exchange, "reversal") == []
    rich.agree(own=OWN)


def test_the_payer_is_paid_although_the_payee_cannot_give_it_back(rich: StripeLives) -> None:
    exchange = released(rich)
    rich.pass_time(days=5)  # the money has gone on to the payee's bank
    give_back(rich, exchange, 6_500, "payee")
    rich.settle()
    assert {"refund.succeeded", "reversal.failed"} <= set(rich.events(exchange))
    assert missing(rich, exchange) == 6_500
    rich.agree(own=OWN)
    another = released(rich)  # the payee's account has money again
    assert another.id != exchange.id
    with db.transaction(rich.engine, rich.platform_id) as connection:
        returns.recover(connection, rich.platform_id, exchange.id, rich.rules)
    rich.settle()
    rich.pass_time(days=1)
    left = missing(rich, exchange)
    if left:
        with db.transaction(rich.engine, rich.platform_id) as connection:
            losses.bear(connection, rich.platform_id, exchange.id, "tried twice", rich.rules)
    assert missing(rich, exchange) == 0
    rich.agree(own=OWN)


def test_what_waited_for_the_payees_account_goes_back_first(rich: StripeLives) -> None:
    rich.payee = rich.member()
    exchange = released(rich)
    assert rich.of(rich.payee) == 6_500
    give_back(rich, exchange, 4_000, "payee")
    rich.settle()
    assert rich.of(rich.payee) == 2_500
    assert missing(rich, exchange) == 0
    rich.agree(own=OWN)


def test_never_more_than_was_collected_goes_back(rich: StripeLives) -> None:
    exchange = released(rich)
    give_back(rich, exchange, 4_000, "platform")
    with pytest.raises(TooMuchBack, match="At most 2500"):
        give_back(rich, exchange, 2_501, "platform")
    give_back(rich, exchange, 2_500, "platform")
    rich.settle()
    rich.agree(own=OWN)


def test_nothing_goes_back_beside_a_chargeback_or_before_the_end(rich: StripeLives) -> None:
    held = sale(rich)
    with pytest.raises(StepNotAllowed, match="that has ended"):
        give_back(rich, held, 100, "platform")
    exchange = released(rich)
    contest(rich, exchange, 1_000)
    with pytest.raises(ChargebackOpen):
        give_back(rich, exchange, 100, "platform")


def test_nothing_is_recovered_where_nothing_is_missing(rich: StripeLives) -> None:
    exchange = released(rich)
    with (
        pytest.raises(NothingMissing),
        db.transaction(rich.engine, rich.platform_id) as connection,
    ):
        returns.recover(connection, rich.platform_id, exchange.id, rich.rules)


def test_a_refund_that_came_back_is_asked_for_again_once(rich: StripeLives) -> None:
    exchange = released(rich)
    give_back(rich, exchange, 2_500, "platform")
    rich.settle()
    (refund,) = rich.refs(exchange, "refund")
    rich.server.fail_refund(refund, "lost_or_stolen_card")
    rich.settle()
    assert rich.of(rich.payer) == 2_500
    with db.transaction(rich.engine, rich.platform_id) as connection:
        payment_id = connection.scalar(
            text("SELECT id FROM service.payment WHERE platform_id = :p AND provider_ref = :r"),
            {"p": rich.platform_id, "r": refund},
        )
        returns.refund_again(connection, rich.platform_id, payment_id, rich.rules)
    rich.settle()
    assert rich.of(rich.payer) == 0
    assert len(rich.refs(exchange, "refund")) == 2
    with (
        pytest.raises(StepNotAllowed, match="paid otherwise"),
        db.transaction(rich.engine, rich.platform_id) as connection,
    ):
        returns.refund_again(connection, rich.platform_id, payment_id, rich.rules)
    rich.agree(own=OWN)
