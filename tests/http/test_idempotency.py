"""``Idempotency-Key``: the same request again does nothing twice and gives the same answer."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import Engine, text

from service.db import SYSTEM, transaction
from service.platforms.scopes import SCOPES
from tests.http.client import Api, Server, at_once, problem

#: POSTs that keep nothing, clicks in the sandbox (what was clicked stays clicked), and a provider's
#: events, which carry an id of their own.
HARMLESS = {
    "create_member_token",
    "calculate_effect",
    "quote_exchange",
    "check_stripe_connection",
    "test_webhook_endpoint",
    "act_on_sandbox_payment",
    "decide_sandbox_chargeback",
    "create_payout_account_link",
    "act_on_sandbox_payout_account",
    "receive_stripe_event",
    "receive_stripe_payee_event",
    # A browser sends them again as it likes: the table of steps takes each once.
    "show_code_by_link",
    "step_by_link",
    # Signing in again opens another session; secrets, codes and sessions are each used up once.
    "sign_in_mediator",
    "refresh_mediator_session",
    "sign_out_mediator",
    "change_mediator_password",
    "take_up_invitation",
}


def _count(api: Api) -> int:
    return len(api.read("/v1/members", limit=100)["data"])


def test_a_replay_gives_the_first_answer_whole_and_does_nothing(api: Api) -> None:
    key = secrets.token_hex(16)
    first = api.post("/v1/members", {"external_id": "anne"}, key=key)
    again = api.post("/v1/members", {"external_id": "anne"}, key=key)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    for part in ("status_code", "content"):
        assert getattr(again, part) == getattr(first, part)
    for header in ("location", "content-type"):
        assert again.headers[header] == first.headers[header]
    assert _count(api) == 1


def test_the_same_key_with_another_request_is_refused(api: Api) -> None:
    key = secrets.token_hex(16)
    made = api.made("/v1/members", {"external_id": "anne"}, key=key)
    problem(
        api.post("/v1/members", {"external_id": "yann"}, key=key), 422, "idempotency_key_reused"
    )
    elsewhere = api.post(f"/v1/members/{made['id']}/erase", {"external_id": "anne"}, key=key)
    problem(elsewhere, 422, "idempotency_key_reused")
    assert _count(api) == 1


def test_every_post_that_creates_or_moves_needs_a_key(server: Server, api: Api) -> None:
    member = api.member()["id"]
    tried = 0
    for context in iter_route_contexts(server.app.routes):
        route = context.original_route
        if not isinstance(route, APIRoute) or context.methods != {"POST"}:
            continue
        if route.endpoint.__module__.startswith("service.web."):
            continue  # a form has its key in a field, and tests/web presses its button twice
        operation, names = route.operation_id, [p.alias for p in route.dependant.header_params]
        if operation in HARMLESS:
            assert "Idempotency-Key" not in names
            continue
        assert "Idempotency-Key" in names, f"{operation} creates or moves without a key"
        tried += 1
    assert tried >= 15
    bare = server.send(
        "POST",
        f"/v1/members/{member}/erase",
        headers={"Authorization": f"Bearer {api.bearer}"},
    )
    problem(bare, 400, "idempotency_key_missing")


@pytest.mark.parametrize("key", ["", " ", '"', '""', "a" * 256, "é", "a\tb"])
def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    answer = api.send(
        "POST",
        "/v1/members",
        {"external_id": "anne"},
        headers={
            "Authorization": f"Bearer {api.bearer}",
            "Idempotency-Key": key.encode(),
        },
    )
    problem(answer, 400, "idempotency_key_invalid")
    assert _count(api) == 0


def test_a_quoted_key_and_a_bare_one_are_the_same_key(api: Api) -> None:
    key = secrets.token_hex(16)
    api.made("/v1/members", {"external_id": "anne"}, key=f'"{key}"')
    again = api.post("/v1/members", {"external_id": "anne"}, key=key)
    assert again.headers["idempotent-replayed"] == "true"


def test_a_refusal_is_not_kept_so_the_mended_request_may_use_the_key_again(api: Api) -> None:
    key = secrets.token_hex(16)
    api.member("anne")
    taken = api.post("/v1/members", {"external_id": "anne"}, key=key)
    problem(taken, 409, "member_external_id_taken")
    assert api.post("/v1/members", {"external_id": "yann"}, key=key).status_code == 201


def test_a_platform_s_keys_share_what_they_asked_for_so_a_rotation_in_between_does_nothing_twice(
    new_api: Callable[..., Api], platform_id: UUID, server: Server
) -> None:
    first = new_api(*SCOPES, platform_id=platform_id)
    key = secrets.token_hex(16)
    made = first.made("/v1/members", {"external_id": "anne"}, key=key)
    second = new_api(*SCOPES, platform_id=platform_id)
    again = second.post("/v1/members", {"external_id": "anne"}, key=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == made


def test_another_platform_s_same_key_is_another_key(api: Api, neighbour: Api) -> None:
    key = secrets.token_hex(16)
    one = api.made("/v1/members", {"external_id": "anne"}, key=key)
    other = neighbour.post("/v1/members", {"external_id": "anne"}, key=key)
    assert other.status_code == 201
    assert "idempotent-replayed" not in other.headers
    assert other.json()["id"] != one["id"]


def test_a_member_and_the_platform_do_not_meet_under_one_key(api: Api) -> None:
    payer, payee = api.member()["id"], api.member()["id"]
    terms = {
        "kind": "gift",
        "title": "Books",
        "payer": payer,
        "payee": payee,
    }
    made = api.made("/v1/exchanges", terms)
    exchange, seen = made["id"], {"terms_hash": made["terms_hash"]}
    key = secrets.token_hex(16)
    by_member = api.acting(payer).post(f"/v1/exchanges/{exchange}/agree", seen, key=key)
    assert by_member.status_code == 200, by_member.text
    by_platform = api.post(f"/v1/exchanges/{exchange}/agree", seen, key=key)
    assert "idempotent-replayed" not in by_platform.headers


@pytest.mark.parametrize("attempt", range(3))
def test_the_same_request_many_times_at_once_is_done_once(api: Api, attempt: int) -> None:
    key = secrets.token_hex(16)
    call = partial(api.post, "/v1/members", {"external_id": f"anne-{attempt}"}, key=key)
    answers = at_once(*[call] * 8)
    made = [answer for answer in answers if answer.status_code == 201]
    assert made, [answer.text for answer in answers]
    assert len({answer.json()["id"] for answer in made}) == 1
    for answer in answers:
        if answer.status_code != 201:
            problem(answer, 409, "idempotency_key_in_use")
            assert answer.headers["retry-after"] == "1"
    assert sum("idempotent-replayed" not in answer.headers for answer in made) == 1
    assert _count(api) == 1
    assert call().headers["idempotent-replayed"] == "true"


def test_replays_of_what_is_done_never_stand_in_each_other_s_way(api: Api) -> None:
    key = secrets.token_hex(16)
    call = partial(api.post, "/v1/members", {"external_id": "anne"}, key=key)
    call()
    for _ in range(3):
        answers = at_once(*[call] * 8)
        assert [answer.status_code for answer in answers] == [201] * 8


def _funded(api: Api, **more: Any) -> tuple[str, dict[str, Any]]:
    payer, payee = api.member()["id"], api.member()["id"]
    made = api.made(
        "/v1/exchanges",
        {
            "kind": "sale",
            "title": "A bicycle",
            "payer": payer,
            "payee": payee,
            "both_agreed": True,
            "legs": [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}],
        },
    )
    return made["id"], {"member": payer, **more}


def test_paying_at_once_many_times_asks_the_provider_for_one_payment(api: Api) -> None:
    exchange, body = _funded(api)
    key = secrets.token_hex(16)
    answers = at_once(*[partial(api.post, f"/v1/exchanges/{exchange}/fund", body, key=key)] * 6)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert any(answer.status_code == 200 for answer in answers)
    assert len(api.read(f"/v1/exchanges/{exchange}/payments")["data"]) == 1


def test_a_payment_begun_by_a_process_that_died_is_gone_on_with_by_the_replay(
    api: Api, engine: Engine
) -> None:
    exchange, body = _funded(api)
    key = secrets.token_hex(16)
    first = api.made(f"/v1/exchanges/{exchange}/fund", body, key=key)
    with transaction(engine, SYSTEM) as connection:
        # As the dead process leaves it: begun and committed, not answered.
        left = connection.execute(
            text(
                "UPDATE service.idempotency SET status = NULL, body = NULL, location = :payment "
                "WHERE key = :key"
            ),
            {"key": key, "payment": first["payment"]},
        )
        assert left.rowcount == 1
    again = api.made(f"/v1/exchanges/{exchange}/fund", body, key=key)
    assert again["payment"] == first["payment"]
    assert len(api.read(f"/v1/exchanges/{exchange}/payments")["data"]) == 1


def test_what_is_kept_ends_after_thirty_days(api: Api, engine: Engine) -> None:
    key = secrets.token_hex(16)
    api.made("/v1/members", {"external_id": "anne"}, key=key)
    with transaction(engine, SYSTEM) as connection:
        days = connection.scalar(
            text(
                "SELECT extract(day FROM expires_at - created_at) FROM service.idempotency "
                "WHERE key = :key"
            ),
            {"key": key},
        )
        assert days == 30
        connection.execute(
            text("UPDATE service.idempotency SET expires_at = now() WHERE key = :key"), {"key": key}
        )
    fresh = api.post("/v1/members", {"external_id": "yann"}, key=key)
    assert fresh.status_code == 201
    assert "idempotent-replayed" not in fresh.headers
