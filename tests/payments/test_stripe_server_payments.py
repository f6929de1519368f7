"""Payments on the Stripe-shaped server, through the real client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import stripe

from tests.payments.shop import Shop, code, open_shop
from tests.stripe_server.store import instant

HELD: Any = {"capture_method": "manual"}


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A platform on a fresh server."""
    with open_shop() as made:
        yield made


def test_a_card_payment_succeeds_and_its_funds_are_pending_for_two_days(shop: Shop) -> None:
    paid = shop.pay(10_000, transfer_group="g", expand=["latest_charge.balance_transaction"])
    assert (paid.status, paid.amount_received) == ("succeeded", 10_000)
    assert isinstance(paid.latest_charge, stripe.Charge)
    assert paid.latest_charge.transfer_group == "g"
    line = paid.latest_charge.balance_transaction
    assert isinstance(line, stripe.BalanceTransaction)
    assert (line.amount, line.fee, line.net, line.status) == (10_000, 175, 9_825, "pending")
    assert shop.server.balance(shop.platform) == (0, 9_825)
    shop.server.advance(days=2)
    assert shop.server.balance(shop.platform) == (9_825, 0)
    assert shop.client.v1.balance_transactions.retrieve(line.id).status == "available"


def test_a_test_card_can_bring_its_funds_at_once(shop: Shop) -> None:
    shop.pay(10_000, "pm_card_bypassPending")
    assert shop.server.balance(shop.platform) == (9_825, 0)


def test_an_intent_goes_through_its_states_one_call_at_a_time(shop: Shop) -> None:
    v1 = shop.client.v1.payment_intents
    made = v1.create({"amount": 500, "currency": "EUR", "allowed_payment_method_types": ["card"]})
    assert (made.status, made.currency) == ("requires_payment_method", "eur")
    assert made.client_secret is not None
    changed = v1.update(made.id, {"payment_method": "pm_card_visa", "metadata": {"a": "1"}})
    assert (changed.status, changed.metadata["a"]) == ("requires_confirmation", "1")
    assert v1.update(made.id, {"metadata": {"a": "", "b": "2"}}).metadata.to_dict() == {"b": "2"}
    assert v1.confirm(made.id).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        v1.confirm(made.id)
    assert refusal.value.code == "payment_intent_unexpected_state"
    with pytest.raises(stripe.InvalidRequestError):
        v1.cancel(made.id)


@pytest.mark.parametrize(
    ("method", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
    ],
)
def test_a_declined_card_leaves_an_intent_that_waits_for_another(
    shop: Shop, method: str, decline_code: str
) -> None:
    with pytest.raises(stripe.CardError) as refusal:
        shop.pay(900, method)
    error = refusal.value.error
    assert error is not None
    assert error.payment_intent is not None
    assert (error.code, error.decline_code) == ("card_declined", decline_code)
    intent = shop.intent(error.payment_intent.id)
    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.decline_code == decline_code
    charge = shop.charge(intent.id)
    assert (charge.status, charge.paid, charge.balance_transaction) == ("failed", False, None)
    again = shop.client.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert (again.status, again.last_payment_error) == ("succeeded", None)
    assert shop.server.balance(shop.platform)[1] == 900 - 39


@pytest.mark.parametrize("succeed", [True, False])
def test_three_d_secure_asks_the_payer(shop: Shop, succeed: bool) -> None:
    back = "https://example.org/back"
    asked = shop.pay(900, "pm_card_authenticationRequired", return_url=back)
    assert asked.status == "requires_action"
    assert asked.next_action is not None
    assert asked.next_action.redirect_to_url is not None
    assert asked.next_action.redirect_to_url.return_url == back
    assert asked.latest_charge is None
    shop.server.act(asked.id, succeed)
    done = shop.intent(asked.id)
    if succeed:
        assert (done.status, done.next_action) == ("succeeded", None)
    else:
        assert done.status == "requires_payment_method"
        assert done.last_payment_error is not None
        assert done.last_payment_error.code == "payment_intent_authentication_failure"


def test_an_absent_payer_cannot_authenticate(shop: Shop) -> None:
    with pytest.raises(stripe.CardError) as refusal:
        shop.pay(900, "pm_card_authenticationRequired", off_session=True)
    assert code(refusal.value) == "authentication_required"
    assert refusal.value.error is not None
    assert refusal.value.error.decline_code == "authentication_required"


def test_a_direct_debit_succeeds_after_days(shop: Shop) -> None:
    made = shop.pay(5_000, "pm_sepaDebit_ok")
    assert made.status == "processing"
    shop.server.advance(days=4, hours=23)
    assert shop.intent(made.id).status == "processing"
    assert shop.charge(made.id).status == "pending"
    shop.server.advance(hours=1)
    assert shop.intent(made.id).status == "succeeded"
    assert shop.server.balance(shop.platform) == (0, 4_965)
    assert shop.told("payment_intent.*") == [
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.succeeded",
    ]


def test_a_direct_debit_may_fail_after_days(shop: Shop) -> None:
    made = shop.pay(5_000, "pm_sepaDebit_late_failure")
    shop.server.advance(days=5)
    failed = shop.intent(made.id)
    assert failed.status == "requires_payment_method"
    assert failed.last_payment_error is not None
    assert shop.charge(made.id).failure_code == "insufficient_funds"
    assert shop.server.balance(shop.platform) == (0, 0)


@pytest.mark.parametrize(
    ("method", "more", "holds"),
    [
        ("pm_card_visa", {}, timedelta(days=7)),
        ("pm_card_visa", {"off_session": True}, timedelta(days=4, hours=18)),
        ("pm_card_mastercard", {"off_session": True}, timedelta(days=7)),
    ],
)
def test_an_authorisation_ends_when_it_said_it_would(
    shop: Shop, method: str, more: dict[str, Any], holds: timedelta
) -> None:
    held = shop.pay(8_000, method, **HELD, **more)
    assert (held.status, held.amount_capturable) == ("requires_capture", 8_000)
    details = shop.charge(held.id).payment_method_details
    assert details is not None
    assert details.card is not None
    assert details.card.capture_before is not None
    assert instant(details.card.capture_before) == shop.server.now + holds
    shop.server.now += holds - timedelta(seconds=1)
    assert shop.intent(held.id).status == "requires_capture"
    shop.server.advance(seconds=1)
    ended = shop.intent(held.id)
    assert (ended.status, ended.cancellation_reason) == ("canceled", "automatic")
    assert (ended.amount_capturable, ended.amount_received) == (0, 0)
    charge = shop.charge(held.id)
    assert (charge.refunded, charge.captured) == (True, False)
    refunds = shop.client.v1.refunds.list({"charge": charge.id}).data
    assert [(row.reason, row.balance_transaction) for row in refunds] == [
        ("expired_uncaptured_charge", None)
    ]
    assert shop.told()[-2:] == ["charge.expired", "payment_intent.canceled"]
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.client.v1.payment_intents.capture(held.id)
    assert refusal.value.code == "payment_intent_unexpected_state"


def test_a_partial_capture_takes_a_part_and_frees_the_rest(shop: Shop) -> None:
    held = shop.pay(8_000, **HELD)
    capture = shop.client.v1.payment_intents.capture
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        capture(held.id, {"amount_to_capture": 8_001})
    assert refusal.value.code == "amount_too_large"
    taken = capture(held.id, {"amount_to_capture": 3_000})
    assert (taken.status, taken.amount_received, taken.amount_capturable) == ("succeeded", 3_000, 0)
    charge = shop.charge(held.id)
    assert (charge.amount_captured, charge.amount_refunded, charge.refunded) == (3000, 5000, False)
    assert shop.server.balance(shop.platform) == (0, 3_000 - 70)
    with pytest.raises(stripe.InvalidRequestError):
        capture(held.id)
    shop.server.advance(days=8)
    assert shop.intent(held.id).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError):
        shop.refund(held.id, amount=3_001)
    assert shop.refund(held.id).amount == 3_000


def test_a_cancelled_authorisation_is_set_free_for_nothing(shop: Shop) -> None:
    held = shop.pay(8_000, **HELD)
    reason: Any = {"cancellation_reason": "requested_by_customer"}
    ended = shop.client.v1.payment_intents.cancel(held.id, reason)
    assert (ended.status, ended.cancellation_reason) == ("canceled", "requested_by_customer")
    assert shop.charge(held.id).refunded
    assert list(shop.client.v1.balance_transactions.list()) == []


def test_a_direct_debit_cannot_be_held(shop: Shop) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.pay(8_000, "pm_sepaDebit_ok", **HELD)
    assert refusal.value.code == "payment_intent_incompatible_payment_method"


def test_a_saved_method_is_charged_again_when_the_payer_is_absent(shop: Shop) -> None:
    customer = shop.client.v1.customers.create({"email": "a@example.org"})
    method = "pm_card_authenticationRequiredOnSetup"
    agreed: Any = {"customer": customer.id, "setup_future_usage": "off_session"}
    asked = shop.pay(900, method, **agreed)
    assert asked.status == "requires_action"
    shop.server.act(asked.id)
    saved = shop.client.v1.customers.payment_methods.list(customer.id).data
    assert [row.id for row in saved] == [shop.intent(asked.id).payment_method]
    later = shop.pay(700, saved[0].id, customer=customer.id, off_session=True)
    assert later.status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError):
        shop.pay(700, saved[0].id, off_session=True)


def test_a_method_that_was_not_saved_is_good_for_once(shop: Shop) -> None:
    method = shop.pay(900).payment_method
    assert isinstance(method, str)
    with pytest.raises(stripe.InvalidRequestError):
        shop.pay(900, method)


def test_methods_of_the_dashboard_need_a_return_address(shop: Shop) -> None:
    create = shop.client.v1.payment_intents.create
    asked: Any = {"amount": 900, "currency": "eur", "payment_method": "pm_card_visa"}
    asked["confirm"] = True
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        create(asked)
    assert refusal.value.param == "return_url"
    asked["automatic_payment_methods"] = {"enabled": True, "allow_redirects": "never"}
    made = create(asked)
    assert made.status == "succeeded"


def test_by_default_a_payment_succeeds_before_it_is_in_the_books(shop: Shop) -> None:
    made = shop.pay(900, capture_method="automatic_async", expand=["latest_charge"])
    assert made.status == "succeeded"
    charge = made.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.captured, charge.balance_transaction) == (True, None)
    assert shop.server.balance(shop.platform) == (0, 0)
    shop.server.advance(seconds=1)
    assert shop.charge(made.id).balance_transaction is not None
    assert shop.told()[-1] == "charge.updated"
    asked: Any = {"amount": 900, "currency": "eur"}
    assert shop.client.v1.payment_intents.create(asked).capture_method == "automatic_async"


def test_methods_that_do_not_fit_are_left_out(shop: Shop) -> None:
    create: Any = shop.client.v1.payment_intents.create
    asked: Any = {"amount": 900, "currency": "eur"}
    both = {"allowed_payment_method_types": ["card", "sepa_debit", "ideal"]}
    assert create({**asked, **both}).payment_method_types == ["card", "sepa_debit"]
    assert create({**asked, **both, **HELD}).payment_method_types == ["card"]
    none: Any = {"excluded_payment_method_types": ["sepa_debit"]}
    assert create({**asked, **none}).payment_method_types == ["card"]
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        create({**asked, **both, **none})
    assert refusal.value.code == "parameters_exclusive"


@pytest.mark.parametrize(
    ("more", "expected", "param"),
    [
        ({"amount": 49}, "amount_too_small", "amount"),
        ({"amount": 100_000_000}, "amount_too_large", "amount"),
        ({"amount": "many"}, "parameter_invalid_integer", "amount"),
        ({"currency": "euros"}, None, "currency"),
        ({"customer": "cus_none"}, "resource_missing", "customer"),
        ({"payment_method": "pm_none"}, "resource_missing", "payment_method"),
        ({"on_behalf_of": "acct_none"}, "resource_missing", "on_behalf_of"),
        (
            {"payment_method_types": ["card"]},
            "payment_method_types_no_longer_supported",
            "payment_method_types",
        ),
        ({"mood": "good"}, "parameter_unknown", "mood"),
        ({"transfer_data": {"destination": "x"}}, "parameter_unknown", "transfer_data"),
    ],
)
def test_wrong_parameters_are_refused_by_name(
    shop: Shop, more: dict[str, Any], expected: str | None, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.pay(**{"amount": 900, **more})
    assert (refusal.value.code, refusal.value.param) == (expected, param)
    assert list(shop.client.v1.payment_intents.list()) == []


def test_amounts_of_currencies_without_decimals_are_whole_numbers(shop: Shop) -> None:
    shop.pay(5_000, currency="jpy", allowed_payment_method_types=["card"])
    assert shop.server.balance(shop.platform, "jpy") == (0, 5_000 - 100)


def checkout(shop: Shop, **more: Any) -> Any:
    """Open a checkout session for 40 euros."""
    price = {"currency": "eur", "unit_amount": 2_000, "product_data": {"name": "a ladder"}}
    asked: Any = {
        "mode": "payment",
        "success_url": "https://example.org/ok",
        "line_items": [{"price_data": price, "quantity": 2}],
        **more,
    }
    return shop.client.v1.checkout.sessions.create(asked)


def test_a_checkout_session_is_paid_on_its_page(shop: Shop) -> None:
    data = {"metadata": {"leg": "1"}, "transfer_group": "g"}
    session = checkout(shop, payment_intent_data=data, client_reference_id="r")
    assert (session.status, session.payment_status) == ("open", "unpaid")
    assert (session.amount_total, session.payment_intent) == (4_000, None)
    assert session.url.startswith(shop.server.url)
    intent = shop.server.pay_checkout(session.id, "pm_card_visa_chargeDeclined")
    assert intent["status"] == "requires_payment_method"
    assert shop.client.v1.checkout.sessions.retrieve(session.id).status == "open"
    shop.server.pay_checkout(session.id)
    done = shop.client.v1.checkout.sessions.retrieve(session.id)
    assert (done.status, done.payment_status, done.url) == ("complete", "paid", None)
    assert isinstance(done.payment_intent, str)
    paid = shop.intent(done.payment_intent)
    assert (paid.amount_received, paid.transfer_group) == (4_000, "g")
    assert paid.metadata["leg"] == "1"
    with pytest.raises(ValueError, match="is complete"):
        shop.server.pay_checkout(session.id)


def test_a_checkout_session_paid_by_direct_debit_is_unpaid_until_it_ends(shop: Shop) -> None:
    good, bad = checkout(shop), checkout(shop)
    shop.server.pay_checkout(good.id, "pm_sepaDebit_ok")
    shop.server.pay_checkout(bad.id, "pm_sepaDebit_late_failure")
    read = shop.client.v1.checkout.sessions.retrieve
    assert (read(good.id).status, read(good.id).payment_status) == ("complete", "unpaid")
    shop.server.advance(days=5)
    assert read(good.id).payment_status == "paid"
    assert read(bad.id).payment_status == "unpaid"
    assert shop.told("checkout.*") == [
        "checkout.session.completed",
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
    ]


def test_a_checkout_session_may_only_hold_the_amount(shop: Shop) -> None:
    session = checkout(shop, payment_intent_data=HELD)
    intent = shop.server.pay_checkout(session.id)
    read = shop.client.v1.checkout.sessions.retrieve
    assert intent["status"] == "requires_capture"
    assert (read(session.id).status, read(session.id).payment_status) == ("complete", "unpaid")
    shop.client.v1.payment_intents.capture(intent["id"])
    assert read(session.id).payment_status == "paid"


def test_a_checkout_session_ends_in_time_or_on_demand(shop: Shop) -> None:
    soon = int(shop.server.now.timestamp()) + 1_800
    first, second = checkout(shop, expires_at=soon), checkout(shop)
    shop.server.pay_checkout(second.id, "pm_card_authenticationRequired")
    sessions = shop.client.v1.checkout.sessions
    ended = sessions.expire(second.id)
    assert (ended.status, ended.url) == ("expired", None)
    assert isinstance(ended.payment_intent, str)
    assert shop.intent(ended.payment_intent).status == "canceled"
    shop.server.advance(minutes=30)
    assert sessions.retrieve(first.id).status == "expired"
    with pytest.raises(ValueError, match="is expired"):
        shop.server.pay_checkout(first.id)
    with pytest.raises(stripe.InvalidRequestError):
        sessions.expire(first.id)
    with pytest.raises(stripe.InvalidRequestError):
        checkout(shop, expires_at=soon)
