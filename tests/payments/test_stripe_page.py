"""Collections on Stripe's own page (Checkout), against the Stripe-shaped server."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from service.payments.port import ProviderRefused, Status
from tests.payments.stripe_bench import RETURN, StripeBench


def test_a_page_of_stripe_s_waits_for_the_payer_and_is_paid(bench: StripeBench) -> None:
    asked = bench.collect(method=None, hosted=True, return_url=RETURN)
    seen = bench.provider.submit(asked)
    assert seen.ref.startswith("cs_")
    assert (seen.status, seen.amount) == (Status.REQUIRES_ACTION, 10_000)
    assert seen.next_action is not None
    assert seen.next_action["type"] == "redirect"
    assert seen.next_action["url"].startswith(bench.server.url)
    until = datetime.fromisoformat(seen.next_action["expires_at"])
    assert until == bench.server.now + timedelta(hours=24)
    bench.server.pay_checkout(seen.ref)
    after = bench.provider.retrieve(bench.platform_id, seen.ref)
    assert (after.ref, after.status, after.captured) == (seen.ref, Status.SUCCEEDED, 10_000)
    assert after.fees
    assert bench.provider.submit(asked).ref == seen.ref


def test_on_stripe_s_page_a_declined_payer_may_try_again(bench: StripeBench) -> None:
    seen = bench.provider.submit(bench.collect(method=None, hosted=True, return_url=RETURN))
    bench.server.pay_checkout(seen.ref, "pm_card_visa_chargeDeclined")
    waiting = bench.provider.retrieve(bench.platform_id, seen.ref)
    assert waiting.status is Status.REQUIRES_ACTION
    bench.server.pay_checkout(seen.ref)
    assert bench.provider.retrieve(bench.platform_id, seen.ref).status is Status.SUCCEEDED


def test_a_page_that_nobody_wants_any_more_is_closed(bench: StripeBench) -> None:
    seen = bench.provider.submit(bench.collect(method=None, hosted=True, return_url=RETURN))
    for _ in range(2):
        assert bench.provider.cancel(bench.platform_id, seen.ref).status is Status.CANCELED


def test_a_page_that_nobody_used_ends_by_itself(bench: StripeBench) -> None:
    seen = bench.provider.submit(bench.collect(method=None, hosted=True, return_url=RETURN))
    bench.server.advance(hours=24)
    assert bench.provider.retrieve(bench.platform_id, seen.ref).status is Status.CANCELED


def test_a_debit_from_stripe_s_page_may_fail_days_after(bench: StripeBench) -> None:
    seen = bench.provider.submit(bench.collect(method=None, hosted=True, return_url=RETURN))
    bench.server.pay_checkout(seen.ref, "pm_sepaDebit_late_failure")
    assert bench.provider.retrieve(bench.platform_id, seen.ref).status is Status.PENDING
    bench.server.advance(days=5)
    after = bench.provider.retrieve(bench.platform_id, seen.ref)
    assert (after.status, after.failure) == (Status.FAILED, "insufficient_funds")


def test_an_authorisation_on_stripe_s_page_is_taken_and_freed_by_its_session(
    bench: StripeBench,
) -> None:
    for act in ("capture", "cancel"):
        asked = bench.collect(method=None, hosted=True, return_url=RETURN, capture="manual")
        seen = bench.provider.submit(asked)
        bench.server.pay_checkout(seen.ref)
        held = bench.provider.retrieve(bench.platform_id, seen.ref)
        assert (held.status, held.ref) == (Status.AUTHORISED, seen.ref)
        assert held.capture_before is not None
        if act == "capture":
            after = bench.provider.capture(bench.platform_id, asked.payment_id, seen.ref, 4_000)
            assert (after.status, after.captured) == (Status.SUCCEEDED, 4_000)
        else:
            after = bench.provider.cancel(bench.platform_id, seen.ref)
            assert after.status is Status.CANCELED
        assert after.ref == seen.ref


def test_a_method_left_on_stripe_s_page_is_told_with_its_customer(bench: StripeBench) -> None:
    seen = bench.provider.submit(
        bench.collect(method=None, hosted=True, return_url=RETURN, save_method=True)
    )
    bench.server.pay_checkout(seen.ref)
    after = bench.provider.retrieve(bench.platform_id, seen.ref)
    assert after.saved_method is not None
    assert after.customer_ref is not None


def test_a_page_needs_an_address_to_return_to(bench: StripeBench) -> None:
    with pytest.raises(ProviderRefused) as refused:
        bench.provider.submit(bench.collect(method=None, hosted=True))
    assert refused.value.failure == "return_url_missing"
