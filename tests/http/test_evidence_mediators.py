"""Evidence at the dispute desk: read by whoever has the case, and asked for from the lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from disputes import mediators
from service import db
from tests.disputes import samples
from tests.disputes.people import People
from tests.http.claimed import PRESSURED, Claimed, claim
from tests.http.client import Api, problem
from tests.http.deal import Deal
from tests.http.desk import Desk, Person, invite, take_up

PHOTO = samples.encoded(samples.image(), "JPEG")


@pytest.fixture
def people(paid: Deal, engine: Engine) -> People:
    return People(engine, paid.platform_id)


@pytest.fixture
def token(people: People, maud: Person) -> str:
    """Maud is in the pool, and signed in."""
    with people.everywhere() as connection:
        mediators.put_in_pool(connection, people.pool_id, [maud.uuid])
    return str(maud.sign_in()["token"])


@pytest.fixture
def hers(paid: Deal, token: str, maud: Person) -> Claimed:
    """A case that was given to Maud: nobody else is in the pool."""
    found = claim(paid, PRESSURED)
    assert found.case().mediator_id == maud.uuid
    return found


@pytest.fixture
def other_token(operator: Api, new_desk: Callable[[], Desk]) -> str:
    """Of somebody who has nothing to do with the case."""
    return str(take_up(new_desk(), invite(operator)).sign_in()["token"])


def get(desk: Desk, path: str, token: str) -> httpx.Response:
    return desk.send("GET", path, token=token)


def test_whoever_has_the_case_reads_what_both_sides_read(
    hers: Claimed, desk: Desk, token: str
) -> None:
    made = hers.sent(samples.located(), hers.payer, text="His message.")
    answer = get(desk, hers.desk_path, token)
    assert answer.status_code == 200
    [found] = answer.json()["data"]
    path = found["file"].pop("path")
    assert path == f"/v1/mediation{hers.desk_path}/{made['id']}/file"
    made["file"].pop("path")
    assert found == made
    file = get(desk, path.removeprefix("/v1/mediation"), token)
    assert file.status_code == 200
    assert file.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in file.headers["content-security-policy"]
    assert not any(secret in file.content for secret in samples.SECRETS)


def test_nobody_else_at_the_desk_sees_that_there_is_anything(
    hers: Claimed, desk: Desk, token: str, other_token: str
) -> None:
    made = hers.sent(PHOTO, hers.payer)
    for path in (hers.desk_path, f"{hers.desk_path}/{made['id']}/file"):
        problem(get(desk, path, other_token), 404, "case_not_found")
    assert get(desk, hers.desk_path, token).status_code == 200


def test_a_mediator_s_token_opens_nothing_of_the_platform_s_and_a_key_nothing_of_the_desk_s(
    hers: Claimed, desk: Desk, token: str
) -> None:
    problem(Api(hers.api.server, token).get(hers.path), 401, "invalid_token")
    for credential in (hers.api.bearer, hers.payer.bearer):
        assert credential is not None
        assert get(desk, hers.desk_path, credential).status_code == 401


def test_whoever_gave_the_case_back_reads_no_more(
    hers: Claimed, desk: Desk, token: str, people: People, maud: Person
) -> None:
    people.join()
    challenged = hers.step("challenge", member_id=hers.case().payee_id, text="I know her.")
    assert challenged.mediator_id != maud.uuid
    problem(get(desk, hers.desk_path, token), 404, "case_not_found")


def test_a_neutral_s_look_is_on_the_record_without_their_name(
    hers: Claimed, desk: Desk, token: str, maud: Person
) -> None:
    made = hers.sent(PHOTO, hers.payer)
    get(desk, hers.desk_path, token)
    get(desk, f"{hers.desk_path}/{made['id']}/file", token)
    answer = hers.payer.get(f"{hers.path}/views")
    assert maud.id not in answer.text
    assert str(maud.uuid) not in answer.text
    assert [(one["by"], one["evidence"], one["list_up_to"]) for one in answer.json()["data"]] == [
        ("mediator", None, 1),
        ("mediator", made["id"], None),
    ]


def test_whoever_decides_a_case_again_reads_it_too(
    hers: Claimed, desk: Desk, engine: Engine, operator: Api, new_desk: Callable[[], Desk]
) -> None:
    second = take_up(new_desk(), invite(operator))
    token = str(second.sign_in()["token"])
    problem(get(desk, hers.desk_path, token), 404, "case_not_found")
    with db.transaction(engine, db.SYSTEM) as connection:
        connection.exec_driver_sql(
            "INSERT INTO disputes.redecision (platform_id, case_id, ruling_id, first_id, first, "
            "mediator_id, seed, eligible, excluded, at) VALUES (%s, %s, gen_random_uuid(), %s, "
            "'{}', %s, sha256(''), '{}', '{}', now())",
            (hers.deal.platform_id, hers.case_id, hers.case().mediator_id, second.uuid),
        )
    assert get(desk, hers.desk_path, token).status_code == 200


def ask(desk: Desk, hers: Claimed, token: str, key: str | None = None, **asked: str) -> Any:
    path = f"/v1/mediation{hers.desk_path}-requests"
    return Api(hers.api.server, token).post(path, asked, key=key)


def test_a_neutral_asks_for_what_is_listed_and_the_side_answers_in_time(
    hers: Claimed, desk: Desk, token: str
) -> None:
    [_payer, payee] = get(desk, hers.desk_path, token).json()["askable"]
    assert payee == {
        "side": "payee",
        "sorts": ["document", "photo", "text"],
        "questions": ["what_do_you_know"],
    }
    answer = ask(desk, hers, token, side="payee", question="what_do_you_know")
    assert answer.status_code == 201, answer.text
    asked = answer.json()
    [shown] = hers.payee.read(hers.path)["requests"]
    assert shown == asked
    assert asked["answered_at"] is None
    body = {"sort": "text", "text": "I never wrote that.", "request": asked["id"]}
    problem(hers.payer.post(hers.path, body), 404, "evidence_request_not_found")
    made = hers.payee.made(hers.path, body)
    assert (made["request"], made["late"]) == (asked["id"], False)
    [shown] = hers.payer.read(hers.path)["requests"]
    assert shown["evidence"] == made["id"]
    problem(hers.payee.post(hers.path, body), 409, "evidence_request_answered")
    types = [event["type"] for event in hers.api.events(3)]
    assert types[:3] == ["case.evidence_answered", "case.evidence_added", "case.evidence_requested"]


def test_a_photograph_is_asked_for_and_sent(hers: Claimed, desk: Desk, token: str) -> None:
    asked = ask(desk, hers, token, side="payer", sort="photo").json()
    problem(
        hers.send(samples.plain_pdf(), hers.payer, "document", answers=asked["id"]),
        422,
        "answer_does_not_fit",
    )
    made = hers.sent(PHOTO, hers.payer, answers=asked["id"])
    assert made["request"] == asked["id"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"side": "payee", "sort": "carrier"}, "request_not_listed"),
        ({"side": "payee", "sort": "condition_out"}, "request_not_listed"),
        ({"side": "payee", "question": "where_do_you_live"}, "request_not_listed"),
        ({"side": "payee", "question": "what_happened"}, "request_not_listed"),
        ({"side": "payee"}, "invalid_request"),
        ({"side": "payee", "sort": "photo", "question": "what_do_you_know"}, "invalid_request"),
        ({"side": "payee", "question": "What is your bank's name?"}, "invalid_request"),
        ({"side": "platform", "sort": "photo"}, "invalid_request"),
        ({"side": "payee", "sort": "photo", "text": "And your passport."}, "invalid_request"),
    ],
)
def test_nothing_else_may_be_asked(
    hers: Claimed, desk: Desk, token: str, asked: dict[str, str], code: str
) -> None:
    entries = hers.case().entries
    problem(ask(desk, hers, token, **asked), 422, code)
    assert hers.api.read(hers.path)["requests"] == []
    assert hers.case().entries == entries


def test_only_whoever_has_the_case_asks(
    hers: Claimed, desk: Desk, token: str, other_token: str
) -> None:
    problem(ask(desk, hers, other_token, side="payee", sort="photo"), 404, "case_not_found")
    for credential in (hers.api.bearer, hers.payer.bearer):
        assert credential is not None
        assert ask(desk, hers, credential, side="payee", sort="photo").status_code == 401


def test_the_same_request_under_the_same_key_is_made_once(
    hers: Claimed, desk: Desk, token: str
) -> None:
    first = ask(desk, hers, token, "a key", side="payee", sort="photo")
    problem(first, 400, "idempotency_key_invalid")
    first = ask(desk, hers, token, "a-key", side="payee", sort="photo")
    again = ask(desk, hers, token, "a-key", side="payee", sort="photo")
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    problem(
        ask(desk, hers, token, "a-key", side="payer", sort="photo"), 422, "idempotency_key_reused"
    )
    problem(ask(desk, hers, token, side="payee", sort="photo"), 409, "asked_already")
    assert len(hers.api.read(hers.path)["requests"]) == 1
