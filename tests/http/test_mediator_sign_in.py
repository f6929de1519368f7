"""How mediators sign in, and how often it may be tried."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import Engine, text

from service import db
from service.mediators import throttle, totp
from service.sealing import Sealer
from tests.http.client import Api, at_once, problem
from tests.http.desk import PASSWORD, Desk, Person, do, invite, one, path_of, secret_of, take_up


def test_a_mediator_is_invited_chooses_signs_in_and_is_known(operator: Api, desk: Desk) -> None:
    invited = invite(operator, roles=["mediator", "supervisor"])
    assert set(operator.read(f"/v1/operator/mediators/{invited['id']}")) == set(invited) - {
        "invitation"
    }
    uri = desk.post(path_of(invited), {"password": PASSWORD}).json()["otpauth_uri"]
    assert uri.startswith("otpauth://totp/Tierce:")
    maud = take_up(desk, invited)
    session = maud.sign_in()
    assert session["mediator"] == maud.id
    life = datetime.fromisoformat(session["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=14) < life <= timedelta(minutes=15)
    me = desk.me(session["token"]).json()
    assert (me["id"], me["email"], me["roles"]) == (
        maud.id,
        maud.email,
        ["mediator", "supervisor"],
    )


def test_an_address_is_the_same_whatever_its_capitals(maud: Person) -> None:
    answer = maud.try_in(email=f" {maud.email.upper()} ", code=maud.code())
    assert answer.status_code == 200, answer.text


def test_what_was_wrong_is_not_told(maud: Person, new_desk: Callable[[], Desk]) -> None:
    told = []
    for wrong in (
        {"password": "a wrong password, long enough", "code": maud.code()},
        {"code": "000000"},
        {"email": "nobody@example.org", "code": maud.code()},
    ):
        answer = maud.try_in(new_desk(), **wrong)
        body = problem(answer, 401, "sign_in_refused")
        body.pop("request_id")
        told.append((body, sorted(answer.headers)))
    assert told[0] == told[1] == told[2]


def test_somebody_invited_who_chose_nothing_yet_cannot_sign_in(operator: Api, desk: Desk) -> None:
    invited = invite(operator)
    secret = secret_of(desk.post(path_of(invited), {"password": PASSWORD}))
    code = totp.code(secret, totp.step(datetime.now(UTC)))
    body = {"email": invited["email"], "password": PASSWORD, "code": code}
    problem(desk.post("/sign-in", body), 401, "sign_in_refused")


def test_a_code_is_taken_once_even_by_many_at_once(maud: Person) -> None:
    code = maud.code()
    answers = at_once(*[partial(maud.try_in, code=code)] * 4)
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    problem(maud.try_in(code=code), 401, "sign_in_refused")


def test_the_code_that_opened_the_account_and_an_older_one_are_used_up(
    maud: Person, engine: Engine
) -> None:
    problem(maud.try_in(code=totp.code(maud.secret, maud.used)), 401, "sign_in_refused")
    maud.sign_in()
    last = one(
        engine,
        "SELECT totp_last_step FROM service.sign_in WHERE mediator_id = :id",
        id=maud.uuid,
    )
    problem(maud.try_in(code=totp.code(maud.secret, last - 1)), 401, "sign_in_refused")


@pytest.mark.parametrize(
    ("off", "taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
def test_a_clock_may_be_one_step_off(off: int, taken: bool) -> None:
    now, secret = datetime(2027, 3, 1, 9, 0, 15, tzinfo=UTC), totp.new_secret()
    step = totp.step(now) + off
    found = totp.matching(secret, totp.code(secret, step), now)
    assert found == (step if taken else None)


def test_codes_are_those_of_the_standard() -> None:
    # RFC 6238, appendix B, SHA-1: the last six of its eight digits.
    secret = base64.b32encode(b"12345678901234567890").decode()
    for seconds, code in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        assert totp.code(secret, totp.step(datetime.fromtimestamp(seconds, UTC))) == code


def test_after_five_failures_there_is_a_wait_which_takes_no_try_and_does_not_look_at_the_password(
    maud: Person, engine: Engine
) -> None:
    for _ in range(5):
        problem(maud.try_in(password="wrong"), 401, "sign_in_refused")
    answer = maud.try_in(code=maud.code())
    body = problem(answer, 429, "too_many_tries")
    assert 0 < body["facts"]["wait_seconds"] <= 60
    assert answer.headers["retry-after"] == str(body["facts"]["wait_seconds"])
    count = "SELECT count(*) FROM service.sign_in_try WHERE account = :key AND NOT succeeded"
    assert one(engine, count, key=throttle.account_key(maud.email)) == 5


def test_an_unknown_address_waits_as_a_known_one(desk: Desk) -> None:
    body = {"email": f"{secrets.token_hex(8)}@example.org", "password": "x", "code": "000000"}
    told = [desk.post("/sign-in", body) for _ in range(6)]
    assert [answer.status_code for answer in told] == [401] * 5 + [429]


def test_tries_made_at_once_are_counted_each(maud: Person) -> None:
    answers = at_once(*[partial(maud.try_in, password="wrong")] * 9)
    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 4


def test_strangers_cannot_lock_a_mediator_out(
    maud: Person, new_desk: Callable[[], Desk], engine: Engine
) -> None:
    stranger = new_desk()
    with db.transaction(engine, db.SYSTEM) as connection:
        now, key = datetime.now(UTC), throttle.account_key(maud.email)
        for network in range(40):
            connection.execute(
                text(
                    "INSERT INTO service.sign_in_try (at, account, prefix, succeeded) "
                    "VALUES (:now, :key, :network, false)"
                ),
                {"now": now, "key": key, "network": f"198.18.{network}.0/24"},
            )
    problem(maud.try_in(stranger, code="000000"), 429, "too_many_tries")
    maud.sign_in()  # from where the account was opened


def test_success_ends_the_count_of_its_network(maud: Person) -> None:
    for _ in range(4):
        maud.try_in(password="wrong")
    maud.sign_in()
    for _ in range(5):
        problem(maud.try_in(password="wrong"), 401, "sign_in_refused")
    problem(maud.try_in(password="wrong"), 429, "too_many_tries")


def test_waits_grow_from_failure_to_failure_and_end() -> None:
    for limit in (throttle.PAIR, throttle.ACCOUNT, throttle.NETWORK):
        waits = [limit.wait(failures) for failures in range(2_000)]
        assert waits == sorted(waits)
        assert waits[limit.free - 1] == timedelta(0) < waits[limit.free] < waits[limit.free + 1]
        assert waits[-1] == limit.longest <= timedelta(hours=1)


def test_a_wait_that_is_over_gives_another_try(maud: Person, engine: Engine) -> None:
    with db.transaction(engine, db.SYSTEM) as connection:
        key, prefix = throttle.account_key(maud.email), f"{maud.desk.network}.0/24"
        start = datetime.now(UTC)
        for second in range(5):
            throttle.claim(connection, key, prefix, start + timedelta(seconds=second))
        with pytest.raises(throttle.TooManyTries):
            throttle.claim(connection, key, prefix, start + timedelta(seconds=63))
        throttle.claim(connection, key, prefix, start + timedelta(seconds=64))
        with pytest.raises(throttle.TooManyTries):
            throttle.claim(connection, key, prefix, start + timedelta(seconds=64 + 119))
        throttle.claim(connection, key, prefix, start + timedelta(seconds=64 + 120))


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        (None, "local"),
        ("/run/tierce.sock", "local"),
    ],
)
def test_a_client_is_counted_by_its_network(host: str | None, network: str) -> None:
    assert throttle.prefix(host) == network


def test_a_secret_that_does_not_open_lets_nobody_in(maud: Person, engine: Engine) -> None:
    other = Sealer("another instance's secret, long enough").seal(totp.place(maud.uuid), "A" * 32)
    query = "UPDATE service.sign_in SET totp_secret = :sealed WHERE mediator_id = :id"
    assert do(engine, query, sealed=other, id=maud.uuid) == 1
    for secret in (maud.secret, "A" * 32):
        code = totp.code(secret, maud.used + 1)
        problem(maud.try_in(code=code), 401, "sign_in_refused")


def test_what_was_tried_cannot_be_changed_afterwards(maud: Person, engine: Engine) -> None:
    maud.try_in(password="wrong")
    with pytest.raises(Exception, match=r"append-only|permission denied"):
        do(engine, "UPDATE service.sign_in_try SET succeeded = true")
