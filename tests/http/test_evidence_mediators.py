"""Evidence at the dispute desk: read by whoever has the case, and asked for from the lists."""

from __future__ import annotations

from collections.abc import Callable

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
