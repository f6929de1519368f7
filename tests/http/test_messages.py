"""Messages, preferences and one-tap links as a platform and its members meet them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from service import db
from service.app import create_app
from service.config import Settings
from service.exchanges import sweep
from service.exchanges.codes import CodeBook
from service.ids import decode
from service.messages import make, send
from service.messages.channels import Channels
from tests.http.client import Api, Server, problem
from tests.readable import wait_until_readable

PUBLIC: Final = "http://tierce.test"


@dataclass
class Deal:
    """An exchange of two members of a sandbox platform, and their messages."""

    api: Api
    engine: Engine
    payer: dict[str, Any]
    payee: dict[str, Any]
    exchange: dict[str, Any]

    def tell(self) -> None:
        """Let the worker tell members what happened, as it would before long."""
        now = datetime.now(UTC)
        wait_until_readable(self.engine)
        while make.make(self.engine, now):
            pass
        send.run(self.engine, Channels(PUBLIC), datetime.now(UTC), self.platform_id)

    @property
    def platform_id(self) -> Any:
        with db.transaction(self.engine, db.SYSTEM) as connection:
            query = text("SELECT platform_id FROM service.member WHERE id = :id")
            return connection.scalar(query, {"id": decode("member", self.payer["id"])})

    def message(self, member: dict[str, Any]) -> dict[str, Any]:
        """The newest message of a member, whole."""
        self.tell()
        (newest, *_) = self.api.read("/v1/messages", member=member["id"])["data"]
        return self.api.read(f"/v1/messages/{newest['id']}")

    def link(self, member: dict[str, Any]) -> str:
        """The path of the link in the newest message of a member."""
        found = re.findall(rf"{PUBLIC}(/l/[\w-]+)", self.message(member)["text"])
        assert len(found) == 1
        return str(found[0])

    def state(self) -> str:
        return str(self.api.read(f"/v1/exchanges/{self.exchange['id']}")["state"])

    def fund(self) -> None:
        path = f"/v1/exchanges/{self.exchange['id']}"
        self.api.made(f"{path}/fund", {"member": self.payer["id"]})
        desk = self.api.server.app.state.edge.desk
        sweep.run(desk, datetime.now(UTC), self.platform_id)


def _deal(api: Api, engine: Engine, kind: str = "sale", *, agreed: bool, **more: Any) -> Deal:
    payer = api.member(name="Anna", email="anna@example.org", **more)
    payee = api.member(name="Yann", email="yann@example.org")
    body: dict[str, Any] = {
        "kind": kind,
        "title": "Un <b>vélo</b>",
        "payer": payer["id"],
        "payee": payee["id"],
        "proposed_by": "payee",
        "both_agreed": agreed,
    }
    if kind != "gift":
        body["legs"] = [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}]
    return Deal(api, engine, payer, payee, api.made("/v1/exchanges", body))


@pytest.fixture
def proposed(api: Api, engine: Engine) -> Deal:
    """A sale that the payer has not agreed to yet."""
    return _deal(api, engine, agreed=False)


@pytest.fixture
def paid(api: Api, engine: Engine) -> Deal:
    """A sale whose payment is protected."""
    deal = _deal(api, engine, agreed=True)
    deal.tell()
    deal.fund()
    assert deal.state() == "active"
    return deal


def _forms(page: httpx.Response) -> dict[str, dict[str, str]]:
    """Every form of a page, by where it goes: its hidden fields."""
    forms = {}
    for action, inside in re.findall(
        r'<form method="post" action="([^"]+)">(.*?)</form>', page.text, re.DOTALL
    ):
        forms[action] = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', inside))
    return forms


def _press(anonymous: Api, page: httpx.Response, ending: str) -> httpx.Response:
    """Press the button whose form goes to ``ending``, as a browser does."""
    (action,) = [one for one in _forms(page) if one.endswith(ending)]
    fields = _forms(page)[action]
    return anonymous.server.send("POST", action, data=fields)


def _check_page(page: httpx.Response) -> None:
    """Insist on what every page of a link must be: plain, closed to others, kept nowhere."""
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "form-action 'self'" in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["x-robots-tag"] == "noindex, nofollow"
    assert page.headers["cache-control"] == "no-store"
    assert "set-cookie" not in page.headers
    assert "<script" not in page.text
    assert not re.findall(r'(?:src|href)="', page.text)
    assert re.search(r'<html lang="(fr|en|br)">', page.text)
    assert page.text.count("<h1>") == 1


def test_messages_are_listed_filtered_and_read_whole(paid: Deal) -> None:
    paid.tell()
    found = paid.api.read("/v1/messages")["data"]
    assert {one["template"] for one in found} >= {"payment_needed", "payment_protected"}
    of_payer = paid.api.read("/v1/messages", member=paid.payer["id"])["data"]
    assert {one["member"] for one in of_payer} == {paid.payer["id"]}
    assert paid.api.read("/v1/messages", exchange=paid.exchange["id"])["data"] == found
    assert paid.api.read("/v1/messages", state="bounced")["data"] == []
    first = paid.api.read("/v1/messages", limit=1)
    second = paid.api.read("/v1/messages", limit=1, cursor=first["next_cursor"])
    assert [first["data"][0], second["data"][0]] == found[:2]
    whole = paid.message(paid.payer)
    assert whole["recipient"] == "anna@example.org"
    assert whole["subject"].startswith("Votre paiement est protégé")
    assert (whole["state"], whole["channel"]) == ("sent", "mailbox")
    assert "&lt;b&gt;vélo" in whole["html"]


def test_a_message_can_be_sent_again_with_another_link(proposed: Deal) -> None:
    before = proposed.message(proposed.payer)
    old = proposed.link(proposed.payer)
    again = proposed.api.made(f"/v1/messages/{before['id']}/resend")
    assert (again["state"], again["resends"], again["sent_at"]) == ("waiting", 1, None)
    assert proposed.link(proposed.payer) != old
    assert proposed.message(proposed.payer)["state"] == "sent"


def test_a_message_of_nobody_is_not_there(api: Api) -> None:
    nobody = "msg_0001j5x7v4e9tsmwd8w1c9xk5v"
    problem(api.get(f"/v1/messages/{nobody}"), 404, "message_not_found")
    problem(api.post(f"/v1/messages/{nobody}/resend"), 404, "message_not_found")


def test_preferences_are_chosen_and_steps_cannot_be_switched_off(proposed: Deal) -> None:
    address = f"/v1/members/{proposed.payer['id']}/message-preferences"
    assert proposed.api.read(address)["steps"] == "email"
    answer = proposed.api.send("PATCH", address, {"news": "none"})
    assert (answer.json()["steps"], answer.json()["news"]) == ("email", "none")
    answer = proposed.api.send("PATCH", address, {"steps": "sms"})
    assert (answer.json()["steps"], answer.json()["news"]) == ("sms", "none")
    problem(proposed.api.send("PATCH", address, {"steps": "none"}), 422, "invalid_request")
    problem(proposed.api.send("PATCH", address, {"post": "email"}), 422, "invalid_request")


def test_looking_at_a_link_shows_everything_and_changes_nothing(
    proposed: Deal, anonymous: Api
) -> None:
    link = proposed.link(proposed.payer)
    before = proposed.api.read(f"/v1/exchanges/{proposed.exchange['id']}")
    for _ in range(3):
        page = anonymous.get(link)
        assert page.status_code == 200
    assert anonymous.send("HEAD", link).status_code == 405
    _check_page(page)
    assert proposed.api.read(f"/v1/exchanges/{proposed.exchange['id']}") == before
    assert "Un &lt;b&gt;vélo&lt;/b&gt;" in page.text
    assert "Avec Yann" in page.text
    assert "Rien n&#39;est payé" in page.text
    assert "Vous payez 65,00\xa0€ en tout." in page.text
    assert "Vous avez jusqu&#39;au" in page.text
    assert [one.rpartition("/")[2] for one in _forms(page)] == ["agree"]


def test_one_tap_agrees_and_a_second_one_says_the_same(proposed: Deal, anonymous: Api) -> None:
    link = proposed.link(proposed.payer)
    page = anonymous.get(link)
    done = _press(anonymous, page, "/agree")
    assert (done.status_code, done.headers["location"]) == (303, link)
    assert proposed.state() == "agreed"
    after = anonymous.get(link)
    assert "Il vous reste à payer." in after.text
    assert _forms(after) == {}
    again = _press(anonymous, page, "/agree")
    assert (again.status_code, again.headers["location"]) == (303, link)
    (event,) = [one for one in proposed.api.events(2) if one["type"] == "exchange.agreed"]
    assert event["data"]["by"] == "payer"


def test_terms_that_changed_meanwhile_are_not_agreed_to(proposed: Deal, anonymous: Api) -> None:
    page = anonymous.get(proposed.link(proposed.payer))
    proposed.api.made(
        f"/v1/exchanges/{proposed.exchange['id']}/counter-offer",
        {
            "member": proposed.payee["id"],
            "terms": {
                "kind": "sale",
                "title": "Un vélo",
                "legs": [{"role": "price", "amount": {"amount": 9900, "unit": "EUR"}}],
            },
        },
    )
    answer = _press(anonymous, page, "/agree")
    assert answer.status_code == 409
    assert "99,00\xa0€" in answer.text
    assert proposed.state() == "proposed"
    # Without saying to what, nobody agrees either.
    (action,) = _forms(page)
    assert anonymous.server.send("POST", action).status_code == 409
    assert proposed.state() == "proposed"


def test_one_tap_confirms_for_its_member_alone(paid: Deal, anonymous: Api) -> None:
    payer_page = anonymous.get(paid.link(paid.payer))
    assert _press(anonymous, payer_page, "/confirm").status_code == 303
    assert paid.state() == "active"
    assert _press(anonymous, payer_page, "/confirm").status_code == 303
    assert "Nous attendons Yann." in anonymous.get(paid.link(paid.payer)).text
    payee_page = anonymous.get(paid.link(paid.payee))
    assert _press(anonymous, payee_page, "/confirm").status_code == 303
    assert paid.state() == "completed"
    over = anonymous.get(paid.link(paid.payee))
    assert "L&#39;échange est terminé. Votre part : 65,00\xa0€" in over.text
    assert _forms(over) == {}


def test_a_code_is_shown_to_its_holder_when_they_ask_and_to_nobody_else(
    paid: Deal, anonymous: Api, app_settings: Settings
) -> None:
    assert app_settings.code_key is not None
    book = CodeBook(app_settings.code_key.get_secret_value())
    digits = book.digits(decode("exchange", paid.exchange["id"]), "handover", 1)
    link = paid.link(paid.payer)
    page = anonymous.get(link)
    assert digits not in page.text
    shown = _press(anonymous, page, "/code")
    assert shown.status_code == 200
    assert f"Votre code est {digits}." in shown.text
    other = paid.link(paid.payee)
    assert not [one for one in _forms(anonymous.get(other)) if one.endswith("/code")]
    refused = anonymous.server.send("POST", f"{other}/code")
    assert refused.status_code == 409
    assert digits not in refused.text


@pytest.mark.parametrize("step", ["cancel", "fund", "../agree", "enter_code", "agree%00"])
def test_no_other_step_goes_by_a_link(proposed: Deal, anonymous: Api, step: str) -> None:
    answer = anonymous.server.send("POST", f"{proposed.link(proposed.payer)}/steps/{step}")
    assert answer.status_code in {400, 404}
    assert proposed.state() == "proposed"


@pytest.mark.parametrize("body", [b"\xff\xfe", b"version=99999999999999999999", b"a=1&" * 5000])
def test_a_form_that_no_page_sends_takes_no_step(
    proposed: Deal, anonymous: Api, body: bytes
) -> None:
    link = proposed.link(proposed.payer)
    answer = anonymous.server.send("POST", f"{link}/steps/agree", content=body)
    assert answer.status_code == 409
    assert proposed.state() == "proposed"


def test_a_revoked_link_opens_nothing_and_says_how_to_get_another(
    proposed: Deal, anonymous: Api
) -> None:
    link = proposed.link(proposed.payer)
    page = anonymous.get(link)
    member = proposed.payer["id"]
    (listed,) = proposed.api.read(f"/v1/members/{member}/links")["data"]
    assert (listed["exchange"], listed["purpose"]) == (proposed.exchange["id"], "proposed")
    assert link.rpartition("/")[2] not in str(listed)
    ended = proposed.api.made(f"/v1/members/{member}/links/{listed['id']}/revoke")
    assert ended["revoked_at"] is not None
    for answer in (anonymous.get(link), _press(anonymous, page, "/agree")):
        assert answer.status_code == 410
        _check_page(answer)
        assert "Ce lien ne marche plus" in answer.text
        assert "vélo" not in answer.text
    assert proposed.state() == "proposed"
    again = proposed.api.made(f"/v1/members/{member}/links/{listed['id']}/revoke")
    assert again["revoked_at"] == ended["revoked_at"]


def test_every_link_of_a_member_can_be_revoked_at_once(paid: Deal, anonymous: Api) -> None:
    link, other = paid.link(paid.payer), paid.link(paid.payee)
    ended = paid.api.made(f"/v1/members/{paid.payer['id']}/links/revoke")
    assert ended["links"] >= 2
    assert anonymous.get(link).status_code == 410
    assert anonymous.get(other).status_code == 200
    unknown = "lk_0001j5x7v4e9tsmwd8w1c9xk5v"
    answer = paid.api.post(f"/v1/members/{paid.payer['id']}/links/{unknown}/revoke")
    problem(answer, 404, "link_not_found")


def test_an_expired_link_opens_nothing(proposed: Deal, anonymous: Api) -> None:
    link = proposed.link(proposed.payer)
    (listed,) = proposed.api.read(f"/v1/members/{proposed.payer['id']}/links")["data"]
    lasts = datetime.fromisoformat(listed["expires_at"]) - datetime.fromisoformat(
        listed["created_at"]
    )
    assert lasts >= timedelta(days=14)
    with db.transaction(proposed.engine, db.SYSTEM) as connection:
        query = text(
            "UPDATE service.link SET created_at = now() - interval '2 days', "
            "expires_at = now() - interval '1 second' WHERE id = :id"
        )
        connection.execute(query, {"id": decode("link", listed["id"])})
    assert anonymous.get(link).status_code == 410


@pytest.mark.parametrize(
    ("languages", "said"),
    [
        ("br,fr;q=0.5", "N&#39;eus ket eus al liamm-mañ"),
        ("en-GB", "This link does not exist"),
        ("de", "Ce lien n&#39;existe pas"),
        ("", "Ce lien n&#39;existe pas"),
    ],
)
@pytest.mark.parametrize("token", ["x", "A" * 43, "é" * 43, "A" * 5000])
def test_an_unknown_link_is_told_in_the_browser_s_language(
    anonymous: Api, token: str, languages: str, said: str
) -> None:
    page = anonymous.send("GET", f"/l/{token}", headers={"Accept-Language": languages})
    assert page.status_code == 404
    _check_page(page)
    assert said in page.text


@pytest.mark.parametrize(
    ("locale", "said"), [("en", "Where the money is"), ("br", "Pelec&#39;h emañ an arc&#39;hant")]
)
def test_the_page_is_in_the_member_s_language(
    api: Api, engine: Engine, anonymous: Api, locale: str, said: str
) -> None:
    deal = _deal(api, engine, agreed=False, locale=locale)
    page = anonymous.get(deal.link(deal.payer))
    _check_page(page)
    assert f'<html lang="{locale}">' in page.text
    assert said in page.text


def test_a_gift_has_a_page_without_money(api: Api, engine: Engine, anonymous: Api) -> None:
    deal = _deal(api, engine, "gift", agreed=True)
    page = anonymous.get(deal.link(deal.payee))
    assert "pas d&#39;argent" in page.text


def test_the_log_never_holds_a_link_s_token(proposed: Deal, anonymous: Api) -> None:
    link = proposed.link(proposed.payer)
    with capture_logs() as logs:
        page = anonymous.get(link)
        _press(anonymous, page, "/agree")
    paths = [line["path"] for line in logs if line["event"] == "request"]
    assert paths == ["/l/…", "/l/…/steps/agree"]
    assert link.rpartition("/")[2] not in str(logs)


def test_erasing_a_member_erases_what_was_written_to_and_of_them(
    proposed: Deal, anonymous: Api
) -> None:
    proposed.tell()
    link = proposed.link(proposed.payer)
    path = f"/v1/exchanges/{proposed.exchange['id']}"
    proposed.api.made(f"{path}/decline", {"member": proposed.payer["id"]})
    proposed.tell()
    (to_payee,) = proposed.api.read("/v1/messages", member=proposed.payee["id"])["data"]
    assert "Anna" in proposed.api.read(f"/v1/messages/{to_payee['id']}")["text"]
    proposed.api.made(f"/v1/members/{proposed.payer['id']}/erase")
    for one in proposed.api.read("/v1/messages")["data"]:
        whole = proposed.api.read(f"/v1/messages/{one['id']}")
        assert (whole["text"], whole["html"], whole["subject"], whole["recipient"]) == (None,) * 4
    assert anonymous.get(link).status_code == 410
    with db.transaction(proposed.engine, proposed.platform_id) as connection:
        for table in ("message", "message_text", "bounce", "message_preference", "link"):
            for row in connection.scalars(text(f"SELECT t::text FROM service.{table} AS t")):
                assert "Anna" not in row
                assert "anna@" not in row


def test_the_mailbox_is_nowhere_unless_the_settings_say_so(anonymous: Api, api: Api) -> None:
    for caller in (anonymous, api):
        problem(caller.get("/dev/mailbox"), 404, "not_found")
        problem(caller.get("/dev/mailbox/msg_0001j5x7v4e9tsmwd8w1c9xk5v"), 404, "not_found")


def test_the_mailbox_of_a_development_machine_shows_what_was_told(
    proposed: Deal, app_settings: Settings, new_api: Callable[..., Api]
) -> None:
    message = proposed.message(proposed.payer)
    server = Server(create_app(app_settings.model_copy(update={"dev_pages": True})))
    try:
        anybody = Api(server, None)
        page = anybody.get("/dev/mailbox")
        assert page.status_code == 200
        assert f'href="/dev/mailbox/{message["id"]}"' in page.text
        one = anybody.get(f"/dev/mailbox/{message['id']}")
        assert one.status_code == 200
        assert f'href="{PUBLIC}{proposed.link(proposed.payer)}"' in one.text
        assert "<b>vélo" not in one.text
        assert "script" not in one.headers["content-security-policy"]
        problem(anybody.get("/dev/mailbox/msg_nothing"), 404, "not_found")
    finally:
        server.close()
