"""Members' pauses over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.http.client import Api, problem


def _in(**length: float) -> str:
    return (datetime.now(UTC) + timedelta(**length)).isoformat()


def _sale(api: Api, payer: str) -> Any:
    return api.made(
        "/v1/exchanges",
        {
            "kind": "sale",
            "title": "A bicycle",
            "payer": payer,
            "payee": api.member()["id"],
            "legs": [{"amount": {"amount": 6500, "unit": "EUR"}}],
            "both_agreed": True,
        },
    )


def _fund_by(exchange: Any) -> datetime:
    (found,) = [line["due_at"] for line in exchange["deadlines"] if line["name"] == "fund_by"]
    return datetime.fromisoformat(found)


def test_a_pause_moves_the_member_s_deadlines_and_its_end_stops_that(api: Api) -> None:
    member = api.member()["id"]
    sale = _sale(api, member)
    address = f"/v1/members/{member}/pauses"
    pause = api.made(address, {"until": _in(days=9)})
    moved = _fund_by(api.read(f"/v1/exchanges/{sale['id']}"))
    assert moved - _fund_by(sale) > timedelta(days=8)
    assert api.read(address)["data"] == [pause]
    ended = api.post(f"{address}/{pause['id']}/end", {})
    assert ended.status_code == 200, ended.text
    assert ended.json()["until"] < pause["until"]
    assert _fund_by(api.read(f"/v1/exchanges/{sale['id']}")) < moved
    problem(api.post(f"{address}/{pause['id']}/end", {}), 409, "pause_over")
    told = [one["type"] for one in api.events(4) if one["type"].startswith("member.")]
    assert sorted(told) == ["member.paused", "member.resumed"]


def test_what_a_pause_cannot_be_is_told_and_records_nothing(api: Api) -> None:
    address = f"/v1/members/{api.member()['id']}/pauses"
    for body, pointer in (
        ({"until": _in(days=31)}, "/until"),
        ({"until": _in(days=-1)}, "/until"),
        ({"from": _in(days=31), "until": _in(days=32)}, "/from"),
        ({"from": _in(days=-31), "until": _in(days=-30)}, "/from"),
    ):
        assert problem(api.post(address, body), 422, "invalid_pause")["pointer"] == pointer
    assert problem(api.post(address, {}), 422, "invalid_request")["pointer"] == "/until"
    assert api.read(address)["data"] == []


@pytest.mark.parametrize("country", ["France", "fr", "XX", "", None])
def test_a_country_is_two_capital_letters_that_exist(api: Api, country: str | None) -> None:
    answer = api.post("/v1/members", {"external_id": "a", "country": country})
    assert problem(answer, 422, "invalid_request")["pointer"] == "/country"


def test_a_member_s_country_is_theirs_to_change(api: Api) -> None:
    made = api.member(country="BE", time_zone="Europe/Brussels")
    assert made["country"] == "BE"
    changed = api.send("PATCH", f"/v1/members/{made['id']}", {"country": "DE"}).json()
    assert changed["country"] == "DE"
