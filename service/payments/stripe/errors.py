"""Stripe's errors in the port's terms, and its codes in a small closed set of our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import stripe

from service.payments.port import ProviderRefused, ProviderUnavailable

#: Every code of a failure or refusal that this adapter gives.
FAILURES: Final = frozenset(
    {
        "account_closed",
        "account_unusable",
        "amount_not_supported",
        "authentication_failed",
        "authentication_required",
        "authorisation_expired",
        "balance_insufficient",
        "card_declined",
        "charged_back",
        "debit_returned",
        "evidence_refused",
        "expired_card",
        "insufficient_funds",
        "method_unusable",
        "not_refundable",
        "over_refund",
        "over_reversal",
        "processing_error",
        "refund_canceled",
        "refund_failed",
        "request_refused",
        "return_url_missing",
        "unit_not_supported",
        "unknown_object",
    }
)

#: Codes and decline codes of Stripe (docs.stripe.com, "Error codes" and "Decline codes"), each with
#: what it means to a member. A decline that is not here is ``card_declined``.
_DECLINES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("insufficient_funds", "card_velocity_exceeded"), "insufficient_funds"),
    **dict.fromkeys(
        ("withdrawal_count_limit_exceeded", "debit_insufficient_funds"), "insufficient_funds"
    ),
    **dict.fromkeys(("expired_card", "invalid_expiry_month"), "expired_card"),
    "invalid_expiry_year": "expired_card",
    "payment_intent_authentication_failure": "authentication_failed",
    "setup_intent_authentication_failure": "authentication_failed",
    "authentication_required": "authentication_required",
    "authentication_not_handled": "authentication_required",
    **dict.fromkeys(("processing_error", "issuer_not_available", "try_again_later"), "processing"),
    **dict.fromkeys(("reenter_transaction", "approve_with_id"), "processing"),
    **dict.fromkeys(("debit_not_authorized", "debit_disputed", "refer_to_customer"), "debit"),
    **dict.fromkeys(("payment_intent_payment_attempt_failed", "debit_returned"), "debit"),
    **dict.fromkeys(("bank_account_restricted", "bank_ownership_changed"), "debit"),
    **dict.fromkeys(("account_closed", "no_account", "invalid_account"), "unusable"),
    **dict.fromkeys(("incorrect_number", "invalid_number", "incorrect_cvc", "invalid_cvc"), "bad"),
    **dict.fromkeys(
        ("card_not_supported", "currency_not_supported", "bank_account_unusable"), "bad"
    ),
    **dict.fromkeys(("payment_method_invalid_parameter", "payment_method_unactivated"), "bad"),
    **dict.fromkeys(("payment_method_provider_decline", "payment_method_not_available"), "bad"),
    **dict.fromkeys(("payment_method_unexpected_state", "payment_method_unsupported_type"), "bad"),
    "payment_method_customer_decline": "authentication_failed",
    "incorrect_zip": "card_declined",
}
_SHORT: Final = {
    "processing": "processing_error",
    "debit": "debit_returned",
    "unusable": "method_unusable",
    "bad": "method_unusable",
}

#: Codes of refusals, beside declines.
_REFUSALS: Final[Mapping[str, str]] = {
    "amount_too_large": "amount_not_supported",
    "amount_too_small": "amount_not_supported",
    "invalid_charge_amount": "amount_not_supported",
    "parameter_invalid_integer": "amount_not_supported",
    "invalid_currency": "unit_not_supported",
    "charge_already_refunded": "over_refund",
    "refund_exceeds_charge": "over_refund",
    "charge_disputed": "charged_back",
    "refund_disputed_payment": "charged_back",
    "charge_not_refundable": "not_refundable",
    "charge_exceeds_source_limit": "amount_not_supported",
    "charge_exceeds_transaction_limit": "amount_not_supported",
    "charge_expired_for_capture": "authorisation_expired",
    "insufficient_capabilities_for_transfer": "account_unusable",
    "transfers_not_allowed": "account_unusable",
    "account_invalid": "account_unusable",
    "account_closed": "account_closed",
    "balance_insufficient": "balance_insufficient",
    "insufficient_funds": "balance_insufficient",
    "transfer_reversal_amount_too_large": "over_reversal",
}

#: What it means that an object is not there which a request names.
_MISSING: Final[Mapping[str, str]] = {
    "payment_method": "method_unusable",
    "customer": "method_unusable",
    "destination": "account_unusable",
}

#: Why a refund came back (Stripe's ``failure_reason``).
_REFUND_FAILURES: Final[Mapping[str, str]] = {
    "charge_for_pending_refund_disputed": "charged_back",
    "insufficient_funds": "balance_insufficient",
    "expired_or_canceled_card": "account_closed",
    "lost_or_stolen_card": "account_closed",
}


class KeyReused(RuntimeError):
    """An idempotency key of ours came with other parameters before: a bug, and an alert."""


def decline(*codes: str | None) -> str:
    """Return what the first known of Stripe's ``codes`` means; a decline that says no more if none.

    Give the most telling first: the decline code, then the error's code.
    """
    for code in codes:
        if code is not None and code in _DECLINES:
            found = _DECLINES[code]
            return _SHORT.get(found, found)
    return "card_declined"


def refund_failure(reason: str | None) -> str:
    """Return our code for a refund's ``failure_reason``."""
    return _REFUND_FAILURES.get(reason or "", "refund_failed")


def retry_after(headers: Mapping[str, str] | None) -> float | None:
    """Return the seconds of a ``Retry-After`` header; a date, or nonsense, is as good as none."""
    for name, value in (headers or {}).items():
        if name.lower() == "retry-after" and value.strip().isdecimal():
            return float(value)
    return None


def was_replayed(headers: Mapping[str, str] | None) -> bool:
    """Tell whether Stripe answered from what it keeps under the idempotency key."""
    found = {name.lower(): value for name, value in (headers or {}).items()}
    return found.get("idempotent-replayed") == "true"


def is_kept_failure(cause: BaseException | None) -> bool:
    """Tell whether Stripe broke down under this key before, and says so for as long as it keeps it.

    What was done under the key is then found among the objects, or not at all.
    """
    return isinstance(cause, stripe.APIError) and was_replayed(cause.headers)


def is_credential(error: stripe.StripeError) -> bool:
    """Tell whether Stripe does not take our key, or takes it not for this."""
    if isinstance(error, stripe.PermissionError):
        return not _is_foreign(error)
    return isinstance(error, stripe.AuthenticationError)


def _is_foreign(error: stripe.PermissionError) -> bool:
    """Tell whether what is refused is another's account, not our key."""
    return error.error is not None and getattr(error.error, "code", None) == "account_invalid"


def translate(error: stripe.StripeError) -> Exception:
    """Return what an error of Stripe means in the port's terms.

    A request that Stripe's validation or a bank refused is :class:`ProviderRefused`; a key of ours
    that came with other parameters is :class:`KeyReused`; everything else tells nothing about the
    money, so it is :class:`ProviderUnavailable`.
    """
    said = str(error.user_message or error)
    if isinstance(error, stripe.IdempotencyError):
        return KeyReused(said)
    if isinstance(error, stripe.CardError):
        told = error.error
        declined = None if told is None else getattr(told, "decline_code", None)
        return ProviderRefused(decline(declined, error.code), said)
    if isinstance(error, stripe.InvalidRequestError):
        return ProviderRefused(_refusal(error), said)
    if isinstance(error, stripe.PermissionError) and _is_foreign(error):
        return ProviderRefused("account_unusable", said)
    return ProviderUnavailable(said, retry_after(error.headers))


def _refusal(error: stripe.InvalidRequestError) -> str:
    code = error.code or ""
    if code == "resource_missing":
        return _MISSING.get(error.param or "", "unknown_object")
    if code in _REFUSALS:
        return _REFUSALS[code]
    if code in _DECLINES:
        return decline(code)
    if error.param == "currency":
        return "unit_not_supported"
    if error.param and error.param.startswith("payment_method"):
        return "method_unusable"
    return "request_refused"
