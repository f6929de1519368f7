"""Payment intents as the platform sees them: create, read, update, confirm, capture, cancel."""

from __future__ import annotations

from typing import Any

from tests.stripe_server import attempts, charges, refunds
from tests.stripe_server.errors import Obj, invalid, missing, refused
from tests.stripe_server.events import emit
from tests.stripe_server.lists import listed, one
from tests.stripe_server.methods import check_usable, obtain
from tests.stripe_server.params import (
    PAGE,
    Need,
    Spec,
    address,
    any_object,
    boolean,
    choice,
    created,
    currency,
    integer,
    listing,
    mapping,
    metadata,
    positive,
    text,
    text_or_empty,
)
from tests.stripe_server.params import merged as merged_metadata
from tests.stripe_server.render import shown
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import Account

#: The least that may be charged, in minor units; half a unit of most currencies.
MINIMUM = {"gbp": 30, "dkk": 250, "nok": 300, "sek": 300, "huf": 17500, "czk": 1500, "pln": 200}
MAXIMUM = 99_999_999


def check_amount(amount: int, money: str) -> None:
    """Refuse what no bank would take.

    Raises:
        ApiError: ``amount_too_small`` or ``amount_too_large``.
    """
    if amount < MINIMUM.get(money, 50):
        message = "The amount must be greater than or equal to the minimum charge amount allowed."
        raise invalid(message, "amount_too_small", "amount")
    if amount > MAXIMUM:
        raise invalid("Amount must be no more than 999,999.99", "amount_too_large", "amount")


def no_longer(_value: Any, name: str) -> None:
    """Refuse what API 2026-09-30 took away.

    Raises:
        ApiError: always.
    """
    raise invalid(
        f"`{name}` can no longer be set: use `allowed_payment_method_types`, or leave the choice "
        "to the Dashboard.",
        "payment_method_types_no_longer_supported",
        name,
    )


def _kinds(params: dict[str, Any]) -> tuple[Obj | None, list[str]]:
    """Return the automatic payment methods object and the types that this payment may use."""
    automatic = params.get("automatic_payment_methods")
    allowed = params.get("allowed_payment_method_types")
    excluded = params.get("excluded_payment_method_types")
    if allowed is not None and (automatic is not None or excluded is not None):
        message = "`allowed_payment_method_types` goes with no other choice of payment methods."
        raise invalid(message, "parameters_exclusive", "allowed_payment_method_types")
    if allowed is None:
        automatic = {"enabled": True, "allow_redirects": "always"} | (automatic or {})
    kinds = kinds_of(params["currency"], params.get("capture_method"), allowed, excluded)
    return automatic, kinds


def kinds_of(
    money: str, capture_method: str | None, allowed: list[str] | None, excluded: list[str] | None
) -> list[str]:
    """Return the payment method types that fit: what does not is left out without a word.

    Raises:
        ApiError: none is left.
    """
    fitting = ["card"]
    if money == "eur" and capture_method != "manual":
        fitting.append("sepa_debit")
    kinds = [kind for kind in fitting if allowed is None or kind in allowed]
    kinds = [kind for kind in kinds if kind not in (excluded or [])]
    if not kinds:
        message = "No valid payment method types for this Payment Intent."
        raise invalid(message, "payment_intent_invalid_parameter")
    return kinds


def build(account: Account, params: dict[str, Any]) -> Obj:
    """Check parameters and make the intent, not yet confirmed; nothing is kept if one is wrong."""
    world = account.world
    check_amount(params["amount"], params["currency"])
    if "customer" in params:
        account.get("customer", params["customer"], "customer", status=400)
    behalf = params.get("on_behalf_of")
    if behalf is not None and behalf not in {other.id for other in account.connected}:
        raise missing("destination", behalf, "on_behalf_of", status=400)
    if params.get("off_session") and not params.get("confirm"):
        message = "`off_session` can only be used when `confirm` is true."
        raise invalid(message, None, "off_session")
    automatic, kinds = _kinds(params)
    ref = world.new_id("pi")
    return {
        "id": ref,
        "object": "payment_intent",
        "allowed_payment_method_types": params.get("allowed_payment_method_types"),
        "amount": params["amount"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": automatic,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": params.get("capture_method", "automatic_async"),
        "client_secret": f"{ref}_secret_{world.run}",
        "confirmation_method": params.get("confirmation_method", "automatic"),
        "created": world.ts,
        "currency": params["currency"],
        "customer": params.get("customer"),
        "customer_account": None,
        "description": params.get("description"),
        "excluded_payment_method_types": params.get("excluded_payment_method_types"),
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata")),
        "next_action": None,
        "on_behalf_of": behalf,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": params.get("payment_method_options", {}),
        "payment_method_types": kinds,
        "processing": None,
        "receipt_email": params.get("receipt_email"),
        "review": None,
        "setup_future_usage": params.get("setup_future_usage"),
        "shipping": params.get("shipping"),
        "source": None,
        "statement_descriptor": params.get("statement_descriptor"),
        "statement_descriptor_suffix": params.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": params.get("transfer_group"),
        "_session": None,
        "_off_session": False,
        "_return_url": None,
    }


def create(call: Call) -> Obj:
    """Create an intent, and with ``confirm`` try it at once."""
    account, params = call.account, call.params
    intent = build(account, params)
    method = None
    if "payment_method" in params:
        method = obtain(account, params["payment_method"])
        check_usable(method, intent["customer"])
        check_method(intent, method)
    elif params.get("confirm"):
        message = "You cannot confirm this PaymentIntent because it's missing a payment method."
        raise invalid(message, "payment_intent_unexpected_state", "payment_method")
    if params.get("confirm"):
        _check_return(intent, params.get("return_url"))
    elif "return_url" in params:
        raise invalid("`return_url` needs `confirm`.", None, "return_url")
    account.add(intent)
    if method is not None:
        intent |= {"payment_method": method["id"], "status": "requires_confirmation"}
    emit(account, "payment_intent.created", intent)
    if params.get("confirm"):
        attempts.attempt(account, intent, params)
    return intent


def check_method(intent: Obj, method: Obj) -> None:
    """Refuse a method that the intent does not take.

    Raises:
        ApiError: `payment_intent_incompatible_payment_method`.
    """
    fits = method["type"] in intent["payment_method_types"]
    held = intent["capture_method"] == "manual" and method["type"] != "card"
    if not fits or held or (method["type"] == "sepa_debit" and intent["currency"] != "eur"):
        raise invalid(
            f"The PaymentMethod provided ({method['type']}) is not allowed for this PaymentIntent.",
            "payment_intent_incompatible_payment_method",
            "payment_method",
        )


def _check_return(intent: Obj, return_url: str | None) -> None:
    automatic = intent["automatic_payment_methods"]
    redirects = automatic and automatic["enabled"] and automatic["allow_redirects"] == "always"
    if redirects and return_url is None:
        raise invalid(
            "This PaymentIntent is configured to accept payment methods that might redirect your "
            "customer off of your page: provide a `return_url`, or set "
            "`automatic_payment_methods[allow_redirects]` to `never`.",
            None,
            "return_url",
        )


def wrong_state(account: Account, intent: Obj, act: str) -> Exception:
    """The refusal of an act that the intent's status does not allow; it carries the intent."""
    return refused(
        f"This PaymentIntent could not be {act} because it has a status of {intent['status']}.",
        "payment_intent_unexpected_state",
        payment_intent=shown(account, intent),
    )


_CHANGING = {"requires_payment_method", "requires_confirmation", "requires_action"}


def update(call: Call) -> Obj:
    """Change an intent; what matters to the bank only before it is confirmed."""
    account, params = call.account, dict(call.params)
    intent = account.get("payment_intent", call.ids["id"])
    free = {"metadata", "description", "transfer_group", "receipt_email"}
    if set(params) - free and intent["status"] not in _CHANGING:
        raise wrong_state(account, intent, "updated")
    if "amount" in params:
        check_amount(params["amount"], intent["currency"])
    if "customer" in params:
        account.get("customer", params["customer"], "customer", status=400)
    if "payment_method" in params:
        method = obtain(account, params["payment_method"])
        check_usable(method, params.get("customer", intent["customer"]))
        check_method(intent, method)
        params |= {"payment_method": method["id"], "status": "requires_confirmation"}
    params["metadata"] = merged_metadata(intent["metadata"], params.get("metadata"))
    intent |= params
    return intent


def confirm(call: Call) -> Obj:
    """Try an intent with its method, or with the one given."""
    account, params = call.account, call.params
    intent = account.get("payment_intent", call.ids["id"])
    if intent["status"] not in _CHANGING:
        raise wrong_state(account, intent, "confirmed")
    ref = params.get("payment_method", intent["payment_method"])
    if ref is None:
        message = "You cannot confirm this PaymentIntent because it's missing a payment method."
        raise invalid(message, "payment_intent_unexpected_state", "payment_method")
    method = obtain(account, ref)
    check_usable(method, intent["customer"])
    check_method(intent, method)
    _check_return(intent, params.get("return_url"))
    intent["payment_method"] = method["id"]
    if "setup_future_usage" in params:
        intent["setup_future_usage"] = params["setup_future_usage"]
    attempts.attempt(account, intent, params)
    return intent


def capture(call: Call) -> Obj:
    """Take an authorised amount, whole or in part; the rest is set free."""
    account, params = call.account, call.params
    intent = account.get("payment_intent", call.ids["id"])
    if intent["status"] != "requires_capture":
        raise wrong_state(account, intent, "captured")
    whole: int = intent["amount_capturable"]
    amount: int = params.get("amount_to_capture", whole)
    if amount > whole:
        message = "The amount to capture is greater than the amount that can be captured."
        raise refused(message, "amount_too_large", "amount_to_capture")
    charge = account.table("charge")[intent["latest_charge"]]
    intent["metadata"] = merged_metadata(intent["metadata"], params.get("metadata"))
    refunds.release(account, charge, whole - amount)
    charge["payment_method_details"]["card"].pop("capture_before", None)
    charges.collect(account, charge, amount)
    intent |= {"status": "succeeded", "amount_capturable": 0, "amount_received": amount}
    emit(account, "charge.captured", charge)
    emit(account, "payment_intent.succeeded", intent)
    account.world.on_intent(account, intent)
    return intent


def cancel(call: Call) -> Obj:
    """Call an intent back before it succeeded."""
    account = call.account
    intent = account.get("payment_intent", call.ids["id"])
    if intent["status"] not in _CHANGING | {"requires_capture"}:
        raise wrong_state(account, intent, "canceled")
    attempts.cancel(account, intent, call.params.get("cancellation_reason"))
    return intent


FUTURE = choice("on_session", "off_session")
_CREATE: Spec = {
    "amount": Need(integer),
    "currency": Need(currency),
    "customer": text,
    "payment_method": text,
    "payment_method_types": no_longer,
    "allowed_payment_method_types": listing(text),
    "excluded_payment_method_types": listing(text),
    "payment_method_options": any_object,
    "automatic_payment_methods": mapping(
        {"enabled": Need(boolean), "allow_redirects": choice("always", "never")}
    ),
    "capture_method": choice("automatic", "automatic_async", "manual"),
    "confirmation_method": choice("automatic", "manual"),
    "confirm": boolean,
    "off_session": boolean,
    "error_on_requires_action": boolean,
    "setup_future_usage": FUTURE,
    "transfer_group": text,
    "metadata": metadata,
    "description": text,
    "on_behalf_of": text,
    "return_url": address,
    "receipt_email": text,
    "shipping": any_object,
    "statement_descriptor": text,
    "statement_descriptor_suffix": text,
    "mandate_data": any_object,
}
_UPDATE: Spec = {
    "payment_method_types": no_longer,
    "amount": integer,
    "customer": text,
    "payment_method": text,
    "setup_future_usage": FUTURE,
    "transfer_group": text,
    "metadata": metadata,
    "description": text_or_empty,
    "receipt_email": text_or_empty,
}
_CONFIRM: Spec = {
    "payment_method_types": no_longer,
    "payment_method": text,
    "return_url": address,
    "off_session": boolean,
    "error_on_requires_action": boolean,
    "setup_future_usage": FUTURE,
    "mandate_data": any_object,
}
_CAPTURE: Spec = {"amount_to_capture": positive, "metadata": metadata}
_CANCEL: Spec = {
    "cancellation_reason": choice("duplicate", "fraudulent", "requested_by_customer", "abandoned")
}
_PATH = "/v1/payment_intents"


def list_intents(call: Call) -> Obj:
    """List intents, newest first."""
    return listed(call, "payment_intent", equal=("customer",))


ROUTES = [
    Route("POST", _PATH, create, _CREATE),
    Route("GET", _PATH, list_intents, {**PAGE, "created": created, "customer": text}),
    Route(
        "GET",
        f"{_PATH}/{{id}}",
        one("payment_intent"),
        {"client_secret": text},
    ),
    Route("POST", f"{_PATH}/{{id}}", update, _UPDATE),
    Route("POST", f"{_PATH}/{{id}}/confirm", confirm, _CONFIRM),
    Route("POST", f"{_PATH}/{{id}}/capture", capture, _CAPTURE),
    Route("POST", f"{_PATH}/{{id}}/cancel", cancel, _CANCEL),
]
