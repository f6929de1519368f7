"""Collections: PaymentIntents, Stripe's own page (Checkout), captures and cancellations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

import stripe
from stripe.params import PaymentIntentCreateParams
from stripe.params.checkout import SessionCreateParams, SessionCreateParamsPaymentIntentData

from service.ids import encode
from service.payments.port import Object, ProviderRefused, ProviderUnavailable, Request, Status
from service.payments.stripe.client import Account
from service.payments.stripe.errors import AmountDiffers, is_kept_failure
from service.payments.stripe.money import from_stripe, to_stripe, unit_of
from service.payments.stripe.objects import (
    CAPTURED,
    EXPAND,
    GAVE_UP,
    HOSTED,
    MEMBER,
    PAYMENT,
    PLATFORM,
    SESSION_EXPAND,
    UNWANTED,
    fact,
    failed_because,
    group,
    has_failed,
    id_of,
    instant,
    metadata,
    of_intent,
    of_platform,
    parse_ref,
)

T = TypeVar("T")

#: Stripe keeps an idempotency key for 24 hours at least (docs.stripe.com, "Idempotent requests").
#: An older request is looked for before it is sent again; an hour is left for clocks.
KEY_HOLDS: Final = timedelta(hours=23)
_MOST_PAGES: Final = 3


def is_old(request: Request, now: datetime) -> bool:
    """Tell whether Stripe may have forgotten the request's key; the row's UUIDv7 has its age."""
    made = request.payment_id
    if made.version != 7:
        return True
    return now.timestamp() - (made.int >> 80) / 1000 > KEY_HOLDS.total_seconds()


def submit(account: Account, request: Request, now: datetime) -> Object:
    """Ask for a collection; see :meth:`service.payments.port.Provider.submit`."""
    if request.hosted:
        return _submit_page(account, request, now)
    made = once(
        lambda: _earlier(account, request),
        lambda: _create(account, request),
        is_old(request, now),
    )
    return told(account, made)


def once(find: Callable[[], T | None], ask: Callable[[], T], old: bool) -> T:
    """Ask under the row's key; look first, or afterwards, where the key does not tell.

    An ``old`` key may be forgotten, and under a key that Stripe broke down with it never says
    anything else: then what was made is found among the objects.
    """
    if old and (made := find()) is not None:
        return made
    try:
        return ask()
    except ProviderUnavailable as error:
        if is_kept_failure(error.__cause__) and (made := find()) is not None:
            return made
        raise


def _submit_page(account: Account, request: Request, now: datetime) -> Object:
    if is_old(request, now):
        made = _earlier(account, request)
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


def _earlier(account: Account, request: Request) -> stripe.PaymentIntent | None:
    """Find what the request made before, if any money can have moved on it.

    A PaymentIntent without a charge is not looked for: its secret reached nobody.
    """
    wanted = str(request.payment_id)
    for charge in account.pages(
        account.api.charges.list, {"transfer_group": group(request)}, most=1
    ):
        intent = id_of(charge.payment_intent)
        if intent is not None and fact(charge, PAYMENT) == wanted:
            return read_intent(account, intent)
    return None


def _create(account: Account, request: Request) -> stripe.PaymentIntent:
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
    return read_intent(account, intent)


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
    return read_session(account, found.data[0].id) if found.data else None


def read_intent(account: Account, ref: str) -> stripe.PaymentIntent:
    """Read a PaymentIntent."""
    with account.asking():
        return account.api.payment_intents.retrieve(ref, {"expand": EXPAND})


def read_session(account: Account, ref: str) -> stripe.checkout.Session:
    """Read a Checkout Session."""
    with account.asking():
        return account.api.checkout.sessions.retrieve(ref, {"expand": SESSION_EXPAND})


def retrieve(account: Account, platform_id: UUID, ref: str) -> Object:
    """Read a collection, by either kind of reference."""
    if parse_ref(ref).kind == "session":
        session = read_session(account, ref)
        of_platform(session, platform_id)
        return of_session(session)
    intent = read_intent(account, ref)
    of_platform(intent, platform_id)
    return told(account, intent)


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
    after = _cancel(account, intent, GAVE_UP)
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


def _intent_behind(account: Account, platform_id: UUID, ref: str) -> stripe.PaymentIntent:
    """Return the PaymentIntent that a collection's reference leads to."""
    intent = read_intent(account, intent_of(account, ref))
    of_platform(intent, platform_id)
    return intent


def intent_of(account: Account, ref: str) -> str:
    """Return the id of a collection's PaymentIntent."""
    found = id_of(read_session(account, ref).payment_intent) if ref.startswith("cs_") else ref
    if found is None:
        raise ProviderRefused("unknown_object", "Nothing was paid on this page.")
    return found


def charge_of(account: Account, platform_id: UUID, ref: str) -> str | None:
    """Return a collection's charge, for what is paid from it."""
    return id_of(_intent_behind(account, platform_id, ref).latest_charge)


def capture(account: Account, platform_id: UUID, payment_id: UUID, ref: str, amount: int) -> Object:
    """Take ``amount`` of an authorisation; what is too late is told by the object."""
    intent = _intent_behind(account, platform_id, ref)
    wanted = to_stripe(amount, unit_of(intent.currency))
    with account.asking():
        try:
            account.api.payment_intents.capture(
                intent.id,
                {"amount_to_capture": wanted, "metadata": {CAPTURED: str(wanted)}},
                {"idempotency_key": f"{payment_id}:capture"},
            )
        except stripe.InvalidRequestError:
            if read_intent(account, intent.id).status == "requires_capture":
                raise  # it is not too late: the request itself is wrong
    return retrieve(account, platform_id, ref)


def cancel(account: Account, platform_id: UUID, ref: str) -> Object:
    """Call a collection back, or free an authorisation; what is too late is told by the object."""
    if parse_ref(ref).kind == "session":
        session = read_session(account, ref)
        of_platform(session, platform_id)
        if session.status == "open":
            _expire(account, session)
        elif isinstance(session.payment_intent, stripe.PaymentIntent):
            _free(account, session.payment_intent)
        return retrieve(account, platform_id, ref)
    intent = read_intent(account, ref)
    of_platform(intent, platform_id)
    if intent.status not in {"succeeded", "canceled"}:
        intent = _cancel(account, intent, UNWANTED)
    return told(account, intent)


def _expire(account: Account, session: stripe.checkout.Session) -> None:
    with account.asking():
        try:
            account.api.checkout.sessions.expire(
                session.id, {}, {"idempotency_key": f"{_key_of(session)}:expire"}
            )
        except stripe.InvalidRequestError as error:
            if error.code == "resource_missing":
                raise  # otherwise the payer was quicker: the session says so


def _free(account: Account, intent: stripe.PaymentIntent) -> None:
    """Cancel what was authorised on Stripe's page; before that, only the page can be closed."""
    if intent.status == "requires_capture":
        _cancel(account, intent, UNWANTED)


def _cancel(account: Account, intent: stripe.PaymentIntent, why: str) -> stripe.PaymentIntent:
    """Cancel a PaymentIntent and return it as it is then.

    Stripe keeps a refusal under its key: the key names the state that was seen, so that what
    cannot be canceled while it is processed can be later.
    """
    with account.asking():
        try:
            return account.api.payment_intents.cancel(
                intent.id,
                {"cancellation_reason": why, "expand": EXPAND},
                {"idempotency_key": f"{_key_of(intent)}:cancel:{intent.status}"},
            )
        except stripe.InvalidRequestError as error:
            if error.code == "resource_missing":
                raise
    return read_intent(account, intent.id)


def _key_of(source: Any) -> str:
    return fact(source, PAYMENT) or str(source.id)
