"""Stripe's books, chargebacks and warnings through the adapter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from service.payments.port import DisputeStatus, Evidence, Movement, ProviderRefused, own_payment
from service.payments.stripe.disputes import FIELD_LENGTH, TOTAL_LENGTH, fit
from tests.payments.stripe_bench import RETURN, StripeBench


def _all(bench: StripeBench) -> list[Movement]:
    since = bench.server.now - timedelta(days=30)
    until = bench.server.now + timedelta(seconds=1)
    return list(bench.provider.movements(bench.platform_id, since, until))


def _agree(bench: StripeBench) -> None:
    """What moved sums to what is held, in every unit."""
    sums: dict[str, int] = {}
    for one in _all(bench):
        sums[one.unit] = sums.get(one.unit, 0) + one.amount - one.fee
    held = bench.provider.held(bench.platform_id)
    assert {unit: total for unit, total in sums.items() if total} == {
        unit: total for unit, total in held.items() if total
    }


def test_every_kind_of_movement_names_the_row_that_it_is_of(bench: StripeBench) -> None:
    paid = bench.collected()
    asked = bench.collect(4_000, None, hosted=True, return_url=RETURN)
    page = bench.provider.submit(asked)
    bench.server.pay_checkout(page.ref, "pm_card_bypassPending")
    refund = bench.provider.submit(bench.refund(paid, 1_000))
    payout = bench.provider.submit(bench.payout(bench.payee(), 3_000))
    back = bench.provider.submit(bench.reversal(payout, 500))
    dispute = bench.server.dispute(paid.ref, 2_000)
    bench.server.fail_refund(refund.ref)
    found = [(one.kind, one.object_ref, one.amount, one.fee) for one in _all(bench)]
    assert found == [
        ("collect", paid.ref, 10_000, 175),
        ("collect", f"payment:{asked.payment_id}", 4_000, 85),
        ("refund", refund.ref, -1_000, 0),
        ("payout", payout.ref, -3_000, 0),
        ("reversal", back.ref, 500, 0),
        ("dispute", dispute, -2_000, 2_000),
        ("refund_failure", refund.ref, 1_000, 0),
    ]
    assert own_payment(found[1][1]) == asked.payment_id
    _agree(bench)


def test_the_platforms_own_money_and_what_nobody_of_ours_did_are_told_apart(
    bench: StripeBench,
) -> None:
    bench.server.top_up(bench.account, 700)
    bench.server.top_up(bench.account, -300)
    found = [(line.kind, line.amount, line.fee) for line in _all(bench)]
    assert found == [("bank_payout", 700, 0), ("other", -300, 0)]
    _agree(bench)


def test_a_currency_that_stripe_counts_otherwise_agrees_in_ours(bench: StripeBench) -> None:
    bench.provider.submit(bench.collect(5_000_000, unit="MGA"))
    (line,) = _all(bench)
    assert (line.amount, line.unit) == (5_000_000, "MGA")
    _agree(bench)


def test_a_window_has_its_first_second_and_not_its_last(bench: StripeBench) -> None:
    refs = []
    for _ in range(3):
        refs.append(bench.collected(1_000).ref)
        bench.server.advance(hours=1)
    start = bench.server.now - timedelta(hours=2)
    until = start + timedelta(hours=1)
    lines = bench.provider.movements(bench.platform_id, start, until)
    assert [one.object_ref for one in lines] == [refs[1]]
    fraction = timedelta(microseconds=1)
    after = bench.provider.movements(bench.platform_id, start + fraction, until + fraction)
    assert [one.object_ref for one in after] == [refs[2]]


def test_books_longer_than_a_page_are_read_whole_and_in_order(bench: StripeBench) -> None:
    for amount in range(1, 251):
        bench.server.top_up(bench.account, amount)
    assert [one.amount for one in _all(bench)] == list(range(1, 251))
    _agree(bench)


# Chargebacks


def test_a_chargeback_names_its_collection_its_money_and_until_when_to_answer(
    bench: StripeBench,
) -> None:
    paid = bench.collected()
    ref = bench.server.dispute(paid.ref, 4_000, reason="product_not_received")
    seen = bench.provider.retrieve_dispute(bench.platform_id, ref)
    assert (seen.status, seen.collect_ref) == (DisputeStatus.NEEDS_RESPONSE, paid.ref)
    assert (seen.amount, seen.unit, seen.reason) == (4_000, "EUR", "product_not_received")
    assert seen.due_by == bench.server.now + timedelta(days=7)
    assert not seen.evidence_submitted
    (line,) = seen.movements
    assert (line.kind, line.object_ref, line.amount, line.fee) == ("dispute", ref, -4_000, 2_000)
    assert line in _all(bench)


@pytest.mark.parametrize(("won", "status"), [(True, "won"), (False, "lost")])
def test_a_decided_chargeback_says_what_came_back(
    bench: StripeBench, won: bool, status: str
) -> None:
    paid = bench.collected()
    ref = bench.server.dispute(paid.ref)
    bench.server.close_dispute(ref, won=won)
    seen = bench.provider.retrieve_dispute(bench.platform_id, ref)
    assert seen.status == status
    assert [line.amount for line in seen.movements] == [-10_000, 10_000][: 1 + won]
    _agree(bench)


def test_an_inquiry_moves_no_money_and_may_become_a_chargeback_or_nothing(
    bench: StripeBench,
) -> None:
    paid = bench.collected()
    ref = bench.server.dispute(paid.ref, inquiry=True)
    seen = bench.provider.retrieve_dispute(bench.platform_id, ref)
    assert (seen.status, seen.movements) == (DisputeStatus.WARNING, ())
    bench.server.escalate(ref)
    after = bench.provider.retrieve_dispute(bench.platform_id, ref)
    assert after.status is DisputeStatus.NEEDS_RESPONSE
    other = bench.server.dispute(bench.collected().ref, inquiry=True)
    bench.server.close_dispute(other, won=False)
    closed = bench.provider.retrieve_dispute(bench.platform_id, other)
    assert closed.status is DisputeStatus.CLOSED


def test_a_chargeback_of_a_payment_on_stripe_s_page_names_our_row(bench: StripeBench) -> None:
    asked = bench.collect(4_000, None, hosted=True, return_url=RETURN)
    page = bench.provider.submit(asked)
    intent = bench.server.pay_checkout(page.ref)
    ref = bench.server.dispute(intent["id"])
    warning = bench.server.warn(intent["id"])
    seen = bench.provider.retrieve_dispute(bench.platform_id, ref)
    warned = bench.provider.retrieve_warning(bench.platform_id, warning)
    assert own_payment(seen.collect_ref) == own_payment(warned.collect_ref) == asked.payment_id


def test_evidence_is_handed_in_once_and_wins_or_loses(bench: StripeBench) -> None:
    ref = bench.server.dispute(bench.collected().ref)
    words = {"product_description": "A bicycle", "uncategorized_text": "winning_evidence"}
    for _ in range(2):
        seen = bench.provider.submit_evidence(bench.platform_id, ref, Evidence(words))
        assert (seen.status, seen.evidence_submitted) == (DisputeStatus.WON, True)
    with pytest.raises(ProviderRefused) as late:
        bench.provider.submit_evidence(bench.platform_id, ref, Evidence({"service_date": "May"}))
    assert late.value.failure == "evidence_refused"


def test_evidence_goes_under_review_until_the_bank_decides(bench: StripeBench) -> None:
    ref = bench.server.dispute(bench.collected().ref)
    seen = bench.provider.submit_evidence(
        bench.platform_id, ref, Evidence({"service_date": "2027-03-01"})
    )
    assert (seen.status, seen.evidence_submitted) == (DisputeStatus.UNDER_REVIEW, True)
    assert bench.server.object(ref)["evidence"]["service_date"] == "2027-03-01"


def test_evidence_is_cut_to_what_stripe_takes_and_free_text_first() -> None:
    fields = {
        "access_activity_log": "a" * (FIELD_LENGTH + 1),
        "billing_address": "b" * FIELD_LENGTH,
        "cancellation_rebuttal": "",
    }
    long = ("customer_name", "service_date", "shipping_date", "product_description")
    fields |= dict.fromkeys((*long, "shipping_address", "uncategorized_text"), "x" * FIELD_LENGTH)
    found: dict[str, str] = dict(fit(fields))  # type: ignore[arg-type] # all of it is text
    assert len(found["access_activity_log"]) == FIELD_LENGTH
    assert found["access_activity_log"].endswith("[…]")
    assert found["billing_address"] == fields["billing_address"]
    assert "cancellation_rebuttal" not in found
    assert sum(map(len, found.values())) == TOTAL_LENGTH
    assert len(found["uncategorized_text"]) == TOTAL_LENGTH - 7 * FIELD_LENGTH


@pytest.mark.parametrize("name", ["receipt", "uncategorized_file", "anything"])
def test_evidence_that_is_no_text_field_of_stripe_s_is_a_mistake_of_ours(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        fit({name: "x"})


def test_a_warning_names_its_collection_and_whether_it_can_still_be_acted_on(
    bench: StripeBench,
) -> None:
    paid = bench.collected()
    bench.server.top_up(bench.account, 1_000)
    ref = bench.server.warn(paid.ref, "made_with_lost_card")
    seen = bench.provider.retrieve_warning(bench.platform_id, ref)
    assert (seen.collect_ref, seen.reason, seen.actionable) == (
        paid.ref,
        "made_with_lost_card",
        True,
    )
    bench.provider.submit(bench.refund(paid, 10_000))
    assert not bench.provider.retrieve_warning(bench.platform_id, ref).actionable


def test_another_platform_s_chargebacks_and_warnings_are_unknown(
    bench: StripeBench, new_platform: Callable[[], UUID]
) -> None:
    neighbour = new_platform()
    bench.connect(neighbour, bench.key)
    paid = bench.collected()
    dispute, warning = bench.server.dispute(paid.ref), bench.server.warn(paid.ref)
    calls: tuple[Callable[[], object], ...] = (
        lambda: bench.provider.retrieve_dispute(neighbour, dispute),
        lambda: bench.provider.retrieve_warning(neighbour, warning),
        lambda: bench.provider.submit_evidence(neighbour, dispute, Evidence({"service_date": "x"})),
        lambda: bench.provider.retrieve_dispute(bench.platform_id, "du_of_nobody"),
        lambda: bench.provider.retrieve_dispute(bench.platform_id, warning),
        lambda: bench.provider.retrieve_warning(bench.platform_id, dispute),
    )
    for call in calls:
        with pytest.raises(ProviderRefused) as refused:
            call()
        assert refused.value.failure == "unknown_object"
