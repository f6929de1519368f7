"""Checkout Sessions: the payer pays on Stripe's own page."""

from __future__ import annotations

from dataclasses import replace

import stripe
from stripe.params.checkout import SessionCreateParams, SessionCreateParamsPaymentIntentData

from service.ids import encode
from service.payments.port import (
    AmountDiffers,
    Object,
    ProviderRefused,
    ProviderUnavailable,
    Request,
    Status,
)
from service.payments.stripe import intents
from service.payments.stripe.client import Account
from service.payments.stripe.errors import is_kept_failure
from service.payments.stripe.keys import key_of
from service.payments.stripe.money import from_stripe, to_stripe, unit_of
from service.payments.stripe.objects import (
    HOSTED,
    SESSION_EXPAND,
    UNWANTED,
    failed_because,
    group,
    has_failed,
    id_of,
    instant,
    metadata,
    of_intent,
)

#: How many pages are tried to be made where Stripe breaks down making one.
_MOST_PAGES = 3


def submit(account: Account, request: Request, *, old: bool) -> Object:
    """Open a page for a collection; one that was made under an ``old`` key is looked for first."""
    if old:
        made = intents.earlier(account, request)
        session = None if made is None else _session_of(account, made)
        if session is not None:
            return of_session(session)
    # A page whose address reached nobody is paid by nobody: where Stripe broke down making one,
    # another is made under the next key.
    for attempt in range(_MOST_PAGES):
        try:
            return _open_page(account, request, attempt)
        except ProviderUnavailable as error:
            if not is_kept_failure(error.__cause__):
                raise
    raise ProviderUnavailable("Stripe makes no page for this payment now")


def _open_page(account: Account, request: Request, attempt: int) -> Object:
    if request.return_url is None:
        raise ProviderRefused("return_url_missing", "Stripe's page needs an address to return to.")
    facts = metadata(request)
    intent: SessionCreateParamsPaymentIntentData = {
        "capture_method": "manual" if request.capture == "manual" else "automatic",
        "transfer_group": group(request),
        "metadata": {**facts, HOSTED: "yes"},
    }
    if request.save_method:
        intent["setup_future_usage"] = "off_session"
    params: SessionCreateParams = {
        "mode": "payment",
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": request.unit.lower(),
                    "unit_amount": to_stripe(request.amount, request.unit),
                    "product_data": {"name": _name(request)},
                },
            }
        ],
        # The amount is what was agreed, in the currency that was agreed.
        "adaptive_pricing": {"enabled": False},
        "success_url": request.return_url,
        "cancel_url": request.return_url,
        "client_reference_id": str(request.payment_id),
        "metadata": facts,
        "payment_intent_data": intent,
        "expand": SESSION_EXPAND,
    }
    if request.customer_ref is not None:
        params["customer"] = request.customer_ref
    elif request.save_method:
        params["customer_creation"] = "always"
    key = str(request.payment_id)
    with account.asking():
        session = account.api.checkout.sessions.create(
            params, {"idempotency_key": f"{key}:{attempt}" if attempt else key}
        )
    return of_session(session)


def _name(request: Request) -> str:
    """Return what the payer's page and receipt call the payment: the id that they can ask about."""
    if request.exchange_id is not None:
        return encode("exchange", request.exchange_id)
    return encode("payment", request.payment_id)


def _session_of(account: Account, intent: stripe.PaymentIntent) -> stripe.checkout.Session | None:
    with account.asking():
        found = account.api.checkout.sessions.list({"payment_intent": intent.id, "limit": 1})
    return read(account, found.data[0].id) if found.data else None


def read(account: Account, ref: str) -> stripe.checkout.Session:
    """Read a Checkout Session."""
    with account.asking():
        return account.api.checkout.sessions.retrieve(ref, {"expand": SESSION_EXPAND})


def of_session(session: stripe.checkout.Session) -> Object:
    """Return a Checkout Session and its PaymentIntent as one collection.

    While the page is open, a failed attempt is the payer's to repeat. After it, nobody has a way to
    pay any more: a PaymentIntent without a method is a failed one.

    Raises:
        AmountDiffers: its PaymentIntent is for another amount.
    """
    intent = session.payment_intent
    if session.amount_total is None or session.currency is None:
        raise AmountDiffers(f"{session.id} has no amount")
    if session.status == "complete" and isinstance(intent, stripe.PaymentIntent):
        if intent.amount != session.amount_total or intent.currency != session.currency:
            raise AmountDiffers(f"{session.id} and {intent.id} differ in amount")
        seen = of_intent(intent, session.id, None)
        if has_failed(intent):
            return replace(seen, status=Status.FAILED, failure=failed_because(intent))
        return seen
    status = Status.CANCELED if session.status == "expired" else Status.REQUIRES_ACTION
    until = instant(session.expires_at)
    action = {
        "type": "redirect",
        "url": session.url,
        "expires_at": None if until is None else until.isoformat(),
    }
    return Object(
        ref=session.id,
        kind="collect",
        status=status,
        amount=from_stripe(session.amount_total, session.currency),
        unit=unit_of(session.currency),
        next_action=action if status is Status.REQUIRES_ACTION else None,
        customer_ref=id_of(session.customer),
    )


def expire(account: Account, session: stripe.checkout.Session) -> None:
    """Close an open page; if the payer was quicker, the session says so."""
    with account.asking():
        try:
            account.api.checkout.sessions.expire(
                session.id, {}, {"idempotency_key": f"{key_of(session)}:expire"}
            )
        except stripe.InvalidRequestError as error:
            if error.code == "resource_missing":
                raise


def free(account: Account, intent: stripe.PaymentIntent) -> None:
    """Cancel what was authorised on Stripe's page; before that, only the page can be closed."""
    if intent.status == "requires_capture":
        intents.cancel(account, intent, UNWANTED)
