"""Payment methods: the test ones, and what a payer with them goes through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.stripe_server.errors import Obj, invalid, missing, refused
from tests.stripe_server.events import emit
from tests.stripe_server.lists import listed, one
from tests.stripe_server.params import PAGE, any_object, metadata, text
from tests.stripe_server.params import merged as merged_metadata
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import Account


@dataclass(frozen=True)
class Behaviour:
    """How a test method behaves. ``decline``: (code, decline code, message) of its bank's no.

    ``later`` is what follows a payment: dispute, inquiry, warning, failure, or debit_dispute.
    """

    kind: str = "card"
    brand: str = "visa"
    last4: str = "4242"
    decline: tuple[str, str | None, str] | None = None
    #: The payer must authenticate: ``always``, or only ``once`` (then it may be charged unseen).
    authenticate: str | None = None
    bypass: bool = False
    later: str | None = None


GENERIC = ("card_declined", "generic_decline", "Your card was declined.")
_NO_FUNDS = ("card_declined", "insufficient_funds", "Your card has insufficient funds.")
_LOST = ("card_declined", "lost_card", "Your card was declined.")
_EXPIRED = ("expired_card", None, "Your card has expired.")
_PROCESSING = ("processing_error", None, "An error occurred while processing your card.")

TEST_METHODS: dict[str, Behaviour] = {
    "pm_card_visa": Behaviour(),
    "pm_card_mastercard": Behaviour(brand="mastercard", last4="4444"),
    "pm_card_visa_chargeDeclined": Behaviour(last4="0002", decline=GENERIC),
    "pm_card_visa_chargeDeclinedInsufficientFunds": Behaviour(last4="9995", decline=_NO_FUNDS),
    "pm_card_visa_chargeDeclinedLostCard": Behaviour(last4="9987", decline=_LOST),
    "pm_card_chargeDeclinedExpiredCard": Behaviour(last4="0069", decline=_EXPIRED),
    "pm_card_chargeDeclinedProcessingError": Behaviour(last4="0119", decline=_PROCESSING),
    #: Can be saved, and is declined when charged.
    "pm_card_chargeCustomerFail": Behaviour(last4="0341", decline=GENERIC),
    "pm_card_authenticationRequired": Behaviour(last4="3184", authenticate="always"),
    "pm_card_authenticationRequiredOnSetup": Behaviour(last4="3155", authenticate="once"),
    "pm_card_bypassPending": Behaviour(last4="0077", bypass=True),
    "pm_card_createDispute": Behaviour(last4="0259", later="dispute"),
    "pm_card_createInquiry": Behaviour(last4="1976", later="inquiry"),
    "pm_card_earlyFraudWarning": Behaviour(last4="5423", later="warning"),
    "pm_sepaDebit_ok": Behaviour(kind="sepa_debit", last4="3201"),
    "pm_sepaDebit_late_failure": Behaviour(kind="sepa_debit", last4="3202", later="failure"),
    "pm_sepaDebit_disputed": Behaviour(kind="sepa_debit", last4="3203", later="debit_dispute"),
}

BILLING: Obj = {
    "address": {
        "city": None,
        "country": None,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    },
    "email": None,
    "name": None,
    "phone": None,
    "tax_id": None,
}


def behaviour(method: Obj) -> Behaviour:
    """Return how a method of an account behaves."""
    return TEST_METHODS[method["_test"]]


def obtain(account: Account, ref: str) -> Obj:
    """Return the account's method ``ref``; a test name makes a new one, as a payer's form would.

    Raises:
        ApiError: there is no such method.
    """
    known = account.table("payment_method").get(ref)
    if known is not None:
        return known
    if ref not in TEST_METHODS:
        raise missing("PaymentMethod", ref, "payment_method", status=400)
    how = TEST_METHODS[ref]
    method: Obj = {
        "id": account.world.new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {**BILLING, "address": dict(BILLING["address"])},
        "created": account.world.ts,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": how.kind,
        how.kind: _details(how),
        "_test": ref,
        "_used": False,
        "_authenticated": False,
    }
    return account.add(method)


def _details(how: Behaviour) -> Obj:
    if how.kind == "sepa_debit":
        return {
            "bank_code": "19043",
            "branch_code": "",
            "country": "AT",
            "fingerprint": f"sepa{how.last4}",
            "generated_from": {"charge": None, "setup_attempt": None},
            "last4": how.last4,
        }
    return {
        "brand": how.brand,
        "checks": {
            "address_line1_check": None,
            "address_postal_code_check": None,
            "cvc_check": "pass",
        },
        "country": "US",
        "display_brand": how.brand,
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": f"card{how.last4}",
        "funding": "credit",
        "generated_from": None,
        "last4": how.last4,
        "networks": {"available": [how.brand], "preferred": None},
        "regulated_status": "unregulated",
        "three_d_secure_usage": {"supported": True},
        "wallet": None,
    }


def check_usable(method: Obj, customer: str | None) -> None:
    """Refuse a method that is another customer's, or was used once without being saved.

    Raises:
        ApiError: 400, as a parameter that does not fit.
    """
    if method["customer"] is not None and method["customer"] != customer:
        raise invalid(
            f"The payment method {method['id']} belongs to a Customer: pass that customer "
            "in the `customer` parameter to use it.",
            None,
            "payment_method",
        )
    if method["customer"] is None and method["_used"]:
        raise invalid(
            f"The provided PaymentMethod {method['id']} was previously used without Customer "
            "attachment and may not be used again.",
            None,
            "payment_method",
        )


def save(account: Account, method: Obj, customer: str) -> None:
    """Attach a method to a customer."""
    if method["customer"] is None:
        method["customer"] = customer
        emit(account, "payment_method.attached", method)


def create_customer(call: Call) -> Obj:
    """Create a customer."""
    world, params = call.world, call.params
    customer: Obj = {
        "id": world.new_id("cus"),
        "object": "customer",
        "address": params.get("address"),
        "balance": 0,
        "created": world.ts,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": params.get("description"),
        "discount": None,
        "email": params.get("email"),
        "invoice_prefix": f"{world.ts:08X}"[-8:],
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata")),
        "name": params.get("name"),
        "next_invoice_sequence": 1,
        "phone": params.get("phone"),
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    call.account.add(customer)
    emit(call.account, "customer.created", customer)
    return customer


def update_customer(call: Call) -> Obj:
    """Change a customer."""
    customer = call.account.get("customer", call.ids["id"])
    params = dict(call.params)
    customer["metadata"] = merged_metadata(customer["metadata"], params.pop("metadata", None))
    customer |= params
    emit(call.account, "customer.updated", customer)
    return customer


def attach(call: Call) -> Obj:
    """Save a method for a customer."""
    customer = call.account.get("customer", call.params["customer"], "customer", status=400)
    method = obtain(call.account, call.ids["id"])
    if method["customer"] not in {None, customer["id"]}:
        raise refused("The payment method you provided has already been attached to a customer.")
    check_usable(method, customer["id"])
    save(call.account, method, customer["id"])
    return method


def detach(call: Call) -> Obj:
    """Forget a saved method: it can never be used again."""
    method = call.account.get("payment_method", call.ids["id"])
    if method["customer"] is None:
        raise refused("The payment method you provided is not attached to a customer.")
    method["customer"], method["_used"] = None, True
    emit(call.account, "payment_method.detached", method)
    return method


def list_methods(call: Call) -> Obj:
    """List the methods of a customer."""
    customer = call.ids.get("id") or call.params.get("customer")
    if customer is not None:
        call.account.get("customer", customer, "customer")

    def wanted(method: Obj) -> bool:
        return customer in {None, method["customer"]}

    return listed(call, "payment_method", wanted, ("type",))


def list_customers(call: Call) -> Obj:
    """List customers, newest first."""
    return listed(call, "customer", equal=("email",))


_CUSTOMER: dict[str, Any] = {
    "email": text,
    "name": text,
    "phone": text,
    "description": text,
    "metadata": metadata,
    "address": any_object,
}

ROUTES = [
    Route("POST", "/v1/customers", create_customer, _CUSTOMER),
    Route(
        "GET",
        "/v1/customers",
        lambda call: listed(call, "customer", equal=("email",)),
        {**PAGE, "email": text},
    ),
    Route("GET", "/v1/customers/{id}", one("customer"), {}),
    Route("POST", "/v1/customers/{id}", update_customer, _CUSTOMER),
    Route("GET", "/v1/customers/{id}/payment_methods", list_methods, {**PAGE, "type": text}),
    Route("GET", "/v1/payment_methods", list_methods, {**PAGE, "type": text, "customer": text}),
    Route(
        "GET",
        "/v1/payment_methods/{id}",
        one("payment_method"),
        {},
    ),
    Route("POST", "/v1/payment_methods/{id}/attach", attach, {"customer": text}),
    Route("POST", "/v1/payment_methods/{id}/detach", detach, {}),
]
