"""Checkout sessions: the payer pays on the provider's page."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

from tests.stripe_server import attempts, intents
from tests.stripe_server.errors import ApiError, Obj, invalid, refused
from tests.stripe_server.events import emit
from tests.stripe_server.lists import listed, one
from tests.stripe_server.methods import create_customer, obtain
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
)
from tests.stripe_server.params import merged as merged_metadata
from tests.stripe_server.render import page
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import Account, World, instant

#: What a session has and this server does nothing with.
_UNUSED: Obj = {
    "adaptive_pricing": {"enabled": False},
    "after_expiration": None,
    "allow_promotion_codes": None,
    "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
    "billing_address_collection": None,
    "client_secret": None,
    "collected_information": None,
    "consent": None,
    "consent_collection": None,
    "currency_conversion": None,
    "custom_fields": [],
    "custom_text": {
        "after_submit": None,
        "shipping_address": None,
        "submit": None,
        "terms_of_service_acceptance": None,
    },
    "customer_account": None,
    "customer_details": None,
    "discounts": [],
    "invoice": None,
    "invoice_creation": None,
    "livemode": False,
    "origin_context": None,
    "payment_intent": None,
    "payment_link": None,
    "payment_method_collection": "if_required",
    "payment_method_configuration_details": None,
    "permissions": None,
    "phone_number_collection": {"enabled": False},
    "recovered_from": None,
    "saved_payment_method_options": None,
    "setup_intent": None,
    "shipping_address_collection": None,
    "shipping_cost": None,
    "shipping_options": [],
    "subscription": None,
    "wallet_options": None,
}
LEAST, MOST = timedelta(minutes=30), timedelta(hours=24)


def create(call: Call) -> Obj:
    """Open a session for one payment."""
    account, params, world = call.account, call.params, call.world
    items = [_item(world, asked) for asked in params["line_items"]]
    moneys = {item["currency"] for item in items}
    if len(moneys) != 1:
        raise invalid("All line items must have one and the same currency.", None, "line_items")
    money = moneys.pop()
    total = sum(item["amount_total"] for item in items)
    intents.check_amount(total, money)
    if "customer" in params:
        account.get("customer", params["customer"], "customer", status=400)
    ends = params.get("expires_at", world.ts + int(MOST.total_seconds()))
    if not LEAST.total_seconds() <= ends - world.ts <= MOST.total_seconds():
        message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from now."
        raise invalid(message, None, "expires_at")
    session = _new(world, params, items, total, money, ends)
    account.add(session)
    world.at(instant(ends), lambda: end(account, session))
    return session


def _new(
    world: World, params: dict[str, Any], items: list[Obj], total: int, money: str, ends: int
) -> Obj:
    ref = world.new_id("cs_test")
    held = params.get("payment_intent_data", {}).get("capture_method")
    allowed = params.get("allowed_payment_method_types")
    excluded = params.get("excluded_payment_method_types")
    kinds = intents.kinds_of(money, held, allowed, excluded)
    return {
        **copy.deepcopy(_UNUSED),
        "id": ref,
        "object": "checkout.session",
        "allowed_payment_method_types": allowed,
        "amount_subtotal": total,
        "amount_total": total,
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "created": world.ts,
        "currency": money,
        "customer": params.get("customer"),
        "customer_creation": params.get("customer_creation", "if_required"),
        "customer_email": params.get("customer_email"),
        "excluded_payment_method_types": excluded,
        "expires_at": ends,
        "locale": params.get("locale"),
        "metadata": merged_metadata({}, params.get("metadata")),
        "mode": "payment",
        "payment_method_options": params.get("payment_method_options", {}),
        "payment_method_types": kinds,
        "payment_status": "unpaid",
        "status": "open",
        "submit_type": params.get("submit_type"),
        "success_url": params["success_url"],
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": f"{world.url}/c/pay/{ref}",
        "_items": items,
        "_intent": params.get("payment_intent_data", {}),
    }


def _item(world: World, asked: Obj) -> Obj:
    price, quantity = asked["price_data"], asked.get("quantity", 1)
    product = price["product_data"]
    total = price["unit_amount"] * quantity
    return {
        "id": world.new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": total,
        "amount_tax": 0,
        "amount_total": total,
        "currency": price["currency"],
        "description": product["name"],
        "metadata": {},
        "price": None,
        "quantity": quantity,
    }


def pay(account: Account, session: Obj, method_ref: str) -> Obj:
    """The payer pays on the page; return the payment intent, whatever came of it.

    Raises:
        ValueError: the session is not open.
    """
    if session["status"] != "open":
        raise ValueError(f"{session['id']} is {session['status']}")
    data = session["_intent"]
    intent = account.table("payment_intent").get(session["payment_intent"] or "")
    if intent is None:
        asked = {
            "amount": session["amount_total"],
            "currency": session["currency"],
            "allowed_payment_method_types": session["payment_method_types"],
            "payment_method_options": session["payment_method_options"],
            **data,
        }
        wanted = data.get("setup_future_usage") or session["customer_creation"] == "always"
        if session["customer"] is None and wanted:
            session["customer"] = _new_customer(account, session)
        if session["customer"] is not None:
            asked["customer"] = session["customer"]
        intent = intents.build(account, asked)
        intent["_session"] = session["id"]
        account.add(intent)
        session["payment_intent"] = intent["id"]
        emit(account, "payment_intent.created", intent)
    elif intent["status"] not in {"requires_payment_method", "requires_action"}:
        raise ValueError(f"{intent['id']} is {intent['status']}")
    method = obtain(account, method_ref)
    intents.check_method(intent, method)
    intent["payment_method"] = method["id"]
    try:
        attempts.attempt(account, intent, {"return_url": session["success_url"]})
    except ApiError as error:
        if error.status != 402:
            raise
    return intent


def _new_customer(account: Account, session: Obj) -> str:
    call = Call(account, "/v1/customers", {}, {"email": session["customer_email"]})
    return str(create_customer(call)["id"])


def follow(account: Account, intent: Obj) -> None:
    """A payment intent changed: its session, if it has one, follows."""
    session = account.table("checkout.session").get(intent["_session"] or "")
    if session is None:
        return
    status = intent["status"]
    if session["status"] == "open":
        if status not in {"succeeded", "requires_capture", "processing"}:
            return
        paid = status == "succeeded"
        session |= {"status": "complete", "payment_status": "paid" if paid else "unpaid"}
        session["customer_details"] = _details(account, session)
        session["url"] = None
        emit(account, "checkout.session.completed", session)
    elif session["status"] == "complete" and session["payment_status"] == "unpaid":
        charge = account.table("charge").get(intent["latest_charge"] or "", {})
        debit = charge.get("_fee_kind") == "sepa_debit"
        if status == "succeeded":
            session["payment_status"] = "paid"
        if debit and status == "succeeded":
            emit(account, "checkout.session.async_payment_succeeded", session)
        elif debit and status == "requires_payment_method":
            emit(account, "checkout.session.async_payment_failed", session)


def _details(account: Account, session: Obj) -> Obj:
    customer = account.table("customer").get(session["customer"] or "", {})
    email = session["customer_email"] or customer.get("email")
    return {
        "address": None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": customer.get("name"),
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [],
    }


def end(account: Account, session: Obj) -> None:
    """Nobody paid in time, or the platform closed it."""
    if session["status"] != "open":
        return
    session |= {"status": "expired", "url": None}
    intent = account.table("payment_intent").get(session["payment_intent"] or "")
    if intent is not None and intent["status"] in {"requires_payment_method", "requires_action"}:
        attempts.cancel(account, intent, "expired")
    emit(account, "checkout.session.expired", session)


def expire(call: Call) -> Obj:
    """Close an open session."""
    session = call.account.get("checkout.session", call.ids["id"])
    if session["status"] != "open":
        raise refused(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout '
            f"Session has a status of {session['status']}."
        )
    end(call.account, session)
    return session


def line_items(call: Call) -> Obj:
    """List what is bought."""
    session = call.account.get("checkout.session", call.ids["id"])
    return page(call.path, session["_items"])


_PRODUCT: Spec = {"name": Need(text), "description": text, "metadata": metadata}
_PRICE: Spec = {
    "currency": Need(currency),
    "unit_amount": Need(positive),
    "product_data": Need(mapping(_PRODUCT)),
}
_ITEM: Spec = {"price_data": Need(mapping(_PRICE)), "quantity": positive}
_INTENT: Spec = {
    "capture_method": choice("automatic", "automatic_async", "manual"),
    "description": text,
    "metadata": metadata,
    "on_behalf_of": text,
    "receipt_email": text,
    "setup_future_usage": intents.FUTURE,
    "statement_descriptor": text,
    "statement_descriptor_suffix": text,
    "transfer_group": text,
}
_CREATE: Spec = {
    "mode": Need(choice("payment")),
    "line_items": Need(listing(mapping(_ITEM))),
    "payment_intent_data": mapping(_INTENT),
    "allowed_payment_method_types": listing(text),
    "excluded_payment_method_types": listing(text),
    "payment_method_options": any_object,
    "success_url": Need(address),
    "cancel_url": address,
    "expires_at": integer,
    "client_reference_id": text,
    "customer": text,
    "customer_email": text,
    "customer_creation": choice("always", "if_required"),
    "metadata": metadata,
    "locale": text,
    "submit_type": choice("auto", "book", "donate", "pay"),
    "ui_mode": choice("hosted_page"),
    "adaptive_pricing": mapping({"enabled": boolean}),
    "currency": currency,
}
_LIST: Spec = {
    **PAGE,
    "created": created,
    "customer": text,
    "payment_intent": text,
    "status": choice("open", "complete", "expired"),
}
_PATH = "/v1/checkout/sessions"


def list_sessions(call: Call) -> Obj:
    """List sessions, newest first."""
    return listed(call, "checkout.session", equal=("customer", "payment_intent", "status"))


ROUTES = [
    Route("POST", _PATH, create, _CREATE),
    Route("GET", _PATH, list_sessions, _LIST),
    Route(
        "GET",
        f"{_PATH}/{{id}}",
        one("checkout.session"),
        {},
    ),
    Route("POST", f"{_PATH}/{{id}}/expire", expire, {}),
    Route("GET", f"{_PATH}/{{id}}/line_items", line_items, PAGE),
]
