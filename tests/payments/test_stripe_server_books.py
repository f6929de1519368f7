"""Balances of the Stripe-shaped server: refunds, transfers, reversals, payouts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.payments.shop import Shop, code, open_shop


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A platform on a fresh server."""
    with open_shop() as made:
        yield made


def test_a_refund_takes_from_the_available_balance_and_keeps_the_fee(shop: Shop) -> None:
    paid = shop.pay(10_000, "pm_card_bypassPending")
    shop.server.top_up(shop.platform, 500)
    refund = shop.refund(paid.id, amount=4_000, metadata={"leg": "1"})
    assert (refund.status, refund.amount) == ("succeeded", 4_000)
    assert shop.server.balance(shop.platform) == (9_825 + 500 - 4_000, 0)
    assert not shop.charge(paid.id).refunded
    shop.refund(paid.id)
    charge = shop.charge(paid.id)
    assert (charge.refunded, charge.amount_refunded) == (True, 10_000)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.refund(paid.id)
    assert refusal.value.code == "charge_already_refunded"


def test_more_than_the_charge_is_never_refunded(shop: Shop) -> None:
    paid = shop.pay(10_000, "pm_card_bypassPending")
    shop.refund(paid.id, amount=6_000)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.refund(paid.id, amount=4_001)
    assert refusal.value.code == "amount_too_large"


def test_a_card_refund_waits_for_funds(shop: Shop) -> None:
    paid = shop.pay(10_000)
    refund = shop.refund(paid.id, amount=6_000)
    assert (refund.status, refund.pending_reason) == ("pending", "insufficient_funds")
    assert shop.charge(paid.id).amount_refunded == 6_000
    shop.server.advance(days=2)
    done = shop.client.v1.refunds.retrieve(refund.id)
    assert (done.status, "pending_reason" in done) == ("succeeded", False)
    assert shop.server.balance(shop.platform) == (3_825, 0)


def test_a_refund_of_a_direct_debit_fails_without_funds(shop: Shop) -> None:
    paid = shop.pay(10_000, "pm_sepaDebit_ok")
    shop.server.advance(days=5)
    refund = shop.refund(paid.id)
    assert (refund.status, refund.failure_reason) == ("failed", "insufficient_funds")
    assert shop.charge(paid.id).amount_refunded == 0
    assert shop.server.balance(shop.platform) == (0, 9_965)


def test_a_refund_that_the_bank_sends_back_is_on_the_balance_again(shop: Shop) -> None:
    paid = shop.pay(10_000, "pm_card_bypassPending")
    refund = shop.refund(paid.id, amount=6_000)
    shop.server.fail_refund(refund.id, "expired_or_canceled_card")
    failed = shop.client.v1.refunds.retrieve(refund.id, {"expand": ["failure_balance_transaction"]})
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    line = failed.failure_balance_transaction
    assert isinstance(line, stripe.BalanceTransaction)
    assert (line.type, line.net) == ("refund_failure", 6_000)
    assert shop.server.balance(shop.platform) == (9_825, 0)
    assert shop.charge(paid.id).amount_refunded == 0
    assert "refund.failed" in shop.told()


def test_nothing_unpaid_is_refunded(shop: Shop) -> None:
    held = shop.pay(900, capture_method="manual")
    debit = shop.pay(900, "pm_sepaDebit_ok")
    for intent in (held, debit):
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            shop.refund(intent.id)
        assert refusal.value.code == "charge_not_refundable"


def test_a_transfer_needs_available_funds(shop: Shop) -> None:
    payee = shop.payee()
    shop.pay(10_000)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.transfer(payee, 1_000)
    assert refusal.value.code == "balance_insufficient"
    shop.server.advance(days=2)
    made = shop.transfer(payee, 1_000, transfer_group="g", metadata={"leg": "1"})
    assert shop.server.balance(shop.platform) == (8_825, 0)
    assert shop.server.balance(payee) == (1_000, 0)
    line = shop.client.v1.balance_transactions.list({"source": made.id}).data[0]
    assert (line.type, line.net) == ("transfer", -1_000)


def test_a_transfer_from_a_charge_waits_with_it(shop: Shop) -> None:
    payee = shop.payee()
    paid = shop.pay(10_000, transfer_group="g")
    charge = paid.latest_charge
    made = shop.transfer(payee, 6_000, source_transaction=charge)
    assert made.transfer_group == "g"
    assert shop.server.balance(shop.platform) == (0, 3_825)
    assert shop.server.balance(payee) == (0, 6_000)
    with pytest.raises(stripe.InvalidRequestError, match="source amount of 10000"):
        shop.transfer(payee, 4_001, source_transaction=charge)
    shop.transfer(payee, 4_000, source_transaction=charge)
    shop.server.advance(days=2)
    assert shop.server.balance(shop.platform) == (-175, 0)
    assert shop.server.balance(payee) == (10_000, 0)


def test_only_an_account_that_may_be_paid_is_paid(shop: Shop) -> None:
    shop.server.top_up(shop.platform, 5_000)
    new = shop.client.v1.accounts.create({"capabilities": {"transfers": {"requested": True}}})
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.transfer(new.id, 100)
    assert refusal.value.code == "insufficient_capabilities_for_transfer"
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.transfer(shop.payee("US"), 100)
    assert refusal.value.code == "transfers_not_allowed"
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.transfer("acct_none", 100)
    assert refusal.value.code == "resource_missing"


def test_a_transfer_is_called_back_as_far_as_the_payee_has_funds(shop: Shop) -> None:
    payee = shop.payee()
    shop.server.top_up(shop.platform, 5_000)
    made = shop.transfer(payee, 3_000)
    reversals = shop.client.v1.transfers.reversals
    first = reversals.create(made.id, {"amount": 1_000})
    assert (first.amount, first.transfer) == (1_000, made.id)
    assert shop.server.balance(shop.platform) == (3_000, 0)
    assert shop.server.balance(payee) == (2_000, 0)
    with pytest.raises(stripe.InvalidRequestError, match="greater than unreversed"):
        reversals.create(made.id, {"amount": 2_001})
    shop.server.advance(days=1)  # the payee's funds went to their bank
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        reversals.create(made.id, {"amount": 1})
    assert refusal.value.code == "balance_insufficient"
    shop.server.top_up(shop.server.account(payee), 2_000)
    reversals.create(made.id)
    whole = shop.client.v1.transfers.retrieve(made.id)
    assert (whole.reversed, whole.amount_reversed) == (True, 3_000)
    assert [row.amount for row in whole.reversals.data] == [2_000, 1_000]
    assert reversals.retrieve(made.id, first.id).amount == 1_000
    assert [row.amount for row in reversals.list(made.id).data] == [2_000, 1_000]
    with pytest.raises(stripe.InvalidRequestError, match="fully reversed"):
        reversals.create(made.id)


def test_a_payees_funds_go_to_their_bank_by_the_clock(shop: Shop) -> None:
    payee = shop.payee()
    shop.server.top_up(shop.platform, 5_000)
    shop.transfer(payee, 3_000)
    shop.server.advance(days=1)
    acting: Any = {"stripe_account": payee}
    payouts = shop.client.v1.payouts
    made = payouts.list(options=acting).data[0]
    assert (made.amount, made.status, made.automatic) == (3_000, "pending", True)
    lines = shop.client.v1.balance_transactions.list({"payout": made.id}, acting).data
    assert [(line.type, line.net) for line in lines] == [("payout", -3_000), ("payment", 3_000)]
    shop.server.advance(days=1)
    assert payouts.retrieve(made.id, options=acting).status == "in_transit"
    shop.server.advance(days=1)
    assert payouts.retrieve(made.id, options=acting).status == "paid"
    assert shop.told("payout.*", payee) == ["payout.created", "payout.updated", "payout.paid"]
    assert shop.told("payout.*") == []


def test_a_payout_that_the_bank_sends_back_is_on_the_balance_again(shop: Shop) -> None:
    payee = shop.payee()
    shop.server.top_up(shop.platform, 5_000)
    shop.transfer(payee, 3_000)
    shop.server.advance(days=1)
    acting: Any = {"stripe_account": payee}
    made = shop.client.v1.payouts.list(options=acting).data[0]
    shop.server.fail_payout(made.id, "account_closed")
    assert shop.server.balance(payee) == (3_000, 0)
    failed = shop.client.v1.payouts.retrieve(made.id, options=acting)
    assert (failed.status, failed.failure_code) == ("failed", "account_closed")
    shop.server.advance(days=2)
    assert shop.client.v1.payouts.retrieve(made.id, options=acting).status == "failed"


def test_the_platform_pays_out_by_hand_what_it_has(shop: Shop) -> None:
    shop.server.top_up(shop.platform, 5_000)
    shop.server.advance(days=3)
    payouts = shop.client.v1.payouts
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        payouts.create({"amount": 5_001, "currency": "eur"})
    assert refusal.value.code == "balance_insufficient"
    assert payouts.create({"amount": 5_000, "currency": "eur"}).status == "pending"
    own = shop.client.v1.accounts.retrieve_current()
    assert own.settings is not None
    assert own.settings.payouts is not None
    assert own.settings.payouts.schedule.interval == "manual"


def test_automatic_payouts_starve_later_transfers(shop: Shop) -> None:
    payee = shop.payee()
    daily: Any = {"payments": {"payouts": {"schedule": {"interval": "daily"}}}}
    shop.client.v1.balance_settings.update(daily)
    shop.pay(10_000)
    shop.server.advance(days=3)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.transfer(payee, 100)
    assert code(refusal.value) == "balance_insufficient"


METHODS = {"now": "pm_card_bypassPending", "card": "pm_card_visa", "debit": "pm_sepaDebit_ok"}
OPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("pay"), st.integers(50, 20_000), st.sampled_from(["now", "card", "debit"])
        ),
        st.tuples(st.just("refund"), st.integers(1, 15_000), st.integers(0, 5)),
        st.tuples(st.just("send"), st.integers(1, 15_000), st.integers(0, 5)),
        st.tuples(st.just("call back"), st.integers(1, 15_000), st.integers(0, 5)),
        st.tuples(st.just("dispute"), st.integers(1, 15_000), st.integers(0, 5)),
        st.tuples(st.just("decide"), st.booleans(), st.integers(0, 5)),
        st.tuples(st.just("wait"), st.integers(1, 96), st.just(0)),
    ),
    max_size=20,
)


def step(shop: Shop, payee: str, op: tuple[str, Any, Any]) -> None:
    """Try one thing; it may be refused."""
    name, amount, which = op
    server, platform = shop.server, shop.platform
    table = {"call back": "transfer", "decide": "dispute"}.get(name, "charge")
    rows = [row for row in server.objects(platform, table) if row.get("status") != "failed"]
    if name == "pay":
        shop.pay(amount, METHODS[which])
    elif name == "wait":
        server.advance(hours=amount)
    elif rows:
        row = rows[which % len(rows)]
        if name == "refund":
            asked: Any = {"charge": row["id"], "amount": amount}
            shop.client.v1.refunds.create(asked)
        elif name == "send":
            shop.transfer(payee, amount, source_transaction=row["id"])
        elif name == "call back":
            shop.client.v1.transfers.reversals.create(row["id"], {"amount": amount})
        elif name == "dispute":
            server.dispute(row["id"], amount)
        else:
            server.close_dispute(row["id"], won=amount)


@settings(max_examples=25)
@given(OPS)
def test_balances_are_the_sums_of_their_lines_whatever_happens(
    ops: list[tuple[str, Any, Any]],
) -> None:
    with open_shop() as shop:
        payee = shop.payee()
        for op in ops:
            try:
                step(shop, payee, op)
            except (stripe.StripeError, ValueError):
                continue
            finally:
                shop.server.check()
        lines = shop.server.objects(shop.platform, "balance_transaction")
        assert sum(shop.server.balance(shop.platform)) == sum(line["net"] for line in lines)
        theirs = shop.server.objects(shop.server.account(payee), "balance_transaction")
        moved = sum(line["net"] for line in lines if line["type"].startswith("transfer"))
        arrived = sum(line["net"] for line in theirs if line["type"].startswith("payment"))
        assert moved + arrived == 0
        for charge in shop.server.objects(shop.platform, "charge"):
            own = [
                row
                for row in shop.server.objects(shop.platform, "refund")
                if row["charge"] == charge["id"] and row["status"] != "failed"
            ]
            assert sum(row["amount"] for row in own) == charge["amount_refunded"]
            assert charge["amount_refunded"] <= charge["amount"]
