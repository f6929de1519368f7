"""The Stripe adapter alone, on a platform's account at a Stripe-shaped server."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, Final
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Engine

from service.db import transaction
from service.ids import uuid7
from service.payments import connections
from service.payments.port import Object, Request
from service.payments.stripe.provider import Stripe
from tests.stripe_server import StripeServer
from tests.stripe_server.store import Account

CODE_KEY: Final = "the secret of a test instance, long enough"
PLATFORM_SECRET: Final = "whsec_of_the_platform_s_endpoint"
PAYEES_SECRET: Final = "whsec_of_the_payees_endpoint"
RETURN: Final = "https://platform.test/back"


@dataclass
class StripeBench:
    """One platform at Stripe."""

    engine: Engine
    server: StripeServer
    account: Account
    platform_id: UUID
    provider: Stripe
    key: str

    def connect(self, platform_id: UUID, key: str) -> None:
        """Connect a platform by a key."""
        with transaction(self.engine, platform_id) as connection:
            connections.connect(
                connection,
                self.provider.vault,
                platform_id,
                "sandbox",
                secret_key=SecretStr(key),
                publishable_key="pk_test_public",
                webhook_secret=SecretStr(PLATFORM_SECRET),
                payee_webhook_secret=SecretStr(PAYEES_SECRET),
                now=self.server.now,
            )

    def collect(
        self, amount: int = 10_000, method: str | None = "pm_card_visa", **more: Any
    ) -> Request:
        """Return a request for a collection; most of it by keyword."""
        kind, unit = "collect", "EUR"
        made = Request(self.platform_id, uuid7(), kind, amount, unit, uuid7(), uuid7(), method)
        return replace(made, **more)

    def collected(self, amount: int = 10_000) -> Object:
        """Collect by a card whose funds are available at once."""
        return self.provider.submit(self.collect(amount, "pm_card_bypassPending"))

    def refund(self, of: Object, amount: int, **more: Any) -> Request:
        """Return a request for a refund."""
        made = Request(self.platform_id, uuid7(), "refund", amount, of.unit, uuid7(), uuid7())
        return replace(made, collect_ref=of.ref, **more)

    def payee(self) -> str:
        """Open a payee's account and let them answer everything; return its id."""
        account = self.provider.open_account(self.platform_id, uuid7(), {"country": "FR"})
        self.server.complete_onboarding(account.ref)
        return account.ref

    def payout(self, account: str | None, amount: int, **more: Any) -> Request:
        """Return a request for a payout."""
        made = Request(self.platform_id, uuid7(), "payout", amount, "EUR", uuid7(), uuid7())
        return replace(made, account_ref=account, **more)

    def reversal(self, of: Object, amount: int, **more: Any) -> Request:
        """Return a request for a reversal."""
        made = Request(self.platform_id, uuid7(), "reversal", amount, of.unit, uuid7(), uuid7())
        return replace(made, payout_ref=of.ref, **more)

    def keys(self, path: str) -> list[str | None]:
        """Return the idempotency keys of the POSTs to a path so far."""
        return [
            one.idempotency_key
            for one in self.server.requests
            if one.method == "POST" and one.path == path
        ]

    def count(self, kind: str) -> int:
        """Return how many objects of a kind the account has."""
        return len(self.server.objects(self.account, kind))


@contextmanager
def stripe_bench(engine: Engine, platform_id: UUID) -> Iterator[StripeBench]:
    """Serve, connect, and prove the server's own books at the end."""
    with StripeServer() as server:
        key = f"sk_test_{secrets.token_hex(16)}"
        account = server.add_account(key)
        # To the adapter's limits, minutes pass between two calls.
        minutes = count(step=100.0)
        provider = Stripe(engine, CODE_KEY, lambda: server.now, server.url, partial(next, minutes))
        bench = StripeBench(engine, server, account, platform_id, provider, key)
        bench.connect(platform_id, key)
        try:
            yield bench
        finally:
            provider.close()
