"""Events and webhooks of the Stripe-shaped server: signed, hostile when asked to be."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from random import Random
from typing import Any

import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.payments.shop import Shop, open_shop
from tests.stripe_server import Endpoint

SECRET, OLD = "whsec_now", "whsec_before"
ANY_AGE = 10**9


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A platform on a fresh server."""
    with open_shop() as made:
        yield made


def catch(shop: Shop, statuses: list[int] | None = None) -> list[tuple[Endpoint, bytes, str]]:
    """Receive deliveries without HTTP; answer with the statuses in turn, then 200."""
    caught: list[tuple[Endpoint, bytes, str]] = []
    left = list(statuses or [])

    def receive(endpoint: Endpoint, body: bytes, header: str) -> int:
        caught.append((endpoint, body, header))
        return left.pop(0) if left else 200

    shop.server.on_event = receive
    return caught


def refs(caught: list[tuple[Endpoint, bytes, str]]) -> list[str]:
    """Return the events that came, in order."""
    return [json.loads(body)["id"] for _, body, _ in caught]


@contextmanager
def listener(status: int) -> Iterator[tuple[str, list[tuple[str, bytes, str]]]]:
    """Listen over HTTP; yield the address and what came to it."""
    came: list[tuple[str, bytes, str]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.append((self.path, body, self.headers["Stripe-Signature"]))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
            pass

    server = HTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/hooks?of=1", came
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_events_go_over_http_and_their_signature_holds(shop: Shop) -> None:
    with listener(200) as (url, came):
        shop.server.add_endpoint(shop.platform, url, SECRET)
        shop.pay(900)
        tries = shop.server.deliver()
    assert [status for _, status in tries] == [200, 200, 200]
    assert [path for path, _, _ in came] == ["/hooks?of=1"] * 3
    for _, body, header in came:
        event = stripe.Webhook.construct_event(body, header, SECRET, tolerance=ANY_AGE)
        assert event.livemode is False
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body + b" ", header, SECRET, tolerance=ANY_AGE)
    assert shop.server.deliver() == []


def test_a_delivery_that_fails_is_tried_again_for_three_days(shop: Shop) -> None:
    shop.server.add_endpoint(shop.platform, "http://127.0.0.1:9/nobody", SECRET)
    with listener(500) as (url, came):
        shop.server.add_endpoint(shop.platform, url, SECRET)
        shop.pay(900)
        assert sorted(status for _, status in shop.server.deliver()) == [0, 0, 0, 500, 500, 500]
        assert len(shop.server.deliver()) == len(came) == 6
    assert shop.server.undelivered == 6
    shop.server.advance(days=3, seconds=1)
    own = [event["id"] for event in shop.server.events(shop.platform, "payment_intent.*")]
    tried = {ref for ref, _ in shop.server.deliver()}
    assert not tried & set(own)
    assert set(shop.server.lost) >= set(own)


def test_a_delivery_may_fail_once_and_come_later(shop: Shop) -> None:
    caught = catch(shop, [503])
    shop.server.add_endpoint(shop.platform, "http://unused", SECRET)
    shop.client.v1.payment_intents.create({"amount": 900, "currency": "eur"})
    event = shop.server.events(shop.platform)[0]
    assert event["pending_webhooks"] == 1
    assert shop.server.deliver() == [(event["id"], 503)]
    assert shop.server.deliver() == [(event["id"], 200)]
    assert shop.client.v1.events.retrieve(event["id"]).pending_webhooks == 0
    assert refs(caught) == [event["id"]] * 2


def test_each_endpoint_gets_its_own_accounts_events(shop: Shop) -> None:
    caught = catch(shop)
    stranger = shop.server.add_account("sk_test_stranger")
    shop.server.add_endpoint(stranger, "http://stranger", SECRET)
    shop.server.add_endpoint(shop.platform, "http://own", SECRET)
    shop.server.add_endpoint(shop.platform, "http://payees", SECRET, connect=True)
    payee = shop.payee()
    shop.pay(900)
    shop.server.deliver()
    by_url: dict[str, list[Any]] = {}
    for endpoint, body, _ in caught:
        by_url.setdefault(endpoint.url, []).append(json.loads(body))
    assert by_url.keys() == {"http://own", "http://payees"}
    assert {event["account"] for event in by_url["http://payees"]} == {payee}
    assert "account.updated" in {event["type"] for event in by_url["http://payees"]}
    assert not any("account" in event for event in by_url["http://own"])
    assert {event["type"] for event in by_url["http://own"]} == set(shop.told())


def test_an_endpoint_listens_only_to_what_it_names(shop: Shop) -> None:
    caught = catch(shop)
    made = shop.client.v1.webhook_endpoints.create(
        {"url": "http://named", "enabled_events": ["charge.succeeded"]}
    )
    assert made.secret is not None
    listed = shop.client.v1.webhook_endpoints.list().data
    assert [("secret" in row, row.url) for row in listed] == [(False, "http://named")]
    shop.pay(900)
    assert len(shop.server.deliver()) == 1
    _, body, header = caught[0]
    stripe.Webhook.construct_event(body, header, made.secret, tolerance=ANY_AGE)
    shop.client.v1.webhook_endpoints.delete(made.id)
    shop.pay(900)
    assert shop.server.deliver() == []


def test_while_a_secret_is_replaced_both_sign(shop: Shop) -> None:
    caught = catch(shop)
    shop.server.add_endpoint(shop.platform, "http://own", SECRET, extra_secrets=(OLD,))
    shop.pay(900)
    shop.server.deliver()
    for _, body, header in caught:
        for secret in (SECRET, OLD):
            stripe.Webhook.construct_event(body, header, secret, tolerance=ANY_AGE)
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body, header, "whsec_foreign", tolerance=ANY_AGE)


def test_events_can_be_signed_by_hand_at_any_time(shop: Shop) -> None:
    shop.pay(900)
    event = shop.server.events(shop.platform)[-1]
    body, header = shop.server.signed(event["id"], SECRET)
    assert json.loads(body) == event
    stripe.Webhook.construct_event(body, header, SECRET, tolerance=ANY_AGE)
    early = shop.server.now.replace(year=2020)
    body, header = shop.server.signed(b'{"object": "event"}', SECRET, at=early)
    assert header.startswith(f"t={int(early.timestamp())},v1=")
    with pytest.raises(stripe.SignatureVerificationError, match="imestamp"):
        stripe.Webhook.construct_event(body, header, SECRET)


def test_the_list_of_events_fills_the_gap_of_lost_webhooks(shop: Shop) -> None:
    catch(shop)
    shop.server.add_endpoint(shop.platform, "http://own", SECRET)
    since = int(shop.server.now.timestamp())
    shop.pay(900)
    assert shop.server.deliver(drop=1.0) == []
    assert len(shop.server.lost) == 3
    assert shop.server.deliver() == []
    read = shop.client.v1.events.list
    assert len(read({"delivery_success": False}).data) == 3
    assert read({"delivery_success": True}).data == []
    told = [row.id for row in read({"created": {"gte": since}}).auto_paging_iter()]
    assert told[::-1] == shop.server.lost
    assert [row.type for row in read({"types": ["charge.succeeded"]}).data] == ["charge.succeeded"]
    assert {row.type for row in read({"type": "payment_intent.*"}).data} == {
        "payment_intent.created",
        "payment_intent.succeeded",
    }


def test_events_are_kept_for_thirty_days(shop: Shop) -> None:
    shop.client.v1.payment_intents.create({"amount": 900, "currency": "eur"})
    event = shop.server.events(shop.platform)[0]["id"]
    shop.server.advance(days=29, hours=23)
    assert shop.client.v1.events.retrieve(event).id == event
    shop.server.advance(hours=1)
    assert list(shop.client.v1.events.list()) == []
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        shop.client.v1.events.retrieve(event)
    assert refusal.value.http_status == 404


def test_an_event_shows_its_object_as_it_was_and_names_its_request(shop: Shop) -> None:
    asked: Any = {"amount": 900, "currency": "eur"}
    made = shop.client.v1.payment_intents.create(asked, {"idempotency_key": "k"})
    shop.client.v1.payment_intents.cancel(made.id)
    first, last = shop.server.events(shop.platform)
    assert first["data"]["object"]["status"] == "requires_payment_method"
    assert last["data"]["object"]["status"] == "canceled"
    assert first["request"]["idempotency_key"] == "k"
    assert first["request"]["id"].startswith("req_")
    assert first["api_version"] == "2026-10-28.endive"
    shop.pay(900)
    shop.server.advance(days=2)
    by_clock = shop.server.events(shop.platform, "balance.available")[0]
    assert by_clock["request"] == {"id": None, "idempotency_key": None}


def test_an_update_tells_what_was_before(shop: Shop) -> None:
    refund = shop.refund(shop.pay(900).id, amount=800)
    shop.server.advance(days=2)
    (updated,) = shop.server.events(shop.platform, "refund.updated")
    assert updated["data"]["object"]["id"] == refund.id
    assert updated["data"]["previous_attributes"]["status"] == "pending"


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    order=st.sampled_from(["fifo", "lifo", "random"]),
    chances=st.tuples(*[st.sampled_from([0.0, 0.3, 0.9])] * 3),
)
def test_hostile_deliveries_lose_only_what_they_say_and_can_be_repeated(
    seed: int, order: str, chances: tuple[float, float, float]
) -> None:
    duplicate, drop, delay = chances
    runs: list[list[int]] = []
    for _ in range(2):
        with open_shop(run="0") as shop:
            caught = catch(shop)
            shop.server.add_endpoint(shop.platform, "http://own", SECRET)
            shop.pay(900)
            shop.pay(900, "pm_sepaDebit_ok")
            all_refs = [event["id"] for event in shop.server.events(shop.platform)]
            rng = Random(seed)
            for _ in range(3):
                shop.server.deliver(order, duplicate, drop, delay, rng)
            shop.server.deliver()
            assert shop.server.undelivered == 0
            assert set(refs(caught)) | set(shop.server.lost) == set(all_refs)
            assert not set(refs(caught)) & set(shop.server.lost)
            if order == "fifo" and (duplicate, delay) == (0.0, 0.0):
                assert refs(caught) == [ref for ref in all_refs if ref not in shop.server.lost]
            runs.append([all_refs.index(ref) for ref in refs(caught)])
    assert runs[0] == runs[1]
