"""Members over HTTP: found by the platform's own id, changed, erased."""

from __future__ import annotations

from typing import Any

import pytest

from tests.http.client import Api, problem

_PERSON = {"name": "Anne Le Goff", "email": "anne@example.org", "phone": "+33612345678"}


def _sale(payer: str, payee: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "sale",
        "title": "A bicycle",
        "payer": payer,
        "payee": payee,
        "legs": [{"amount": {"amount": 6500, "unit": "EUR"}}],
        **more,
    }


def test_a_member_is_added_read_and_found_by_the_platform_s_own_id(api: Api) -> None:
    answer = api.post(
        "/v1/members",
        {"external_id": "user-7", "locale": "br", "time_zone": "Europe/Paris", **_PERSON},
    )
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/members/{made['id']}"
    assert made["name"] == "Anne Le Goff"
    assert made["erased_at"] is None
    api.member("user-8")
    assert api.read(f"/v1/members/{made['id']}") == made
    assert api.read("/v1/members", external_id="user-7")["data"] == [made]
    assert api.read("/v1/members", external_id="user-9")["data"] == []


def test_a_taken_external_id_is_told_with_the_member_who_has_it(api: Api) -> None:
    made = api.member("user-7")
    found = problem(
        api.post("/v1/members", {"external_id": "user-7"}), 409, "member_external_id_taken"
    )
    assert found["pointer"] == "/external_id"
    assert found["facts"] == {"member": made["id"]}


def test_only_what_is_sent_changes_and_null_takes_a_value_away(api: Api) -> None:
    made = api.member(**_PERSON)
    address = f"/v1/members/{made['id']}"
    answer = api.send("PATCH", address, {"locale": "en", "phone": None})
    assert answer.status_code == 200, answer.text
    assert answer.json() == made | {"locale": "en", "phone": None}
    assert api.read(address) == answer.json()
    assert api.send("PATCH", address, {}).json() == answer.json()


@pytest.mark.parametrize("field", ["locale", "time_zone", "external_id", "id", "erased_at"])
def test_what_every_member_has_cannot_be_taken_away_and_what_it_is_cannot_be_changed(
    api: Api, field: str
) -> None:
    made = api.member()
    answer = api.send("PATCH", f"/v1/members/{made['id']}", {field: None})
    assert problem(answer, 422, "invalid_request")["pointer"] == f"/{field}"


def test_an_erased_member_is_a_bare_id_everywhere(api: Api) -> None:
    made = api.member("user-7", **_PERSON)
    address = f"/v1/members/{made['id']}"
    erased = api.made(f"{address}/erase")
    assert erased["erased_at"] is not None
    for answer in (api.get(address), api.get("/v1/members"), api.get("/v1/events")):
        for trace in ("user-7", *_PERSON.values()):
            assert trace not in answer.text
    problem(api.send("PATCH", address, {"name": "Back"}), 409, "member_erased")
    problem(api.post(f"{address}/erase"), 409, "member_erased")
    assert api.member("user-7")["id"] != made["id"]


def test_a_replay_of_what_made_a_member_does_not_bring_an_erased_person_back(api: Api) -> None:
    body = {"external_id": "user-7", **_PERSON}
    made = api.made("/v1/members", body, key="make-user-7")
    api.made(f"/v1/members/{made['id']}/erase", key="erase-user-7")
    again = api.post("/v1/members", body, key="make-user-7")
    assert again.json()["id"] == made["id"]
    for trace in ("user-7", *_PERSON.values()):
        assert trace not in again.text


def test_a_member_whose_exchange_is_open_is_not_erased_before_its_end(api: Api) -> None:
    payer, payee = api.member()["id"], api.member()["id"]
    exchange = api.made("/v1/exchanges", _sale(payer, payee))["id"]
    for member in (payer, payee):
        found = problem(api.post(f"/v1/members/{member}/erase"), 409, "member_busy")
        assert found["facts"] == {"exchange": exchange}
    api.made(f"/v1/exchanges/{exchange}/cancel", {"member": payee})
    assert api.post(f"/v1/members/{payer}/erase").status_code == 200


def test_a_member_with_a_balance_is_not_erased_before_it_is_settled(api: Api) -> None:
    api.made("/v1/units", {"code": "HOURS", "name": "Hours", "credit_limit": 1000})
    payer, payee = api.member()["id"], api.member()["id"]
    help_ = {"kind": "help", "legs": [{"amount": {"amount": 200, "unit": "HOURS"}}]}
    exchange = api.made("/v1/exchanges", _sale(payer, payee, both_agreed=True, **help_))["id"]
    api.made(f"/v1/exchanges/{exchange}/fund", {"member": payer})
    for member in (payer, payee):
        api.made(f"/v1/exchanges/{exchange}/confirm", {"member": member, "checkpoint": "done"})
    for member in (payer, payee):
        found = problem(api.post(f"/v1/members/{member}/erase"), 409, "member_busy")
        assert found["facts"] == {"units": ["HOURS"]}
