"""Chargebacks and early fraud warnings: read, and answered with what we can show."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import orjson
import stripe
from stripe.params import DisputeUpdateParamsEvidence

from service.payments.port import (
    Dispute,
    DisputeStatus,
    Evidence,
    ProviderRefused,
    Warned,
)
from service.payments.stripe.books import of_line
from service.payments.stripe.client import Account
from service.payments.stripe.money import from_stripe, unit_of
from service.payments.stripe.objects import collection_ref, id_of, instant, of_platform

_STATUS: Final[Mapping[str, DisputeStatus]] = {
    "warning_needs_response": DisputeStatus.WARNING,
    "warning_under_review": DisputeStatus.WARNING,
    "warning_closed": DisputeStatus.CLOSED,
    "needs_response": DisputeStatus.NEEDS_RESPONSE,
    "appeal_needs_response": DisputeStatus.NEEDS_RESPONSE,
    "under_review": DisputeStatus.UNDER_REVIEW,
    "appeal_under_review": DisputeStatus.UNDER_REVIEW,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
    "prevented": DisputeStatus.CLOSED,
}

#: The evidence that is text (Stripe's "Dispute evidence"); the other fields take uploaded files.
EVIDENCE_FIELDS: Final = frozenset(
    {
        "access_activity_log",
        "billing_address",
        "cancellation_policy_disclosure",
        "cancellation_rebuttal",
        "customer_email_address",
        "customer_name",
        "customer_purchase_ip",
        "duplicate_charge_explanation",
        "product_description",
        "refund_policy_disclosure",
        "refund_refusal_explanation",
        "service_date",
        "shipping_address",
        "shipping_carrier",
        "shipping_date",
        "shipping_tracking_number",
        "uncategorized_text",
    }
)
#: Characters that Stripe takes in one field and in all (API reference, "Update a dispute").
FIELD_LENGTH: Final = 20_000
TOTAL_LENGTH: Final = 150_000
_CUT: Final = " […]"


def retrieve_dispute(account: Account, platform_id: UUID, ref: str) -> Dispute:
    """Read a chargeback."""
    if not ref.startswith(("dp_", "du_")):
        raise ProviderRefused("unknown_object", "This is no chargeback of Stripe's.")
    with account.asking():
        found = account.api.disputes.retrieve(ref, {"expand": ["payment_intent"]})
    of_platform(found.payment_intent, platform_id)
    return _of_dispute(found)


def _of_dispute(found: stripe.Dispute) -> Dispute:
    details = found.evidence_details
    return Dispute(
        ref=found.id,
        collect_ref=collection_ref(found.payment_intent, id_of(found.payment_intent)) or "",
        status=_STATUS.get(found.status, DisputeStatus.NEEDS_RESPONSE),
        amount=from_stripe(found.amount, found.currency),
        unit=unit_of(found.currency),
        reason=found.reason,
        due_by=instant(details.due_by),
        evidence_submitted=details.submission_count > 0,
        movements=tuple(of_line(line, found.id) for line in found.balance_transactions),
    )


def retrieve_warning(account: Account, platform_id: UUID, ref: str) -> Warned:
    """Read an early fraud warning."""
    if not ref.startswith("issfr_"):
        raise ProviderRefused("unknown_object", "This is no warning of Stripe's.")
    with account.asking():
        found = account.api.radar.early_fraud_warnings.retrieve(ref, {"expand": ["payment_intent"]})
    intent: Any = found.payment_intent
    of_platform(intent, platform_id)
    return Warned(
        found.id, collection_ref(intent, id_of(intent)) or "", found.fraud_type, found.actionable
    )


def submit_evidence(account: Account, platform_id: UUID, ref: str, evidence: Evidence) -> Dispute:
    """Answer a chargeback. With most banks the first answer is the only one.

    Raises:
        ValueError: a field is none of Stripe's text fields.
        ProviderRefused: ``evidence_refused``, it is too late or was answered.
    """
    fields = fit(evidence.fields)
    before = retrieve_dispute(account, platform_id, ref)
    digest = hashlib.sha256(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]
    with account.asking():
        try:
            found = account.api.disputes.update(
                before.ref,
                {"evidence": fields, "submit": True, "expand": ["payment_intent"]},
                {"idempotency_key": f"{before.ref}:evidence:{digest}"},
            )
        except stripe.InvalidRequestError as error:
            raise ProviderRefused("evidence_refused", str(error.user_message)) from error
    return _of_dispute(found)


def fit(given: Mapping[str, str]) -> DisputeUpdateParamsEvidence:
    """Return the fields as Stripe takes them, each and all within their length.

    Raises:
        ValueError: a field is none of Stripe's text fields.
    """
    unknown = sorted(set(given) - EVIDENCE_FIELDS)
    if unknown:
        raise ValueError(f"Stripe has no such text evidence: {', '.join(unknown)}")
    left = TOTAL_LENGTH
    fitted: dict[str, str] = {}
    # What is free text comes last: should something be cut, it is that.
    for name in sorted(given, key=lambda one: (one == "uncategorized_text", one)):
        room = min(FIELD_LENGTH, left)
        text = given[name]
        if len(text) > room:
            text = text[: max(room - len(_CUT), 0)] + _CUT[: min(room, len(_CUT))]
        left -= len(text)
        if text:
            fitted[name] = text
    found: DisputeUpdateParamsEvidence = fitted  # type: ignore[assignment] # names checked above
    return found
