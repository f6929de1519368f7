"""Reconciliation and the statement of what is held, over HTTP."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from service import db
from service.ids import encode, uuid7
from service.payments import differences
from service.payments.matching import Found, Kind
from service.payments.port import Movement
from tests.http.client import Api, problem

DIFFERENCES = "/v1/reconciliation/differences"


@pytest.fixture
def find(engine: Engine, platform_id: UUID, api: Api) -> Callable[..., str]:
    """Let reconciliation find a line of the provider's; return the difference's id."""

    def found(amount: int, kind: Kind = Kind.THEIRS_ONLY) -> str:
        now = datetime.now(UTC)
        line = Movement(f"txn_{uuid7()}", "other", None, amount, 0, "EUR", now, "By hand")
        one = Found(kind, line.ref, 0, amount, "EUR", line)
        with db.transaction(engine, platform_id) as connection:
            differences.record(connection, platform_id, "sandbox", [one], now.date(), now)
        return str(api.read(DIFFERENCES, limit=1)["data"][0]["id"])

    return found


@pytest.fixture
def ran(engine: Engine, platform_id: UUID) -> Callable[[date], None]:
    """Write down that a day was reconciled."""

    def run(day: date) -> None:
        with db.transaction(engine, platform_id) as connection:
            connection.execute(
                text(
                    "INSERT INTO service.reconciliation_run "
                    "(platform_id, provider, day, matched, started_at, finished_at) "
                    "VALUES (:p, 'sandbox', :day, 7, now(), now())"
                ),
                {"p": platform_id, "day": day},
            )

    return run


def balance(api: Api, account: str) -> int:
    found = {one["account"]: one["balance"] for one in api.read("/v1/balances")["data"]}
    return int(found.get(account, 0))


def resolve(api: Api, difference: str, **body: Any) -> Any:
    return api.post(f"{DIFFERENCES}/{difference}/resolve", {"reason": "seen", **body})


def test_nothing_differs_on_a_platform_that_has_not_begun(api: Api) -> None:
    assert api.read("/v1/reconciliation") == {
        "object": "reconciliation",
        "payouts_stopped_since": None,
        "payouts_stopped_because": None,
        "open_differences": 0,
    }
    assert api.read("/v1/reconciliation/runs") == {"data": [], "next_cursor": None}


def test_runs_are_listed_day_by_day_newest_first(api: Api, ran: Callable[[date], None]) -> None:
    days = [date(2026, 11, 19) + timedelta(days=count) for count in range(3)]
    for day in days:
        ran(day)
    first = api.read("/v1/reconciliation/runs", limit=2)
    rest = api.read("/v1/reconciliation/runs", limit=2, cursor=first["next_cursor"])
    shown = first["data"] + rest["data"]
    assert [run["day"] for run in shown] == [day.isoformat() for day in reversed(days)]
    assert rest["next_cursor"] is None
    assert shown[0]["matched"] == 7
    foreign = api.get("/v1/reconciliation/runs", cursor="bm90IGEgY3Vyc29y")
    problem(foreign, 400, "invalid_cursor")


def test_a_difference_is_told_and_stops_payouts_until_it_is_resolved(
    api: Api, find: Callable[..., str]
) -> None:
    difference = find(500)
    shown = api.read(f"{DIFFERENCES}/{difference}")
    assert (shown["kind"], shown["ours"], shown["theirs"]) == ("theirs_only", 0, 500)
    assert (shown["in_suspense"], shown["description"]) == (True, "By hand")
    state = api.read("/v1/reconciliation")
    assert state["open_differences"] == 1
    assert state["payouts_stopped_since"] is not None
    assert balance(api, "suspense:sandbox") == 500

    answer = resolve(api, difference, resolution="platform_bears")
    assert answer.status_code == 200, answer.text
    resolved = answer.json()
    assert (resolved["resolution"], resolved["reason"]) == ("platform_bears", "seen")
    assert resolved["resolved_by"].startswith("key_")
    assert resolved["in_suspense"] is False
    assert api.read(f"{DIFFERENCES}/{difference}") == resolved
    assert api.read("/v1/reconciliation")["payouts_stopped_since"] is None
    assert balance(api, "suspense:sandbox") == 0
    assert [event["type"] for event in reversed(api.events(4))] == [
        "reconciliation.difference",
        "payouts.stopped",
        "reconciliation.resolved",
        "payouts.resumed",
    ]


def test_the_same_request_again_resolves_nothing_twice(api: Api, find: Callable[..., str]) -> None:
    difference = find(500)
    address, body = (
        f"{DIFFERENCES}/{difference}/resolve",
        {
            "resolution": "platform_bears",
            "reason": "seen",
        },
    )
    first = api.post(address, body, key="once")
    again = api.post(address, body, key="once")
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert balance(api, "expense:losses") == 500
    problem(api.post(address, body, key="twice"), 409, "difference_resolved")
    problem(api.post(address, {**body, "reason": "x"}, key="once"), 422, "idempotency_key_reused")


def test_what_is_a_member_s_is_owed_to_them(api: Api, find: Callable[..., str]) -> None:
    member = api.member()["id"]
    difference = find(500)
    missing = resolve(api, difference, resolution="belongs_to_member")
    assert problem(missing, 422, "member_unclear")["pointer"] == "/member"
    stranger = encode("member", uuid7())
    unknown = resolve(api, difference, resolution="belongs_to_member", member=stranger)
    problem(unknown, 404, "member_not_found")
    done = resolve(api, difference, resolution="belongs_to_member", member=member)
    assert done.json()["member"] == member
    (owed,) = api.read(f"/v1/members/{member}/balances")["data"]
    assert owed["balance"] == 500
    taken = resolve(api, find(-501), resolution="belongs_to_member", member=member)
    problem(taken, 409, "member_has_less")


def test_two_lines_that_undo_each_other_are_resolved_as_one(
    api: Api, find: Callable[..., str]
) -> None:
    out, back, other = find(-500), find(500), find(499)
    for wrong in ({}, {"reversed_by": other}, {"reversed_by": out}):
        answer = resolve(api, out, resolution="reversed_by_provider", **wrong)
        assert problem(answer, 422, "not_reversed")["pointer"] == "/reversed_by"
    beside = resolve(api, out, resolution="platform_bears", reversed_by=back)
    problem(beside, 422, "not_reversed")
    answer = resolve(api, out, resolution="reversed_by_provider", reversed_by=back)
    assert answer.json()["reversed_by"] == back
    assert api.read(f"{DIFFERENCES}/{back}")["reversed_by"] == out
    assert balance(api, "suspense:sandbox") == 499
    assert balance(api, "expense:losses") == 0
    still = api.read(DIFFERENCES, open=True)["data"]
    assert [one["id"] for one in still] == [other]


def test_words_alone_do_not_empty_suspense(api: Api, find: Callable[..., str]) -> None:
    refused = resolve(api, find(500), resolution="explained")
    assert problem(refused, 409, "still_unexplained")["facts"] == {"amount": 500, "unit": "EUR"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"resolution": "platform_bears"}, "/reason"),
        ({"resolution": "platform_bears", "reason": ""}, "/reason"),
        ({"resolution": "healed", "reason": "x"}, "/resolution"),
        ({"reason": "x"}, "/resolution"),
        ({"resolution": "explained", "reason": "x", "member": "mb_1"}, "/member"),
        ({"resolution": "explained", "reason": "x", "to": "me"}, "/to"),
    ],
)
def test_a_resolution_without_its_parts_is_refused(
    api: Api, find: Callable[..., str], body: dict[str, Any], pointer: str
) -> None:
    difference = find(500)
    answer = api.post(f"{DIFFERENCES}/{difference}/resolve", body)
    assert problem(answer, 422, "invalid_request")["pointer"] == pointer
    assert api.read(f"{DIFFERENCES}/{difference}")["resolved_at"] is None


def test_differences_are_filtered_and_paged(api: Api, find: Callable[..., str]) -> None:
    made = [find(amount) for amount in (100, 200, 300)]
    resolve(api, made[1], resolution="platform_bears")
    still = api.read(DIFFERENCES, open=True)["data"]
    assert [one["id"] for one in still] == [made[2], made[0]]
    done = api.read(DIFFERENCES, open=False)["data"]
    assert [one["id"] for one in done] == [made[1]]
    assert api.read(DIFFERENCES, kind="ours_only")["data"] == []
    first = api.read(DIFFERENCES, limit=2)
    rest = api.read(DIFFERENCES, limit=2, cursor=first["next_cursor"])
    assert [one["id"] for one in first["data"] + rest["data"]] == made[::-1]
    assert api.get(DIFFERENCES, kind="unknown").status_code == 422


def test_a_key_that_may_only_read_resolves_nothing(
    new_api: Callable[..., Api], find: Callable[..., str], platform_id: UUID
) -> None:
    difference = find(500)
    reader = new_api("books:read", platform_id=platform_id)
    assert reader.read(f"{DIFFERENCES}/{difference}")["id"] == difference
    problem(resolve(reader, difference, resolution="platform_bears"), 403, "scope_missing")


def test_what_is_held_is_told_with_what_it_would_pay(api: Api) -> None:
    api.made("/v1/units", {"code": "HOURS", "name": "Hours", "credit_limit": 1000})
    payer, payee = api.member()["id"], api.member()["id"]
    exchange = api.made(
        "/v1/exchanges",
        {
            "kind": "help",
            "title": "Garden",
            "external_id": "garden-1",
            "payer": payer,
            "payee": payee,
            "both_agreed": True,
            "legs": [{"amount": {"amount": 200, "unit": "HOURS"}}],
        },
    )
    api.made(f"/v1/exchanges/{exchange['id']}/fund", {"member": payer})
    answer = api.get("/v1/held")
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.content)
    hold, member = answer.json()["lines"]
    assert hold["account"] == f"hold:{exchange['legs'][0]['id']}"
    assert (hold["exchange"]["id"], hold["exchange"]["external_id"]) == (
        exchange["id"],
        "garden-1",
    )
    assert (hold["payer"]["id"], hold["payee"]["id"]) == (payer, payee)
    assert (hold["default"]["to_payer"], hold["default"]["step"]) == (200, "reach_hold_limit")
    deadlines = api.read(f"/v1/exchanges/{exchange['id']}")["deadlines"]
    assert hold["default"]["at"] in {end["due_at"] for end in deadlines}
    assert (member["account"], member["amount"]) == (f"member:{payer}", -200)
    (total,) = answer.json()["totals"]
    assert (total["unit"], total["total"], total["default_to_payers"]) == ("HOURS", 0, 200)

    table = api.get("/v1/held.csv")
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(StringIO(table.text, newline="")))
    assert [(row["account"], row["amount"]) for row in rows[:2]] == [
        (hold["account"], "200"),
        (member["account"], "-200"),
    ]


def test_a_statement_longer_than_memory_keeps_arrives_whole(
    api: Api, engine: Engine, platform_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.http.routes.reconciliation._IN_MEMORY", 100)
    monkeypatch.setattr("service.http.routes.reconciliation._CHUNK", 64)
    assert api.read("/v1/held")["lines"] == []
    table = api.get("/v1/held.csv")
    assert int(table.headers["content-length"]) == len(table.content)
    assert len(table.text.splitlines()) == 1
