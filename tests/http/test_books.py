"""Units, balances, statements and postings over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ledger import units
from tests.http.client import Api, problem


def _hours(api: Api, **more: Any) -> dict[str, Any]:
    return api.made(
        "/v1/units", {"code": "HOURS", "name": "Hours", "exponent": 2, "credit_limit": 1000, **more}
    )


def _help(api: Api, payer: str, payee: str, amount: int = 200) -> str:
    """Live a whole exchange of help in hours; return its id."""
    exchange = api.made(
        "/v1/exchanges",
        {
            "kind": "help",
            "title": "Garden",
            "payer": payer,
            "payee": payee,
            "both_agreed": True,
            "legs": [{"amount": {"amount": amount, "unit": "HOURS"}}],
        },
    )["id"]
    api.made(f"/v1/exchanges/{exchange}/fund", {"member": payer})
    for member in (payer, payee):
        api.made(f"/v1/exchanges/{exchange}/confirm", {"member": member, "checkpoint": "done"})
    return str(exchange)


def test_a_community_defines_its_unit_once(api: Api) -> None:
    answer = api.post("/v1/units", {"code": "HOURS", "name": "Hours", "credit_limit": 1000})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/units/HOURS"
    made = answer.json()
    assert (made["exponent"], made["community"], made["credit_limit"]) == (2, True, 1000)
    assert api.read("/v1/units/HOURS") == made
    assert api.read("/v1/units")["data"] == [made]
    again = api.post("/v1/units", {"code": "HOURS", "name": "Other"})
    assert problem(again, 409, "unit_taken")["pointer"] == "/code"


@pytest.mark.parametrize("code", ["EUR", "hours", "1HOUR", "_HOUR", "HOURS AND MORE", "ÉTÉS"])
def test_a_unit_whose_code_could_be_mistaken_is_refused(api: Api, code: str) -> None:
    answer = api.post("/v1/units", {"code": code, "name": "Hours"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["pointer"] == "/code"
    assert api.read("/v1/units")["data"] == []


@pytest.mark.parametrize(("code", "decimals"), [("EUR", 2), ("JPY", 0), ("TND", 3), ("CLF", 4)])
def test_a_currency_tells_its_decimals(api: Api, code: str, decimals: int) -> None:
    found = api.read(f"/v1/units/{code}")
    assert (found["exponent"], found["community"]) == (decimals, False)
    assert found["exponent"] == units.iso(code).exponent


@pytest.mark.parametrize("code", ["XXX", "NOPE", "eur", "%F0%9F%92%B6"])
def test_a_unit_that_is_not_known_is_not_there(api: Api, code: str) -> None:
    problem(api.get(f"/v1/units/{code}"), 404, "unit_not_found")


def test_another_platform_s_unit_is_not_known(api: Api, neighbour: Api) -> None:
    _hours(api)
    problem(neighbour.get("/v1/units/HOURS"), 404, "unit_not_found")
    assert neighbour.read("/v1/units")["data"] == []


def test_help_moves_hours_between_members_and_the_books_show_it(api: Api) -> None:
    _hours(api)
    payer, payee = api.member()["id"], api.member()["id"]
    before = datetime.now(UTC).isoformat()
    exchange = _help(api, payer, payee)
    (of_payee,) = api.read(f"/v1/members/{payee}/balances")["data"]
    (of_payer,) = api.read(f"/v1/members/{payer}/balances")["data"]
    assert (of_payee["balance"], of_payee["unit"]) == (200, "HOURS")
    assert (of_payer["balance"], of_payer["floor"]) == (-200, -1000)
    then = api.read(f"/v1/members/{payer}/balances", at=before)
    assert [line["balance"] for line in then["data"]] in ([], [0])
    moved = api.read(f"/v1/exchanges/{exchange}/postings")["data"]
    assert [posting["kind"] for posting in moved] == ["hold", "outcome"]
    reference = moved[0]["reference"]
    assert api.read("/v1/postings", reference=reference)["data"] == moved


def test_an_account_is_shown_by_the_ids_that_the_api_speaks(api: Api) -> None:
    _hours(api)
    payer, payee = api.member()["id"], api.member()["id"]
    exchange = _help(api, payer, payee)
    (balance,) = api.read(f"/v1/members/{payee}/balances")["data"]
    assert balance["account"] == f"member:{payee}"
    moved = api.read("/v1/postings", reference=f"exchange:{exchange}")["data"]
    (leg,) = api.read(f"/v1/exchanges/{exchange}")["legs"]
    assert moved[0]["reference"] == f"exchange:{exchange}"
    (hold,) = moved[0]["transfers"]
    assert (hold["debit"], hold["credit"]) == (f"member:{payer}", f"hold:{leg['id']}")
    lines = api.read(f"/v1/accounts/member:{payee}/statement", unit="HOURS")["data"]
    assert lines == api.read(f"/v1/members/{payee}/statement", unit="HOURS")["data"]
    assert lines[0]["other_account"] == f"hold:{leg['id']}"


def test_a_statement_runs_back_page_by_page_to_nothing(api: Api) -> None:
    _hours(api)
    payer, payee = api.member()["id"], api.member()["id"]
    for amount in (100, 20, 3):
        _help(api, payer, payee, amount)
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = api.read(f"/v1/members/{payee}/statement", unit="HOURS", limit=2, **cursor)
        seen += page["data"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert [(line["amount"], line["balance"]) for line in seen] == [(3, 123), (20, 120), (100, 100)]


def test_an_account_that_was_never_used_has_an_empty_statement(api: Api) -> None:
    page = api.read("/v1/accounts/platform:fees/statement", unit="EUR")
    assert page == {"data": [], "next_cursor": None}


def test_a_member_s_own_credit_limit_decides_how_far_below_zero_they_may_go(api: Api) -> None:
    _hours(api, credit_limit=0)
    payer, payee = api.member()["id"], api.member()["id"]
    address = f"/v1/members/{payer}/credit-limits/HOURS"
    for _ in range(2):  # PUT: as often as you like
        answer = api.send("PUT", address, {"limit": 300})
        assert answer.json() == {"member": payer, "unit": "HOURS", "limit": 300}
    _help(api, payer, payee, 300)
    lower = api.send("PUT", address, {"limit": 299})
    assert problem(lower, 409, "credit_limit_passed")["pointer"] == "/limit"
    assert api.read(f"/v1/members/{payer}/balances")["data"][0]["floor"] == -300


@pytest.mark.parametrize(
    ("unit", "limit", "status"),
    [("EUR", 5, 422), ("NOPE", 5, 404), ("HOURS", -1, 422), ("HOURS", 10**15 + 1, 422)],
)
def test_a_credit_limit_that_cannot_be_is_refused(
    api: Api, unit: str, limit: int, status: int
) -> None:
    _hours(api)
    member = api.member()["id"]
    answer = api.send("PUT", f"/v1/members/{member}/credit-limits/{unit}", {"limit": limit})
    assert answer.status_code == status, answer.text


def test_the_platform_s_own_balances_start_empty(api: Api) -> None:
    assert api.read("/v1/balances")["data"] == []
