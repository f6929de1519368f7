"""Stripe's objects as the port's: read, checked, never believed beyond what they say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import stripe

from service.payments.port import AmountDiffers, Fee, Object, ProviderRefused, Request, Status
from service.payments.stripe.errors import decline, refund_failure
from service.payments.stripe.money import from_stripe, unit_of

#: Names of our facts on Stripe's objects.
PAYMENT: Final = "tierce_payment"
PLATFORM: Final = "tierce_platform"
EXCHANGE: Final = "tierce_exchange"
MEMBER: Final = "tierce_member"
#: Set on the PaymentIntent of a Checkout Session: our row's reference is the Session.
HOSTED: Final = "tierce_hosted"
#: Set with a capture: how much of an authorisation we took, in Stripe's count.
CAPTURED: Final = "tierce_captured"
#: What a PaymentIntent is read with, so that one call tells everything.
EXPAND: Final = ["latest_charge.balance_transaction"]
SESSION_EXPAND: Final = [f"payment_intent.{path}" for path in EXPAND]
#: Why we cancel a PaymentIntent: nobody wants it, or an attempt of it failed.
UNWANTED: Final = "requested_by_customer"
GAVE_UP: Final = "abandoned"


def metadata(request: Request) -> dict[str, str]:
    """Return our facts for the metadata of the object that a request makes."""
    found = {PAYMENT: str(request.payment_id), PLATFORM: str(request.platform_id)}
    if request.exchange_id is not None:
        found[EXCHANGE] = str(request.exchange_id)
    return found


def fact(source: Any, name: str) -> str | None:
    """Return one of our facts from an object's metadata."""
    found = getattr(source, "metadata", None)
    value = None if found is None else getattr(found, name, None)
    return value if isinstance(value, str) else None


def group(request: Request) -> str:
    """Return the ``transfer_group`` of a request: one name for all that an exchange moves."""
    if request.exchange_id is not None:
        return f"exchange:{request.exchange_id}"
    return f"payment:{request.payment_id}"


def id_of(value: Any) -> str | None:
    """Return the id of an object that may be expanded or not."""
    if value is None or isinstance(value, str):
        return value
    found = getattr(value, "id", None)
    return found if isinstance(found, str) else None


def instant(seconds: int | None) -> datetime | None:
    """Return Stripe's Unix seconds as an instant."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def of_platform(source: Any, platform_id: UUID) -> None:
    """Stop what another platform of this instance made on the same account.

    Raises:
        ProviderRefused: ``unknown_object``.
    """
    owner = fact(source, PLATFORM)
    if owner is not None and owner != str(platform_id):
        raise ProviderRefused("unknown_object", "The object is another platform's.")


def collection_ref(source: Any, ref: str | None) -> str | None:
    """Return what a collection is found by on our rows: its PaymentIntent's id ``ref``, or the row.

    ``source`` has the PaymentIntent's facts: itself, or a charge of it. Of a collection on Stripe's
    page the row itself is named, ``payment:{uuid}``.
    """
    payment = fact(source, PAYMENT)
    if payment is not None and fact(source, HOSTED) is not None:
        return f"payment:{payment}"
    return ref


def of_intent(intent: stripe.PaymentIntent, ref: str, action: Mapping[str, Any] | None) -> Object:
    """Return a PaymentIntent as a collection under ``ref``; ``action`` is what the payer has to do.

    Raises:
        AmountDiffers: it succeeded with another amount than was asked or captured by us.
    """
    status = _STATUS[intent.status]
    failure = None
    if status is Status.CANCELED and intent.cancellation_reason == GAVE_UP:
        status, failure = Status.FAILED, failed_because(intent)
    elif status is Status.CANCELED and intent.cancellation_reason in {"automatic", "expired"}:
        failure = "authorisation_expired"
    unit = unit_of(intent.currency)
    captured = None
    charge = intent.latest_charge
    charge = charge if isinstance(charge, stripe.Charge) else None
    if status is Status.SUCCEEDED:
        _check_received(intent)
        captured = from_stripe(intent.amount_received, intent.currency)
    keeps = intent.setup_future_usage is not None and status in {
        Status.SUCCEEDED,
        Status.AUTHORISED,
    }
    return Object(
        ref=ref,
        kind="collect",
        status=status,
        amount=from_stripe(intent.amount, intent.currency),
        unit=unit,
        failure=failure,
        next_action=action if status is Status.REQUIRES_ACTION else None,
        captured=captured,
        capture_before=_capture_before(charge) if status is Status.AUTHORISED else None,
        saved_method=id_of(intent.payment_method) if keeps else None,
        customer_ref=id_of(intent.customer),
        method_kind=_method_kind(charge),
        instrument=_instrument(charge),
        fees=_fees(charge),
    )


_STATUS: Final[Mapping[str, Status]] = {
    "requires_payment_method": Status.REQUIRES_ACTION,
    "requires_confirmation": Status.REQUIRES_ACTION,
    "requires_action": Status.REQUIRES_ACTION,
    "processing": Status.PENDING,
    "requires_capture": Status.AUTHORISED,
    "succeeded": Status.SUCCEEDED,
    "canceled": Status.CANCELED,
}


def _check_received(intent: stripe.PaymentIntent) -> None:
    ours = fact(intent, CAPTURED)
    wanted = intent.amount if ours is None else int(ours)
    if intent.amount_received != wanted:
        raise AmountDiffers(
            f"{intent.id}: {wanted} was to be taken, {intent.amount_received} {intent.currency} was"
        )


def failed_because(intent: stripe.PaymentIntent) -> str:
    """Return why the last attempt of a PaymentIntent failed."""
    error = intent.last_payment_error
    if error is not None:
        return decline(getattr(error, "decline_code", None), getattr(error, "code", None))
    charge = intent.latest_charge
    return decline(charge.failure_code if isinstance(charge, stripe.Charge) else None)


def has_failed(intent: stripe.PaymentIntent) -> bool:
    """Tell whether an attempt failed and the PaymentIntent waits for another method."""
    return intent.status == "requires_payment_method" and (
        intent.last_payment_error is not None or intent.latest_charge is not None
    )


def _capture_before(charge: stripe.Charge | None) -> datetime | None:
    details = None if charge is None else charge.payment_method_details
    card = getattr(details, "card", None)
    found = getattr(card, "capture_before", None)
    return instant(found) if isinstance(found, int) else None


def _method_kind(charge: stripe.Charge | None) -> str | None:
    details = None if charge is None else charge.payment_method_details
    return getattr(details, "type", None)


def _instrument(charge: stripe.Charge | None) -> str | None:
    kind = _method_kind(charge)
    details = None if charge is None else charge.payment_method_details
    found = None if kind is None else getattr(getattr(details, kind, None), "fingerprint", None)
    return f"stripe:{kind}:{found}" if isinstance(found, str) else None


def _fees(source: Any) -> tuple[Fee, ...]:
    line = getattr(source, "balance_transaction", None)
    if not isinstance(line, stripe.BalanceTransaction) or line.fee <= 0:
        return ()
    return (Fee(line.id, from_stripe(line.fee, line.currency), unit_of(line.currency)),)


def of_refund(refund: stripe.Refund) -> Object:
    """Return a refund. One that Stripe canceled gave nothing back: it has failed."""
    status = _REFUND_STATUS.get(refund.status or "pending", Status.PENDING)
    failure = None
    if status is Status.FAILED:
        canceled = refund.status == "canceled"
        failure = "refund_canceled" if canceled else refund_failure(refund.failure_reason)
    return Object(
        ref=refund.id,
        kind="refund",
        status=status,
        amount=from_stripe(refund.amount, refund.currency),
        unit=unit_of(refund.currency),
        failure=failure,
        fees=_fees(refund),
    )


_REFUND_STATUS: Final[Mapping[str, Status]] = {
    "pending": Status.PENDING,
    "requires_action": Status.PENDING,
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.FAILED,
}


def of_transfer(transfer: stripe.Transfer) -> Object:
    """Return a payout. A transfer is done when it is made; what is called back is a reversal."""
    return Object(
        ref=transfer.id,
        kind="payout",
        status=Status.SUCCEEDED,
        amount=from_stripe(transfer.amount, transfer.currency),
        unit=unit_of(transfer.currency),
    )


def of_reversal(reversal: stripe.TransferReversal) -> Object:
    """Return a reversal, done when it is made."""
    return Object(
        ref=reversal_ref(reversal),
        kind="reversal",
        status=Status.SUCCEEDED,
        amount=from_stripe(reversal.amount, reversal.currency),
        unit=unit_of(reversal.currency),
    )


def reversal_ref(reversal: Any) -> str:
    """Return ``tr_…/trr_…``: Stripe finds a reversal only by its transfer."""
    return f"{id_of(reversal.transfer)}/{reversal.id}"


@dataclass(frozen=True, slots=True)
class Ref:
    """A reference of ours, taken apart: what kind of object it is and how Stripe finds it."""

    kind: str
    id: str
    parent: str = ""


def parse_ref(ref: str) -> Ref:
    """Return what a reference names.

    Raises:
        ProviderRefused: ``unknown_object``, it is none of Stripe's.
    """
    parent, slash, reversal = ref.partition("/")
    if slash and parent.startswith("tr_") and reversal.startswith("trr_"):
        return Ref("reversal", reversal, parent)
    for prefix, kind in _PREFIXES.items():
        if ref.startswith(prefix) and ref.replace("_", "").isalnum() and ref.isascii():
            return Ref(kind, ref)
    raise ProviderRefused("unknown_object", "This is no reference of Stripe's.")


_PREFIXES: Final = {
    "pi_": "intent",
    "cs_": "session",
    "re_": "refund",
    "pyr_": "refund",
    "tr_": "transfer",
}
