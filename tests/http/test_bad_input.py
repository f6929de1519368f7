"""Bad input gets a precise problem, with a pointer to the field at fault, and changes nothing."""

from __future__ import annotations

import secrets
from typing import Any, Final

import httpx
import pytest

from service.config import Settings
from tests.http.client import Api, chunks, problem

_SALE: Final[dict[str, Any]] = {
    "kind": "sale",
    "title": "A bicycle",
    "legs": [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}],
}


def _raw(api: Api, body: bytes, path: str = "/v1/members", **headers: str) -> httpx.Response:
    return api.server.send(
        "POST",
        path,
        content=body,
        headers={
            "Authorization": f"Bearer {api.bearer}",
            "Idempotency-Key": secrets.token_hex(16),
            "Content-Type": "application/json",
            **headers,
        },
    )


def _members(api: Api) -> int:
    return len(api.read("/v1/members")["data"])


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"{'external_id': 'anne'}",
        b'{"external_id": "anne"} x',
        b'{"external_id": "anne",}',
        b'{"external_id": NaN}',
        b'{"external_id": -Infinity}',
        b'{"external_id": "\xff\xfe"}',
        b'{"external_id": "\x00"}',
        b'{"external_id": "\\x41"}',
        b'\xef\xbb\xbf{"external_id": "anne"}',
        '{"external_id": "anne"}'.encode("utf-16"),
        '{"external_id": "anne"}'.encode("utf-32-le"),
        b'{"external_id": "anne\xed\xa0\x80"}',  # half of a surrogate pair, as bytes
        b"[" * 100_000,
        b'{"external_id":' * 20_000 + b"1" + b"}" * 20_000,
        b'{"external_id": ' + b"[" * 900 + b'"\\u0041"' + b"]" * 900 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_json_is_refused(api: Api, body: bytes) -> None:
    answer = _raw(api, body)
    code = answer.json()["code"]
    assert code in {"bad_request", "invalid_request"}
    problem(answer, 422 if code == "invalid_request" else 400, code)
    assert _members(api) == 0


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b'{"external_id": "a\\u0000b"}', "invalid_text", "/external_id"),
        (b'{"external_id": "a\\ud800b"}', "invalid_text", "/external_id"),
        (b'{"external_id": "a\\uDFFFb"}', "invalid_text", "/external_id"),
        (b'{"external_id": "a", "b/c~\\u0000": 1}', "invalid_text", ""),
        (b'{"external_id": [{"x": "\\ud800"}]}', "invalid_text", "/external_id/0/x"),
        (b'{"a/b~c": "\\u0000"}', "invalid_text", "/a~1b~0c"),
        (b'{"external_id": 9223372036854775808}', "invalid_body", "/external_id"),
        (b'{"external_id": -9223372036854775809}', "invalid_body", "/external_id"),
        (b'{"external_id": ' + b"9" * 5_000 + b"}", "invalid_body", None),
        (b'{"external_id": "a", "external_id": "b"}', "invalid_body", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_no_body_may_hold_is_refused_where_it_stands(
    api: Api, body: bytes, code: str, pointer: str | None
) -> None:
    found = problem(_raw(api, body), 422, code)
    if pointer is not None:
        assert found["pointer"] == pointer
    assert _members(api) == 0


def test_a_whole_surrogate_pair_and_every_other_letter_are_kept_as_they_are(api: Api) -> None:
    name = "Añne 𝄞 née Ⅷ\u200d\u00ad\n\t'\";--<script>"
    answer = _raw(api, b'{"external_id": "a\\ud834\\udd1e"}')
    assert answer.json()["external_id"] == "a𝄞"
    member = api.member(name=name)
    assert api.read(f"/v1/members/{member['id']}")["name"] == name


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "json"]
)
def test_a_body_of_another_kind_is_refused(api: Api, kind: str) -> None:
    answer = _raw(api, b'{"external_id": "anne"}', **{"Content-Type": kind})
    problem(answer, 415, "wrong_media_type")
    assert _members(api) == 0


def test_json_with_a_charset_is_json(api: Api) -> None:
    kind = {"Content-Type": "application/json; charset=utf-8"}
    assert _raw(api, b'{"external_id": "anne"}', **kind).status_code == 201


def test_ten_megabytes_are_refused_by_their_announced_length(api: Api) -> None:
    found = problem(_raw(api, b" " * 10_000_000), 413, "body_too_large")
    assert found["facts"]["limit"] == 1_048_576


def test_ten_megabytes_of_unannounced_length_are_refused_on_the_way(api: Api) -> None:
    answer = api.server.send(
        "POST",
        "/v1/members",
        content=chunks(100_000, 100),
        headers={
            "Authorization": f"Bearer {api.bearer}",
            "Idempotency-Key": "k",
            "Content-Type": "application/json",
        },
    )
    problem(answer, 413, "body_too_large")


def test_a_body_of_exactly_the_limit_is_taken(api: Api, app_settings: Settings) -> None:
    body = b'{"external_id": "anne"}'
    filled = body + b" " * (app_settings.max_body_bytes - len(body))
    assert _raw(api, filled).status_code == 201
    problem(_raw(api, filled + b" "), 413, "body_too_large")


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "9" * 40, "٣"])
def test_a_nonsense_length_is_refused(api: Api, length: str) -> None:
    answer = api.server.send(
        "POST",
        "/v1/members",
        headers={"Authorization": f"Bearer {api.bearer}", "Content-Length": length.encode()},
    )
    assert answer.status_code in {400, 413}


@pytest.mark.parametrize("path", ["/v1/units/a%00b", "/v1/members?external_id=a%00b", "/%00"])
def test_a_nul_in_the_address_is_refused(api: Api, path: str) -> None:
    assert api.get(path).status_code == 400


# Fields


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/external_id"),
        ({"external_id": ""}, "/external_id"),
        ({"external_id": "x" * 201}, "/external_id"),
        ({"external_id": 5}, "/external_id"),
        ({"external_id": None}, "/external_id"),
        ({"external_id": "a", "nickname": "b"}, "/nickname"),
        ({"external_id": "a", "locale": "xx"}, "/locale"),
        ({"external_id": "a", "time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"external_id": "a", "email": "no at sign"}, "/email"),
        ({"external_id": "a", "phone": "0612345678"}, "/phone"),
        ([], ""),
        ("anne", ""),
    ],
    ids=str,
)
def test_a_wrong_field_is_named_by_its_pointer(api: Api, body: Any, pointer: str) -> None:
    found = problem(api.send("POST", "/v1/members", body), 422, "invalid_request")
    assert found["pointer"] == pointer
    assert found["errors"][0]["pointer"] == pointer
    assert _members(api) == 0


def test_every_field_at_fault_is_told_at_once(api: Api) -> None:
    answer = api.post("/v1/members", {"locale": "xx", "phone": "1", "more": 1})
    pointers = {error["pointer"] for error in problem(answer, 422, "invalid_request")["errors"]}
    assert pointers == {"/external_id", "/locale", "/phone", "/more"}


@pytest.mark.parametrize(
    "amount",
    [0, -1, 2**63, "10.50", 10.5, 10.0, "1050", True, None, [1], {"value": 1}],
    ids=repr,
)
def test_an_amount_is_a_positive_integer_of_minor_units(api: Api, amount: Any) -> None:
    payer, payee = api.member()["id"], api.member()["id"]
    legs = [{"role": "price", "amount": {"amount": amount, "unit": "EUR"}}]
    answer = api.post("/v1/exchanges", {**_SALE, "legs": legs, "payer": payer, "payee": payee})
    code = "invalid_body" if amount == 2**63 else "invalid_request"
    assert problem(answer, 422, code)["pointer"] == "/legs/0/amount/amount"
    assert api.read("/v1/exchanges")["data"] == []


@pytest.mark.parametrize(
    ("amount", "unit", "words"),
    [
        ("10.50", "EUR", ("2 decimals", "1050")),
        (10.5, "EUR", ("2 decimals", "1050")),
        ("1050", "JPY", ("0 decimals", "1050")),
        ("1.234", "TND", ("3 decimals", "1234")),
    ],
)
def test_a_decimal_amount_is_told_how_its_unit_is_written(
    api: Api, amount: Any, unit: str, words: tuple[str, ...]
) -> None:
    legs = [{"role": "price", "amount": {"amount": amount, "unit": unit}}]
    detail = problem(
        api.post("/v1/exchanges/quote", {**_SALE, "legs": legs}), 422, "invalid_request"
    )["detail"]
    for word in ("minor units", *words):
        assert word in detail, detail


def test_of_many_each_wrong_one_is_told_where_it_stands_and_the_others_are_made(api: Api) -> None:
    payer, payee = api.member()["id"], api.member()["id"]
    good = {**_SALE, "payer": payer, "payee": payee}
    decimal = {**good, "legs": [{"amount": {"amount": "1.234", "unit": "TND"}}]}
    unknown = {**good, "legs": [{"amount": {"amount": 1, "unit": "XXX"}}]}
    made = api.made("/v1/exchanges/batch", {"exchanges": [good, decimal, unknown, good]})
    outcomes = made["outcomes"]
    assert [one["status"] for one in outcomes] == [201, 422, 422, 201]
    assert outcomes[1]["problem"]["pointer"] == "/exchanges/1/legs/0/amount/amount"
    assert "1.234 TND is 1234" in outcomes[1]["problem"]["detail"]
    assert outcomes[2]["problem"]["pointer"] == "/exchanges/2/legs/0/amount/unit"
    assert len(api.read("/v1/exchanges")["data"]) == 2


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        (
            {"legs": [{"role": "price", "amount": {"amount": 1, "unit": "XXX"}}]},
            "unknown_unit",
            "/legs/0/amount/unit",
        ),
        (
            {"legs": [{"amount": {"amount": 1, "unit": "EUR"}, "checkpoint": "nowhere"}]},
            "invalid_terms",
            "/legs/0/checkpoint",
        ),
        ({"legs": []}, "invalid_terms", "/legs"),
        ({"kind": "barter"}, "invalid_request", "/kind"),
        ({"title": ""}, "invalid_request", "/title"),
        ({"payee": "mb_nobody"}, "invalid_request", "/payee"),
        ({"payee": "ex_01m82k89tjfzs9jgqezwy0fv29"}, "invalid_request", "/payee"),
        ({"windows": {"confirm_hours": 0}}, None, "/windows/confirm_hours"),
        ({"both_agreed": "yes"}, "invalid_request", "/both_agreed"),
        ({"both_agreed": 1}, "invalid_request", "/both_agreed"),
        ({"checkpoints": [{"name": "handover", "due_at": "tomorrow"}]}, None, None),
        ({"checkpoints": [{"name": "handover", "due_at": "2027-01-01T00:00:00"}]}, None, None),
        ({"checkpoints": [{"name": "handover", "due_at": 1_893_456_000}]}, None, None),
    ],
    ids=lambda value: str(value)[:50],
)
def test_wrong_terms_are_refused_where_they_stand(
    api: Api, changes: dict[str, Any], code: str | None, pointer: str | None
) -> None:
    payer, payee = api.member()["id"], api.member()["id"]
    answer = api.post("/v1/exchanges", {**_SALE, "payer": payer, "payee": payee, **changes})
    found = problem(answer, 422, code or answer.json()["code"])
    assert found["pointer"] == (pointer or "/checkpoints/0/due_at")
    assert api.read("/v1/exchanges")["data"] == []


def test_the_same_member_on_both_sides_and_unknown_members_are_refused(api: Api) -> None:
    one, other = api.member()["id"], api.member()["id"]
    same = problem(
        api.post("/v1/exchanges", {**_SALE, "payer": one, "payee": one}), 422, "invalid_terms"
    )
    assert same["pointer"] == "/payee"
    api.made(f"/v1/members/{other}/erase")
    erased = api.post("/v1/exchanges", {**_SALE, "payer": one, "payee": other})
    assert problem(erased, 422, "member_erased")["pointer"] == "/payee"


def test_steps_that_are_not_allowed_or_stale_or_for_somebody_else_change_nothing(api: Api) -> None:
    payer, payee, stranger = (api.member()["id"] for _ in range(3))
    exchange = api.made("/v1/exchanges", {**_SALE, "payer": payer, "payee": payee})
    address = f"/v1/exchanges/{exchange['id']}"

    def refused(step: str, status: int, code: str, **body: Any) -> None:
        problem(api.post(f"{address}/{step}", body), status, code)
        assert api.read(address)["version"] == exchange["version"]

    refused("confirm", 409, "step_not_allowed", member=payer, checkpoint="handover")
    seen = exchange["terms_hash"]
    refused("agree", 403, "not_your_step", member=payee, terms_hash=seen)
    refused("agree", 403, "not_a_party", member=stranger, terms_hash=seen)
    later = exchange["version"] + 1
    refused("agree", 409, "stale_version", member=payer, terms_hash=seen, version=later)
    refused("agree", 409, "stale_terms", member=payer, terms_hash="0" * 64)
    refused("agree", 422, "member_required", terms_hash=seen)
    refused("agree", 422, "invalid_request", member=payer)
    problem(api.post(f"{address}/teleport", {}), 404, "not_found")


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/v1/members?limit=0", "/query/limit"),
        ("/v1/members?limit=101", "/query/limit"),
        ("/v1/members?limit=ten", "/query/limit"),
        ("/v1/members?limit=10&limit=20", "/query/limit"),
        ("/v1/members?limit=10&limit=10", "/query/limit"),
        ("/v1/cases?open=false&open=true", "/query/open"),
        ("/v1/members?limit=9223372036854775808", "/query/limit"),
        ("/v1/exchanges?state=lost", "/query/state/0"),
        ("/v1/exchanges?member=mb_1", "/query/member"),
        ("/v1/exchanges?created_from=yesterday", "/query/created_from"),
        ("/v1/exchanges?created_from=2027-01-01T00:00:00", "/query/created_from"),
        ("/v1/exchanges?created_from=0001-01-01T00:00:00%2B14:00", "/query/created_from"),
        ("/v1/exchanges?created_from=9999-12-31T23:59:59-14:00", "/query/created_from"),
        ("/v1/balances?at=1893456000", "/query/at"),
        ("/v1/postings", "/query/reference"),
        ("/v1/accounts/platform:fees/statement?unit=euro", "/query/unit"),
    ],
)
def test_a_wrong_query_is_named_by_its_pointer(api: Api, path: str, pointer: str) -> None:
    assert problem(api.get(path), 422, "invalid_request")["pointer"] == pointer


@pytest.mark.parametrize(
    "path",
    ["/v1/members?extrenal_id=anne", "/v1/exchanges?status=active", "/v1/events?order=asc&x=1"],
)
def test_a_query_that_is_not_known_is_refused_and_not_ignored(api: Api, path: str) -> None:
    found = problem(api.get(path), 422, "invalid_request")
    assert found["pointer"] in {"/query/extrenal_id", "/query/status", "/query/x"}


@pytest.mark.parametrize(
    "cursor",
    ["x", "%00", "e30", "W10", "WyJhIl0", "WzFd", "bnVsbA", "a" * 400, "é", "W1tbW1tbXV1dXV1d"],
)
@pytest.mark.parametrize(
    "path",
    ["/v1/members", "/v1/events", "/v1/exchanges", "/v1/accounts/platform:fees/statement?unit=EUR"],
)
def test_a_cursor_that_is_not_of_the_list_is_refused(api: Api, path: str, cursor: str) -> None:
    answer = api.get(f"{path}{'&' if '?' in path else '?'}cursor={cursor}")
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] in {"invalid_cursor", "bad_request"}


@pytest.mark.parametrize("given", ["dances", [{"do": "fly", "after": "P1D"}], 7, None])
def test_a_field_of_several_shapes_is_pointed_at_as_the_caller_wrote_it(
    api: Api, given: object
) -> None:
    body = {"member": api.member()["id"], "script": given}
    told = problem(api.post("/v1/sandbox/scripts", body), 422, "invalid_request")
    pointers = [one["pointer"] for one in told["errors"]]
    assert all(one.startswith("/script") and "[" not in one for one in pointers), pointers


def test_no_detail_speaks_of_how_it_was_checked(api: Api) -> None:
    answer = api.post("/v1/members", {"external_id": "a", "time_zone": "Mars/Olympus"})
    assert "alue error" not in problem(answer, 422, "invalid_request")["detail"]
