"""PaymentIntents: made, read, canceled, and told as collections."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import stripe
from stripe.params import PaymentIntentCreateParams

from service.payments.port import Object, ProviderUnavailable, Request, Status
from service.payments.stripe.client import Account
from service.payments.stripe.keys import key_of
from service.payments.stripe.money import to_stripe
from service.payments.stripe.objects import (
    EXPAND,
    GAVE_UP,
    MEMBER,
    PAYMENT,
    PLATFORM,
    fact,
    failed_because,
    group,
    has_failed,
    id_of,
    metadata,
    of_intent,
)


def earlier(account: Account, request: Request) -> stripe.PaymentIntent | None:
    """Find what the request made before, if any money can have moved on it.

    A PaymentIntent without a charge is not looked for: its secret reached nobody.
    """
    wanted = str(request.payment_id)
    for charge in account.pages(
        account.api.charges.list, {"transfer_group": group(request)}, most=1
    ):
        intent = id_of(charge.payment_intent)
        if intent is not None and fact(charge, PAYMENT) == wanted:
            return read(account, intent)
    return None


def create(account: Account, request: Request) -> stripe.PaymentIntent:
    """Make a PaymentIntent, and confirm it at once if the method is known."""
    params: PaymentIntentCreateParams = {
        "amount": to_stripe(request.amount, request.unit),
        "currency": request.unit.lower(),
        # Not Stripe's automatic_async, which tells a success before its line in the books exists.
        "capture_method": "manual" if request.capture == "manual" else "automatic",
        "automatic_payment_methods": {
            "enabled": True,
            # A payer who is not there, or has nowhere to come back to, cannot be sent anywhere.
            "allow_redirects": "always" if _may_redirect(request) else "never",
        },
        "transfer_group": group(request),
        "metadata": metadata(request),
        "expand": EXPAND,
    }
    if request.method is not None:
        params["payment_method"] = request.method
        params["confirm"] = True
        if request.off_session:
            params["off_session"] = True
        elif request.return_url is not None:
            params["return_url"] = request.return_url
    customer = _customer(account, request)
    if customer is not None:
        params["customer"] = customer
    if request.save_method:
        params["setup_future_usage"] = "off_session"
    with account.asking():
        try:
            return account.api.payment_intents.create(
                params, {"idempotency_key": str(request.payment_id)}
            )
        except stripe.CardError as error:
            # A decline leaves a PaymentIntent behind that another method could still pay.
            intent = None if error.error is None else id_of(error.error.payment_intent)
            if intent is None:
                raise
    return read(account, intent)


def _may_redirect(request: Request) -> bool:
    if request.method is None:
        return True
    return request.return_url is not None and not request.off_session


def _customer(account: Account, request: Request) -> str | None:
    """Return the payer's customer; one is made for a method that is to be kept."""
    if request.customer_ref is not None or not request.save_method:
        return request.customer_ref
    with account.asking():
        made = account.api.customers.create(
            {
                "metadata": {
                    MEMBER: str(request.member_id),
                    PLATFORM: str(request.platform_id),
                }
            },
            {"idempotency_key": f"{request.payment_id}:customer"},
        )
    return made.id


def read(account: Account, ref: str) -> stripe.PaymentIntent:
    """Read a PaymentIntent."""
    with account.asking():
        return account.api.payment_intents.retrieve(ref, {"expand": EXPAND})


def told(account: Account, intent: stripe.PaymentIntent) -> Object:
    """Return a PaymentIntent of ours as a collection.

    One whose attempt failed could still be paid with another method: it is canceled at Stripe
    first, and what Stripe answers to that is what is told.

    Raises:
        ProviderUnavailable: it can neither be canceled nor has it been paid.
    """
    if not has_failed(intent):
        return of_intent(intent, intent.id, _action(account, intent))
    why = failed_because(intent)
    after = cancel(account, intent, GAVE_UP)
    if has_failed(after):
        raise ProviderUnavailable(f"{intent.id} failed and could not be canceled")
    seen = of_intent(after, after.id, _action(account, after))
    return replace(seen, failure=why) if seen.status is Status.FAILED else seen


def _action(account: Account, intent: stripe.PaymentIntent) -> Mapping[str, Any]:
    wanted = intent.next_action
    if wanted is not None and wanted.type == "redirect_to_url":
        redirect = wanted.redirect_to_url
        if redirect is not None and redirect.url is not None:
            return {"type": "redirect", "url": redirect.url}
    return {
        "type": "client_secret",
        "client_secret": intent.client_secret,
        "publishable_key": account.connected.publishable_key,
    }


def cancel(account: Account, intent: stripe.PaymentIntent, why: str) -> stripe.PaymentIntent:
    """Cancel a PaymentIntent and return it as it is then.

    Stripe keeps a refusal under its key: the key names the state that was seen, so that what
    cannot be canceled while it is processed can be later.
    """
    with account.asking():
        try:
            return account.api.payment_intents.cancel(
                intent.id,
                {"cancellation_reason": why, "expand": EXPAND},
                {"idempotency_key": f"{key_of(intent)}:cancel:{intent.status}"},
            )
        except stripe.InvalidRequestError as error:
            if error.code == "resource_missing":
                raise
    return read(account, intent.id)
