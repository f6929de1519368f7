"""Mediators' sessions: their tokens, refreshed and ended, and every way to forge one."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
import pytest
from jose import jwt
from sqlalchemy import Engine

from service import db
from service.config import Settings
from service.mediators import sessions
from service.platforms.tokens import Signer
from tests.http.client import Api, Server, at_once, problem
from tests.http.conftest import new_signing_key
from tests.http.desk import Desk, Person, do, invite, one, take_up


def _part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


def test_a_refresh_gives_the_next_token_and_the_next_secret(maud: Person) -> None:
    first = maud.sign_in()
    second = maud.desk.refresh(first).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["session_expires_at"] == first["session_expires_at"]
    assert maud.desk.me(second["token"]).status_code == 200
    assert maud.desk.refresh(second).status_code == 200


def test_a_copied_refresh_secret_ends_the_session_for_both_who_have_it(
    maud: Person, engine: Engine
) -> None:
    stolen = maud.sign_in()
    own = maud.desk.refresh(stolen).json()
    problem(maud.desk.refresh(stolen), 401, "session_over")
    problem(maud.desk.refresh(own), 401, "session_over")
    for session in (stolen, own):
        problem(maud.desk.me(session["token"]), 401, "not_signed_in")
    why = "SELECT ended_why FROM service.sign_in_session WHERE mediator_id = :id"
    assert one(engine, why, id=maud.uuid) == "reused"


def test_of_many_refreshes_at_once_one_is_answered_and_the_session_ends(maud: Person) -> None:
    session = maud.sign_in()
    answers = at_once(*[partial(maud.desk.refresh, session)] * 4)
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    problem(maud.desk.me(session["token"]), 401, "not_signed_in")


@pytest.mark.parametrize("column", ["expires_at", "refresh"])
def test_a_session_ends_when_it_is_old_or_was_not_refreshed(
    maud: Person, engine: Engine, column: str
) -> None:
    session = maud.sign_in()
    if column == "refresh":
        changed = do(
            engine,
            "UPDATE service.sign_in_refresh SET expires_at = now() WHERE session_id IN "
            "(SELECT id FROM service.sign_in_session WHERE mediator_id = :id)",
            id=maud.uuid,
        )
    else:
        changed = do(
            engine,
            "UPDATE service.sign_in_session SET expires_at = now() WHERE mediator_id = :id",
            id=maud.uuid,
        )
        problem(maud.desk.me(session["token"]), 401, "not_signed_in")
    assert changed == 1
    problem(maud.desk.refresh(session), 401, "session_over")


def test_whoever_signs_out_is_out_at_once_and_other_sessions_go_on(maud: Person) -> None:
    one, other = maud.sign_in(), maud.sign_in()
    assert maud.desk.post("/sign-out", token=one["token"]).status_code == 204
    problem(maud.desk.me(one["token"]), 401, "not_signed_in")
    problem(maud.desk.refresh(one), 401, "session_over")
    assert maud.desk.me(other["token"]).status_code == 200


def test_no_forged_or_foreign_token_opens_the_desk(
    maud: Person, api: Api, app_settings: Settings
) -> None:
    token = maud.sign_in()["token"]
    claims = jwt.get_unverified_claims(token)
    assert app_settings.signing_key is not None
    pem = app_settings.signing_key.get_secret_value()
    signer = Signer(pem, app_settings.public_url)
    said = f"{_part({'alg': 'HS256', 'typ': 'JWT'})}.{_part(claims)}"
    mac = hmac.new(orjson.dumps(signer.jwks["keys"][0]), said.encode(), hashlib.sha256).digest()

    def signed(**changes: Any) -> str:
        whole = {k: v for k, v in (claims | changes).items() if v is not None}
        return str(jwt.encode(whole, pem, algorithm="ES256"))

    assert maud.desk.me(signed()).status_code == 200, "else the rest proves nothing"
    member = api.acting(api.member()["id"]).bearer
    assert member is not None
    forged = {
        "none": f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}.",
        "HS256": f"{said}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}",
        "another key": str(jwt.encode(claims, new_signing_key(), algorithm="ES256")),
        "a member's": member,
        "audience": signed(aud="tierce:member"),
        "no audience": signed(aud=None),
        "issuer": signed(iss="https://elsewhere.test"),
        "expired": signed(exp=int(datetime.now(UTC).timestamp()) - 1),
        "no session": signed(sid=None),
        "no subject": signed(sub=None),
        "a member's id": signed(sub=claims["sub"].replace("md_", "mb_")),
    }
    for name, made in forged.items():
        answer = maud.desk.me(made)
        assert answer.status_code == 401, name
        problem(answer, 401, "invalid_token")
    elsewhere = signed(sid=claims["sid"][:-6] + "000000")
    problem(maud.desk.me(elsewhere), 401, "not_signed_in")


def test_a_session_opens_for_its_own_mediator_alone(
    maud: Person, operator: Api, new_desk: Callable[[], Desk], app_settings: Settings
) -> None:
    other = take_up(new_desk(), invite(operator))
    claims = jwt.get_unverified_claims(maud.sign_in()["token"])
    assert app_settings.signing_key is not None
    pem = app_settings.signing_key.get_secret_value()
    mixed = str(jwt.encode(claims | {"sub": other.id}, pem, algorithm="ES256"))
    problem(maud.desk.me(mixed), 401, "not_signed_in")


def test_a_mediator_s_token_opens_nothing_of_a_platform_or_the_operator(
    maud: Person, server: Server
) -> None:
    caller = Api(server, maud.sign_in()["token"])
    for path in ("/v1/exchanges", "/v1/members", "/v1/operator/mediators", "/v1/platforms"):
        assert caller.get(path).status_code == 401, path


def test_a_session_s_use_is_noted_at_most_each_minute(maud: Person, engine: Engine) -> None:
    maud.sign_in()
    query = "SELECT id FROM service.sign_in_session WHERE mediator_id = :id"
    session_id = one(engine, query, id=maud.uuid)
    query = "SELECT last_seen_at FROM service.sign_in_session WHERE id = :id"
    before = one(engine, query, id=session_id)
    for seconds, noted in ((59, False), (60, True)):
        now = before + timedelta(seconds=seconds)
        with db.transaction(engine, db.SYSTEM) as connection:
            assert sessions.see(connection, maud.uuid, session_id, now) is not None
        assert one(engine, query, id=session_id) == (now if noted else before)
