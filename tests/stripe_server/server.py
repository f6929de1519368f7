"""The server as a test holds it: accounts, clock, payers, banks, faults and webhooks."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from random import Random
from types import TracebackType
from typing import Any, Self

from tests.stripe_server import (
    attempts,
    checkout,
    connected,
    disputes,
    events,
    money,
    payouts,
    refunds,
    warnings,
    webhooks,
)
from tests.stripe_server.engine import Engine, Logged
from tests.stripe_server.errors import Obj
from tests.stripe_server.faults import Fault
from tests.stripe_server.http import Door
from tests.stripe_server.render import shown
from tests.stripe_server.store import Account, Fees, World
from tests.stripe_server.webhooks import Endpoint, Post, Webhooks


class StripeServer:
    """A Stripe-shaped server on 127.0.0.1; see the package's text."""

    def __init__(self, now: datetime | None = None, run: str | None = None) -> None:
        self.world = World(now, run)
        self._engine = Engine(self.world)
        self._webhooks = Webhooks(self.world)
        #: If set, `deliver` calls it (endpoint, body, signature) -> status instead of posting.
        self.on_event: Post | None = None
        self.world.on_event = self._webhooks.enqueue
        self.world.on_intent = checkout.follow
        self.world.on_paid = warnings.follow
        self.world.on_available = refunds.pay_waiting
        self._door = Door(self._engine)
        self.world.url = self._door.url

    # Life

    @property
    def url(self) -> str:
        """The base address, for ``base_addresses={"api": url, "files": url}``."""
        return self._door.url

    def start(self) -> Self:
        """Begin to serve."""
        self._door.start()
        return self

    def stop(self) -> None:
        """Stop serving.

        Raises:
            AssertionError: something broke inside, or a balance is not the sum of its lines.
        """
        self._engine.faults.clear()
        self._door.stop()
        self.check()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Prove the books of every account.

        Raises:
            AssertionError: something broke inside, or a balance is not the sum of its lines.
        """
        with self.world.lock:
            wrong = [line for one in self.world.accounts.values() for line in money.unbalanced(one)]
            problems = [*self._engine.errors, *wrong]
        assert not problems, "\n".join(problems)

    # Clock

    @property
    def now(self) -> datetime:
        """The server's clock."""
        return self.world.now

    @now.setter
    def now(self, when: datetime) -> None:
        self.world.run_until(when)

    def advance(self, **delta: float) -> datetime:
        """Move the clock by a timedelta's arguments; what is due happens on the way."""
        with self.world.lock:
            self.world.run_until(self.world.now + timedelta(**delta))
            return self.world.now

    # Accounts

    def add_account(
        self, *secret_keys: str, country: str = "FR", payout_interval: str = "manual"
    ) -> Account:
        """Add a platform's account with its secret keys."""
        with self.world.lock:
            ref = self.world.new_id("acct")
            account = connected.open_account(self.world, ref, country, None, payout_interval)
            for key in secret_keys:
                self.add_key(account, key)
            return account

    def add_key(self, account: Account, secret_key: str) -> None:
        """Let one more key open an account."""
        if secret_key in self.world.keys:
            raise ValueError("this key opens an account already")
        account.secret_keys.append(secret_key)
        self.world.keys[secret_key] = account

    def revoke_key(self, secret_key: str) -> None:
        """Let a key open nothing any more."""
        self.world.keys.pop(secret_key).secret_keys.remove(secret_key)

    def account(self, ref: str) -> Account:
        """Return an account, a platform's or a connected one."""
        return self.world.accounts[ref]

    def complete_onboarding(self, ref: str) -> None:
        """The payee answered everything that was asked."""
        with self.world.lock:
            connected.complete(self.world.accounts[ref])

    def require(self, ref: str, fields: list[str], deadline: datetime) -> None:
        """Ask a payee for more until a deadline; then nothing goes out any more."""
        with self.world.lock:
            connected.require(self.world.accounts[ref], fields, deadline)

    def disable(self, ref: str, reason: str = "rejected.fraud") -> None:
        """Close a payee's account to money."""
        with self.world.lock:
            connected.disable(self.world.accounts[ref], reason)

    def open_link(self, url: str) -> str:
        """Visit an account link; return its account.

        Raises:
            LookupError: unknown, used before, or too old.
        """
        with self.world.lock:
            for account in list(self.world.accounts.values()):
                if url in account.table("account_link"):
                    return connected.open_link(account, url)
        raise LookupError(f"the account link {url} cannot be used (any more)")

    # Objects, balances

    def _owner(self, ref: str) -> tuple[Account, Obj]:
        for account in self.world.accounts.values():
            found = account.find(ref)
            if found is not None:
                return account, found
        raise LookupError(f"no such object: {ref}")

    def object(self, ref: str) -> Obj:
        """Return any object as it is now, whoever's it is."""
        with self.world.lock:
            return shown(*self._owner(ref))

    def objects(self, account: Account, kind: str) -> list[Obj]:
        """Return all objects of one kind (``payment_intent``, ...), oldest first."""
        with self.world.lock:
            return [shown(account, row) for row in account.table(kind).values()]

    def balance(self, account: Account | str, currency: str = "eur") -> tuple[int, int]:
        """Return (available, pending) in minor units."""
        with self.world.lock:
            one = self.world.accounts[account] if isinstance(account, str) else account
            funds = one.fund(currency)
            return funds.available, funds.pending

    def top_up(self, account: Account, amount: int, currency: str = "eur") -> None:
        """Put money on a balance that no payment brought; negative takes it away."""
        with self.world.lock:
            money.book(account, "topup" if amount > 0 else "adjustment", amount, currency, None)

    @property
    def fees(self) -> Fees:
        """What the provider takes; a test may change it."""
        return self.world.fees

    # Payers and banks

    def act(self, intent: str, succeed: bool = True) -> Obj:
        """The payer authenticates, or does not, where a payment waits for it."""
        with self.world.lock:
            account, found = self._owner(intent)
            attempts.act(account, found, succeed)
            return shown(account, found)

    def pay_checkout(self, session: str, payment_method: str = "pm_card_visa") -> Obj:
        """The payer pays on the hosted page; return the payment intent that came of it.

        A declined method leaves the session open; a 3-D Secure one asks for `act`.
        """
        with self.world.lock:
            account, found = self._owner(session)
            return shown(account, checkout.pay(account, found, payment_method))

    def fail_refund(self, refund: str, failure_reason: str = "lost_or_stolen_card") -> None:
        """The payer's bank sends a refund back."""
        with self.world.lock:
            account, found = self._owner(refund)
            refunds.fail(account, found, failure_reason)

    def fail_payout(self, payout: str, failure_code: str = "account_closed") -> None:
        """The payee's bank sends a payout back."""
        with self.world.lock:
            account, found = self._owner(payout)
            payouts.fail(account, found, failure_code)

    def _charge(self, ref: str) -> tuple[Account, Obj]:
        account, found = self._owner(ref)
        if found["object"] == "payment_intent":
            found = account.table("charge")[found["latest_charge"]]
        return account, found

    def dispute(
        self,
        charge: str,
        amount: int | None = None,
        reason: str = "fraudulent",
        inquiry: bool = False,
    ) -> str:
        """The payer's bank takes ``amount`` (or all) back; return the dispute.

        ``charge`` may be a payment intent. An inquiry moves no money yet.

        Raises:
            ValueError: there is not so much left to take.
        """
        with self.world.lock:
            account, found = self._charge(charge)
            made = disputes.start(account, found, amount, reason, inquiry=inquiry)
            return str(made["id"])

    def close_dispute(self, dispute: str, *, won: bool, amount: int | None = None) -> None:
        """Decide a dispute; ``amount``: only this part comes back."""
        with self.world.lock:
            account, found = self._owner(dispute)
            disputes.close(account, found, won=won, amount=amount)

    def escalate(self, dispute: str) -> None:
        """An inquiry becomes a chargeback."""
        with self.world.lock:
            disputes.escalate(*self._owner(dispute))

    def warn(self, charge: str, fraud_type: str = "made_with_stolen_card") -> str:
        """The card's network warns of fraud; return the warning."""
        with self.world.lock:
            account, found = self._charge(charge)
            return str(warnings.warn(account, found, fraud_type)["id"])

    # Webhooks

    def add_endpoint(
        self,
        account: Account,
        url: str,
        secret: str,
        connect: bool = False,
        extra_secrets: tuple[str, ...] = (),
        enabled_events: tuple[str, ...] = ("*",),
    ) -> Endpoint:
        """Send events there from now on: own ones, or (``connect``) connected accounts' ones."""
        with self.world.lock:
            secrets = (secret, *extra_secrets)
            ref = self.world.new_id("we")
            made = Endpoint(ref, account, url, secrets, connect, enabled_events)
            self._webhooks.endpoints.append(made)
            return made

    def remove_endpoint(self, endpoint: Endpoint) -> None:
        """Send nothing there any more, not even what waits."""
        with self.world.lock:
            hooks = self._webhooks
            hooks.endpoints.remove(endpoint)
            hooks.queue = [row for row in hooks.queue if row.endpoint is not endpoint]

    def deliver(
        self,
        order: str = "fifo",
        duplicate: float = 0.0,
        drop: float = 0.0,
        delay: float = 0.0,
        rng: Random | None = None,
    ) -> list[tuple[str, int]]:
        """Deliver what waits; return (event, status) of each try, 0 where nobody answered.

        ``duplicate``, ``drop`` and ``delay`` are chances per delivery: sent twice, lost for good,
        left for a later call. What is not answered by 2xx is tried again by a later call.
        """
        with self.world.lock:
            chosen = self._webhooks.choose(order, duplicate, drop, delay, rng or Random(0))
        send = self.on_event or webhooks.post
        return [(one.event["id"], self._webhooks.send(one, send)) for one in chosen]

    @property
    def undelivered(self) -> int:
        """How many deliveries wait."""
        return len(self._webhooks.queue)

    @property
    def lost(self) -> list[str]:
        """The events that some endpoint will never get."""
        return [one.event["id"] for one in self._webhooks.lost]

    def events(self, account: Account, kind: str = "*") -> list[Obj]:
        """Return an account's events, oldest first; ``kind`` may end with a star."""
        rows = self.objects(account, "event")
        return [row for row in rows if events.matches(kind, row["type"])]

    def signed(
        self, event: Obj | bytes | str, secret: str, at: datetime | None = None
    ) -> tuple[bytes, str]:
        """Return (body, header) of an event (an id, an object or raw bytes) signed by hand."""
        with self.world.lock:
            what: Any = shown(*self._owner(event)) if isinstance(event, str) else event
            body = what if isinstance(what, bytes) else json.dumps(what).encode()
            second = int((at or self.world.now).timestamp())
            return body, webhooks.sign(body, (secret,), second)

    # Faults, log

    def fault(
        self,
        path_prefix: str,
        kind: str,
        times: int = 1,
        *,
        skip: int = 0,
        method: str | None = None,
    ) -> Fault:
        """Order a fault for the next requests to a path; see `faults.KINDS`."""
        with self.world.lock:
            return self._engine.faults.order(path_prefix, kind, times, skip, method)

    def release(self) -> None:
        """Let the requests that hang go on."""
        self._engine.faults.release()

    def clear_faults(self) -> None:
        """Forget every fault that was ordered."""
        with self.world.lock:
            self._engine.faults.clear()

    @property
    def requests(self) -> list[Logged]:
        """Every request so far: (method, path, params, idempotency_key, account)."""
        return self._engine.requests
