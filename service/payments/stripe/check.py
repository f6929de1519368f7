"""Look at a connection whole: what Stripe has and what it needs, each with how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import stripe

from service.payments.connected import Connected
from service.payments.port import ProviderRefused, ProviderUnavailable
from service.payments.stripe.client import Account
from service.payments.stripe.events import PAYEE_TYPES, PLATFORM_TYPES, TOLERANCE

#: The version that package ``stripe`` is written for: its answers, and its events, are read by it.
API_VERSION: Final = str(stripe.api_version)
#: A clock that is wrong by more is mended before signatures begin to look too old.
_SKEW: Final = TOLERANCE / 5
_DASHBOARD: Final = "Stripe's Dashboard"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found: ``name`` is stable, ``mend`` says how to mend what is not well."""

    name: str
    well: bool
    what: str
    mend: str = ""


def examine(
    account: Account, urls: Mapping[str, str], clock: Callable[[], datetime]
) -> tuple[str | None, list[Finding]]:
    """Look at the connection; return the account's id, if it could be read, and every finding.

    Args:
        account: the connection and its client.
        urls: the addresses of our two webhook endpoints, ``platform`` and ``payees``.
        clock: our time, compared with Stripe's.
    """
    connected = account.connected
    found = list(_secrets(connected, urls, clock()))
    try:
        with account.asking():
            own = account.api.accounts.retrieve_current()
    except (ProviderUnavailable, ProviderRefused) as error:
        found.insert(0, _no_answer(error))
        return None, found
    seen = [*_account(own), *_clock(own, clock())]
    seen += _permissions(account)
    seen += _endpoints(account, urls)
    return own.id, seen + found


def _no_answer(error: Exception) -> Finding:
    cause = error.__cause__
    if isinstance(cause, stripe.AuthenticationError):
        return Finding(
            "key",
            False,
            "Stripe does not take the secret key",
            f"It was revoked, or is not whole. Make one in {_DASHBOARD} under API keys and connect "
            "it.",
        )
    return Finding(
        "key",
        False,
        f"Stripe does not answer: {error}",
        "Check that this machine reaches https://api.stripe.com, then look again.",
    )


def _account(own: stripe.Account) -> Iterator[Finding]:
    yield Finding("key", True, f"the secret key opens {own.id} ({own.country})")
    yield Finding(
        "charges",
        bool(own.charges_enabled),
        f"the account {'can' if own.charges_enabled else 'cannot'} take payments",
        f"Complete the business's details in {_DASHBOARD}.",
    )
    schedule = None if own.settings is None else own.settings.payouts
    interval = getattr(getattr(schedule, "schedule", None), "interval", None)
    yield Finding(
        "payout_schedule",
        interval == "manual",
        f"payouts to the platform's own bank are {interval or 'of unknown schedule'}",
        f"Set them to manual in {_DASHBOARD} under Balances, Manage payouts: automatic ones take "
        "away what is held for members, and a transfer then fails.",
    )


def _clock(own: stripe.Account, now: datetime) -> Iterator[Finding]:
    headers = getattr(own.last_response, "headers", None) or {}
    date = next((value for name, value in headers.items() if name.lower() == "date"), None)
    if date is None:
        return
    apart = abs((parsedate_to_datetime(date) - now).total_seconds())
    yield Finding(
        "clock",
        apart <= _SKEW.total_seconds(),
        f"this machine's clock is {apart:.0f} s from Stripe's",
        "Set the clock by NTP: events with a signature more than 300 s away are refused.",
    )


def _permissions(account: Account) -> Iterator[Finding]:
    """Try a small read of everything that is used: a restricted key may lack some of it."""
    api = account.api
    one: Any = {"limit": 1}
    reads: tuple[tuple[str, Callable[[], object]], ...] = (
        ("PaymentIntents", lambda: api.payment_intents.list(one)),
        ("Checkout Sessions", lambda: api.checkout.sessions.list(one)),
        ("Charges and Refunds", lambda: api.refunds.list(one)),
        ("Customers", lambda: api.customers.list(one)),
        ("Transfers", lambda: api.transfers.list(one)),
        ("Balance", api.balance.retrieve),
        ("Balance transactions", lambda: api.balance_transactions.list(one)),
        ("Disputes", lambda: api.disputes.list(one)),
        ("Early fraud warnings", lambda: api.radar.early_fraud_warnings.list(one)),
        ("Events", lambda: api.events.list(one)),
    )
    missing = [name for name, read in reads if not _works(account, read)]
    yield Finding(
        "permissions",
        not missing,
        "the key may read all that is used" if not missing else f"no access: {', '.join(missing)}",
        f"Give the restricted key these permissions (read and write) in {_DASHBOARD}, or use the "
        "secret key.",
    )
    connect = _works(account, lambda: api.accounts.list(one))
    yield Finding(
        "connect",
        connect,
        "Connect is enabled" if connect else "Connect is not enabled, or the key may not use it",
        f"Enable Connect in {_DASHBOARD}: members are paid through accounts connected to yours.",
    )


def _works(account: Account, read: Callable[[], object]) -> bool:
    try:
        with account.asking():
            read()
    except (ProviderUnavailable, ProviderRefused):
        return False
    return True


def _endpoints(account: Account, urls: Mapping[str, str]) -> Iterator[Finding]:
    try:
        known = list(account.pages(account.api.webhook_endpoints.list, {}, most=1))
    except (ProviderUnavailable, ProviderRefused) as error:
        yield Finding(
            "webhooks",
            False,
            f"the webhook endpoints cannot be read: {error}",
            "Give the restricted key read access to Webhook Endpoints, or look yourself.",
        )
        return
    for endpoint, wanted in (("platform", PLATFORM_TYPES), ("payees", PAYEE_TYPES)):
        name = f"webhook_{endpoint}"
        mine = [one for one in known if one.url == urls[endpoint] and one.status == "enabled"]
        whose = "your account" if endpoint == "platform" else "connected accounts"
        yield Finding(
            name,
            bool(mine),
            f"an enabled webhook endpoint {urls[endpoint]}"
            if mine
            else f"no enabled webhook endpoint {urls[endpoint]}",
            f"Add it in {_DASHBOARD} for events on {whose}, with API version {API_VERSION}, and "
            f"these events: {', '.join(wanted)}. Then store its signing secret here.",
        )
        for one in mine:
            yield from _subscribed(name, one, wanted)


def _subscribed(
    name: str, endpoint: stripe.WebhookEndpoint, wanted: tuple[str, ...]
) -> Iterator[Finding]:
    told = set(endpoint.enabled_events)
    missing = [] if "*" in told else [one for one in wanted if one not in told]
    yield Finding(
        f"{name}_events",
        not missing,
        f"{endpoint.id} is told every event that is needed"
        if not missing
        else f"{endpoint.id} is not told {', '.join(missing)}",
        f"Add them to the endpoint in {_DASHBOARD}. Until then they are found by polling.",
    )
    yield Finding(
        f"{name}_version",
        endpoint.api_version == API_VERSION,
        f"{endpoint.id} sends version {endpoint.api_version or 'of the account'}",
        f"Make the endpoint anew with API version {API_VERSION}.",
    )


def _secrets(connected: Connected, urls: Mapping[str, str], now: datetime) -> Iterator[Finding]:
    for endpoint in ("platform", "payees"):
        count = len(connected.secrets(endpoint, now))
        stored = f"{count} working signing secrets" if count > 1 else "a signing secret"
        yield Finding(
            f"secret_{endpoint}",
            count > 0,
            f"{stored if count else 'no signing secret'} of {urls[endpoint]}",
            f"Copy the endpoint's signing secret (whsec_…) from {_DASHBOARD} and store it here.",
        )
