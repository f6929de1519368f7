"""Helpers by the API: named with the member's consent, listed, ended, forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from service import db
from service.ids import decode
from tests.http.client import Api, problem
from tests.http.deal import Deal


def body(**more: Any) -> dict[str, Any]:
    """Whom a member names: Maud, to confirm, for a month."""
    return {
        "name": "Maud Riou",
        "email": "maud@example.org",
        "may": ["confirm"],
        "ends_at": (datetime.now(UTC) + timedelta(days=30)).isoformat(),
        "consent": "Said in person, with her daughter",
        **more,
    }


def test_a_helper_is_named_with_the_members_consent_on_record_and_shown_without_the_link(
    paid: Deal,
) -> None:
    api, there = paid.api, f"/v1/members/{paid.payer['id']}/helpers"
    made = api.made(there, body(limit={"amount": 6500, "unit": "EUR"}), key="one-helper")
    assert made["may"] == ["look", "confirm"]
    assert (made["named_by"], made["consent"]) == ("platform", body()["consent"])
    assert made["works"]
    assert made["url"].startswith("http://tierce.test/h/")
    (listed,) = api.read(there)["data"]
    assert listed == {**made, "url": None}
    named = next(one for one in api.events(3) if one["type"] == "helper.named")
    assert named["data"]["helper"] == made["id"]
    assert "Maud" not in str(named), "an event names nobody"


def test_a_replay_names_nobody_twice_and_does_not_tell_the_link_again(paid: Deal) -> None:
    there, sent = f"/v1/members/{paid.payer['id']}/helpers", body()
    first = paid.api.made(there, sent, key="one-helper")
    second = paid.api.made(there, sent, key="one-helper")
    assert second == {**first, "url": None}
    assert len(paid.api.read(there)["data"]) == 1


def test_the_member_and_the_helper_are_told_and_the_helpers_link_is_theirs_alone(
    paid: Deal,
) -> None:
    paid.api.made(f"/v1/members/{paid.payer['id']}/helpers", body())
    paid.tell()
    messages = paid.api.read("/v1/messages", member=paid.payer["id"])["data"]
    found = {one["template"]: one for one in messages}
    assert found["helper_named"]["helper"] is None
    invited = paid.api.read(f"/v1/messages/{found['helper_invited']['id']}")
    assert invited["recipient"] == "maud@example.org"
    assert "/h/" in invited["text"]
    links = paid.api.read(f"/v1/members/{paid.payer['id']}/links")["data"]
    assert {one["exchange"] for one in links if one["helper"]} == {None}


def test_who_has_ended_stays_on_record_and_ends_once(paid: Deal) -> None:
    there = f"/v1/members/{paid.payer['id']}/helpers"
    made = paid.api.made(there, body())
    ended = paid.api.made(f"{there}/{made['id']}/end")
    assert (ended["ended_by"], ended["works"]) == ("platform", False)
    problem(paid.api.post(f"{there}/{made['id']}/end"), 409, "helper_over")
    other = f"/v1/members/{paid.payee['id']}/helpers"
    problem(paid.api.post(f"{other}/{made['id']}/end"), 404, "helper_not_found")


@pytest.mark.parametrize(
    ("wrong", "status", "code"),
    [
        ({"email": "anna@example.org"}, 409, "helper_is_member"),
        ({"email": None}, 422, "invalid_helper"),
        ({"may": []}, 422, "invalid_request"),
        ({"may": ["rule"]}, 422, "invalid_request"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, 422, "invalid_helper"),
        ({"limit": {"amount": 5, "unit": "MOONS"}}, 422, "unknown_unit"),
        ({"exchange": "ex_0001j5x7v4e9tsmwd8w1c9xk5v"}, 404, "exchange_not_found"),
        ({"consent": ""}, 422, "invalid_request"),
    ],
)
def test_a_helper_who_cannot_be_is_refused_and_nobody_is_named(
    paid: Deal, wrong: dict[str, Any], status: int, code: str
) -> None:
    there = f"/v1/members/{paid.payer['id']}/helpers"
    problem(paid.api.post(there, body(**wrong)), status, code)
    assert paid.api.read(there)["data"] == []


def test_the_other_side_of_the_exchange_is_nobodys_helper_in_it(paid: Deal) -> None:
    there = f"/v1/members/{paid.payer['id']}/helpers"
    theirs = body(email="YANN@example.org", exchange=paid.exchange["id"])
    problem(paid.api.post(there, theirs), 409, "helper_is_other_side")


def test_a_members_own_token_does_not_reach_helpers_of_the_platforms_page(paid: Deal) -> None:
    own = paid.api.acting(paid.payer["id"])
    problem(own.post(f"/v1/members/{paid.payer['id']}/helpers", body()), 401, "not_signed_in")


def test_who_a_helper_is_goes_with_the_member(api: Api, engine: Engine) -> None:
    member = api.member(name="Anna", email="anna@example.org")
    made = api.made(f"/v1/members/{member['id']}/helpers", body())
    api.made(f"/v1/members/{member['id']}/erase")
    (left,) = api.read(f"/v1/members/{member['id']}/helpers")["data"]
    assert (left["name"], left["email"], left["ended_by"]) == (None, None, "erased")
    with db.transaction(engine, db.SYSTEM) as connection:
        query = text("SELECT count(*) FROM service.helper_person WHERE helper_id = :id")
        assert connection.scalar(query, {"id": decode("helper", made["id"])}) == 0
