"""Webhook endpoints as a platform meets them."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from service import db
from service.app import create_app
from service.config import Settings
from service.events import deliveries, endpoints
from service.events.guard import Guard
from service.ids import encode, uuid7
from service.platforms import keys
from service.platforms.scopes import SCOPES
from service.sealing import Sealer
from tests.events.sink import OK, Reply, Sink
from tests.http.client import Api, Server, problem

PUBLIC = "https://93.184.215.14/tierce"
LIST = "/v1/webhook-endpoints"


@pytest.fixture
def sink() -> Iterator[Sink]:
    """Return a receiver of webhooks."""
    with Sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def open_server(app_settings: Settings) -> Iterator[Server]:
    """Return the application as a developer runs it, who has endpoints on this machine."""
    changed = app_settings.model_copy(update={"webhooks_allow_private": True})
    server = Server(create_app(changed))
    yield server
    server.close()


@pytest.fixture
def developer(open_server: Server, engine: Engine, platform_id: UUID) -> Iterator[Api]:
    """Return the caller of a platform on that application."""
    now = datetime.now(UTC)
    with db.transaction(engine, db.SYSTEM) as connection:
        _key, secret = keys.create(connection, platform_id, "sandbox", "A test", SCOPES, now)
    yield Api(open_server, secret)
    with db.transaction(engine, platform_id) as connection:
        for row in endpoints.every(connection, platform_id):
            endpoints.delete(connection, platform_id, row["id"], now)


@pytest.fixture
def deliver(engine: Engine, app_settings: Settings) -> Callable[[], int]:
    """Return what the worker does."""
    assert app_settings.code_key is not None
    sealer = Sealer(app_settings.code_key.get_secret_value())

    def work() -> int:
        return deliveries.run(engine, datetime.now(UTC), sealer, Guard(allow_private=True))

    return work


def _secret(size: int) -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(size)).decode()


def _until_sent(api: Api, endpoint: str, count: int, deliver: Callable[[], int]) -> list[Any]:
    """Work until so many deliveries have ended: the feed ends before the oldest transaction."""
    for _ in range(500):
        deliver()
        found = api.read(f"{LIST}/{endpoint}/deliveries", limit=100)["data"]
        if len([one for one in found if one["ended_at"]]) >= count:
            return list(found)
    raise AssertionError(found)


def test_an_endpoint_s_secret_is_shown_once(api: Api) -> None:
    key = secrets.token_hex(8)
    made = api.made(LIST, {"url": PUBLIC, "events": ["exchange.*"], "description": "x"}, key=key)
    assert made["secret"].startswith("whsec_")
    assert (made["events"], made["enabled"], made["former_secret_until"]) == (
        ["exchange.*"],
        True,
        None,
    )
    again = api.post(LIST, {"url": PUBLIC, "events": ["exchange.*"], "description": "x"}, key=key)
    assert again.json() == {**made, "secret": None}
    assert api.read(f"{LIST}/{made['id']}") == {**made, "secret": None}
    assert api.read(LIST)["data"] == [{**made, "secret": None}]


@pytest.mark.parametrize(
    "url",
    [
        "http://93.184.215.14/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://169.254.169.254/latest",
        "https://[fd00:ec2::254]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://name:word@93.184.215.14/x",
        "ftp://93.184.215.14/x",
    ],
)
def test_an_address_that_webhooks_may_not_go_to_is_refused(api: Api, url: str) -> None:
    body = problem(api.post(LIST, {"url": url}), 422, "webhook_address_refused")
    assert body["pointer"] == "/url"
    made = api.made(LIST, {"url": PUBLIC})
    problem(api.send("PATCH", f"{LIST}/{made['id']}", {"url": url}), 422, "webhook_address_refused")
    assert api.read(f"{LIST}/{made['id']}")["url"] == PUBLIC


@pytest.mark.parametrize("size", [0, 1, 23, 65, 100])
def test_a_secret_of_the_wrong_length_is_refused_and_not_repeated(api: Api, size: int) -> None:
    given = _secret(size)
    answer = api.post(LIST, {"url": PUBLIC, "secret": given})
    problem(answer, 422, "invalid_webhook_secret")
    assert given.removeprefix("whsec_") not in answer.text or size == 0
    assert api.read(LIST)["data"] == []


@pytest.mark.parametrize(
    "given",
    ["", "whsec_", "secret", "whsec_not base64!", pytest.param(_secret(32)[6:], id="no prefix")],
)
def test_a_secret_of_another_form_is_refused(api: Api, given: str) -> None:
    problem(api.post(LIST, {"url": PUBLIC, "secret": given}), 422, "invalid_webhook_secret")


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_platform_may_bring_its_own_secret(api: Api, size: int) -> None:
    given = _secret(size)
    assert api.made(LIST, {"url": PUBLIC, "secret": given})["secret"] == given


def test_an_event_type_that_does_not_exist_is_refused_naming_the_nearest(api: Api) -> None:
    body = {"url": PUBLIC, "events": ["*", "exchange.compleated"]}
    told = problem(api.post(LIST, body), 422, "unknown_event_type")
    assert told["pointer"] == "/events/1"
    assert "exchange.completed" in told["detail"]
    made = api.made(LIST, {"url": PUBLIC})
    changed = api.send("PATCH", f"{LIST}/{made['id']}", {"events": ["exchange.vanished"]})
    problem(changed, 422, "unknown_event_type")


def test_the_types_of_events_are_listed(api: Api) -> None:
    found = {one["name"]: one for one in api.read("/v1/event-types")["data"]}
    assert found["exchange.completed"]["version"] == 1
    assert found["exchange.completed"]["meaning"].endswith(".")


def test_a_platform_has_so_many_endpoints_and_no_more(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "MOST", 2)
    for _ in range(2):
        api.made(LIST, {"url": PUBLIC})
    problem(api.post(LIST, {"url": PUBLIC}), 409, "too_many_webhook_endpoints")
    first = api.read(LIST, limit=1)
    assert len(first["data"]) == 1
    assert len(api.read(LIST, limit=1, cursor=first["next_cursor"])["data"]) == 1
    assert api.send("DELETE", f"{LIST}/{first['data'][0]['id']}").json()["deleted"] is True
    api.made(LIST, {"url": PUBLIC})
    problem(api.get(f"{LIST}/{first['data'][0]['id']}"), 404, "webhook_endpoint_not_found")


def test_an_endpoint_is_changed_disabled_and_enabled_again(api: Api) -> None:
    made = api.made(LIST, {"url": PUBLIC})
    address = f"{LIST}/{made['id']}"
    changed = api.send("PATCH", address, {"events": ["payout.*"], "description": "books"}).json()
    assert (changed["events"], changed["description"], changed["url"]) == (
        ["payout.*"],
        "books",
        PUBLIC,
    )
    disabled = api.send("PATCH", address, {"enabled": False}).json()
    assert (disabled["enabled"], disabled["disabled_reason"]) == (False, "by_platform")
    assert disabled["disabled_at"] is not None
    told = api.events(1)[0]
    assert (told["type"], told["data"]["reason"]) == ("webhook_endpoint.disabled", "by_platform")
    assert api.send("PATCH", address, {"enabled": False}).json() == disabled
    problem(
        api.post(f"{address}/replay", {"since": "2027-03-01T09:00:00Z"}),
        409,
        "webhook_endpoint_disabled",
    )
    enabled = api.send("PATCH", address, {"enabled": True}).json()
    assert (enabled["enabled"], enabled["disabled_at"], enabled["disabled_reason"]) == (
        True,
        None,
        None,
    )


def test_a_secret_is_rotated_with_an_overlap(api: Api) -> None:
    made = api.made(LIST, {"url": PUBLIC})
    address = f"{LIST}/{made['id']}/rotate-secret"
    rotated = api.made(address, {"overlap_hours": 2})
    assert rotated["secret"] not in {None, made["secret"]}
    assert rotated["former_secret_until"] is not None
    own = _secret(40)
    assert api.made(address, {"overlap_hours": 0, "secret": own})["former_secret_until"] is None
    problem(api.post(address, {"secret": own}), 409, "webhook_secret_in_use")
    problem(api.post(address, {"secret": _secret(10)}), 422, "invalid_webhook_secret")
    for hours in (-1, 169, 1.5, "2"):
        problem(api.post(address, {"overlap_hours": hours}), 422, "invalid_request")


def test_a_test_is_sent_at_once_and_its_result_told(developer: Api, sink: Sink) -> None:
    made = developer.made(LIST, {"url": sink.url(), "events": ["payout.failed"]})
    other = developer.made(LIST, {"url": sink.url("/other")})
    assert other["id"] != made["id"]
    address = f"{LIST}/{made['id']}/test"
    sink.reply("/hook", OK, Reply(503, body=b"not now"))
    told = developer.made(address)
    (arrival,) = sink.of()
    arrival.verify(made["secret"])
    assert (arrival.event, arrival.type) == (told["event"], "webhook_endpoint.test")
    assert (told["delivered"], told["status"], told["error"], told["answer"]) == (
        True,
        200,
        None,
        "thank you",
    )
    refused = developer.made(address)
    assert (refused["delivered"], refused["status"], refused["answer"]) == (False, 503, "not now")
    assert refused["error"] == "answered 503; only 200 to 299 say that the message was taken"
    assert sink.of("/other") == []
    assert developer.read("/v1/events")["data"] == []


def test_a_test_of_an_endpoint_that_nobody_serves_says_so(developer: Api) -> None:
    with Sink() as gone:
        url = gone.url()
    made = developer.made(LIST, {"url": url})
    told = developer.made(f"{LIST}/{made['id']}/test")
    assert (told["delivered"], told["status"]) == (False, None)
    assert told["error"]


def test_an_exchange_is_told_in_order_and_can_be_replayed(
    developer: Api, sink: Sink, deliver: Callable[[], int]
) -> None:
    made = developer.made(LIST, {"url": sink.url(), "events": ["exchange.*"]})
    payer, payee = developer.member()["id"], developer.member()["id"]
    terms = {
        "kind": "sale",
        "title": "A bicycle",
        "legs": [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}],
    }
    exchange = developer.made("/v1/exchanges", {**terms, "payer": payer, "payee": payee})
    member = {"member": payer, "terms_hash": exchange["terms_hash"]}
    developer.made(f"/v1/exchanges/{exchange['id']}/agree", member)
    found = _until_sent(developer, made["id"], 2, deliver)
    assert [one["state"] for one in found] == ["delivered", "delivered"]
    assert [(one.type, one.sequence, one.exchange) for one in sink.of()] == [
        ("exchange.proposed", 1, exchange["id"]),
        ("exchange.agreed", 2, exchange["id"]),
    ]
    address = f"{LIST}/{made['id']}/deliveries/{found[0]['event']}"
    one = developer.read(address)
    assert {name: one[name] for name in found[0]} == found[0]
    assert [(line["number"], line["status"]) for line in one["log"]] == [(1, 200)]
    again = developer.made(f"{address}/replay")
    assert (again["state"], again["replays"]) == ("waiting", 1)
    deliver()
    assert [line["number"] for line in developer.read(address)["log"]] == [2, 1]
    replay = {"since": "2020-01-01T00:00:00Z", "types": ["exchange.proposed"]}
    assert developer.made(f"{LIST}/{made['id']}/replay", replay)["replayed"] == 1
    deliver()
    assert [arrival.sequence for arrival in sink.of()] == [1, 2, 2, 1]


@pytest.mark.parametrize("until", ["2026-02-01T00:00:00Z", "2026-01-31T23:59:59Z"])
def test_a_replay_that_ends_before_it_begins_is_refused(
    developer: Api, sink: Sink, until: str
) -> None:
    made = developer.made(LIST, {"url": sink.url()})
    body = {"since": "2026-02-01T00:00:00Z", "until": until}
    told = problem(developer.post(f"{LIST}/{made['id']}/replay", body), 422, "replay_range_invalid")
    assert told["pointer"] == "/until"
    assert "after since" in told["detail"]


def test_deliveries_are_paged_and_filtered(
    developer: Api, sink: Sink, engine: Engine, platform_id: UUID, deliver: Callable[[], int]
) -> None:
    made = developer.made(LIST, {"url": sink.url()})
    sink.script("/hook", lambda _event, number: Reply(500) if number == 1 else OK)
    other = developer.made(LIST, {"url": sink.url("/quiet"), "events": ["payout.failed"]})
    for _ in range(2):
        developer.send("PATCH", f"{LIST}/{other['id']}", {"enabled": False})
        developer.send("PATCH", f"{LIST}/{other['id']}", {"enabled": True})
    _until_sent(developer, made["id"], 1, deliver)
    address = f"{LIST}/{made['id']}/deliveries"
    first = developer.read(address, limit=1)
    second = developer.read(address, limit=1, cursor=first["next_cursor"])
    assert second["next_cursor"] is None
    states = {one["state"] for one in first["data"] + second["data"]}
    assert states == {"waiting", "delivered"}
    assert len(developer.read(address, state="waiting")["data"]) == 1
    assert developer.read(address, state="failed")["data"] == []
    problem(developer.get(address, state="lost"), 422, "invalid_request")
    assert developer.read(f"{LIST}/{other['id']}/deliveries")["data"] == []


def test_what_was_never_to_be_sent_is_not_found(api: Api) -> None:
    made = api.made(LIST, {"url": PUBLIC})
    address = f"{LIST}/{made['id']}/deliveries/{encode('event', uuid7())}"
    problem(api.get(address), 404, "webhook_delivery_not_found")
    problem(api.post(f"{address}/replay"), 404, "webhook_delivery_not_found")


def test_a_replay_names_types_that_exist(api: Api) -> None:
    made = api.made(LIST, {"url": PUBLIC})
    body = {"since": "2027-03-01T09:00:00Z", "types": ["exchange.none"]}
    told = problem(api.post(f"{LIST}/{made['id']}/replay", body), 422, "unknown_event_type")
    assert told["pointer"] == "/types/0"


def test_reading_and_writing_need_their_scopes(new_api: Callable[..., Api]) -> None:
    reader = new_api("webhooks:read")
    problem(reader.post(LIST, {"url": PUBLIC}), 403, "scope_missing")
    assert reader.read(LIST)["data"] == []
    writer = new_api("webhooks:write")
    made = writer.made(LIST, {"url": PUBLIC})
    problem(writer.get(f"{LIST}/{made['id']}"), 403, "scope_missing")
