"""The office: who is let in, what each page shows, and what its forms do."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from service import db
from service.ids import decode, encode, spoken, uuid7
from service.platforms.scopes import SCOPES
from service.web.office.session import COOKIE, LIVES
from tests.http.client import Api, Server
from tests.http.conftest import OPERATOR_KEY
from tests.http.deal import Deal
from tests.web.browser import Browser, words

ROOMS: Final = (
    "",
    "/exchanges",
    "/members",
    "/reconciliation",
    "/webhooks",
    "/keys",
    "/rules",
    "/counter",
)
HOSTILE: Final = '<script>alert(1)</script> "x" {{ 7 * 7 }}'


@pytest.fixture
def office(server: Server, api: Api) -> Browser:
    """A browser that brought the platform's key."""
    return signed_in(server, api)


def signed_in(server: Server, api: Api) -> Browser:
    browser = Browser(server)
    answer = browser.post("/office/sign-in", {"key": str(api.bearer), "next": "/office"})
    assert (answer.status_code, answer.url.path) == (200, "/office")
    return browser


def test_the_office_is_closed_without_a_key_and_leads_back_to_where_one_wanted_to_go(
    server: Server, api: Api
) -> None:
    browser = Browser(server)
    for room in ROOMS:
        answer = browser.get(f"/office{room}")
        assert answer.url.path == "/office/sign-in"
        assert f'value="/office{room}"' in answer.text
    answer = browser.post("/office/sign-in", {"key": str(api.bearer), "next": "/office/keys"})
    assert answer.url.path == "/office/keys"


@pytest.mark.parametrize("there", ["https://evil.example", "//evil.example", "/l/x", "/officex"])
def test_the_way_in_leads_nowhere_else(server: Server, api: Api, there: str) -> None:
    browser = Browser(server)
    key = str(api.bearer)
    answer = browser.post("/office/sign-in", {"key": key, "next": there}, follow=False)
    assert answer.headers["location"] == "/office"


def test_a_key_that_opens_nothing_is_refused_in_plain_words(server: Server) -> None:
    browser = Browser(server)
    for key, said in (("tk_sandbox_wrong", "n'ouvre rien"), (OPERATOR_KEY, "clé de l'instance")):
        answer = browser.post("/office/sign-in", {"key": key})
        assert answer.status_code == 401
        assert said in words(answer)
        assert key not in answer.text
        assert COOKIE not in browser.cookies


def test_the_cookie_is_for_this_site_alone_and_holds_no_key_to_read(
    server: Server, api: Api
) -> None:
    browser = Browser(server)
    answer = browser.post("/office/sign-in", {"key": str(api.bearer)}, follow=False)
    said = answer.headers["set-cookie"].lower()
    for word in ("httponly", "samesite=strict", "path=/office", f"max-age={LIVES.seconds}"):
        assert word in said
    assert str(api.bearer) not in answer.headers["set-cookie"]


def test_a_cookie_of_somebody_s_own_making_opens_nothing(server: Server) -> None:
    browser = Browser(server)
    for value in ("x", "gAAAAABn", "é"):
        answer = browser.get("/office", headers={"cookie": f"{COOKIE}={value}".encode()})
        assert answer.url.path == "/office/sign-in"


def test_a_revoked_key_closes_every_page(server: Server, api: Api, office: Browser) -> None:
    mine = next(one for one in api.read("/v1/api-keys")["data"])
    answer = office.post(f"/office/keys/{mine['id']}/revoke")
    deadline = datetime.now(UTC) + timedelta(seconds=30)
    while answer.url.path != "/office/sign-in":  # it may live on for two seconds elsewhere
        assert datetime.now(UTC) < deadline
        answer = office.get("/office")


def test_signing_out_forgets_the_key(office: Browser) -> None:
    assert office.post("/office/sign-out").url.path == "/office/sign-in"
    assert office.get("/office").url.path == "/office/sign-in"


def test_a_form_that_another_site_sends_does_nothing(api: Api, office: Browser) -> None:
    before = len(api.read("/v1/api-keys")["data"])
    fields = {"label": "theirs", "scope:keys:read": "yes"}
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}):
        for path in ("/office/keys", "/office/sign-in", "/office/sign-out", "/office/prove"):
            assert office.post(path, fields, headers=headers).status_code == 403
    assert len(api.read("/v1/api-keys")["data"]) == before
    assert office.get("/office").url.path == "/office"


@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("language", ["fr", "en", "br"])
def test_every_room_opens_in_every_language_under_a_strict_policy(
    server: Server, paid: Deal, room: str, language: str
) -> None:
    browser = signed_in(server, paid.api)
    answer = browser.get(f"/office{room}?lang={language}")
    assert answer.status_code == 200
    assert f'lang="{language}"' in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"\sstyle=|<style|\son\w+=", answer.text)


def test_a_key_opens_the_rooms_of_its_scopes_and_says_what_it_lacks(
    server: Server, new_api: Any
) -> None:
    browser = Browser(server)
    caller = new_api("exchanges:read")
    answer = browser.post("/office/sign-in", {"key": str(caller.bearer), "next": "/office/keys"})
    assert answer.status_code == 403
    assert "keys:read" in words(answer)
    answer = browser.get("/office/exchanges")
    assert answer.status_code == 200
    assert "/office/keys" not in answer.text


def test_what_others_wrote_is_shown_and_does_nothing(server: Server, api: Api) -> None:
    payer, payee = api.member(name=HOSTILE)["id"], api.member()["id"]
    terms = {
        "kind": "sale",
        "title": HOSTILE,
        "payer": payer,
        "payee": payee,
        "legs": [{"amount": {"amount": 6500, "unit": "EUR"}}],
    }
    made = api.made("/v1/exchanges", terms)
    browser = signed_in(server, api)
    for path in ("exchanges", f"exchanges/{made['id']}", "members", f"members/{payer}"):
        answer = browser.get(f"/office/{path}")
        assert HOSTILE in words(answer)
        assert "<script>alert" not in answer.text


def test_the_short_number_is_the_one_on_the_member_s_page(
    paid: Deal, office: Browser, server: Server
) -> None:
    number = spoken(decode("exchange", paid.exchange["id"]))
    assert number in words(office.get(f"/office/exchanges/{paid.exchange['id']}"))
    assert number in words(Browser(server).get(paid.link(paid.payer)))


def test_row_level_security_leaves_the_index_of_short_numbers_to_the_planner(
    engine: Engine,
) -> None:
    with db.transaction(engine, uuid7()) as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        asked = text(
            "EXPLAIN SELECT id FROM service.exchange WHERE platform_id = :one AND ending = :two"
        )
        plan = connection.scalars(asked, {"one": uuid7(), "two": "0123456789"}).all()
    assert "ix_exchange_platform_id_ending" in "\n".join(plan)


def test_an_exchange_is_found_by_any_of_its_names_and_by_a_word(
    server: Server, paid: Deal, office: Browser
) -> None:
    other = paid.api.member()
    exchange = paid.exchange
    found = {
        exchange["id"]: True,
        spoken(decode("exchange", exchange["id"])).lower().replace(" ", "-"): True,
        spoken(uuid4()): False,
        paid.payer["id"]: True,
        paid.payee["external_id"]: True,
        exchange["terms"]["title"][2:6].upper(): True,
        other["id"]: False,
        encode("exchange", uuid7()): False,
        "100% nothing": False,
        "%": False,
    }
    for said, there in found.items():
        answer = office.get("/office/exchanges", params={"q": said})
        assert answer.status_code == 200
        assert (f"/office/exchanges/{exchange['id']}" in answer.text) is there, said
    for asked, there in (
        ({"state": "active"}, True),
        ({"state": "completed"}, False),
        ({"kind": "gift"}, False),
        ({"state": "nonsense"}, False),
    ):
        answer = office.get("/office/exchanges", params=asked)
        assert (exchange["id"] in answer.text) is there, asked


def test_a_long_list_goes_on_from_page_to_page(server: Server, api: Api) -> None:
    made = {api.member()["id"] for _ in range(52)}
    browser, seen, path = signed_in(server, api), set(), "/office/members"
    while path:
        answer = browser.get(path)
        seen |= set(re.findall(r"/office/members/(mb_\w+)", answer.text))
        following = re.search(r'rel="next" href="([^"]+)"', answer.text)
        path = f"/office/members{following[1]}" if following else ""
    assert seen == made


def test_another_platform_s_things_are_not_there(
    server: Server, paid: Deal, neighbour: Api
) -> None:
    browser = signed_in(server, neighbour)
    for path in (f"exchanges/{paid.exchange['id']}", f"members/{paid.payer['id']}"):
        answer = browser.get(f"/office/{path}")
        assert answer.status_code == 404
        assert str(paid.exchange["terms"]["title"]) not in answer.text


def test_the_overview_draws_what_is_held_and_says_it_in_a_table(
    paid: Deal, office: Browser
) -> None:
    answer = office.get("/office")
    assert "65,00" in words(answer)
    assert '<path class="line"' in answer.text
    assert answer.text.count('<th scope="row">') > 60


def test_the_books_are_proved_on_demand(paid: Deal, office: Browser) -> None:
    answer = office.post("/office/prove")
    (count,) = re.findall(r"proved=(\d+)", str(answer.url))
    assert int(count) >= 2
    assert f"{count} écritures prouvées" in words(answer)


def test_the_way_of_the_money_is_drawn_and_listed(paid: Deal, office: Browser) -> None:
    answer = office.get(f"/office/exchanges/{paid.exchange['id']}")
    moved = paid.api.read(f"/v1/exchanges/{paid.exchange['id']}/postings")["data"]
    count = sum(len(one["transfers"]) for one in moved)
    assert answer.text.count('<path class="arrow"') == count > 0
    assert "65,00" in words(answer)


def test_a_key_is_made_shown_once_replaced_and_ended(
    server: Server, api: Api, office: Browser
) -> None:
    answer = office.post("/office/keys", {"label": "A till", "scope:members:read": "yes"})
    (secret,) = re.findall(r"tk_\w+_[\w-]{40,}", answer.text)
    assert Api(server, secret).get("/v1/members").status_code == 200
    assert Api(server, secret).get("/v1/exchanges").status_code == 403
    assert secret not in office.get("/office/keys").text
    made = next(one for one in api.read("/v1/api-keys")["data"] if one["label"] == "A till")
    answer = office.post(f"/office/keys/{made['id']}/rotate")
    (newer,) = re.findall(r"tk_\w+_[\w-]{40,}", answer.text)
    assert newer != secret
    for fields, said in (
        ({"label": " ", "scope:keys:read": "yes"}, "Donnez un nom"),
        ({"label": "x"}, "Cochez"),
        ({"label": "x", "scope:everything": "yes"}, "Cochez"),
    ):
        assert said in words(office.post("/office/keys", fields))


def test_a_key_makes_no_key_that_opens_more(server: Server, new_api: Any) -> None:
    caller = new_api("keys:read", "keys:write")
    browser = Browser(server)
    browser.post("/office/sign-in", {"key": str(caller.bearer), "next": "/office/keys"})
    fields = {"label": "more"} | {f"scope:{one}": "yes" for one in SCOPES}
    assert browser.post("/office/keys", fields).status_code == 403
    assert "more" not in {one["label"] for one in caller.read("/v1/api-keys")["data"]}


def test_a_delivery_is_sent_again(paid: Deal, engine: Engine, office: Browser) -> None:
    endpoint = paid.api.made(
        "/v1/webhook-endpoints", {"url": "https://93.184.215.14/hook", "events": ["*"]}
    )
    failed = text(
        "INSERT INTO service.webhook_delivery (platform_id, endpoint_id, event_id, type, "
        "exchange_id, sequence, state, created_at, ended_at) SELECT platform_id, :endpoint, id, "
        "type, exchange_id, sequence, 'failed', now(), now() FROM service.event "
        "WHERE type = 'exchange.active' RETURNING event_id"
    )
    with db.transaction(engine, paid.platform_id) as connection:
        values = {"endpoint": decode("webhook_endpoint", endpoint["id"])}
        event = encode("event", connection.execute(failed, values).scalar_one())
    path = f"/office/webhooks/{endpoint['id']}"
    assert event in office.get(f"{path}?state=failed").text
    answer = office.post(f"{path}/deliveries/{event}/replay")
    assert "1 envois repartent" in words(answer)
    assert event not in office.get(f"{path}?state=failed").text
    assert "0 envois repartent" in words(office.post(f"{path}/replay-failed"))


def test_a_difference_is_not_resolved_without_a_word(office: Browser) -> None:
    unknown = encode("difference", uuid7())
    path = f"/office/reconciliation/{unknown}/resolve"
    assert office.post(path, {"resolution": "explained"}).status_code == 422
    assert office.post(path, {"resolution": "magic", "reason": "x"}).status_code == 422
    fields = {"resolution": "belongs_to_member", "reason": "x", "member": "nobody"}
    assert "mb_" in words(office.post(path, fields))
    assert office.post(path, {"resolution": "explained", "reason": "x"}).status_code == 404
