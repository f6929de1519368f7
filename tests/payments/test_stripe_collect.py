"""Collections through the adapter, over HTTP, against the Stripe-shaped server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from service.ids import uuid7
from service.payments.port import (
    AmountDiffers,
    Object,
    ProviderRefused,
    ProviderUnavailable,
    Request,
    Status,
)
from service.payments.stripe.errors import KeyReused
from tests.payments.stripe_bench import RETURN, StripeBench

INTENTS = "/v1/payment_intents"


def test_a_collection_carries_our_ids_and_its_row_s_key(bench: StripeBench) -> None:
    asked = bench.collect(6500)
    seen = bench.provider.submit(asked)
    assert (seen.status, seen.amount, seen.captured, seen.unit) == (
        Status.SUCCEEDED,
        6500,
        6500,
        "EUR",
    )
    made = bench.server.object(seen.ref)
    assert made["metadata"] == {
        "tierce_payment": str(asked.payment_id),
        "tierce_platform": str(bench.platform_id),
        "tierce_exchange": str(asked.exchange_id),
    }
    assert made["transfer_group"] == f"exchange:{asked.exchange_id}"
    assert bench.keys(INTENTS) == [str(asked.payment_id)]


def test_what_stripe_took_for_itself_is_told_with_its_line_of_the_books(bench: StripeBench) -> None:
    seen = bench.provider.submit(bench.collect(10_000))
    (fee,) = seen.fees
    line = bench.server.object(fee.ref)
    assert (line["object"], fee.amount, fee.unit) == ("balance_transaction", 175, "EUR")
    assert line["fee"] == 175
    assert (seen.method_kind, seen.instrument) == ("card", "stripe:card:card4242")


def test_the_same_request_is_one_payment_however_often_it_is_sent(bench: StripeBench) -> None:
    asked = bench.collect()
    assert bench.provider.submit(asked) == bench.provider.submit(asked)
    assert bench.count("payment_intent") == 1
    with pytest.raises(KeyReused):
        bench.provider.submit(replace(asked, amount=asked.amount + 1))


@pytest.mark.parametrize("fault", ["after", "500_after", "before"])
def test_an_answer_that_is_lost_costs_nothing(bench: StripeBench, fault: str) -> None:
    asked = bench.collect()
    bench.server.fault(INTENTS, fault, 1)
    assert _until_answered(bench, asked).status is Status.SUCCEEDED
    assert bench.count("charge") == 1


def _until_answered(bench: StripeBench, asked: Request) -> Object:
    """Ask as the sweep does: again and again, with the same request."""
    for _ in range(5):
        try:
            return bench.provider.submit(asked)
        except ProviderUnavailable:
            continue
    raise AssertionError("no answer")


@pytest.mark.parametrize(
    ("method", "failure"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error"),
    ],
)
def test_a_decline_fails_for_good_and_can_never_be_paid_later(
    bench: StripeBench, method: str, failure: str
) -> None:
    asked = bench.collect(method=method)
    seen = bench.provider.submit(asked)
    assert (seen.status, seen.failure, seen.captured) == (Status.FAILED, failure, None)
    assert bench.server.object(seen.ref)["status"] == "canceled"
    assert bench.provider.submit(asked) == seen
    assert bench.provider.retrieve(bench.platform_id, seen.ref) == seen
    assert bench.count("payment_intent") == 1


def test_a_method_that_does_not_exist_is_refused(bench: StripeBench) -> None:
    with pytest.raises(ProviderRefused) as refused:
        bench.provider.submit(bench.collect(method="pm_card_of_nobody"))
    assert refused.value.failure == "method_unusable"


@pytest.mark.parametrize(
    ("amount", "unit", "failure"),
    [
        (49, "EUR", "amount_not_supported"),
        (10**9, "EUR", "amount_not_supported"),
        (50_001, "MGA", "amount_not_supported"),
        (100, "CLF", "unit_not_supported"),
    ],
)
def test_an_amount_that_stripe_does_not_take_is_refused(
    bench: StripeBench, amount: int, unit: str, failure: str
) -> None:
    with pytest.raises(ProviderRefused) as refused:
        bench.provider.submit(bench.collect(amount, unit=unit))
    assert refused.value.failure == failure
    assert bench.count("payment_intent") == 0


def test_a_currency_without_decimals_at_stripe_is_asked_and_told_in_ours(
    bench: StripeBench,
) -> None:
    seen = bench.provider.submit(bench.collect(5_000_000, unit="MGA"))
    assert (seen.amount, seen.captured, seen.unit) == (5_000_000, 5_000_000, "MGA")
    assert bench.server.object(seen.ref)["amount"] == 50_000
    assert all(fee.amount % 100 == 0 for fee in seen.fees)


def test_without_a_method_the_payer_s_own_page_gets_the_secret(bench: StripeBench) -> None:
    seen = bench.provider.submit(bench.collect(method=None))
    assert seen.status is Status.REQUIRES_ACTION
    assert seen.next_action == {
        "type": "client_secret",
        "client_secret": bench.server.object(seen.ref)["client_secret"],
        "publishable_key": "pk_test_public",
    }


def test_three_d_secure_sends_the_payer_away_and_back(bench: StripeBench) -> None:
    asked = bench.collect(method="pm_card_authenticationRequired", return_url=RETURN)
    seen = bench.provider.submit(asked)
    assert seen.status is Status.REQUIRES_ACTION
    assert seen.next_action is not None
    assert seen.next_action["type"] == "redirect"
    assert seen.next_action["url"].startswith("http")
    bench.server.act(seen.ref)
    after = bench.provider.retrieve(bench.platform_id, seen.ref)
    assert (after.status, after.next_action) == (Status.SUCCEEDED, None)


def test_three_d_secure_without_an_address_to_return_to_is_for_the_page_s_script(
    bench: StripeBench,
) -> None:
    seen = bench.provider.submit(bench.collect(method="pm_card_authenticationRequired"))
    assert seen.status is Status.REQUIRES_ACTION
    assert seen.next_action is not None
    assert seen.next_action["type"] == "client_secret"


def test_a_payer_who_does_not_authenticate_has_failed_and_the_payment_is_closed(
    bench: StripeBench,
) -> None:
    seen = bench.provider.submit(
        bench.collect(method="pm_card_authenticationRequired", return_url=RETURN)
    )
    bench.server.act(seen.ref, succeed=False)
    after = bench.provider.retrieve(bench.platform_id, seen.ref)
    assert (after.status, after.failure) == (Status.FAILED, "authentication_failed")
    assert bench.server.object(seen.ref)["status"] == "canceled"


def test_a_direct_debit_is_pending_for_days_and_then_there(bench: StripeBench) -> None:
    seen = bench.provider.submit(bench.collect(method="pm_sepaDebit_ok"))
    assert (seen.status, seen.method_kind) == (Status.PENDING, "sepa_debit")
    bench.server.advance(days=5)
    after = bench.provider.retrieve(bench.platform_id, seen.ref)
    assert (after.status, after.captured) == (Status.SUCCEEDED, 10_000)
    assert [fee.amount for fee in after.fees] == [35]


def test_a_direct_debit_can_fail_after_days(bench: StripeBench) -> None:
    seen = bench.provider.submit(bench.collect(method="pm_sepaDebit_late_failure"))
    bench.server.advance(days=5)
    after = bench.provider.retrieve(bench.platform_id, seen.ref)
    assert (after.status, after.failure) == (Status.FAILED, "insufficient_funds")
    assert bench.server.object(seen.ref)["status"] == "canceled"


def test_a_debit_on_its_way_cannot_be_called_back_until_it_is_known(bench: StripeBench) -> None:
    seen = bench.provider.submit(bench.collect(method="pm_sepaDebit_late_failure"))
    assert bench.provider.cancel(bench.platform_id, seen.ref).status is Status.PENDING
    assert bench.provider.cancel(bench.platform_id, seen.ref).status is Status.PENDING
    bench.server.advance(days=5)
    assert bench.provider.cancel(bench.platform_id, seen.ref).status in {
        Status.CANCELED,
        Status.FAILED,
    }
    assert bench.server.object(seen.ref)["status"] == "canceled"


def test_a_payment_that_waits_for_its_payer_is_called_back(bench: StripeBench) -> None:
    seen = bench.provider.submit(bench.collect(method=None))
    for _ in range(2):
        after = bench.provider.cancel(bench.platform_id, seen.ref)
        assert (after.status, after.failure) == (Status.CANCELED, None)


def test_what_was_paid_cannot_be_called_back(bench: StripeBench) -> None:
    seen = bench.provider.submit(bench.collect())
    assert bench.provider.cancel(bench.platform_id, seen.ref).status is Status.SUCCEEDED


# Authorisations


def test_an_authorisation_says_until_when_it_lasts(bench: StripeBench) -> None:
    seen = bench.provider.submit(bench.collect(capture="manual"))
    assert (seen.status, seen.captured) == (Status.AUTHORISED, None)
    assert seen.capture_before == bench.server.now + timedelta(days=7)
    off = bench.provider.submit(_again(bench))
    assert off.capture_before == bench.server.now + timedelta(days=4, hours=18)


def _again(bench: StripeBench) -> Request:
    """Return a request on a method that was saved before, while the payer is away."""
    saved = bench.provider.submit(bench.collect(save_method=True))
    return bench.collect(
        capture="manual",
        method=saved.saved_method,
        customer_ref=saved.customer_ref,
        off_session=True,
    )


@pytest.mark.parametrize("taken", [10_000, 2_500])
def test_an_authorisation_is_taken_whole_or_in_part_and_once(
    bench: StripeBench, taken: int
) -> None:
    asked = bench.collect(capture="manual")
    seen = bench.provider.submit(asked)
    for _ in range(2):
        after = bench.provider.capture(bench.platform_id, asked.payment_id, seen.ref, taken)
        assert (after.status, after.amount, after.captured) == (Status.SUCCEEDED, 10_000, taken)
    assert bench.provider.retrieve(bench.platform_id, seen.ref) == after
    assert bench.server.balance(bench.account)[1] == taken - after.fees[0].amount


def test_a_released_authorisation_took_nothing(bench: StripeBench) -> None:
    asked = bench.collect(capture="manual")
    seen = bench.provider.submit(asked)
    assert bench.provider.cancel(bench.platform_id, seen.ref).status is Status.CANCELED
    late = bench.provider.capture(bench.platform_id, asked.payment_id, seen.ref, 10_000)
    assert (late.status, late.captured) == (Status.CANCELED, None)
    assert bench.server.balance(bench.account) == (0, 0)


def test_an_authorisation_that_ran_out_says_so(bench: StripeBench) -> None:
    asked = bench.collect(capture="manual")
    seen = bench.provider.submit(asked)
    bench.server.advance(days=7, seconds=1)
    late = bench.provider.capture(bench.platform_id, asked.payment_id, seen.ref, 10_000)
    assert (late.status, late.failure) == (Status.CANCELED, "authorisation_expired")


def test_more_than_was_authorised_cannot_be_taken(bench: StripeBench) -> None:
    asked = bench.collect(capture="manual")
    seen = bench.provider.submit(asked)
    with pytest.raises(ProviderRefused):
        bench.provider.capture(bench.platform_id, asked.payment_id, seen.ref, 10_001)
    still = bench.provider.retrieve(bench.platform_id, seen.ref)
    assert still.status is Status.AUTHORISED


def test_an_amount_that_somebody_else_took_is_an_alert_and_never_a_success(
    bench: StripeBench,
) -> None:
    seen = bench.provider.submit(bench.collect(capture="manual"))
    account = bench.provider.account(bench.platform_id)
    account.api.payment_intents.capture(seen.ref, {"amount_to_capture": 9_000})  # by hand
    with pytest.raises(AmountDiffers):
        bench.provider.retrieve(bench.platform_id, seen.ref)


# Saved methods


def test_a_method_that_the_payer_leaves_can_be_charged_again(bench: StripeBench) -> None:
    first = bench.provider.submit(bench.collect(save_method=True))
    assert first.saved_method is not None
    assert first.customer_ref is not None
    again = bench.provider.submit(
        bench.collect(method=first.saved_method, customer_ref=first.customer_ref, off_session=True)
    )
    assert again.status is Status.SUCCEEDED


def test_a_method_that_nobody_asked_to_keep_is_not_told(bench: StripeBench) -> None:
    assert bench.provider.submit(bench.collect()).saved_method is None


def test_a_bank_that_wants_the_payer_fails_a_charge_without_them(bench: StripeBench) -> None:
    first = bench.provider.submit(
        bench.collect(method="pm_card_authenticationRequired", save_method=True, return_url=RETURN)
    )
    bench.server.act(first.ref)
    saved = bench.provider.retrieve(bench.platform_id, first.ref)
    again = bench.provider.submit(
        bench.collect(method=saved.saved_method, customer_ref=saved.customer_ref, off_session=True)
    )
    assert (again.status, again.failure) == (Status.FAILED, "authentication_required")


# When Stripe has forgotten the key


@pytest.mark.parametrize("hosted", [False, True])
def test_a_request_whose_key_stripe_forgot_is_found_and_not_collected_again(
    bench: StripeBench, hosted: bool
) -> None:
    asked = (
        bench.collect(method=None, hosted=True, return_url=RETURN) if hosted else bench.collect()
    )
    seen = bench.provider.submit(asked)
    if hosted:
        bench.server.pay_checkout(seen.ref)
    bench.server.advance(hours=25)
    again = bench.provider.submit(asked)
    assert (again.ref, again.status) == (seen.ref, Status.SUCCEEDED)
    assert bench.count("charge") == 1


def test_an_old_request_that_made_nothing_is_asked_for(bench: StripeBench) -> None:
    asked = bench.collect()
    bench.server.advance(hours=25)
    assert bench.provider.submit(asked).status is Status.SUCCEEDED


# Whose objects


def test_what_is_no_reference_or_is_not_there_is_unknown(bench: StripeBench) -> None:
    for ref in ("pi_nobody", "cs_nobody", "re_nobody", "tr_nobody", "tr_x/trr_y", "ch_1", "../x"):
        with pytest.raises(ProviderRefused) as refused:
            bench.provider.retrieve(bench.platform_id, ref)
        assert refused.value.failure == "unknown_object", ref


def test_another_platform_on_the_same_account_sees_nothing_of_it(
    bench: StripeBench, new_platform: Callable[[], UUID]
) -> None:
    neighbour = new_platform()
    bench.connect(neighbour, bench.key)
    seen = bench.provider.submit(bench.collect(method=None))
    for call in (bench.provider.retrieve, bench.provider.cancel):
        with pytest.raises(ProviderRefused) as refused:
            call(neighbour, seen.ref)
        assert refused.value.failure == "unknown_object"
    assert bench.server.object(seen.ref)["status"] == "requires_payment_method"


def test_a_platform_without_a_connection_has_no_provider(
    bench: StripeBench, new_platform: Callable[[], UUID]
) -> None:
    with pytest.raises(ProviderUnavailable):
        bench.provider.submit(bench.collect(platform_id=new_platform(), payment_id=uuid7()))
