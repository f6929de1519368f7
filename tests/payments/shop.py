"""A platform's account on the Stripe-shaped server, with the real client in its hand."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import stripe
from stripe import StripeClient

from tests.stripe_server import Account, StripeServer


@dataclass
class Shop:
    """One platform."""

    server: StripeServer
    platform: Account
    client: StripeClient

    def pay(
        self, amount: int = 10_000, method: str = "pm_card_visa", **more: Any
    ) -> stripe.PaymentIntent:
        """Create a payment intent and confirm it at once."""
        asked: Any = {
            "amount": amount,
            "currency": "eur",
            "payment_method": method,
            "allowed_payment_method_types": ["card", "sepa_debit"],
            "capture_method": "automatic",
            "confirm": True,
            **more,
        }
        return self.client.v1.payment_intents.create(asked)

    def intent(self, ref: str) -> stripe.PaymentIntent:
        """Read a payment intent."""
        return self.client.v1.payment_intents.retrieve(ref)

    def charge(self, ref: str) -> stripe.Charge:
        """Read the latest charge of a payment intent."""
        latest = self.intent(ref).latest_charge
        assert isinstance(latest, str)
        return self.client.v1.charges.retrieve(latest)

    def payee(self, country: str = "FR") -> str:
        """Open a connected account that can be paid."""
        asked: Any = {
            "country": country,
            "controller": {"stripe_dashboard": {"type": "express"}},
            "capabilities": {"transfers": {"requested": True}},
        }
        made = self.client.v1.accounts.create(asked)
        self.server.complete_onboarding(made.id)
        return made.id

    def transfer(self, payee: str, amount: int, **more: Any) -> stripe.Transfer:
        """Send money to a connected account."""
        asked: Any = {"amount": amount, "currency": "eur", "destination": payee, **more}
        return self.client.v1.transfers.create(asked)

    def refund(self, ref: str, **more: Any) -> stripe.Refund:
        """Give a payment back."""
        asked: Any = {"payment_intent": ref, **more}
        return self.client.v1.refunds.create(asked)

    def told(self, kind: str = "*", account: str | None = None) -> list[str]:
        """Return the types of an account's events so far."""
        owner = self.server.account(account) if account else self.platform
        return [event["type"] for event in self.server.events(owner, kind)]


def connect(server: StripeServer, key: str, **more: Any) -> StripeClient:
    """Return a real client that never tries twice."""
    addresses: Any = {"api": server.url, "files": server.url}
    return StripeClient(key, base_addresses=addresses, max_network_retries=0, **more)


@contextmanager
def open_shop(**more: Any) -> Iterator[Shop]:
    """Start a server with one platform; its books must be right at the end."""
    key = f"sk_test_{uuid.uuid4().hex}"
    with StripeServer(**more) as server:
        platform = server.add_account(key)
        yield Shop(server, platform, connect(server, key))


def code(error: stripe.StripeError) -> str | None:
    """Return the code of a refusal, also where the client's class has none."""
    return None if error.error is None else error.error.code
