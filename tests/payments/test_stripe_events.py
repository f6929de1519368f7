"""Stripe's events: what each is about, and the list that fills what webhooks lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from service.db import SYSTEM, transaction
from service.payments import connections
from service.payments.poll import EVERY, FURTHEST, OVERLAP, poll
from service.payments.port import Event, ForgedEvent, Topic, own_payment
from service.payments.providers import Providers
from service.payments.stripe.events import PAYEE_TYPES, PLATFORM_TYPES, of_raw
from tests.payments.stripe_bench import PAYEES_SECRET, PLATFORM_SECRET, RETURN, StripeBench
from tests.payments.stripe_events import body, sign


class Told:
    """What arrived at the two endpoints and was taken."""

    def __init__(self, bench: StripeBench) -> None:
        self.bench = bench
        self.events: list[Event] = []
        for endpoint, secret in (("platform", PLATFORM_SECRET), ("payees", PAYEES_SECRET)):
            bench.server.add_endpoint(
                bench.account, f"http://{endpoint}", secret, connect=endpoint == "payees"
            )
        bench.server.on_event = self._receive

    def _receive(self, endpoint: Any, content: bytes, signature: str) -> int:
        name = endpoint.url.removeprefix("http://")
        provider, platform_id = self.bench.provider, self.bench.platform_id
        self.events.append(provider.read_event(platform_id, name, content, signature))
        return 200

    def now(self) -> dict[str, list[tuple[str, Topic]]]:
        """Deliver what waits; return, by type, the objects and topics of what came."""
        self.events.clear()
        self.bench.server.deliver()
        found: dict[str, list[tuple[str, Topic]]] = {}
        for one in self.events:
            found.setdefault(one.kind, []).append((one.object_ref, one.topic))
        return found


@pytest.fixture
def told(bench: StripeBench) -> Told:
    """Return what Stripe tells the two endpoints from now on."""
    return Told(bench)


def test_events_of_a_collection_name_its_payment_intent(bench: StripeBench, told: Told) -> None:
    paid = bench.collected()
    found = told.now()
    for kind in ("payment_intent.succeeded", "charge.succeeded"):
        assert found[kind] == [(paid.ref, Topic.PAYMENT)]
    failed = bench.provider.submit(bench.collect(method="pm_card_visa_chargeDeclined"))
    found = told.now()
    for kind in ("payment_intent.payment_failed", "charge.failed", "payment_intent.canceled"):
        assert found[kind] == [(failed.ref, Topic.PAYMENT)]
    bench.provider.submit(bench.collect(capture="manual"))
    assert "payment_intent.amount_capturable_updated" in told.now()
    bench.server.advance(days=8)
    assert "charge.expired" in told.now()


def test_events_of_stripe_s_page_name_the_session_or_our_row(
    bench: StripeBench, told: Told
) -> None:
    asked = bench.collect(method=None, hosted=True, return_url=RETURN)
    page = bench.provider.submit(asked)
    bench.server.pay_checkout(page.ref)
    found = told.now()
    assert found["checkout.session.completed"] == [(page.ref, Topic.PAYMENT)]
    for kind in ("payment_intent.succeeded", "charge.succeeded"):
        ((ref, topic),) = found[kind]
        assert (own_payment(ref), topic) == (asked.payment_id, Topic.PAYMENT)


def test_events_of_what_goes_out_name_the_refund_and_the_transfer(
    bench: StripeBench, told: Told
) -> None:
    paid = bench.collected()
    refund = bench.provider.submit(bench.refund(paid, 1_000))
    payout = bench.provider.submit(bench.payout(bench.payee(), 2_000))
    bench.provider.submit(bench.reversal(payout, 500))
    bench.server.fail_refund(refund.ref)
    found = told.now()
    for kind in ("refund.created", "refund.failed", "charge.refund.updated"):
        assert found[kind] == [(refund.ref, Topic.PAYMENT)], kind
    for kind in ("transfer.created", "transfer.reversed"):
        assert found[kind] == [(payout.ref, Topic.PAYMENT)], kind


def test_events_of_chargebacks_and_warnings_name_them(bench: StripeBench, told: Told) -> None:
    paid = bench.collected()
    warning, dispute = bench.server.warn(paid.ref), bench.server.dispute(paid.ref)
    bench.server.close_dispute(dispute, won=True)
    found = told.now()
    for kind in ("created", "funds_withdrawn", "closed", "funds_reinstated"):
        assert found[f"charge.dispute.{kind}"] == [(dispute, Topic.DISPUTE)], kind
    assert found["radar.early_fraud_warning.created"] == [(warning, Topic.WARNING)]


def test_events_of_payees_name_their_account_and_their_bank_payouts(
    bench: StripeBench, told: Told
) -> None:
    bench.server.top_up(bench.account, 50_000)
    payee = bench.payee()
    bench.provider.submit(bench.payout(payee, 8_000))
    found = told.now()
    assert set(found["account.updated"]) == {(payee, Topic.ACCOUNT)}
    assert set(found["capability.updated"]) == {(payee, Topic.ACCOUNT)}
    bench.server.advance(days=3)
    ((payout, topic),) = told.now()["payout.paid"]
    assert (payout[:3], topic) == ("po_", Topic.BANK)
    assert {one.account for one in told.events if one.topic is not Topic.PAYMENT} >= {payee}
    assert all(
        (one.account is not None) == (one.topic in {Topic.ACCOUNT, Topic.BANK})
        for one in told.events
        if one.topic is not Topic.OTHER
    )


def test_every_type_that_is_asked_for_has_a_topic_of_ours() -> None:
    def topic(kind: str, account: str | None) -> Topic:
        of = {"id": "x_1", "object": "any"}
        event = {"id": "evt_1", "object": "event", "type": kind, "created": 1, "account": account}
        return of_raw({**event, "data": {"object": of}}).topic

    for kind in PLATFORM_TYPES:
        assert topic(kind, None) in {Topic.PAYMENT, Topic.DISPUTE, Topic.WARNING}
        assert topic(kind, "acct_1") is Topic.OTHER
    for kind in PAYEE_TYPES:
        assert topic(kind, "acct_1") in {Topic.ACCOUNT, Topic.BANK}
        assert topic(kind, None) is Topic.OTHER
    assert topic("customer.created", None) is Topic.OTHER


def _broken() -> Iterator[dict[str, Any]]:
    whole: dict[str, Any] = {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": 1,
        "data": {"object": {"id": "pi_1", "object": "payment_intent"}},
    }
    for name in ("id", "object", "type", "created", "data"):
        yield {key: value for key, value in whole.items() if key != name}
    for name, value in (
        ("id", 7),
        ("id", "x" * 300),
        ("id", "a\x00b"),
        ("type", None),
        ("created", "soon"),
        ("created", 10**18),
        ("data", []),
        ("data", {"object": None}),
        ("data", {"object": {"object": "charge", "payment_intent": {}}}),
        ("data", {"object": {"object": "charge", "metadata": [1]}}),
        ("account", {"id": 1}),
    ):
        yield {**whole, name: value}


@pytest.mark.parametrize("event", list(_broken()), ids=range(16))
def test_a_signed_body_that_is_no_event_is_unreadable_and_never_a_crash(
    bench: StripeBench, event: dict[str, Any]
) -> None:
    content = json.dumps({**event, "livemode": False}).encode()
    signature = sign(content, bench.server.now, PLATFORM_SECRET)
    with pytest.raises(ForgedEvent) as refused:
        bench.provider.read_event(bench.platform_id, "platform", content, signature)
    assert refused.value.facts["reason"] in {"unreadable", "wrong_endpoint"}


def test_a_signature_is_as_old_as_the_adapter_s_own_clock_says(bench: StripeBench) -> None:
    content = body("payment_intent.succeeded", {"id": "pi_1"}, bench.server.now)
    signature = sign(content, bench.server.now, PLATFORM_SECRET)
    read = bench.provider.read_event
    bench.server.advance(seconds=300)
    assert read(bench.platform_id, "platform", content, signature).object_ref == "pi_1"
    bench.server.advance(seconds=1)
    with pytest.raises(ForgedEvent) as refused:
        read(bench.platform_id, "platform", content, signature)
    assert refused.value.facts["reason"] == "stale"


# The list of events


def test_the_list_has_what_webhooks_would_have_told(bench: StripeBench, told: Told) -> None:
    began = bench.server.now
    bench.server.top_up(bench.account, 50_000)
    paid = bench.collected()
    bench.provider.submit(bench.payout(bench.payee(), 2_000))
    bench.server.dispute(paid.ref)
    bench.server.advance(days=3)
    told.now()
    heard = {one.id: one for one in told.events if one.kind in {*PLATFORM_TYPES, *PAYEE_TYPES}}
    listed = {one.id: one for one in bench.provider.events_since(bench.platform_id, began)}
    assert listed == heard
    assert {Topic.PAYMENT, Topic.DISPUTE, Topic.ACCOUNT, Topic.BANK} <= {
        one.topic for one in listed.values()
    }


def test_the_list_begins_where_it_is_asked_to(bench: StripeBench) -> None:
    bench.collected()
    bench.server.advance(hours=2)
    late = bench.collected()
    events = bench.provider.events_since(bench.platform_id, bench.server.now)
    assert {one.object_ref for one in events} == {late.ref}


def _inbox(bench: StripeBench, platform_id: UUID | None = None) -> list[str]:
    with transaction(bench.engine, SYSTEM) as connection:
        rows = connection.execute(
            text("SELECT event_id FROM service.provider_event WHERE platform_id = :id"),
            {"id": platform_id or bench.platform_id},
        )
        return list(rows.scalars())


def _seen(bench: StripeBench) -> object:
    with transaction(bench.engine, bench.platform_id) as connection:
        found = connections.find(connection, bench.provider.vault, bench.platform_id)
    assert found is not None
    return found.events_seen_until


def _poll(bench: StripeBench, *others: UUID) -> int:
    """Poll, with no connections but these: other tests have left theirs."""
    with transaction(bench.engine, SYSTEM) as connection:
        connection.execute(
            text("DELETE FROM service.provider_connection WHERE platform_id <> ALL(:kept)"),
            {"kept": [bench.platform_id, *others]},
        )
    return poll(bench.engine, Providers(bench.provider), bench.server.now)


def test_a_poll_puts_what_was_lost_into_the_inbox_once(bench: StripeBench) -> None:
    bench.collected()
    bench.server.advance(hours=1)
    new = _poll(bench)
    assert new == len(_inbox(bench)) >= 2
    assert _seen(bench) == bench.server.now
    bench.server.now += EVERY
    assert _poll(bench) == 0
    assert len(_inbox(bench)) == new


def test_a_connection_is_not_polled_before_it_is_due(bench: StripeBench) -> None:
    bench.server.now += EVERY
    _poll(bench)
    asked = len(bench.server.requests)
    bench.server.advance(minutes=9)
    assert _poll(bench) == 0
    assert len(bench.server.requests) == asked


def test_an_event_that_was_listed_late_is_found_by_the_overlap(bench: StripeBench) -> None:
    bench.server.now += EVERY
    _poll(bench)
    mark = bench.server.now
    with transaction(bench.engine, bench.platform_id) as connection:
        connections.mark_events(connection, bench.platform_id, mark + timedelta(minutes=30))
    bench.collected()
    bench.server.now = mark + timedelta(minutes=30) + OVERLAP - timedelta(minutes=31)
    assert _poll(bench) >= 2


def test_a_poll_goes_back_no_further_than_stripe_remembers_and_says_so(
    bench: StripeBench,
) -> None:
    bench.collected()
    bench.server.advance(days=20)
    found = bench.collected()
    bench.server.now += FURTHEST - timedelta(days=19)
    with capture_logs() as told:
        _poll(bench)
    assert "events_out_of_reach" in {one["event"] for one in told}
    with transaction(bench.engine, SYSTEM) as connection:
        refs = connection.execute(
            text("SELECT object_ref FROM service.provider_event WHERE platform_id = :id"),
            {"id": bench.platform_id},
        ).scalars()
        assert set(refs) == {found.ref}


def test_a_connection_that_cannot_be_read_keeps_no_other_from_being_polled(
    bench: StripeBench, new_platform: Callable[[], UUID]
) -> None:
    broken = new_platform()
    bench.connect(broken, "sk_test_that_opens_nothing")
    before = _seen(bench)
    bench.collected()
    bench.server.now += EVERY
    with capture_logs() as told:
        assert _poll(bench, broken) >= 2
    assert "poll_put_off" in {one["event"] for one in told}
    assert _inbox(bench, broken) == []
    with transaction(bench.engine, SYSTEM) as connection:
        behind = dict(connections.unseen(connection, bench.server.now - EVERY))
    assert behind[broken] == before
