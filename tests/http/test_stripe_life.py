"""The main job with real payments, all of it through the API: a platform, two members, Stripe.

The API, the webhooks and the Stripe-shaped server are spoken to over HTTP; the sweep is the
worker's.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from ledger.accounts import balances
from service import books, clock
from service.app import create_app
from service.config import Settings
from service.db import SYSTEM, transaction
from service.exchanges import sweep
from service.exchanges.desk import Desk, make_desk
from service.ids import encode
from service.payments import poll
from service.platforms import keys
from service.platforms.scopes import SCOPES
from tests.http.client import Api, Server
from tests.stripe_server import Endpoint, StripeServer


class Shop:
    """A platform that lives on the API and its Stripe account."""

    def __init__(self, api: Api, platform_id: UUID, desk: Desk, server: StripeServer) -> None:
        self.api, self.platform_id, self.desk, self.server = api, platform_id, desk, server
        self.secret_key = f"sk_test_{platform_id.hex}"
        self.account = server.add_account(self.secret_key)
        server.top_up(self.account, 10_000)
        self.lost = False
        public = encode("platform", platform_id)
        for name, secret in (("events", "whsec_own_endpoint"), ("payee-events", "whsec_payees")):
            url = f"http://tierce.test/v1/providers/stripe/{public}/{name}"
            server.add_endpoint(self.account, url, secret, connect=name == "payee-events")
        server.on_event = self._post

    def _post(self, endpoint: Endpoint, body: bytes, signature: str) -> int:
        if self.lost:
            return 503
        path = endpoint.url.removeprefix("http://tierce.test")
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature}
        return self.api.server.send("POST", path, content=body, headers=headers).status_code

    def go_on(self) -> None:
        """Let Stripe tell what it has to tell and the worker do what is due."""
        for _ in range(4):
            sweep.run(self.desk, clock.now())
            self.server.now = max(self.server.now, clock.now())
            self.server.deliver()
            sweep.run(self.desk, clock.now())

    def member(self, *, paid: bool = False) -> str:
        member = str(self.api.member()["id"])
        if paid:
            account = f"/v1/members/{member}/payout-account"
            self.api.send("PUT", account, {"country": "FR"}).raise_for_status()
            ref = self.api.read(account)["provider_ref"]
            self.server.complete_onboarding(ref)
            self.go_on()
            assert self.api.read(account)["ready"] is True
        return member

    def step(self, exchange: str, name: str, member: str, **body: Any) -> Any:
        path = f"/v1/exchanges/{exchange}/{name}"
        answer = self.api.send("POST", path, {"member": member, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def payments(self, exchange: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for one in self.api.read(f"/v1/exchanges/{exchange}/payments")["data"]:
            found.setdefault(one["kind"], []).append(one["state"])
        return found

    def agrees(self) -> None:
        """Fail unless the books hold and say what Stripe says."""
        with transaction(self.desk.engine, self.platform_id) as connection:
            found = balances(connection, self.platform_id, ["provider:stripe"])
            ours = {line.unit: -line.balance for line in found}
        theirs = self.desk.providers["stripe"].held(self.platform_id)
        assert {unit: amount for unit, amount in ours.items() if amount} == {
            unit: amount
            for unit, amount in {**theirs, "EUR": theirs["EUR"] - 10_000}.items()
            if amount
        }
        assert books.prove(self.desk.engine, self.platform_id).problems == []


@pytest.fixture(scope="module")
def stripe_server() -> Iterator[StripeServer]:
    with StripeServer(now=datetime.now(UTC)) as server:
        yield server


@pytest.fixture(scope="module")
def connected_server(app_settings: Settings, stripe_server: StripeServer) -> Iterator[Server]:
    server = Server(
        create_app(app_settings.model_copy(update={"stripe_api_base": stripe_server.url}))
    )
    yield server
    server.close()


@pytest.fixture
def shop(
    connected_server: Server,
    engine: Engine,
    app_settings: Settings,
    platform_id: UUID,
    stripe_server: StripeServer,
) -> Shop:
    with transaction(engine, SYSTEM) as connection:
        _key, secret = keys.create(
            connection, platform_id, "sandbox", "A test", SCOPES, datetime.now(UTC)
        )
    assert app_settings.code_key is not None
    desk = make_desk(engine, app_settings.code_key.get_secret_value(), clock.now, stripe_server.url)
    made = Shop(Api(connected_server, secret), platform_id, desk, stripe_server)
    body = {
        "secret_key": made.secret_key,
        "webhook_secret": "whsec_own_endpoint",
        "payee_webhook_secret": "whsec_payees",
    }
    assert made.api.send("PUT", "/v1/provider-connections/stripe", body).status_code == 200
    return made


def sale(shop: Shop, payer: str, payee: str, **more: Any) -> str:
    body = {
        "kind": "sale",
        "title": "A bicycle",
        "payer": payer,
        "payee": payee,
        "legs": [{"amount": {"amount": 6_500, "unit": "EUR"}}],
        "both_agreed": True,
        **more,
    }
    return str(shop.api.made("/v1/exchanges", body)["id"])


def test_fund_confirm_release_and_payout_through_the_api(shop: Shop) -> None:
    payer, payee = shop.member(), shop.member(paid=True)
    exchange = sale(shop, payer, payee, fee={"basis_points": 200, "borne_by": "payee"})
    assert shop.api.read(f"/v1/exchanges/{exchange}")["payout"]["ready"] is True
    shop.step(exchange, "fund", payer, payment_method="pm_card_bypassPending")
    shop.go_on()
    assert shop.api.read(f"/v1/exchanges/{exchange}")["state"] == "active"
    for member in (payer, payee):
        shop.step(exchange, "confirm", member, checkpoint="handover")
    shop.go_on()
    assert shop.payments(exchange) == {"collect": ["succeeded"], "payout": ["succeeded"]}
    assert shop.api.read(f"/v1/exchanges/{exchange}")["reversible_until"] is not None
    shop.agrees()


def test_the_payer_pays_on_stripes_page_and_is_refunded_by_agreement(shop: Shop) -> None:
    payer, payee = shop.member(), shop.member(paid=True)
    exchange = sale(shop, payer, payee)
    refused = shop.api.send(
        "POST", f"/v1/exchanges/{exchange}/fund", {"member": payer, "hosted": True}
    )
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/return_url")
    shop.step(exchange, "fund", payer, hosted=True, return_url="https://example.org/back")
    (payment,) = shop.api.read(f"/v1/exchanges/{exchange}/payments")["data"]
    assert payment["next_action"]["type"] == "redirect"
    shop.server.pay_checkout(payment["provider_ref"], "pm_card_bypassPending")
    shop.go_on()
    offer = shop.step(exchange, "propose-cancellation", payee)["proposal"]["id"]
    shop.step(exchange, "accept-proposal", payer, proposal=offer)
    shop.go_on()
    assert shop.payments(exchange) == {"collect": ["succeeded"], "refund": ["succeeded"]}
    shop.agrees()


def test_a_rental_with_a_blocked_deposit(shop: Shop) -> None:
    payer, payee = shop.member(), shop.member(paid=True)
    due = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    exchange = sale(
        shop,
        payer,
        payee,
        kind="rental",
        legs=[
            {"amount": {"amount": 2_000, "unit": "EUR"}},
            {"role": "deposit", "amount": {"amount": 15_000, "unit": "EUR"}},
        ],
        checkpoints=[{"name": "handover"}, {"name": "return", "due_at": due}],
        windows={"confirm_hours": 24},
    )
    assert shop.api.read(f"/v1/exchanges/{exchange}")["terms"]["deposit"]["strategy"] == "authorise"
    shop.step(exchange, "fund", payer, payment_method="pm_card_visa")
    shop.go_on()
    shown = shop.api.read(f"/v1/exchanges/{exchange}")
    assert shown["state"] == "active"
    assert shown["deposit_blocked_until"] is not None
    for checkpoint in ("handover", "return"):
        for member in (payer, payee):
            shop.step(exchange, "confirm", member, checkpoint=checkpoint)
    shop.go_on()
    assert shop.payments(exchange) == {
        "collect": ["canceled", "succeeded"],
        "payout": ["succeeded"],
        "refund": ["succeeded"],
    }
    shop.agrees()


def test_a_partial_chargeback_after_release(shop: Shop) -> None:
    payer, payee = shop.member(), shop.member(paid=True)
    exchange = sale(shop, payer, payee)
    shop.step(exchange, "fund", payer, payment_method="pm_card_bypassPending")
    shop.go_on()
    for member in (payer, payee):
        shop.step(exchange, "confirm", member, checkpoint="handover")
    shop.go_on()
    collect = shop.api.read(f"/v1/exchanges/{exchange}/payments")["data"][0]["provider_ref"]
    dispute = shop.server.dispute(collect, 2_500)
    shop.go_on()
    (contested,) = shop.api.read("/v1/chargebacks", exchange=exchange)["data"]
    assert (contested["status"], contested["withdrawn"]) == ("needs_response", 2_500)
    shop.agrees()
    answer = shop.api.send("POST", f"/v1/chargebacks/{contested['id']}/answer")
    assert answer.status_code == 200, answer.text
    shop.go_on()
    shop.server.close_dispute(dispute, won=False)
    shop.go_on()
    (contested,) = shop.api.read("/v1/chargebacks", exchange=exchange)["data"]
    assert contested["status"] == "lost"
    shop.agrees()


def test_a_day_of_lost_webhooks_is_read_from_stripes_list(shop: Shop) -> None:
    payer, payee = shop.member(), shop.member(paid=True)
    exchange = sale(shop, payer, payee)
    shop.lost = True
    shop.step(exchange, "fund", payer, payment_method="pm_card_authenticationRequired")
    shop.go_on()
    collect = shop.api.read(f"/v1/exchanges/{exchange}/payments")["data"][0]["provider_ref"]
    shop.server.act(collect, succeed=True)
    shop.go_on()
    assert shop.api.read(f"/v1/exchanges/{exchange}")["state"] == "funding"
    later = clock.now() + timedelta(minutes=11)
    poll.poll(shop.desk.engine, shop.desk.providers, later)
    sweep.run(shop.desk, later)
    assert shop.api.read(f"/v1/exchanges/{exchange}")["state"] == "active"
    shop.agrees()


def test_a_method_that_the_payer_agreed_to_keep_pays_the_next_exchange(shop: Shop) -> None:
    payer, payee = shop.member(), shop.member(paid=True)
    first, second = sale(shop, payer, payee), sale(shop, payer, payee)
    shop.step(first, "fund", payer, payment_method="pm_card_visa", save_method=True)
    shop.go_on()
    (payment,) = shop.api.read(f"/v1/exchanges/{first}/payments")["data"]
    saved = payment["saved_method"]
    assert saved is not None
    shop.step(second, "fund", payer, payment_method=saved)
    shop.go_on()
    assert shop.api.read(f"/v1/exchanges/{second}")["state"] == "active"
    shop.agrees()
