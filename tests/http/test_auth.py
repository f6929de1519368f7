"""Who gets in: keys, their scopes, rotation and end; members' tokens; the operator."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from jose import jwt
from sqlalchemy import Engine, text

from service.config import Settings
from service.db import SYSTEM, transaction
from service.ids import decode
from service.platforms.scopes import SCOPES
from service.platforms.tokens import Signer
from tests.http.client import Api, Server, problem
from tests.http.conftest import new_signing_key


def _refused(api: Api) -> bool:
    answer = api.get("/v1/members")
    if answer.status_code == 200:
        return False
    problem(answer, 401, "not_signed_in")
    return True


def _stays_refused_within(api: Api, seconds: float) -> None:
    """A process that saw the key a moment ago may take it until its memory of it ends."""
    deadline = time.monotonic() + seconds
    while not _refused(api):
        assert time.monotonic() < deadline, "the key still opens"
        time.sleep(0.1)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic dGs6eA==",
        "Bearer tk_live_x y",
        "tk_live_x",
        "Bearer é",
    ],
)
def test_a_missing_or_malformed_credential_is_refused_with_the_way_to_sign_in(
    server: Server, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    answer = server.send("GET", "/v1/members", headers=headers)
    problem(answer, 401, "not_signed_in" if header != "Bearer é" else answer.json()["code"])
    assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_a_key_is_made_used_listed_and_its_secret_never_shown_again(
    api: Api, server: Server
) -> None:
    answer = api.post("/v1/api-keys", {"label": "Shop", "scopes": ["members:read"]})
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/api-keys/{made['id']}"
    secret = made["secret"]
    assert secret.startswith("tk_sandbox_")
    assert Api(server, secret).get("/v1/members").status_code == 200
    random_part = secret.removeprefix(made["hint"])
    for shown in (api.get(f"/v1/api-keys/{made['id']}"), api.get("/v1/api-keys")):
        assert shown.status_code == 200
        assert random_part not in shown.text
    read = api.read(f"/v1/api-keys/{made['id']}")
    assert read["last_used_at"] is not None


def test_nothing_in_the_database_holds_a_secret_that_was_shown(
    api: Api, engine: Engine, operator: Api
) -> None:
    platform = operator.made("/v1/platforms", {"name": "A commune"})
    secrets = [
        api.made("/v1/api-keys", {"label": "x", "scopes": ["members:read"]}),
        platform["live_key"],
        platform["sandbox_key"],
    ]
    with transaction(engine, SYSTEM) as connection:
        for key in secrets:
            random_part = key["secret"].removeprefix(key["hint"])
            found = connection.scalar(
                text("SELECT count(*) FROM service.idempotency i WHERE strpos(i::text, :part) > 0"),
                {"part": random_part},
            )
            assert found == 0, "a secret lies in the answers kept for replays"


def test_a_rotated_key_and_its_successor_both_work_during_the_overlap(
    api: Api, server: Server
) -> None:
    old = api.made("/v1/api-keys", {"label": "Shop", "scopes": ["members:read"]})
    new = api.made(f"/v1/api-keys/{old['id']}/rotate", {"overlap_hours": 1})
    assert new["scopes"] == ["members:read"]
    for key in (old, new):
        assert Api(server, key["secret"]).get("/v1/members").status_code == 200
    shown = api.read(f"/v1/api-keys/{old['id']}")
    assert shown["rotated_to"] == new["id"]
    ends = datetime.fromisoformat(shown["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < ends <= timedelta(hours=1)
    problem(api.post(f"/v1/api-keys/{old['id']}/rotate", {}), 409, "api_key_ended")


def test_rotation_without_overlap_ends_the_old_key_at_once(api: Api, server: Server) -> None:
    old = api.made("/v1/api-keys", {"label": "Shop", "scopes": ["members:read"]})
    caller = Api(server, old["secret"])
    assert not _refused(caller)
    new = api.made(f"/v1/api-keys/{old['id']}/rotate", {"overlap_hours": 0})
    assert _refused(caller)
    assert not _refused(Api(server, new["secret"]))


def test_a_revoked_key_is_refused_at_once_by_the_process_that_revoked_it(
    api: Api, server: Server
) -> None:
    key = api.made("/v1/api-keys", {"label": "Shop", "scopes": ["members:read"]})
    caller = Api(server, key["secret"])
    assert not _refused(caller)
    revoked = api.made(f"/v1/api-keys/{key['id']}/revoke")
    assert revoked["revoked_at"] is not None
    assert _refused(caller)


def test_a_key_revoked_elsewhere_is_refused_within_three_seconds(
    api: Api, server: Server, engine: Engine
) -> None:
    key = api.made("/v1/api-keys", {"label": "Shop", "scopes": ["members:read"]})
    caller = Api(server, key["secret"])
    assert not _refused(caller)
    with transaction(engine, SYSTEM) as connection:
        connection.execute(
            text("UPDATE service.api_key SET revoked_at = now() WHERE id = :id"),
            {"id": decode("api_key", key["id"])},
        )
    _stays_refused_within(caller, 3)


def test_a_key_cannot_give_what_it_does_not_have(new_api: Callable[..., Api], api: Api) -> None:
    small = new_api("keys:read", "keys:write", "members:read")
    assert small.made("/v1/api-keys", {"label": "ok", "scopes": ["members:read"]})["secret"]
    more = small.post("/v1/api-keys", {"label": "x", "scopes": ["members:read", "payments:write"]})
    assert problem(more, 403, "scope_missing")["facts"]["scope"] == "payments:write"


def test_a_key_cannot_take_over_a_stronger_one_by_rotating_it(
    new_api: Callable[..., Api], platform_id: UUID
) -> None:
    strong = new_api(platform_id=platform_id)
    small = new_api("keys:read", "keys:write", platform_id=platform_id)
    target = strong.made("/v1/api-keys", {"label": "all", "scopes": list(SCOPES)})
    problem(small.post(f"/v1/api-keys/{target['id']}/rotate", {}), 403, "scope_missing")


def test_a_scope_that_does_not_exist_is_refused_with_the_list(api: Api) -> None:
    answer = api.post("/v1/api-keys", {"label": "x", "scopes": ["members:erase"]})
    body = problem(answer, 422, "unknown_scope")
    assert body["pointer"] == "/scopes"
    assert "members:read" in body["detail"]


def test_the_operator_makes_a_platform_with_a_live_and_a_sandbox_side(
    operator: Api, server: Server
) -> None:
    answer = operator.post("/v1/platforms", {"name": "A commune"})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"/v1/platforms/{made['live']['id']}"
    live, sandbox = (Api(server, made[f"{mode}_key"]["secret"]) for mode in ("live", "sandbox"))
    assert live.bearer is not None
    assert live.bearer.startswith("tk_live_")
    for mode, caller in (("live", live), ("sandbox", sandbox)):
        own = caller.read("/v1/platform")
        assert (own["id"], own["mode"], own["name"]) == (made[mode]["id"], mode, "A commune")
    member = sandbox.member("anne")
    problem(live.get(f"/v1/members/{member['id']}"), 404, "member_not_found")
    assert live.read("/v1/members")["data"] == []
    assert operator.read(f"/v1/platforms/{made['live']['id']}")["twin"] == made["sandbox"]["id"]


def test_the_same_platform_is_made_once_however_often_it_is_asked_for(operator: Api) -> None:
    first = operator.post(
        "/v1/platforms", {"name": "Once"}, key="make-once-" + operator.__class__.__name__
    )
    again = operator.post(
        "/v1/platforms", {"name": "Once"}, key="make-once-" + operator.__class__.__name__
    )
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["live"] == first.json()["live"]
    problem(
        operator.send("POST", "/v1/platforms", {"name": "Once"}, headers={"Idempotency-Key": ""}),
        400,
        "idempotency_key_invalid",
    )


# Members' tokens


def test_a_member_s_token_lets_the_member_see_their_own_exchanges_and_nothing_else(
    api: Api, server: Server
) -> None:
    anne, yann, marie = (api.member()["id"] for _ in range(3))
    sale = {
        "kind": "sale",
        "title": "A bicycle",
        "legs": [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}],
    }
    of_anne = api.made("/v1/exchanges", {**sale, "payer": anne, "payee": yann})["id"]
    of_marie = api.made("/v1/exchanges", {**sale, "payer": marie, "payee": yann})["id"]
    acting = api.acting(anne)
    assert acting.read(f"/v1/exchanges/{of_anne}")["id"] == of_anne
    assert [one["id"] for one in acting.read("/v1/exchanges")["data"]] == [of_anne]
    assert acting.read("/v1/exchanges", member=marie)["data"][0]["id"] == of_anne
    problem(acting.get(f"/v1/exchanges/{of_marie}"), 404, "exchange_not_found")
    problem(acting.post(f"/v1/exchanges/{of_marie}/cancel", {}), 404, "exchange_not_found")
    problem(acting.post(f"/v1/exchanges/{of_anne}/cancel", {"member": yann}), 403, "not_yourself")
    for closed in ("/v1/members", "/v1/api-keys", "/v1/balances", "/v1/events", "/v1/platform"):
        assert acting.get(closed).status_code in {401, 403}, closed


def _changed(token: str, **changes: Any) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.get_unverified_claims(token) | changes
    return {name: value for name, value in claims.items() if value is not None}


def _unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(orjson.dumps(p)).rstrip(b"=").decode() for p in parts]
    return ".".join([*encoded, ""])


def test_forged_expired_and_misdirected_tokens_open_nothing(
    api: Api, server: Server, app_settings: Settings
) -> None:
    member = api.member()["id"]
    token = api.made(f"/v1/members/{member}/tokens")["token"]
    assert Api(server, token).get("/v1/exchanges").status_code == 200
    assert app_settings.signing_key is not None
    pem = app_settings.signing_key.get_secret_value()
    kid = jwt.get_unverified_header(token)["kid"]

    def signed(with_pem: str = pem, **changes: Any) -> str:
        claims = _changed(token, **changes)
        return str(jwt.encode(claims, with_pem, algorithm="ES256", headers={"kid": kid}))

    assert Api(server, signed()).get("/v1/exchanges").status_code == 200
    past = int(time.time()) - 1
    forged = {
        "none": _unsigned(_changed(token)),
        "other key": signed(new_signing_key()),
        "audience": signed(aud="somebody-else"),
        "no audience": signed(aud=None),
        "issuer": signed(iss="http://elsewhere.test"),
        "expired": signed(exp=past),
        "no end": signed(exp=None),
        "cut": token[:-4],
    }
    for flaw, text_ in forged.items():
        answer = Api(server, text_).get("/v1/exchanges")
        assert answer.status_code == 401, flaw
        problem(answer, 401, "invalid_token")


def test_a_token_of_one_platform_is_nothing_on_another(
    api: Api, neighbour: Api, server: Server, app_settings: Settings
) -> None:
    assert app_settings.signing_key is not None
    member = decode("member", api.member()["id"])
    other_platform = decode("platform", neighbour.read("/v1/platform")["id"])
    signer = Signer(app_settings.signing_key.get_secret_value(), app_settings.public_url)
    token, _ends = signer.issue(other_platform, member, datetime.now(UTC))
    problem(Api(server, token).get("/v1/exchanges"), 401, "not_signed_in")


def test_the_token_of_an_erased_member_opens_nothing(api: Api) -> None:
    member = api.member()["id"]
    acting = api.acting(member)
    assert acting.get("/v1/exchanges").status_code == 200
    api.made(f"/v1/members/{member}/erase")
    problem(acting.get("/v1/exchanges"), 401, "not_signed_in")
    problem(api.post(f"/v1/members/{member}/tokens"), 409, "member_erased")


@pytest.mark.parametrize("seconds", [0, 59, 3601, -1, 2**63, "900", 900.0, True])
def test_a_token_lives_from_a_minute_to_an_hour(api: Api, seconds: object) -> None:
    member = api.member()["id"]
    answer = api.post(f"/v1/members/{member}/tokens", {"ttl_seconds": seconds})
    assert answer.status_code == 422
    if seconds != 2**63:
        assert problem(answer, 422, "invalid_request")["pointer"] == "/ttl_seconds"


def test_the_published_keys_verify_a_token(api: Api, anonymous: Api) -> None:
    member = api.member()["id"]
    made = api.made(f"/v1/members/{member}/tokens", {"ttl_seconds": 60})
    answer = anonymous.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    kid = jwt.get_unverified_header(made["token"])["kid"]
    (key,) = [one for one in answer.json()["keys"] if one["kid"] == kid]
    assert "d" not in key
    claims = jwt.decode(
        made["token"], key, ["ES256"], audience=jwt.get_unverified_claims(made["token"])["aud"]
    )
    assert claims["sub"] == member
    ends = datetime.fromisoformat(made["expires_at"])
    assert abs(ends.timestamp() - claims["exp"]) <= 1
    assert claims["exp"] - claims["iat"] == 60


def test_an_operator_s_key_on_a_platform_s_address_is_told_what_opens_there(server: Server) -> None:
    mistaken = Api(server, "tk_operator_0123456789abcdef")
    told = problem(mistaken.get("/v1/members"), 401, "not_signed_in")
    assert "operator" in told["detail"]
    assert "tk_sandbox_" in told["detail"]
