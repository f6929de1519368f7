"""Refunds, payouts and reversals through the adapter, against the Stripe-shaped server."""

from __future__ import annotations

from dataclasses import replace

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

TRANSFERS = "/v1/transfers"


def _refused(bench: StripeBench, request: Request) -> str:
    with pytest.raises(ProviderRefused) as refused:
        bench.provider.submit(request)
    return refused.value.failure


# Refunds


def test_a_refund_goes_back_on_the_payment_that_it_is_of(bench: StripeBench) -> None:
    paid = bench.collected()
    asked = bench.refund(paid, 2_500)
    seen = bench.provider.submit(asked)
    assert (seen.status, seen.kind, seen.amount, seen.unit) == (
        Status.SUCCEEDED,
        "refund",
        2_500,
        "EUR",
    )
    made = bench.server.object(seen.ref)
    assert made["payment_intent"] == paid.ref
    assert made["metadata"]["tierce_payment"] == str(asked.payment_id)
    assert bench.keys("/v1/refunds") == [str(asked.payment_id)]
    assert bench.provider.retrieve(bench.platform_id, seen.ref) == seen


def test_a_refund_is_one_however_often_it_is_sent(bench: StripeBench) -> None:
    asked = bench.refund(bench.collected(), 2_500)
    assert bench.provider.submit(asked) == bench.provider.submit(asked)
    assert bench.count("refund") == 1
    with pytest.raises(KeyReused):
        bench.provider.submit(replace(asked, amount=2_501))


def test_no_more_goes_back_than_came_in(bench: StripeBench) -> None:
    paid = bench.collected()
    bench.server.top_up(bench.account, 1_000)  # Stripe keeps its fee
    bench.provider.submit(bench.refund(paid, 6_000))
    assert _refused(bench, bench.refund(paid, 4_001)) == "over_refund"
    assert bench.provider.submit(bench.refund(paid, 4_000)).status is Status.SUCCEEDED
    assert _refused(bench, bench.refund(paid, 1)) == "over_refund"


def test_what_was_never_paid_is_not_refundable(bench: StripeBench) -> None:
    waiting = bench.provider.submit(bench.collect(method=None))
    assert _refused(bench, bench.refund(waiting, 100)) == "not_refundable"
    page = bench.provider.submit(bench.collect(method=None, hosted=True, return_url=RETURN))
    assert _refused(bench, bench.refund(page, 100)) == "unknown_object"


def test_what_the_bank_took_back_is_not_refunded_beside_it(bench: StripeBench) -> None:
    paid = bench.collected()
    bench.server.dispute(paid.ref)
    assert _refused(bench, bench.refund(paid, 100)) == "charged_back"


def test_a_refund_of_a_payment_on_stripe_s_page_finds_it(bench: StripeBench) -> None:
    page = bench.provider.submit(bench.collect(method=None, hosted=True, return_url=RETURN))
    bench.server.pay_checkout(page.ref, "pm_card_bypassPending")
    bench.server.top_up(bench.account, 1_000)  # Stripe keeps its fee
    assert bench.provider.submit(bench.refund(page, 10_000)).status is Status.SUCCEEDED


def test_a_refund_waits_for_funds_and_is_then_paid(bench: StripeBench) -> None:
    paid = bench.provider.submit(bench.collect())  # its funds are not available yet
    seen = bench.provider.submit(bench.refund(paid, 2_500))
    assert seen.status is Status.PENDING
    bench.server.advance(days=8)
    after = bench.provider.retrieve(bench.platform_id, seen.ref)
    assert after.status is Status.SUCCEEDED


def test_a_refund_that_the_payer_s_bank_sends_back_has_failed(bench: StripeBench) -> None:
    seen = bench.provider.submit(bench.refund(bench.collected(), 2_500))
    bench.server.fail_refund(seen.ref)
    after = bench.provider.retrieve(bench.platform_id, seen.ref)
    assert (after.status, after.failure) == (Status.FAILED, "account_closed")


# Payouts


def test_a_payout_is_a_transfer_to_the_payee_s_account(bench: StripeBench) -> None:
    bench.collected()
    payee = bench.payee()
    asked = bench.payout(payee, 8_000)
    seen = bench.provider.submit(asked)
    assert (seen.status, seen.kind, seen.amount) == (Status.SUCCEEDED, "payout", 8_000)
    made = bench.server.object(seen.ref)
    assert made["destination"] == payee
    assert made["transfer_group"] == f"exchange:{asked.exchange_id}"
    assert bench.keys(TRANSFERS) == [str(asked.payment_id)]
    assert bench.provider.retrieve(bench.platform_id, seen.ref) == seen
    assert sum(bench.server.balance(payee)) == 8_000


def test_a_payout_of_a_collection_need_not_wait_for_its_funds(bench: StripeBench) -> None:
    paid = bench.provider.submit(bench.collect())
    asked = bench.payout(bench.payee(), 9_000, collect_ref=paid.ref)
    seen = bench.provider.submit(asked)
    source = bench.server.object(seen.ref)["source_transaction"]
    assert source == bench.server.object(paid.ref)["latest_charge"]
    assert _refused(bench, bench.payout(bench.payee(), 1_001, collect_ref=paid.ref))


def test_a_payout_of_a_collection_on_stripe_s_page_finds_its_charge(bench: StripeBench) -> None:
    page = bench.provider.submit(bench.collect(method=None, hosted=True, return_url=RETURN))
    bench.server.pay_checkout(page.ref)
    seen = bench.provider.submit(bench.payout(bench.payee(), 9_000, collect_ref=page.ref))
    assert bench.server.object(seen.ref)["source_transaction"] is not None


def test_a_payout_beyond_the_balance_waits_until_it_is_funded_and_is_paid_once(
    bench: StripeBench,
) -> None:
    payee = bench.payee()
    asked = bench.payout(payee, 8_000)
    for _ in range(3):
        with pytest.raises(ProviderUnavailable):
            bench.provider.submit(asked)
    bench.collected()
    first = bench.provider.submit(asked)
    assert first.status is Status.SUCCEEDED
    assert bench.provider.submit(asked) == first
    assert bench.count("transfer") == 1
    key = str(asked.payment_id)
    assert set(bench.keys(TRANSFERS)) == {key, f"{key}:1", f"{key}:2", f"{key}:3"}


def test_a_payout_that_waited_is_not_paid_again_when_stripe_forgets_its_first_key(
    bench: StripeBench,
) -> None:
    asked = bench.payout(bench.payee(), 8_000)
    with pytest.raises(ProviderUnavailable):
        bench.provider.submit(asked)
    bench.server.top_up(bench.account, 50_000)
    first = bench.provider.submit(asked)
    bench.server.advance(hours=25)
    assert bench.provider.submit(asked) == first
    assert bench.count("transfer") == 1


def test_an_account_that_cannot_be_paid_is_refused(bench: StripeBench) -> None:
    bench.collected()
    provider = bench.provider
    fresh = provider.open_account(bench.platform_id, uuid7(), {"country": "FR"})
    assert _refused(bench, bench.payout(fresh.ref, 100)) == "account_unusable"
    assert _refused(bench, bench.payout("acct_of_nobody", 100)) == "account_unusable"
    assert _refused(bench, bench.payout(None, 100)) == "account_unusable"
    abroad = provider.open_account(bench.platform_id, uuid7(), {"country": "US"})
    bench.server.complete_onboarding(abroad.ref)
    assert _refused(bench, bench.payout(abroad.ref, 100)) == "account_unusable"


# Reversals


def test_a_forgotten_key_with_another_amount_is_an_alert(bench: StripeBench) -> None:
    bench.server.top_up(bench.account, 50_000)
    asked = bench.payout(bench.payee(), 8_000)
    bench.provider.submit(asked)
    bench.server.advance(hours=25)
    with pytest.raises(AmountDiffers):
        bench.provider.submit(replace(asked, amount=7_000))
    assert bench.count("transfer") == 1


@pytest.fixture
def paid_out(bench: StripeBench) -> Object:
    """Return a payout that the payee's account has, available."""
    bench.collected()
    return bench.provider.submit(bench.payout(bench.payee(), 8_000))


def test_a_payout_is_called_back_in_parts(bench: StripeBench, paid_out: Object) -> None:
    asked = bench.reversal(paid_out, 3_000)
    seen = bench.provider.submit(asked)
    assert (seen.status, seen.kind, seen.amount) == (Status.SUCCEEDED, "reversal", 3_000)
    transfer, _, reversal = seen.ref.partition("/")
    assert transfer == paid_out.ref
    assert bench.server.object(reversal)["metadata"]["tierce_payment"] == str(asked.payment_id)
    assert bench.provider.submit(asked) == seen
    assert bench.provider.retrieve(bench.platform_id, seen.ref) == seen
    assert _refused(bench, bench.reversal(paid_out, 5_001)) == "over_reversal"
    assert bench.provider.submit(bench.reversal(paid_out, 5_000)).ref != seen.ref
    assert bench.count("transfer_reversal") == 2


def test_what_the_payee_s_account_does_not_have_cannot_be_called_back(
    bench: StripeBench, paid_out: Object
) -> None:
    payee = bench.server.account(bench.server.object(paid_out.ref)["destination"])
    bench.server.top_up(payee, -7_000)
    assert _refused(bench, bench.reversal(paid_out, 8_000)) == "balance_insufficient"


def test_a_reversal_is_of_a_payout(bench: StripeBench) -> None:
    paid = bench.collected()
    assert _refused(bench, bench.reversal(paid, 100)) == "unknown_object"


# What Stripe forgot, and where it broke down


@pytest.mark.parametrize("forgotten", [False, True])
@pytest.mark.parametrize("kind", ["refund", "payout", "reversal"])
def test_nothing_goes_out_twice_when_an_answer_is_lost(
    bench: StripeBench, kind: str, forgotten: bool
) -> None:
    paid = bench.collected()
    out = bench.provider.submit(bench.payout(bench.payee(), 8_000))
    bench.server.top_up(bench.account, 50_000)
    asked = {
        "refund": bench.refund(paid, 2_500),
        "payout": bench.payout(bench.payee(), 1_000),
        "reversal": bench.reversal(out, 1_000),
    }[kind]
    path = "/v1/refunds" if kind == "refund" else TRANSFERS
    bench.server.fault(path, "500_after" if not forgotten else "after", 3, method="POST")
    counted = {"refund": "refund", "payout": "transfer", "reversal": "transfer_reversal"}[kind]
    before = bench.count(counted)
    answers = []
    for _ in range(2):
        try:
            answers.append(bench.provider.submit(asked))
        except ProviderUnavailable:
            assert forgotten
        if forgotten:
            bench.server.clear_faults()
            bench.server.advance(hours=25)
    answers.append(bench.provider.submit(asked))
    assert {one.ref for one in answers} == {answers[-1].ref}
    assert answers[-1].status is Status.SUCCEEDED
    assert bench.count(counted) == before + 1


def test_a_breakdown_that_did_nothing_is_waited_for_until_its_key_is_free(
    bench: StripeBench,
) -> None:
    bench.server.top_up(bench.account, 50_000)
    asked = bench.payout(bench.payee(), 1_000)
    bench.server.fault(TRANSFERS, "500", 1, method="POST")
    with pytest.raises(ProviderUnavailable):
        bench.provider.submit(asked)
    assert bench.count("transfer") == 0
    bench.server.advance(hours=25)
    assert bench.provider.submit(asked).status is Status.SUCCEEDED
    assert bench.count("transfer") == 1
