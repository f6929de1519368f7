"""A platform in a test whose money is at the Stripe-shaped server, over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Engine, text

from service import db
from service.exchanges import chargebacks, payouts, propose, sweep
from service.exchanges.advance import Outcome
from service.exchanges.desk import Desk
from service.exchanges.model import Exchange
from service.exchanges.propose import Proposal
from service.payments import connections, inbox, payees, poll, reconcile, resolutions
from service.payments.port import ForgedEvent
from service.payments.providers import Providers
from service.payments.reconcile import Run
from service.payments.stripe.provider import Stripe
from tests.exchanges.world import SECRET, START, World
from tests.stripe_server import Account, Endpoint, StripeServer

_WEBHOOKS: Final = {"platform": "whsec_of_the_platform", "payees": "whsec_of_its_payees"}


class StripeLives(World):
    """A :class:`World` whose platform has connected Stripe. The server's clock follows ours."""

    def __init__(self, engine: Engine, platform_id: UUID, server: StripeServer) -> None:
        self.server = server
        self._bank_waits = False
        self.url = server.url
        key = f"sk_test_{platform_id.hex}"
        self.account: Account = server.add_account(key)
        server.now = START
        for endpoint, secret in _WEBHOOKS.items():
            server.add_endpoint(
                self.account, f"http://127.0.0.1:9/{endpoint}", secret, connect=endpoint == "payees"
            )
        server.on_event = self._receive
        super().__init__(engine, platform_id)
        with db.transaction(engine, platform_id) as connection:
            connections.connect(
                connection,
                self.stripe.vault,
                platform_id,
                "sandbox",
                secret_key=SecretStr(key),
                publishable_key=None,
                webhook_secret=SecretStr(_WEBHOOKS["platform"]),
                payee_webhook_secret=SecretStr(_WEBHOOKS["payees"]),
                now=self.now,
            )
        self.onboard(self.payee)

    def reopen(self, engine: Engine, platform_id: UUID, now: Any) -> None:
        super().reopen(engine, platform_id, now)
        self.ticks = 0.0
        self.stripe = Stripe(engine, SECRET, lambda: self.now, self.url, lambda: self.ticks)
        self.desk = Desk(engine, Providers(self.sandbox, self.stripe), self.codes)

    def _receive(self, endpoint: Endpoint, body: bytes, signature: str) -> int:
        """Do what the webhook route does: verify, store once, answer."""
        which = endpoint.url.rsplit("/", 1)[-1]
        try:
            event = self.stripe.read_event(self.platform_id, which, body, signature)
        except ForgedEvent:
            return 400
        with db.transaction(self.engine, self.platform_id) as connection:
            inbox.receive(connection, self.platform_id, [("stripe", event)], self.now)
        return 200

    def onboard(self, member_id: UUID, *, complete: bool = True) -> str:
        """Open the member's account at Stripe, and tell Stripe everything it wants."""
        with db.transaction(self.engine, self.platform_id) as connection:
            payees.begin(connection, self.platform_id, member_id, "stripe", "FR", self.now)
        payouts.open_account(self.engine, self.stripe, self.platform_id, member_id, self.now)
        with db.transaction(self.engine, self.platform_id) as connection:
            ref = payees.account_ref(connection, self.platform_id, member_id, "stripe")
        assert ref is not None
        if complete:
            self.server.complete_onboarding(ref)
            self.settle()
        return ref

    def propose_all(self, proposals: list[Proposal]) -> list[Outcome]:  # type: ignore[override]
        with db.transaction(self.engine, self.platform_id) as connection:
            return propose.propose(connection, self.platform_id, proposals, self.stripe, self.rules)

    def funded(self, exchange: Exchange, method: str | None = "pm_card_bypassPending") -> Exchange:
        return super().funded(exchange, method)

    def sweep(self) -> None:
        if not self._bank_waits:
            self.server.now = max(self.server.now, self.now)
        self.ticks += 3600.0  # the budget of calls and the rests between them are another test's
        sweep.run(self.desk, self.now, self.platform_id)

    def settle(self, *, rng: Random | None = None, **hostile: Any) -> None:
        """Deliver what Stripe has to tell and follow it up, until there is nothing more."""
        for _ in range(10):
            self.sweep()
            order = "fifo" if rng is None else "random"
            told = self.server.deliver(order=order, rng=rng or Random(0), **hostile)
            self.sweep()
            if not told:
                return

    def pass_time(self, **length: float) -> int:
        """Move both clocks; fire what is due, and follow up what Stripe tells."""
        self.now += timedelta(**length)
        if not self._bank_waits:
            self.server.now = max(self.server.now, self.now)
        fired = self.fire()
        self.settle()
        return fired

    def poll(self) -> None:
        """Read Stripe's list of events, as the worker does, and follow up what is new there."""
        poll.poll(self.engine, self.desk.providers, self.now)
        self.sweep()

    def follow_dispute(self, ref: str) -> None:
        """Hear of a dispute before the sweep has asked Stripe for anything else."""
        chargebacks.follow(self.desk, self.platform_id, "stripe", ref, self.now)

    @contextmanager
    def bank_waits(self) -> Iterator[None]:
        """Let our time pass while the bank's stands still: it takes longer than we may hold."""
        self._bank_waits = True
        yield
        self._bank_waits = False
        self.settle()

    def times_told(self, kind: str) -> int:
        """How often the platform was told of something."""
        with db.transaction(self.engine, self.platform_id) as connection:
            return int(
                connection.scalar(
                    text("SELECT count(*) FROM service.event WHERE platform_id = :p AND type = :k"),
                    {"p": self.platform_id, "k": kind},
                )
                or 0
            )

    def refs(self, exchange: Exchange, kind: str) -> list[str]:
        """Stripe's names of the exchange's payments of one kind, oldest first."""
        with db.transaction(self.engine, self.platform_id) as connection:
            return list(
                connection.scalars(
                    text(
                        "SELECT provider_ref FROM service.payment WHERE platform_id = :p "
                        "AND exchange_id = :e AND kind = :k AND provider_ref IS NOT NULL "
                        "ORDER BY id"
                    ),
                    {"p": self.platform_id, "e": exchange.id, "k": kind},
                )
            )

    def outside(self, unit: str = "EUR") -> int:
        return -self.balance("provider:stripe", unit)

    def at_stripe(self, unit: str = "EUR") -> int:
        """What Stripe says that it holds for the platform, available and pending."""
        return self.stripe.held(self.platform_id).get(unit, 0)

    def reconcile(self) -> list[Run]:
        """Compare every day on which anything moved with Stripe's books, as if today were over."""
        tomorrow = datetime.combine(self.now.date() + timedelta(days=1), time(), UTC)
        self.ticks += 3600.0
        days = {line.at.date() for line in self.stripe.movements(self.platform_id, START, tomorrow)}
        with db.transaction(self.engine, self.platform_id) as connection:
            query = text("SELECT recorded_at FROM ledger.posting WHERE platform_id = :p")
            days |= {at.date() for at in connection.scalars(query, {"p": self.platform_id})}
        runs = []
        for day in sorted(day for day in days | {self.now.date()} if day < tomorrow.date()):
            self.ticks += 3600.0
            runs.append(
                reconcile.reconcile(self.engine, self.stripe, self.platform_id, day, tomorrow)
            )
        return runs

    def agree(self, own: int = 0) -> None:
        """Fail unless our books and Stripe's say the same, line by line, and every audit is clean.

        ``own``: what the platform put there itself; reconciliation books it.
        """
        unbooked = own - self.balance("platform:paid_out")
        assert self.outside() + unbooked == self.at_stripe()
        self.reconcile()
        assert self.differences() == []
        assert self.outside() == self.at_stripe()
        self.check()
        self.server.check()

    def differences(self) -> list[str]:
        """What reconciliation found and nothing has explained yet."""
        with db.transaction(self.engine, self.platform_id) as connection:
            found = resolutions.page(connection, self.platform_id, limit=100, open_=True)
        return [f"{row['kind']} {row['subject']}" for row in found if row["kind"] != "in_flight"]
