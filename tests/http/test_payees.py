"""Payout accounts over HTTP: opened, shown with what is due, linked to, told of before agreeing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from service import clock
from service.db import SYSTEM, transaction
from service.exchanges import sweep
from service.ids import encode, uuid7
from service.platforms import keys, platforms
from service.platforms.scopes import SCOPES
from tests.http.client import Api, Server, at_once, problem

_LINK = {
    "return_url": "https://example.org/back",
    "refresh_url": "http://127.0.0.1:8000/again?x=1",
}


def _account(member: str) -> str:
    return f"/v1/members/{member}/payout-account"


def _open(api: Api, member: str, country: str = "FR") -> dict[str, Any]:
    answer = api.send("PUT", _account(member), {"country": country})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _act(api: Api, member: str, outcome: str, **more: Any) -> dict[str, Any]:
    path = f"/v1/sandbox/members/{member}/payout-account/act"
    return api.made(path, {"outcome": outcome, **more})


def _sweep(server: Server) -> None:
    """Do what the worker would do now."""
    sweep.run(server.app.state.edge.desk, clock.now())


def test_an_account_is_opened_once_and_shows_what_is_due_in_plain_words(api: Api) -> None:
    member = api.member()["id"]
    before = api.read(_account(member))
    assert (before["state"], before["ready"], before["provider"]) == ("none", True, "sandbox")
    opened = _open(api, member)
    assert opened["state"] == "requirements_due"
    assert not opened["ready"]
    assert {
        "words": "the date of birth",
        "names": ["individual.dob.day", "individual.dob.month", "individual.dob.year"],
    } in opened["due"]
    assert "the bank account to be paid to (IBAN)" in opened["notice"]
    assert _open(api, member) == opened == api.read(_account(member))


def test_opening_many_times_at_once_opens_one_account(api: Api) -> None:
    member = api.member()["id"]
    opened = at_once(*[lambda: _open(api, member)] * 5)
    assert len({one["provider_ref"] for one in opened}) == 1
    assert all(one["provider_ref"] for one in opened)


@pytest.mark.parametrize("country", ["fr", "FRA", "", "F", "F1", None, 33])
def test_a_country_is_two_capital_letters(api: Api, country: Any) -> None:
    answer = api.send("PUT", _account(api.member()["id"]), {"country": country})
    assert problem(answer, 422, "invalid_request")["pointer"] == "/country"


def test_a_second_country_is_refused_and_a_refused_one_can_be_mended(api: Api) -> None:
    member = api.member()["id"]
    refused = _open(api, member, "ZZ")
    assert (refused["state"], refused["failure"]) == ("refused", "country_unsupported")
    assert _open(api, member, "FR")["state"] == "requirements_due"
    answer = api.send("PUT", _account(member), {"country": "BE"})
    assert problem(answer, 409, "payout_account_elsewhere")["facts"] == {"country": "FR"}


def test_an_erased_member_opens_no_account(api: Api) -> None:
    member = api.member()["id"]
    api.made(f"/v1/members/{member}/erase")
    problem(api.send("PUT", _account(member), {"country": "FR"}), 409, "member_erased")


def test_what_happens_to_the_account_is_heard_by_an_event_and_told_to_the_member(
    api: Api, server: Server
) -> None:
    member = api.member(time_zone="Pacific/Auckland")["id"]
    _open(api, member)
    assert _act(api, member, "complete")["state"] == "ready"
    assert api.read(_account(member))["state"] == "requirements_due", "not before the event"
    _sweep(server)
    assert api.read(_account(member))["state"] == "ready"
    until = datetime.now(UTC) + timedelta(days=30)
    until = until.replace(hour=20, minute=0, second=0, microsecond=0)
    _act(api, member, "require", due=["individual.id_number"], due_by=until.isoformat())
    _sweep(server)
    shown = api.read(_account(member))
    assert shown["ready"]
    assert datetime.fromisoformat(shown["due_by"]) == until
    # The day is the member's own: it is the next one already.
    assert f" by {(until + timedelta(days=1)).day} " in shown["notice"]
    _act(api, member, "disable")
    _sweep(server)
    assert (api.read(_account(member))["state"], shown["ready"]) == ("disabled", True)
    told = [event["type"] for event in api.events(4) if event["member"] == member]
    assert told == [
        "payee.disabled",
        "payee.requirements_due",
        "payee.ready",
        "payee.requirements_due",
    ]


def test_a_link_leads_to_the_provider_s_page_and_back(api: Api, engine: Engine) -> None:
    member = api.member()["id"]
    path = f"{_account(member)}/link"
    problem(api.post(path, _LINK), 404, "payout_account_not_found")
    _open(api, member)
    assert api.made(path, _LINK) == {"url": "https://example.org/back"}
    assert api.read(_account(member))["state"] == "requirements_due"


@pytest.mark.parametrize("field", ["return_url", "refresh_url"])
@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "http://example.org/back",
        "ftp://example.org/back",
        "//example.org/back",
        "/back",
        "https://",
        "https:///back",
        "https://user:secret@example.org/back",
        "https://user@example.org/back",
        "https://example.org/ba ck",
        "https://example.org/\nback",
        "https://example.org:99999/back",
        "https://[::1/back",
        "https://example.org/" + "a" * 3_000,
        "",
        None,
        7,
    ],
)
def test_an_address_to_come_back_to_is_a_page_of_the_platform(
    api: Api, field: str, address: Any
) -> None:
    member = api.member()["id"]
    _open(api, member)
    answer = api.post(f"{_account(member)}/link", {**_LINK, field: address})
    assert problem(answer, 422, "invalid_request")["pointer"] == f"/{field}"


@pytest.fixture
def live(server: Server, engine: Engine) -> Api:
    """The caller of a live platform, to which no provider is connected."""
    with transaction(engine, SYSTEM) as connection:
        platform, _sandbox = platforms.create(connection, "A live one", datetime.now(UTC))
        _key, secret = keys.create(
            connection, platform.id, "live", "A test", SCOPES, datetime.now(UTC)
        )
    return Api(server, secret)


def test_a_live_platform_needs_https_and_a_provider(live: Api) -> None:
    member = live.member()["id"]
    path = f"{_account(member)}/link"
    assert problem(live.post(path, _LINK), 422, "invalid_body")["pointer"] == "/refresh_url"
    safe = dict.fromkeys(_LINK, "https://example.org/")
    problem(live.post(path, safe), 409, "no_payment_provider")
    problem(live.send("PUT", _account(member), {"country": "FR"}), 409, "no_payment_provider")
    problem(live.get(_account(member)), 409, "no_payment_provider")
    act = live.post(f"/v1/sandbox/members/{member}/payout-account/act", {"outcome": "complete"})
    problem(act, 404, "payout_account_not_found")


def test_a_member_s_own_token_opens_their_own_account_and_nobody_else_s(api: Api) -> None:
    member, other = api.member()["id"], api.member()["id"]
    own = api.acting(member)
    assert _open(own, member)["state"] == "requirements_due"
    assert own.made(f"{_account(member)}/link", _LINK)["url"]
    assert own.read(f"/v1/members/{member}/bank-payouts")["data"] == []
    for stranger in (other, encode("member", uuid7())):
        problem(own.send("PUT", _account(stranger), {"country": "FR"}), 403, "not_yourself")
        problem(own.get(_account(stranger)), 403, "not_yourself")
        problem(own.post(f"{_account(stranger)}/link", _LINK), 403, "not_yourself")
        problem(own.get(f"/v1/members/{stranger}/bank-payouts"), 403, "not_yourself")
    rehearsal = own.post(
        f"/v1/sandbox/members/{member}/payout-account/act", {"outcome": "complete"}
    )
    problem(rehearsal, 401, "not_signed_in")
    assert api.read(_account(other))["state"] == "none"


def test_a_key_that_may_only_read_does_not_open(new_api: Callable[..., Api]) -> None:
    reader = new_api("payees:read", "members:write")
    member = reader.member()["id"]
    assert reader.read(_account(member))["state"] == "none"
    problem(reader.send("PUT", _account(member), {"country": "FR"}), 403, "scope_missing")
    problem(reader.post(f"{_account(member)}/link", _LINK), 403, "scope_missing")


def _exchange(api: Api, payer: str, payee: str) -> str:
    made = api.made(
        "/v1/exchanges",
        {
            "kind": "sale",
            "title": "A bicycle",
            "payer": payer,
            "payee": payee,
            "legs": [{"amount": {"amount": 6_500, "unit": "EUR"}}],
            "both_agreed": True,
        },
    )
    return str(made["id"])


def _release(api: Api, server: Server, exchange: str, payer: str, payee: str) -> None:
    api.made(f"/v1/exchanges/{exchange}/fund", {"member": payer})
    _sweep(server)
    for member in (payer, payee):
        body = {"member": member, "checkpoint": "handover"}
        api.made(f"/v1/exchanges/{exchange}/confirm", body)


def _payments(api: Api, exchange: str) -> list[tuple[str, str]]:
    found = api.read(f"/v1/exchanges/{exchange}/payments")["data"]
    return [(one["kind"], one["state"]) for one in found]


def test_what_is_due_is_shown_before_anybody_agrees_and_money_waits_until_it_is_told(
    api: Api, server: Server
) -> None:
    payer, payee = api.member()["id"], api.member()["id"]
    _open(api, payee)
    exchange = _exchange(api, payer, payee)
    payout = api.read(f"/v1/exchanges/{exchange}")["payout"]
    assert not payout["ready"]
    assert "individual.dob.day" in payout["due"]
    assert payout["notice"].startswith("The payee cannot be paid yet.")
    _release(api, server, exchange, payer, payee)
    _sweep(server)
    assert _payments(api, exchange) == [("collect", "succeeded")]
    refused = api.post(f"/v1/members/{payee}/payouts", {"amount": {"amount": 6_500, "unit": "EUR"}})
    facts = problem(refused, 409, "payee_not_ready")["facts"]
    assert facts["reason"] == "requirements_due"
    assert "individual.dob.day" in facts["due"]
    _act(api, payee, "complete")
    _sweep(server)
    assert _payments(api, exchange) == [("collect", "succeeded"), ("payout", "succeeded")]
    balances = api.read(f"/v1/members/{payee}/balances")["data"]
    assert [one["balance"] for one in balances] == [0]
    assert api.read(f"/v1/exchanges/{exchange}")["payout"]["ready"]


def test_payouts_to_the_bank_are_listed_newest_first_by_pages(api: Api, server: Server) -> None:
    member = api.member()["id"]
    path = f"/v1/sandbox/members/{member}/bank-payouts"
    euros = {"amount": 900, "unit": "EUR"}
    problem(api.post(path, {"amount": euros, "outcome": "paid"}), 404, "payout_account_not_found")
    _open(api, member)
    early = api.post(path, {"amount": euros, "outcome": "paid"})
    assert problem(early, 409, "provider_declined")["facts"] == {"failure": "no_bank"}
    _act(api, member, "complete")
    _sweep(server)
    made = [
        api.made(path, {"amount": {**euros, "amount": amount}, "outcome": outcome}, key=key)
        for amount, outcome, key in (
            (900, "paid", "a"),
            (900, "paid", "a"),
            (800, "failed", "b"),
            (700, "paid", "c"),
        )
    ]
    assert made[0]["provider_ref"] == made[1]["provider_ref"]
    problem(
        api.post(path, {"amount": euros, "outcome": "failed"}, key="a"), 409, "provider_declined"
    )
    _sweep(server)
    listed = f"/v1/members/{member}/bank-payouts"
    whole = api.read(listed)["data"]
    assert {(one["amount"], one["status"], one["failure"]) for one in whole} == {
        (700, "succeeded", None),
        (800, "failed", "account_closed"),
        (900, "succeeded", None),
    }
    pages, cursor = [], None
    while True:
        answer = api.read(listed, limit=2, **({"cursor": cursor} if cursor else {}))
        pages += answer["data"]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert pages == whole


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"outcome": "finish"},
        {"outcome": "require", "due": []},
        {"outcome": "require", "due": [""]},
        {"outcome": "require", "due_by": 1},
        {"outcome": "require", "due_by": "tomorrow"},
        {"outcome": "complete", "more": 1},
    ],
)
def test_a_rehearsal_that_is_none_is_refused(api: Api, body: Any) -> None:
    member = api.member()["id"]
    _open(api, member)
    answer = api.post(f"/v1/sandbox/members/{member}/payout-account/act", body)
    problem(answer, 422, "invalid_request")
