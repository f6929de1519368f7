"""Collections, by either kind of reference: a PaymentIntent or a Checkout Session."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import stripe

from service.payments.port import Object, ProviderRefused, Request
from service.payments.stripe import checkout, intents
from service.payments.stripe.client import Account
from service.payments.stripe.keys import is_old, once
from service.payments.stripe.money import to_stripe, unit_of
from service.payments.stripe.objects import CAPTURED, UNWANTED, id_of, of_platform, parse_ref


def submit(account: Account, request: Request, now: datetime) -> Object:
    """Ask for a collection; see :meth:`service.payments.port.Provider.submit`."""
    old = is_old(request, now)
    if request.hosted:
        return checkout.submit(account, request, old=old)
    made = once(
        lambda: intents.earlier(account, request), lambda: intents.create(account, request), old
    )
    return intents.told(account, made)


def retrieve(account: Account, platform_id: UUID, ref: str) -> Object:
    """Read a collection, by either kind of reference."""
    if parse_ref(ref).kind == "session":
        session = checkout.read(account, ref)
        of_platform(session, platform_id)
        return checkout.of_session(session)
    intent = intents.read(account, ref)
    of_platform(intent, platform_id)
    return intents.told(account, intent)


def intent_of(account: Account, ref: str) -> str:
    """Return the id of a collection's PaymentIntent."""
    found = id_of(checkout.read(account, ref).payment_intent) if ref.startswith("cs_") else ref
    if found is None:
        raise ProviderRefused("unknown_object", "Nothing was paid on this page.")
    return found


def charge_of(account: Account, platform_id: UUID, ref: str) -> str | None:
    """Return a collection's charge, for what is paid from it."""
    return id_of(_intent_behind(account, platform_id, ref).latest_charge)


def _intent_behind(account: Account, platform_id: UUID, ref: str) -> stripe.PaymentIntent:
    """Return the PaymentIntent that a collection's reference leads to."""
    intent = intents.read(account, intent_of(account, ref))
    of_platform(intent, platform_id)
    return intent


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
            if intents.read(account, intent.id).status == "requires_capture":
                raise  # it is not too late: the request itself is wrong
    return retrieve(account, platform_id, ref)


def cancel(account: Account, platform_id: UUID, ref: str) -> Object:
    """Call a collection back, or free an authorisation; what is too late is told by the object."""
    if parse_ref(ref).kind == "session":
        session = checkout.read(account, ref)
        of_platform(session, platform_id)
        if session.status == "open":
            checkout.expire(account, session)
        elif isinstance(session.payment_intent, stripe.PaymentIntent):
            checkout.free(account, session.payment_intent)
        return retrieve(account, platform_id, ref)
    intent = intents.read(account, ref)
    of_platform(intent, platform_id)
    if intent.status not in {"succeeded", "canceled"}:
        intent = intents.cancel(account, intent, UNWANTED)
    return intents.told(account, intent)
