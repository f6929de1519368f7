"""Webhook endpoints, and deliveries that a test holds in its hand."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit

from tests.stripe_server.errors import Obj
from tests.stripe_server.events import matches
from tests.stripe_server.lists import listed
from tests.stripe_server.params import (
    PAGE,
    Need,
    Spec,
    address,
    boolean,
    listing,
    metadata,
    text,
)
from tests.stripe_server.params import merged as merged_metadata
from tests.stripe_server.render import shown
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import Account, World

#: Failed deliveries are tried again for so long.
TRIED_SECONDS = 3 * 86_400


@dataclass(frozen=True)
class Endpoint:
    """Where events go: the account's own ones, or (``connect``) its connected accounts' ones."""

    id: str
    account: Account
    url: str
    secrets: tuple[str, ...]
    connect: bool
    enabled: tuple[str, ...] = ("*",)

    def wants(self, account: Account, event: Obj) -> bool:
        """Whether an event of ``account`` goes here."""
        owner = account.platform if self.connect else account
        listens = any(matches(pattern, event["type"]) for pattern in self.enabled)
        return owner is self.account and listens


@dataclass
class Delivery:
    """One event on its way to one endpoint."""

    account: Account
    event: Obj
    endpoint: Endpoint
    attempts: int = 0


def sign(body: bytes, secrets: tuple[str, ...], at: int) -> str:
    """Return the ``Stripe-Signature`` header of ``body`` at a Unix second, one v1 per secret."""
    words = [f"t={at}"]
    for secret in secrets:
        mac = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
        words.append(f"v1={mac.hexdigest()}")
    return ",".join(words)


Post = Callable[[Endpoint, bytes, str], int]


def post(endpoint: Endpoint, body: bytes, header: str) -> int:
    """Send one delivery; return the status, 0 if there was no answer."""
    parts = urlsplit(endpoint.url)
    path = parts.path or "/"
    link = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=10)
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": header,
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    try:
        link.request("POST", f"{path}?{parts.query}" if parts.query else path, body, headers)
        answer = link.getresponse()
        answer.read()
    except OSError:
        return 0
    else:
        return answer.status
    finally:
        link.close()


@dataclass
class Webhooks:
    """The queue of deliveries; ``post`` is how one is sent."""

    world: World
    endpoints: list[Endpoint] = field(default_factory=list)
    queue: list[Delivery] = field(default_factory=list)
    #: Deliveries that were dropped: the provider gave up on them.
    lost: list[Delivery] = field(default_factory=list)

    def enqueue(self, account: Account, event: Obj) -> None:
        """Put a new event on its way to everybody who listens."""
        for endpoint in self._all():
            if endpoint.wants(account, event):
                self.queue.append(Delivery(account, event, endpoint))
                event["pending_webhooks"] += 1

    def _all(self) -> list[Endpoint]:
        made = [
            _endpoint(account, row)
            for account in self.world.accounts.values()
            for row in account.table("webhook_endpoint").values()
            if row["status"] == "enabled"
        ]
        return [*self.endpoints, *made]

    def choose(
        self, order: str, duplicate: float, drop: float, delay: float, rng: Random
    ) -> list[Delivery]:
        """Take from the queue what is delivered now, in the order in which it is."""
        chosen: list[Delivery] = []
        kept: list[Delivery] = []
        for delivery in self.queue:
            if delivery.event["created"] + TRIED_SECONDS < self.world.ts or rng.random() < drop:
                self.lost.append(delivery)
            elif rng.random() < delay:
                kept.append(delivery)
            else:
                chosen.append(delivery)
        self.queue = kept
        chosen += [delivery for delivery in chosen if rng.random() < duplicate]
        if order == "random":
            rng.shuffle(chosen)
        elif order == "lifo":
            chosen.reverse()
        elif order != "fifo":
            raise ValueError(f"order is fifo, lifo or random, not {order}")
        return chosen

    def send(self, delivery: Delivery, send: Post) -> int:
        """Deliver once; a failed one stays in the queue for a later time."""
        with self.world.lock:
            body = json.dumps(shown(delivery.account, delivery.event), indent=2).encode()
            header = sign(body, delivery.endpoint.secrets, self.world.ts)
            delivery.attempts += 1
        status = send(delivery.endpoint, body, header)
        with self.world.lock:
            waits = delivery in self.queue
            if 200 <= status < 300:
                left = delivery.event["pending_webhooks"]
                delivery.event["pending_webhooks"] = max(0, left - 1)
            elif not waits:
                self.queue.append(delivery)
        return status


def _endpoint(account: Account, row: Obj) -> Endpoint:
    enabled = tuple(row["enabled_events"])
    return Endpoint(row["id"], account, row["url"], (row["_secret"],), row["_connect"], enabled)


def create(call: Call) -> Obj:
    """Listen at an address; only this answer tells the secret."""
    world, params = call.world, call.params
    endpoint: Obj = {
        "id": world.new_id("we"),
        "object": "webhook_endpoint",
        "api_version": params.get("api_version"),
        "application": None,
        "created": world.ts,
        "description": params.get("description"),
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata")),
        "status": "enabled",
        "url": params["url"],
        "_connect": params.get("connect", False),
        "_secret": world.new_id("whsec"),
    }
    call.account.add(endpoint)
    return {**endpoint, "secret": endpoint["_secret"]}


def retrieve(call: Call) -> Obj:
    """Return an endpoint, without its secret."""
    return call.account.get("webhook_endpoint", call.ids["id"])


def delete(call: Call) -> Obj:
    """Stop listening."""
    endpoint = retrieve(call)
    del call.account.table("webhook_endpoint")[endpoint["id"]]
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def list_endpoints(call: Call) -> Obj:
    """List endpoints, newest first."""
    return listed(call, "webhook_endpoint")


_CREATE: Spec = {
    "url": Need(address),
    "enabled_events": Need(listing(text)),
    "api_version": text,
    "connect": boolean,
    "description": text,
    "metadata": metadata,
}
_PATH = "/v1/webhook_endpoints"

ROUTES = [
    Route("POST", _PATH, create, _CREATE),
    Route("GET", _PATH, list_endpoints, PAGE),
    Route("GET", f"{_PATH}/{{id}}", retrieve, {}),
    Route("DELETE", f"{_PATH}/{{id}}", delete, {}),
]
