"""Stripe's events: verified, read for what they are about, and listed for what a webhook lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import stripe

from service.payments.connected import Connected
from service.payments.port import Event, ForgedEvent, Topic
from service.payments.stripe.client import Account
from service.payments.stripe.objects import HOSTED, PAYMENT

#: A signature may be this old when it reaches us (Stripe's own default).
TOLERANCE: Final = timedelta(seconds=300)
#: Stripe keeps events for 30 days (API reference, "Events").
KEPT: Final = timedelta(days=30)
#: Types that one list can be asked for.
_TYPES_AT_ONCE: Final = 20
_MOST_PAGES: Final = 500
#: Payees' accounts whose events are asked for, the newest 1,000. Events of older ones that a
#: webhook lost are found when the account is next read.
_ACCOUNT_PAGES: Final = 10

#: What the endpoint of the platform's own account has to be told.
PLATFORM_TYPES: Final = (
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "checkout.session.completed",
    "checkout.session.expired",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "charge.succeeded",
    "charge.failed",
    "charge.captured",
    "charge.expired",
    "charge.refund.updated",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "transfer.created",
    "transfer.updated",
    "transfer.reversed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "radar.early_fraud_warning.created",
    "radar.early_fraud_warning.updated",
)
#: What the endpoint of the payees' accounts has to be told.
PAYEE_TYPES: Final = (
    "account.updated",
    "capability.updated",
    "payout.created",
    "payout.updated",
    "payout.paid",
    "payout.failed",
    "payout.canceled",
)

#: The first that a type begins with says what it is about.
_TOPICS: Final = (
    ("charge.dispute.", Topic.DISPUTE),
    ("radar.early_fraud_warning.", Topic.WARNING),
    ("payment_intent.", Topic.PAYMENT),
    ("checkout.session.", Topic.PAYMENT),
    ("charge.", Topic.PAYMENT),
    ("refund.", Topic.PAYMENT),
    ("transfer.", Topic.PAYMENT),
    ("account.updated", Topic.ACCOUNT),
    ("capability.updated", Topic.ACCOUNT),
    ("payout.", Topic.BANK),
)
#: Topics of the payees' endpoint; the others are the platform's.
_OF_PAYEES: Final = frozenset({Topic.ACCOUNT, Topic.BANK})


#: What reading something else as an event comes to; a date beyond all calendars is the last two.
_NO_EVENT: Final = (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError)


def read(connected: Connected, endpoint: str, body: bytes, signature: str, now: datetime) -> Event:
    """Verify and read what came to a webhook endpoint.

    Raises:
        ForgedEvent: with ``reason`` in its facts: ``no_secret``, ``bad_signature``,
            ``wrong_endpoint``, ``stale``, ``unreadable``, ``wrong_mode`` or ``wrong_account``.
    """
    _verify(connected, endpoint, body, signature, now)
    try:
        told = orjson.loads(body)
        found = of_raw(told)
    except _NO_EVENT as error:
        raise _forged(
            "unreadable", "The event is signed but not one of Stripe's API v1."
        ) from error
    if told.get("livemode") is not (connected.mode == "live"):
        raise _forged("wrong_mode", "The event is of the other mode than the platform.")
    if (found.account is None) is not (endpoint == "platform"):
        raise _forged(
            "wrong_endpoint",
            "Events of payees' accounts belong to the payees' endpoint, all others to the "
            "platform's.",
        )
    return found


def _verify(
    connected: Connected, endpoint: str, body: bytes, signature: str, now: datetime
) -> None:
    secrets = connected.secrets(endpoint, now)
    if not secrets:
        raise _forged("no_secret", "This endpoint has no signing secret yet: store it first.")
    if not any(_is_signed(body, signature, secret) for secret in secrets):
        other = "payees" if endpoint == "platform" else "platform"
        if any(_is_signed(body, signature, one) for one in connected.secrets(other, now)):
            raise _forged("wrong_endpoint", "This is signed for the other endpoint.")
        raise _forged("bad_signature", "The event's signature is not Stripe's for this endpoint.")
    at = int(dict(part.partition("=")[::2] for part in signature.split(","))["t"])
    if abs(now.timestamp() - at) > TOLERANCE.total_seconds():
        raise _forged("stale", "The event's signature is too old, or our clock is wrong.")


def _is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Ask Stripe's own library; the age is judged by our clock, not the machine's."""
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, tolerance=None)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False
    return True


def _forged(reason: str, detail: str) -> ForgedEvent:
    return ForgedEvent(detail, reason=reason)


def of_raw(told: Mapping[str, Any]) -> Event:
    """Read an event of API v1 from its JSON.

    Raises:
        ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError: it is none.
    """
    if told["object"] != "event":
        raise ValueError("not an event")
    kind, account = told["type"], told.get("account")
    topic = next((topic for head, topic in _TOPICS if kind.startswith(head)), Topic.OTHER)
    if (account is not None) is not (topic in _OF_PAYEES):
        topic = Topic.OTHER  # of a payee's own business, or of the platform's own account
    ref = _object_ref(kind, topic, told["data"]["object"], account)
    event_id = told["id"]
    for text in (event_id, kind, ref, account or ""):
        if not isinstance(text, str) or len(text) > 255 or "\x00" in text:
            raise ValueError("not an event of Stripe's")
    return Event(
        event_id, kind, ref, topic, account, datetime.fromtimestamp(int(told["created"]), UTC)
    )


def _object_ref(kind: str, topic: Topic, of: Mapping[str, Any], account: str | None) -> str:
    """Return the object to look at again, as it stands on our rows."""
    if topic is Topic.ACCOUNT and account is not None:
        return account
    facts = of.get("metadata") or {}
    if topic is Topic.PAYMENT and of.get("object") in {"payment_intent", "charge"}:
        if HOSTED in facts and PAYMENT in facts:
            return f"payment:{facts[PAYMENT]}"
        intent = of.get("payment_intent") if of["object"] == "charge" else None
        if intent is not None:
            return str(intent if isinstance(intent, str) else intent["id"])
    return kind if topic is Topic.OTHER else str(of["id"])


def since(account: Account, at: datetime) -> Iterator[Event]:
    """List events from ``at`` on: the platform's own, then those of payees' accounts."""
    yield from _listed(account, PLATFORM_TYPES, at, None)
    for payee in account.pages(account.api.accounts.list, {}, _ACCOUNT_PAGES):
        yield from _listed(account, PAYEE_TYPES, at, payee.id)


def _listed(
    account: Account, types: tuple[str, ...], at: datetime, payee: str | None
) -> Iterator[Event]:
    options: stripe.RequestOptions = {} if payee is None else {"stripe_account": payee}
    for start in range(0, len(types), _TYPES_AT_ONCE):
        params = {
            "created": {"gte": int(at.timestamp())},
            "types": list(types[start : start + _TYPES_AT_ONCE]),
        }
        for found in account.pages(
            lambda asked: account.api.events.list(asked, options), params, _MOST_PAGES
        ):
            told = found.to_dict()
            if payee is not None:
                told.setdefault("account", payee)
            yield of_raw(told)
