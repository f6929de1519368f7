"""The short way of a post answers as the framework's own way does, word for word."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.app import ROUTERS, create_app
from service.config import Settings
from service.http.direct import Application, Direct
from service.ids import encode, uuid7
from service.operations import metrics
from tests.http.client import Api, Server

JSON = {"Content-Type": "application/json"}
NOBODY = encode("member", uuid7())
NOTHING = encode("exchange", uuid7())


@pytest.fixture(scope="module")
def general(app_settings: Settings) -> Iterator[Server]:
    """Return the application without its short way."""
    app = create_app(app_settings)
    assert isinstance(app, Application)
    app.shorten((), lambda inner: inner)
    server = Server(app)
    yield server
    server.close()


def _offer(payer: str, payee: str) -> dict[str, Any]:
    price = {"role": "price", "amount": {"amount": 1500, "unit": "EUR"}}
    return {"kind": "sale", "title": "A lamp", "payer": payer, "payee": payee, "legs": [price]}


def _told(answer: httpx.Response) -> tuple[int, dict[str, str], str]:
    return answer.status_code, dict(answer.headers), answer.text


@pytest.mark.parametrize(
    ("path", "headers", "content"),
    [
        pytest.param("/v1/exchanges", {}, b"{}", id="a body that is not said to be JSON"),
        pytest.param("/v1/exchanges", JSON, b"", id="no body"),
        pytest.param("/v1/exchanges", JSON, b"null", id="null"),
        pytest.param("/v1/exchanges", JSON, b"[]", id="a list"),
        pytest.param("/v1/exchanges", JSON, b"{", id="no JSON"),
        pytest.param("/v1/exchanges", JSON, b'{"kind": 1, "kind": 1}', id="a name twice"),
        pytest.param("/v1/exchanges", JSON, b'{"kind": "gift", "x": 1}', id="fields that are none"),
        pytest.param("/v1/exchanges?limit=1", JSON, b"{}", id="a parameter that is none"),
        pytest.param(
            "/v1/exchanges",
            JSON,
            json.dumps(_offer(NOBODY, NOBODY)).encode(),
            id="members that are none",
        ),
        pytest.param(
            "/v1/exchanges",
            JSON | {"Idempotency-Key": "two words"},
            json.dumps(_offer(NOBODY, NOBODY)).encode(),
            id="a key that is none",
        ),
        pytest.param("/v1/exchanges/", JSON, b"{}", id="a slash at the end"),
        pytest.param("/v1/exchanges//confirm", JSON, b"{}", id="an id that is empty"),
        pytest.param("/v1/exchanges/ex_1/confirm", JSON, b"{}", id="an id that is none"),
        pytest.param("/v1/exchanges/ex_1/confirm", JSON, b'{"version": "x"}', id="both wrong"),
        pytest.param(
            f"/v1/exchanges/{NOTHING}/confirm",
            JSON,
            json.dumps({"member": NOBODY, "checkpoint": 0}).encode(),
            id="an exchange that is not there",
        ),
        pytest.param("/v1/exchanges/batch", JSON, b'{"exchanges": {}}', id="a list that is none"),
        pytest.param("/v1/health/live", JSON, b"{}", id="a method that is none here"),
        pytest.param("/v1/nothing", JSON, b"{}", id="an address that is none"),
        pytest.param("/v1/platforms", JSON, b"{}", id="the operator's"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_what_is_wrong_is_answered_word_for_word_as_the_general_way_answers_it(
    api: Api,
    general: Server,
    path: str,
    headers: dict[str, str],
    content: bytes,
    known: bool,
) -> None:
    sent = {"X-Request-ID": "the-same-for-both"} | headers
    sent.setdefault("Idempotency-Key", secrets.token_hex(16))
    if known:
        sent["Authorization"] = f"Bearer {api.bearer}"
    answers = [
        server.send("POST", path, headers=sent, content=content) for server in (api.server, general)
    ]
    assert _told(answers[0]) == _told(answers[1])


def test_a_key_that_is_missing_is_missed_by_both_ways(api: Api, general: Server) -> None:
    sent = {"X-Request-ID": "the-same-for-both", "Authorization": f"Bearer {api.bearer}"}
    body = _offer(NOBODY, NOBODY)
    answers = [
        server.send("POST", "/v1/exchanges", headers=sent, json=body)
        for server in (api.server, general)
    ]
    assert answers[0].json()["code"] == "idempotency_key_missing"
    assert _told(answers[0]) == _told(answers[1])


def test_what_one_way_did_the_other_replays(api: Api, general: Server) -> None:
    body = _offer(api.member()["id"], api.member()["id"])
    other = Api(general, api.bearer)
    for first, second in ((api, other), (other, api)):
        key = secrets.token_hex(16)
        done = first.post("/v1/exchanges", body, key=key)
        again = second.post("/v1/exchanges", body, key=key)
        assert (done.status_code, again.status_code) == (201, 201)
        assert again.text == done.text
        assert again.headers["Location"] == done.headers["Location"]
        assert again.headers["Idempotent-Replayed"] == "true"


def test_a_request_of_the_short_way_is_counted_under_its_route(api: Api) -> None:
    labels = {"method": "POST", "route": "/v1/exchanges/{exchange}/confirm", "status": "4xx"}
    name = "tierce_http_requests_total"
    before = metrics.registry.get_sample_value(name, labels) or 0
    api.post(f"/v1/exchanges/{NOTHING}/confirm", {"member": NOBODY, "checkpoint": 0})
    assert metrics.registry.get_sample_value(name, labels) == before + 1


def test_every_post_of_the_api_goes_the_short_way_but_a_file_of_evidence(api: Api) -> None:
    direct = Direct(api.server.app, ROUTERS)
    general = set()
    for router in ROUTERS:
        for route in router.routes:
            path, methods = getattr(route, "path", ""), getattr(route, "methods", ())
            scope = {"type": "http", "method": "POST", "path": path, "root_path": ""}
            if "POST" in methods and path.startswith("/v1/") and not direct.find(scope):
                general.add(path)
    assert general == {"/v1/cases/{case}/evidence/files"}


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param({"method": "GET", "path": "/v1/exchanges"}, id="another method"),
        pytest.param({"method": "POST", "path": "/desk/sign-in"}, id="a page"),
        pytest.param({"method": "POST", "path": "/v1/exchanges", "root_path": "/x"}, id="below"),
        pytest.param({"type": "websocket", "path": "/v1/exchanges"}, id="no request"),
    ],
)
def test_all_else_goes_the_general_way(api: Api, scope: dict[str, Any]) -> None:
    direct = Direct(api.server.app, ROUTERS)
    assert not direct.find({"type": "http", "root_path": ""} | scope)
