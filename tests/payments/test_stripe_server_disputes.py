"""Chargebacks, inquiries and warnings on the Stripe-shaped server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
import stripe

from tests.payments.shop import Shop, open_shop

AT_ONCE = "pm_card_bypassPending"


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A platform on a fresh server."""
    with open_shop() as made:
        yield made


def read(shop: Shop, ref: str) -> stripe.Dispute:
    """Read a dispute."""
    return shop.client.v1.disputes.retrieve(ref)


def answer(shop: Shop, ref: str, words: str, **more: Any) -> stripe.Dispute:
    """Answer a dispute."""
    asked: Any = {"evidence": {"uncategorized_text": words}, **more}
    return shop.client.v1.disputes.update(ref, asked)


def test_a_dispute_takes_its_amount_and_a_fee(shop: Shop) -> None:
    paid = shop.pay(10_000, AT_ONCE)
    ref = shop.server.dispute(paid.id, 4_000)
    dispute = read(shop, ref)
    assert (dispute.status, dispute.amount, dispute.reason) == (
        "needs_response",
        4_000,
        "fraudulent",
    )
    assert [(line.net, line.fee) for line in dispute.balance_transactions] == [(-6_000, 2_000)]
    assert dispute.evidence_details.due_by == int(shop.server.now.timestamp()) + 7 * 86_400
    assert shop.server.balance(shop.platform) == (9_825 - 6_000, 0)
    assert shop.charge(paid.id).disputed
    assert shop.told("charge.dispute.*") == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
    ]
    with pytest.raises(ValueError, match="6000 is left"):
        shop.server.dispute(paid.id, 6_001)


def test_a_disputed_payment_is_not_refunded(shop: Shop) -> None:
    paid = shop.pay(10_000, AT_ONCE)
    shop.server.top_up(shop.platform, 20_000)
    ref = shop.server.dispute(paid.id, 4_000)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.refund(paid.id, amount=100)
    assert refusal.value.code == "charge_disputed"
    shop.server.close_dispute(ref, won=False)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.refund(paid.id, amount=6_001)
    assert refusal.value.code == "amount_too_large"
    assert shop.refund(paid.id).amount == 6_000


@pytest.mark.parametrize(
    ("part", "returned", "net"), [(None, False, 4_000), (1_500, False, 1_500), (None, True, 6_000)]
)
def test_a_won_dispute_gives_back_what_was_won(
    shop: Shop, part: int | None, returned: bool, net: int
) -> None:
    shop.server.fees.dispute_returned = returned
    paid = shop.pay(10_000, AT_ONCE)
    ref = shop.server.dispute(paid.id, 4_000)
    shop.server.close_dispute(ref, won=True, amount=part)
    dispute = read(shop, ref)
    assert dispute.status == "won"
    assert [line.net for line in dispute.balance_transactions] == [-6_000, net]
    assert shop.server.balance(shop.platform) == (9_825 - 6_000 + net, 0)
    assert shop.told()[-2:] == ["charge.dispute.closed", "charge.dispute.funds_reinstated"]
    with pytest.raises(ValueError, match="is won"):
        shop.server.close_dispute(ref, won=False)


@pytest.mark.parametrize(
    ("words", "status"), [("winning_evidence", "won"), ("losing_evidence", "lost")]
)
def test_evidence_is_staged_and_then_submitted_once(shop: Shop, words: str, status: str) -> None:
    ref = shop.server.dispute(shop.pay(10_000, AT_ONCE).id)
    staged = answer(shop, ref, words, submit=False)
    assert staged.status == "needs_response"
    assert staged.evidence_details.has_evidence
    assert staged.evidence_details.submission_count == 0
    ended = shop.client.v1.disputes.update(ref, {"submit": True})
    assert (ended.status, ended.evidence_details.submission_count) == (status, 1)
    with pytest.raises(stripe.InvalidRequestError):
        answer(shop, ref, words)


def test_evidence_goes_to_review_and_the_bank_decides(shop: Shop) -> None:
    ref = shop.server.dispute(shop.pay(10_000, AT_ONCE).id)
    assert answer(shop, ref, "they met and both confirmed").status == "under_review"
    shop.server.advance(days=30)
    assert read(shop, ref).status == "under_review"
    shop.server.close_dispute(ref, won=True)
    assert read(shop, ref).status == "won"


def test_a_dispute_without_an_answer_is_lost_in_time(shop: Shop) -> None:
    ref = shop.server.dispute(shop.pay(10_000, AT_ONCE).id)
    shop.server.advance(days=6, hours=23)
    assert read(shop, ref).status == "needs_response"
    shop.server.advance(hours=1)
    lost = read(shop, ref)
    assert (lost.status, lost.evidence_details.past_due) == ("lost", True)
    with pytest.raises(stripe.InvalidRequestError):
        answer(shop, ref, "winning_evidence")


def test_a_dispute_can_be_accepted(shop: Shop) -> None:
    ref = shop.server.dispute(shop.pay(10_000, AT_ONCE).id)
    assert shop.client.v1.disputes.close(ref).status == "lost"


def test_evidence_has_known_fields_and_limits(shop: Shop) -> None:
    ref = shop.server.dispute(shop.pay(10_000, AT_ONCE).id)
    update = shop.client.v1.disputes.update
    wrong: Any = {"evidence": {"mood": "good"}}
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        update(ref, wrong)
    assert (refusal.value.code, refusal.value.param) == ("parameter_unknown", "evidence[mood]")
    with pytest.raises(stripe.InvalidRequestError):
        update(ref, {"evidence": {"product_description": "x" * 20_001}})
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        update(ref, {"evidence": {"receipt": "file_none"}})
    assert refusal.value.code == "resource_missing"
    paper = io.BytesIO(bytes(range(256)))
    file = shop.client.v1.files.create({"purpose": "dispute_evidence", "file": paper})
    assert file.size == 256
    assert (
        update(ref, {"evidence": {"receipt": file.id}, "submit": False}).evidence.receipt == file.id
    )


def test_an_inquiry_moves_no_money_until_it_becomes_a_chargeback(shop: Shop) -> None:
    paid = shop.pay(10_000, AT_ONCE)
    ref = shop.server.dispute(paid.id, reason="product_not_received", inquiry=True)
    asked = read(shop, ref)
    assert (asked.status, asked.balance_transactions) == ("warning_needs_response", [])
    assert asked.is_charge_refundable
    assert shop.server.balance(shop.platform) == (9_825, 0)
    shop.server.escalate(ref)
    assert read(shop, ref).status == "needs_response"
    assert shop.server.balance(shop.platform) == (9_825 - 12_000, 0)


def test_an_inquiry_that_is_let_go_is_closed(shop: Shop) -> None:
    ref = shop.server.dispute(shop.pay(10_000, AT_ONCE).id, inquiry=True)
    shop.server.advance(days=7)
    assert read(shop, ref).status == "warning_closed"
    assert shop.server.balance(shop.platform) == (9_825, 0)


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("pm_card_createDispute", "needs_response"),
        ("pm_card_createInquiry", "warning_needs_response"),
    ],
)
def test_test_cards_are_disputed_after_they_paid(shop: Shop, method: str, status: str) -> None:
    paid = shop.pay(900, method)
    assert shop.client.v1.disputes.list({"payment_intent": paid.id}).data == []
    shop.server.advance(seconds=1)
    assert [row.status for row in shop.client.v1.disputes.list().data] == [status]


def test_a_disputed_direct_debit_is_lost_at_once(shop: Shop) -> None:
    paid = shop.pay(10_000, "pm_sepaDebit_disputed")
    shop.server.advance(days=5)
    assert shop.intent(paid.id).status == "succeeded"
    shop.server.advance(days=1)
    dispute = shop.client.v1.disputes.list({"payment_intent": paid.id}).data[0]
    assert (dispute.status, dispute.evidence_details.due_by) == ("lost", 0)
    assert sum(shop.server.balance(shop.platform)) == 9_965 - 12_000


def test_a_warning_is_actionable_until_the_payment_is_given_back(shop: Shop) -> None:
    warnings = shop.client.v1.radar.early_fraud_warnings
    paid = shop.pay(900, "pm_card_earlyFraudWarning")
    shop.server.advance(seconds=1)
    warning = warnings.list({"payment_intent": paid.id}).data[0]
    assert warning.actionable
    shop.server.top_up(shop.platform, 900)
    shop.refund(paid.id)
    assert not warnings.retrieve(warning.id).actionable
    other = shop.server.warn(shop.pay(900).id)
    assert warnings.retrieve(other).fraud_type == "made_with_stolen_card"


def test_what_was_given_back_whole_is_not_disputed(shop: Shop) -> None:
    paid = shop.pay(900, AT_ONCE)
    shop.server.top_up(shop.platform, 100)
    shop.refund(paid.id)
    with pytest.raises(ValueError, match="0 is left"):
        shop.server.dispute(paid.id)


def test_what_the_bank_kept_is_not_refunded_again(shop: Shop) -> None:
    paid = shop.pay(10_000, AT_ONCE)
    shop.server.top_up(shop.platform, 20_000)
    ref = shop.server.dispute(paid.id, 4_000)
    shop.server.close_dispute(ref, won=True, amount=1_500)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.refund(paid.id, amount=7_501)
    assert refusal.value.code == "amount_too_large"
    assert shop.refund(paid.id).amount == 7_500
