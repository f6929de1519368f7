"""An independent cross-check: our client and event reader against localstripe.

Our Stripe-shaped server and our adapter come from the same hands; localstripe does not. It knows
PaymentIntents, refunds and signed webhooks, and none of transfers, accounts, disputes or Checkout,
and it takes neither ``transfer_group`` nor ``automatic_payment_methods``: so what is checked here
is the client as we configure it, the errors, and what we read from objects and events.

localstripe is free software under the GPL, run as a program of its own and never imported.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import Any, Final

import httpx
import pytest
from pydantic import SecretStr

from service.ids import uuid7
from service.payments.connected import Connected, WebhookSecret
from service.payments.port import ForgedEvent, ProviderRefused, Status, Topic
from service.payments.stripe import events
from service.payments.stripe.client import Account, Clients
from service.payments.stripe.objects import has_failed, of_refund

SECRET: Final = "whsec_of_a_cross_check"
#: Its own command listens on every address and keeps its objects in a file for all.
_LAUNCH: Final = """
import socket
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda self: None
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
web.run_app(server.app, sock=listener, print=None)
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Run localstripe on a free port of this machine."""
    command = [sys.executable, "-c", _LAUNCH]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def account(url: str) -> Iterator[Account]:
    """Return our client, as the adapter makes it."""
    now = datetime.now(UTC)
    secret = (WebhookSecret(SecretStr(SECRET)),)
    key = SecretStr("sk_test_cross_check")
    connected = Connected(
        uuid7(), "stripe", "sandbox", None, key, None, secret, (), now, now, None, 1
    )
    clients = Clients(url)
    yield clients.of(connected)
    clients.close()


@pytest.fixture
def hook(url: str) -> Iterator[Queue[tuple[bytes, str]]]:
    """Return what arrives at a webhook endpoint."""
    arrived: Queue[tuple[bytes, str]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.put((body, self.headers["Stripe-Signature"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    target = f"http://127.0.0.1:{server.server_address[1]}/"
    told = httpx.post(f"{url}/_config/webhooks/ours", data={"url": target, "secret": SECRET})
    assert told.status_code == 200
    yield arrived
    server.shutdown()
    server.server_close()
    thread.join()


def _pay(account: Account, number: str, **more: Any) -> Any:
    """Create a card and a PaymentIntent with it, and confirm it."""
    card: Any = {"number": number, "exp_month": 12, "exp_year": 2034, "cvc": "123"}
    with account.asking():
        method = account.api.payment_methods.create({"type": "card", "card": card})
        params: Any = {"amount": 6500, "currency": "eur", "payment_method": method.id, **more}
        made = account.api.payment_intents.create(params, {"idempotency_key": str(uuid7())})
        return account.api.payment_intents.confirm(made.id)


def test_a_card_is_charged(account: Account) -> None:
    paid = _pay(account, "4242424242424242", metadata={"tierce_payment": "1"})
    assert (paid.status, paid.amount, paid.currency) == ("succeeded", 6500, "eur")
    assert paid.metadata.tierce_payment == "1"
    assert not has_failed(paid)


def test_a_decline_is_refused_with_our_code(account: Account) -> None:
    with pytest.raises(ProviderRefused) as refused:
        _pay(account, "4000000000000341")
    assert refused.value.failure == "card_declined"


def test_a_card_that_wants_its_payer_waits_for_them(account: Account) -> None:
    waiting = _pay(account, "4000002500003155")
    assert waiting.status == "requires_action"
    with account.asking():
        assert account.api.payment_intents.cancel(waiting.id).status == "canceled"


def test_an_authorisation_is_taken(account: Account) -> None:
    held = _pay(account, "4242424242424242", capture_method="manual")
    assert held.status == "requires_capture"
    with account.asking():
        taken = account.api.payment_intents.capture(held.id, {"amount_to_capture": 6500})
    assert taken.status == "succeeded"


def test_a_refund_is_read_as_ours(account: Account) -> None:
    paid = _pay(account, "4242424242424242")
    with account.asking():
        made = account.api.refunds.create({"payment_intent": paid.id, "amount": 2500})
        read = account.api.refunds.retrieve(made.id)
    seen = of_refund(read)
    assert (seen.ref, seen.kind, seen.status) == (made.id, "refund", Status.SUCCEEDED)
    assert (seen.amount, seen.unit) == (2500, "EUR")


def test_what_is_not_there_is_unknown(account: Account) -> None:
    with pytest.raises(ProviderRefused), account.asking():
        account.api.payment_intents.retrieve("pi_of_nobody")


def test_a_signed_webhook_is_read_and_a_changed_one_refused(
    account: Account, hook: Queue[tuple[bytes, str]]
) -> None:
    paid = _pay(account, "4242424242424242")
    told = None
    while told is None or told.object_ref != paid.id:  # what was paid before is told as well
        body, signature = hook.get(timeout=30)
        now = datetime.now(UTC)
        told = events.read(account.connected, "platform", body, signature, now)
    assert told.kind == "payment_intent.succeeded"
    assert (told.topic, told.account) == (Topic.PAYMENT, None)
    with pytest.raises(ForgedEvent):
        events.read(account.connected, "platform", body + b" ", signature, now)
