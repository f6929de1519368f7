"""Mediators' accounts: invitations, passwords and what is kept of them, resets, ends."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Final

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from service.config import Settings
from service.ids import decode
from service.mediators import passwords, totp
from service.sealing import Sealer
from tests.http.client import Api, problem
from tests.http.desk import PASSWORD, Desk, Person, do, invite, one, path_of, secret_of, take_up

ANOTHER: Final = "un phare au bout du môle"


def test_a_mediator_who_has_ended_is_out_at_once_and_cannot_come_back(
    maud: Person, operator: Api
) -> None:
    session = maud.sign_in()
    ended = operator.made(f"/v1/operator/mediators/{maud.id}/end")
    assert ended["ended_at"] is not None
    again = operator.made(f"/v1/operator/mediators/{maud.id}/end")
    assert again["ended_at"] == ended["ended_at"]
    problem(maud.desk.me(session["token"]), 401, "not_signed_in")
    problem(maud.desk.refresh(session), 401, "session_over")
    problem(maud.try_in(code=maud.code()), 401, "sign_in_refused")
    problem(operator.post(f"/v1/operator/mediators/{maud.id}/reset"), 409, "mediator_ended")


def test_a_reset_closes_the_account_until_the_new_invitation_is_taken_up(
    maud: Person, operator: Api
) -> None:
    session = maud.sign_in()
    invited = operator.made(f"/v1/operator/mediators/{maud.id}/reset")
    problem(maud.desk.me(session["token"]), 401, "not_signed_in")
    problem(maud.try_in(code=maud.code()), 401, "sign_in_refused")
    again = take_up(maud.desk, invited)
    assert again.secret != maud.secret
    assert again.sign_in()["mediator"] == maud.id


def test_an_invitation_is_used_once_replaced_by_the_next_and_over_after_its_time(
    operator: Api, desk: Desk, engine: Engine
) -> None:
    first = invite(operator)
    second = operator.made(f"/v1/operator/mediators/{first['id']}/reset")
    problem(desk.post(path_of(first), {"password": PASSWORD}), 404, "invitation_not_found")
    take_up(desk, second)
    problem(desk.post(path_of(second), {"password": PASSWORD}), 404, "invitation_not_found")
    third = operator.made(f"/v1/operator/mediators/{first['id']}/reset")
    late = "UPDATE service.invitation SET expires_at = now() WHERE mediator_id = :id"
    assert do(engine, late, id=decode("mediator", first["id"])) == 3
    problem(desk.post(path_of(third), {"password": PASSWORD}), 404, "invitation_not_found")
    problem(desk.post("/invitations/tmi_none", {"code": "000000"}), 404, "invitation_not_found")


def test_an_invitation_wants_a_password_and_then_the_right_code(operator: Api, desk: Desk) -> None:
    invited = invite(operator)
    problem(desk.post(path_of(invited), {"code": "000000"}), 409, "password_first")
    for body in ({}, {"password": PASSWORD, "code": "000000"}):
        problem(desk.post(path_of(invited), body), 422, "invalid_request")
    old = secret_of(desk.post(path_of(invited), {"password": PASSWORD}))
    secret_of(desk.post(path_of(invited), {"password": PASSWORD}))
    code = totp.code(old, totp.step(datetime.now(UTC)))
    problem(desk.post(path_of(invited), {"code": code}), 422, "code_refused")
    assert take_up(desk, invited).sign_in()


@pytest.mark.parametrize(
    "password",
    [
        "too short",
        "a" * 257,
        "aaaaaaaaaaaaaaaa",
        "abababababababab",
        "my name is maud indeed",
        "GOFF and other people",
        "tierce is where I work",
        "ＭＡＵＤ with wide letters",
    ],
)
def test_a_password_that_is_easily_guessed_is_refused(
    operator: Api, desk: Desk, password: str
) -> None:
    invited = invite(operator)
    body = problem(desk.post(path_of(invited), {"password": password}), 422, "weak_password")
    assert body["pointer"] == "/password"


@pytest.mark.parametrize(
    "password", ["aaaa bbbb cccc dddd", "123456789012", "été à Molène, 7h", "x" * 9 + "éèàù"]
)
def test_what_a_password_is_made_of_is_left_to_its_owner(password: str) -> None:
    passwords.check(password, "Maud Le Goff", "m.lg@example.org")


def test_a_password_is_the_same_however_a_keyboard_writes_it() -> None:
    hash_ = passwords.hash_("e\u0301te\u0301 a\u0300 Mole\u0300ne")
    assert passwords.verify("\u00e9t\u00e9 \u00e0 Mol\u00e8ne", hash_)[0]


def test_passwords_are_kept_as_argon2id_of_todays_cost_and_codes_secrets_sealed(
    maud: Person, engine: Engine, app_settings: Settings
) -> None:
    row = "SELECT {} FROM service.sign_in WHERE mediator_id = :id"
    hash_ = one(engine, row.format("password_hash"), id=maud.uuid)
    assert hash_.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    salt, digest = hash_.split("$")[-2:]
    assert (len(base64.b64decode(salt + "==")), len(base64.b64decode(digest + "=="))) == (16, 32)
    sealed = one(engine, row.format("totp_secret"), id=maud.uuid)
    assert maud.secret.encode() not in sealed
    assert base64.b32decode(maud.secret) not in sealed
    assert app_settings.code_key is not None
    sealer = Sealer(app_settings.code_key.get_secret_value())
    assert sealer.open(totp.place(maud.uuid), sealed) == maud.secret


def test_a_hash_of_an_older_cost_is_made_anew_at_the_next_sign_in(
    maud: Person, engine: Engine
) -> None:
    cheaper = passwords._hasher(passwords.Parameters(2, 19_456, 1))
    changed = do(
        engine,
        "UPDATE service.sign_in SET password_hash = :hash WHERE mediator_id = :id",
        hash=cheaper.hash(PASSWORD),
        id=maud.uuid,
    )
    assert changed == 1
    maud.sign_in()
    query = "SELECT password_hash FROM service.sign_in WHERE mediator_id = :id"
    assert one(engine, query, id=maud.uuid).startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    maud.sign_in()


def test_nothing_in_the_database_holds_a_secret(
    maud: Person, operator: Api, engine: Engine
) -> None:
    session = maud.sign_in()
    invited = operator.made(f"/v1/operator/mediators/{maud.id}/reset", key=(key := "k" * 30))
    again = operator.made(f"/v1/operator/mediators/{maud.id}/reset", key=key)
    assert again["invitation"]["path"] is None
    for secret in (session["refresh_token"], path_of(invited).rsplit("/", 1)[-1], PASSWORD):
        for table in ("sign_in", "invitation", "sign_in_session", "sign_in_refresh"):
            query = f"SELECT count(*) FROM service.{table} t WHERE strpos(t::text, :secret) > 0"
            assert one(engine, query, secret=secret) == 0, table
        query = "SELECT count(*) FROM service.idempotency i WHERE strpos(i::text, :secret) > 0"
        assert one(engine, query, secret=secret) == 0


def test_a_changed_password_ends_the_other_sessions(maud: Person) -> None:
    own, other = maud.sign_in(), maud.sign_in()
    change = {"current_password": PASSWORD, "password": ANOTHER}
    wrong = maud.desk.post("/password", {**change, "current_password": "x"}, own["token"])
    problem(wrong, 422, "password_wrong")
    weak = maud.desk.post("/password", {**change, "password": "short"}, own["token"])
    problem(weak, 422, "weak_password")
    assert maud.desk.me(other["token"]).status_code == 200
    assert maud.desk.post("/password", change, own["token"]).status_code == 200
    assert maud.desk.me(own["token"]).status_code == 200
    problem(maud.desk.me(other["token"]), 401, "not_signed_in")
    again = maud.desk.post("/password", change, own["token"])
    problem(again, 422, "password_wrong")


def test_a_stolen_token_does_not_try_passwords_faster_than_anybody(maud: Person) -> None:
    token = maud.sign_in()["token"]
    body = {"current_password": "x", "password": ANOTHER}
    told = [maud.desk.post("/password", body, token).status_code for _ in range(6)]
    assert told == [422] * 5 + [429]


def test_a_platform_s_key_and_the_operator_s_open_no_desk(
    desk: Desk, api: Api, operator: Api
) -> None:
    for caller in (api, operator):
        assert caller.bearer is not None
        problem(desk.me(caller.bearer), 401, "not_signed_in")


def test_mediators_are_listed_in_pages_and_an_address_is_taken_once(operator: Api) -> None:
    one = invite(operator)
    invite(operator)
    taken = {"name": "Other", "email": one["email"].upper(), "languages": ["en"]}
    problem(operator.post("/v1/operator/mediators", taken), 409, "mediator_email_taken")
    seen, cursor = [], None
    while True:
        query = {"limit": 1} if cursor is None else {"limit": 1, "cursor": cursor}
        body = operator.read("/v1/operator/mediators", **query)
        seen += [line["id"] for line in body["data"]]
        cursor = body["next_cursor"]
        if cursor is None:
            break
    assert one["id"] in seen
    assert seen == sorted(set(seen))


def test_the_log_never_holds_an_invitation_s_secret(operator: Api, desk: Desk) -> None:
    with capture_logs() as logs:
        invited = invite(operator)
        take_up(desk, invited)
    paths = {line["path"] for line in logs if line["event"] == "request"}
    assert paths == {"/v1/operator/mediators", "/v1/mediation/invitations/…"}
    for secret in (path_of(invited).rpartition("/")[2], PASSWORD):
        assert secret not in str(logs)
