"""Connecting a Stripe account over HTTP, and what comes to its webhook endpoints."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine, text

from service.db import SYSTEM, transaction
from service.http.routes.webhooks import INBOX, Come
from service.ids import encode, uuid7
from service.payments.deliveries import MOST_A_DAY
from service.payments.port import Event
from tests.counted import statements
from tests.http.client import Api, Server, at_once, problem
from tests.payments.stripe_events import body, sign

HOME: Final = "/v1/provider-connections/stripe"
KEY: Final = "sk_test_0123456789abcdef"
PLATFORM: Final = "whsec_of_the_platform_s_endpoint"
PAYEES: Final = "whsec_of_the_payees_endpoint"


class Hook:
    """A webhook endpoint of a platform, as whoever sends there meets it."""

    def __init__(self, server: Server, platform_id: UUID, name: str) -> None:
        self.server = server
        self.path = f"/v1/providers/stripe/{encode('platform', platform_id)}/{name}"

    def send(self, content: bytes, signature: str | None) -> httpx.Response:
        headers = {"Content-Type": "application/json"}
        if signature is not None:
            headers["Stripe-Signature"] = signature
        return self.server.send("POST", self.path, content=content, headers=headers)


@pytest.fixture
def connected(api: Api) -> Api:
    """Return the caller of a platform that has a Stripe account connected."""
    made = api.send(
        "PUT",
        HOME,
        {
            "secret_key": KEY,
            "publishable_key": "pk_test_public",
            "webhook_secret": PLATFORM,
            "payee_webhook_secret": PAYEES,
        },
    )
    assert made.status_code == 200, made.text
    return api


@pytest.fixture
def own(server: Server, connected: Api, platform_id: UUID) -> Hook:
    """Return the endpoint for events of the platform's own account."""
    return Hook(server, platform_id, "events")


@pytest.fixture
def payees(server: Server, connected: Api, platform_id: UUID) -> Hook:
    """Return the endpoint for events of payees' accounts."""
    return Hook(server, platform_id, "payee-events")


def _now() -> datetime:
    return datetime.now(UTC)


def _intent() -> dict[str, Any]:
    return {"id": f"pi_{secrets.token_hex(8)}", "object": "payment_intent", "metadata": {}}


def _stored(engine: Engine, platform_id: UUID) -> list[Any]:
    with transaction(engine, SYSTEM) as connection:
        rows = connection.execute(
            text(
                "SELECT kind, object_ref, topic, account FROM service.provider_event "
                "WHERE platform_id = :id ORDER BY received_at, event_id"
            ),
            {"id": platform_id},
        )
        return [tuple(row) for row in rows]


def _refused(api: Api) -> list[tuple[str, str]]:
    lines = api.read("/v1/provider-deliveries/refused", limit=100)["data"]
    return [(line["endpoint"], line["reason"]) for line in lines]


def test_before_anything_is_connected_it_says_which_webhooks_to_make(
    api: Api, platform_id: UUID
) -> None:
    found = api.read(HOME)
    address = f"http://tierce.test/v1/providers/stripe/{encode('platform', platform_id)}"
    assert (found["connected"], found["account"], found["secret_key_hint"]) == (False, None, None)
    assert found["platform_webhook"]["url"] == f"{address}/events"
    assert found["payees_webhook"]["url"] == f"{address}/payee-events"
    assert "payment_intent.succeeded" in found["platform_webhook"]["events"]
    assert "account.updated" in found["payees_webhook"]["events"]


def test_a_connection_is_shown_without_its_secrets(connected: Api) -> None:
    answer = connected.get(HOME)
    assert not any(one in answer.text for one in (KEY, PLATFORM, PAYEES))
    shown = answer.json()
    assert (shown["connected"], shown["secret_key_hint"]) == (True, "…cdef")
    assert shown["platform_webhook"]["secrets"] == [{"hint": "…oint", "until": None}]
    assert shown["publishable_key"] == "pk_test_public"


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ({"secret_key": "tk_test_x"}, "/secret_key"),
        ({"secret_key": "sk_test_a b"}, "/secret_key"),
        ({"secret_key": f"sk_live_{'x' * 20}"}, "/secret_key"),
        ({"secret_key": KEY, "publishable_key": "pk_live_x"}, "/publishable_key"),
        ({"secret_key": KEY, "webhook_secret": "no_secret"}, "/webhook_secret"),
    ],
)
def test_what_is_no_key_of_this_mode_is_refused_and_never_repeated(
    api: Api, given: dict[str, str], pointer: str
) -> None:
    answer = api.send("PUT", HOME, given)
    assert answer.status_code == 422, answer.text
    assert answer.json()["pointer"] == pointer
    assert given["secret_key"] not in answer.text
    assert api.read(HOME)["connected"] is False


def test_a_replayed_rotation_changes_nothing_more(connected: Api) -> None:
    sent = {"endpoint": "platform", "secret": "whsec_the_second"}
    first = connected.post(f"{HOME}/webhook-secrets", sent, key="rotation")
    again = connected.post(f"{HOME}/webhook-secrets", sent, key="rotation")
    assert first.status_code == 200, first.text
    assert first.json() == again.json()
    hints = [one["hint"] for one in first.json()["platform_webhook"]["secrets"]]
    assert hints == ["…cond", "…oint"]


def test_an_overlap_of_more_than_72_hours_is_refused(connected: Api) -> None:
    late = (_now() + timedelta(hours=73)).isoformat()
    sent = {"endpoint": "payees", "secret": "whsec_the_second", "old_until": late}
    body_ = problem(connected.post(f"{HOME}/webhook-secrets", sent), 422, "overlap_too_long")
    assert body_["pointer"] == "/old_until"


def test_without_a_connection_there_is_nothing_to_check_or_rotate(api: Api) -> None:
    sent = {"endpoint": "payees", "secret": "whsec_the_second"}
    problem(api.post(f"{HOME}/webhook-secrets", sent), 409, "provider_not_connected")
    problem(api.post(f"{HOME}/check"), 409, "provider_not_connected")


def test_letting_go_deletes_the_connection_and_closes_its_endpoints(
    connected: Api, own: Hook
) -> None:
    assert connected.post(f"{HOME}/disconnect").json()["connected"] is False
    assert connected.read(HOME)["connected"] is False
    content = body("payment_intent.succeeded", _intent(), _now())
    problem(own.send(content, sign(content, _now(), PLATFORM)), 404, "not_found")


def test_events_that_come_together_are_stored_once_each(
    engine: Engine, own: Hook, platform_id: UUID
) -> None:
    events = [body("payment_intent.succeeded", _intent(), _now()) for _ in range(12)]
    answers = at_once(*(partial(own.send, one, sign(one, _now(), PLATFORM)) for one in events * 3))
    assert {answer.status_code for answer in answers} == {200}
    assert len(_stored(engine, platform_id)) == 12


def test_fifty_events_in_a_lane_are_stored_by_the_statements_of_one(
    engine: Engine, platform_id: UUID
) -> None:
    def store(count: int) -> Counter[str]:
        come = [Come("stripe", Event(f"evt_{uuid7()}", "x", "pi_1"), _now()) for _ in range(count)]
        with statements(engine) as seen, transaction(engine, platform_id) as connection:
            assert INBOX.work(connection, platform_id, come) == [True] * count
        with transaction(engine, platform_id) as connection:
            assert INBOX.work(connection, platform_id, come) == [False] * count
        return seen

    assert store(50) == store(1)


def test_a_signed_event_is_stored_once_however_often_it_comes(
    engine: Engine, own: Hook, platform_id: UUID
) -> None:
    intent = _intent()
    content = body("payment_intent.succeeded", intent, _now())
    for _ in range(3):
        answer = own.send(content, sign(content, _now(), PLATFORM))
        assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert _stored(engine, platform_id) == [
        ("payment_intent.succeeded", intent["id"], "payment", None)
    ]


def test_an_event_of_a_payee_names_their_account(
    engine: Engine, payees: Hook, platform_id: UUID
) -> None:
    of = {"id": "acct_rozenn", "object": "account"}
    content = body("account.updated", of, _now(), account="acct_rozenn")
    assert payees.send(content, sign(content, _now(), PAYEES)).status_code == 200
    assert _stored(engine, platform_id) == [
        ("account.updated", "acct_rozenn", "account", "acct_rozenn")
    ]


def test_during_a_rotation_both_secrets_are_taken_and_afterwards_the_new_one(
    connected: Api, own: Hook
) -> None:
    new = "whsec_the_second"
    connected.made(f"{HOME}/webhook-secrets", {"endpoint": "platform", "secret": new})
    for keys in ((PLATFORM,), (new,), (PLATFORM, new)):
        content = body("payment_intent.succeeded", _intent(), _now())
        assert own.send(content, sign(content, _now(), *keys)).status_code == 200
    # The new one is current, and so is not given an end by naming it again.
    third = {"endpoint": "platform", "secret": "whsec_the_third", "old_until": _now().isoformat()}
    connected.made(f"{HOME}/webhook-secrets", third)
    content = body("payment_intent.succeeded", _intent(), _now())
    problem(own.send(content, sign(content, _now(), new)), 400, "forged_provider_event")


def _forged() -> tuple[bytes, str | None]:
    content = body("payment_intent.succeeded", _intent(), _now())
    return content, sign(content, _now(), "whsec_somebody_else_s")


def _unsigned() -> tuple[bytes, str | None]:
    return body("payment_intent.succeeded", _intent(), _now()), None


def _nonsense() -> tuple[bytes, str | None]:
    return body("payment_intent.succeeded", _intent(), _now()), "t=,v1==,,;\x7f"


def _changed() -> tuple[bytes, str | None]:
    content = body("payment_intent.succeeded", _intent(), _now())
    return content.replace(b"pi_", b"pi_x"), sign(content, _now(), PLATFORM)


def _not_text() -> tuple[bytes, str | None]:
    content = b"\xff\xfe" + secrets.token_bytes(20)
    return content, sign(content, _now(), PLATFORM)


def _stale() -> tuple[bytes, str | None]:
    content, then = body("payment_intent.succeeded", _intent(), _now()), timedelta(seconds=301)
    return content, sign(content, _now() - then, PLATFORM)


def _early() -> tuple[bytes, str | None]:
    content, then = body("payment_intent.succeeded", _intent(), _now()), timedelta(seconds=310)
    return content, sign(content, _now() + then, PLATFORM)


def _of_the_other_endpoint() -> tuple[bytes, str | None]:
    content = body("payment_intent.succeeded", _intent(), _now())
    return content, sign(content, _now(), PAYEES)


def _of_a_payee() -> tuple[bytes, str | None]:
    of = {"id": "acct_rozenn", "object": "account"}
    content = body("account.updated", of, _now(), account="acct_rozenn")
    return content, sign(content, _now(), PLATFORM)


def _of_the_other_mode() -> tuple[bytes, str | None]:
    content = body("payment_intent.succeeded", _intent(), _now(), live=True)
    return content, sign(content, _now(), PLATFORM)


def _no_json() -> tuple[bytes, str | None]:
    content = b"{" + secrets.token_hex(8).encode()
    return content, sign(content, _now(), PLATFORM)


def _no_event() -> tuple[bytes, str | None]:
    content = b'{"object": "charge", "n": "%s"}' % secrets.token_hex(8).encode()
    return content, sign(content, _now(), PLATFORM)


def _thin() -> tuple[bytes, str | None]:
    content = b'{"object": "v2.core.event", "id": "%s"}' % secrets.token_hex(8).encode()
    return content, sign(content, _now(), PLATFORM)


def _no_object() -> tuple[bytes, str | None]:
    content = body("payment_intent.succeeded", {}, _now(), data={"object": [1]})
    return content, sign(content, _now(), PLATFORM)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_forged, "bad_signature"),
        (_unsigned, "bad_signature"),
        (_nonsense, "bad_signature"),
        (_changed, "bad_signature"),
        (_not_text, "bad_signature"),
        (_stale, "stale"),
        (_early, "stale"),
        (_of_the_other_endpoint, "wrong_endpoint"),
        (_of_a_payee, "wrong_endpoint"),
        (_of_the_other_mode, "wrong_mode"),
        (_no_json, "unreadable"),
        (_no_event, "unreadable"),
        (_thin, "unreadable"),
        (_no_object, "unreadable"),
    ],
)
def test_what_is_not_the_provider_s_word_is_refused_with_its_reason_and_kept(
    engine: Engine,
    connected: Api,
    own: Hook,
    platform_id: UUID,
    make: Callable[[], tuple[bytes, str | None]],
    reason: str,
) -> None:
    content, signature = make()
    for _ in range(2):
        told = problem(own.send(content, signature), 400, "forged_provider_event")
        assert told["facts"]["reason"] == reason
    assert _stored(engine, platform_id) == []
    assert _refused(connected) == [("platform", reason)]


def test_an_endpoint_without_a_secret_takes_nothing(
    api: Api, server: Server, platform_id: UUID
) -> None:
    assert api.send("PUT", HOME, {"secret_key": KEY}).status_code == 200
    content = body("payment_intent.succeeded", _intent(), _now())
    answer = Hook(server, platform_id, "events").send(content, sign(content, _now(), ""))
    assert problem(answer, 400, "forged_provider_event")["facts"]["reason"] == "no_secret"


def test_an_event_for_one_platform_is_forged_for_another(
    engine: Engine,
    connected: Api,
    server: Server,
    new_api: Callable[..., Api],
    new_platform: Callable[[], UUID],
) -> None:
    other = new_platform()
    neighbour = new_api(platform_id=other)
    neighbour.send("PUT", HOME, {"secret_key": KEY, "webhook_secret": "whsec_of_the_neighbour"})
    content = body("payment_intent.succeeded", _intent(), _now())
    answer = Hook(server, other, "events").send(content, sign(content, _now(), PLATFORM))
    problem(answer, 400, "forged_provider_event")
    assert _stored(engine, other) == []
    assert _refused(neighbour) == [("platform", "bad_signature")]
    assert _refused(connected) == []


def test_an_unknown_platform_and_one_without_a_connection_are_not_there(
    api: Api, server: Server, engine: Engine, platform_id: UUID
) -> None:
    content = body("payment_intent.succeeded", _intent(), _now())
    for platform in (uuid7(), platform_id):
        for name in ("events", "payee-events"):
            answer = Hook(server, platform, name).send(content, sign(content, _now(), PLATFORM))
            problem(answer, 404, "not_found")
    assert _refused(api) == []
    assert _stored(engine, platform_id) == []


def test_a_body_that_no_event_has_is_too_large(connected: Api, own: Hook) -> None:
    content = body("payment_intent.succeeded", _intent(), _now()) + b" " * 512_000
    problem(own.send(content, sign(content, _now(), PLATFORM)), 413, "body_too_large")
    assert _refused(connected) == []


def test_no_flood_fills_the_list_of_refused_deliveries(
    engine: Engine, connected: Api, own: Hook, platform_id: UUID
) -> None:
    with transaction(engine, SYSTEM) as connection:
        connection.execute(
            text(
                "INSERT INTO service.refused_delivery (platform_id, id, provider, endpoint, "
                "reason, digest, received_at) SELECT :id, gen_random_uuid(), 'stripe', 'payees', "
                "'bad_signature', sha256(n::text::bytea), now() FROM generate_series(1, :most) n"
            ),
            {"id": platform_id, "most": MOST_A_DAY},
        )
    content, signature = _forged()
    problem(own.send(content, signature), 400, "forged_provider_event")
    assert {endpoint for endpoint, _ in _refused(connected)} == {"payees"}


def test_old_refused_deliveries_are_forgotten(
    engine: Engine, connected: Api, own: Hook, platform_id: UUID
) -> None:
    with transaction(engine, SYSTEM) as connection:
        connection.execute(
            text(
                "INSERT INTO service.refused_delivery (platform_id, id, provider, endpoint, "
                "reason, digest, received_at) VALUES (:id, gen_random_uuid(), 'stripe', 'payees', "
                "'stale', sha256('x'), now() - interval '91 days')"
            ),
            {"id": platform_id},
        )
    content, signature = _forged()
    own.send(content, signature)
    assert _refused(connected) == [("platform", "bad_signature")]


def test_refused_deliveries_are_paged_newest_first(connected: Api, own: Hook) -> None:
    for make in (_forged, _stale, _no_json):
        own.send(*make())
    page = connected.read("/v1/provider-deliveries/refused", limit=2)
    assert [line["reason"] for line in page["data"]] == ["unreadable", "stale"]
    after = connected.read("/v1/provider-deliveries/refused", cursor=page["next_cursor"])
    assert [line["reason"] for line in after["data"]] == ["bad_signature"]
    assert set(after["data"][0]) >= {"id", "body_sha256", "received_at", "provider"}
