"""One-tap links, and their page, as members meet them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import httpx
import pytest
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from service import db
from service.config import Settings
from service.exchanges.codes import CodeBook
from service.ids import decode
from tests.http.client import Api, problem
from tests.http.deal import Deal, make_deal


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
    deal = make_deal(api, engine, agreed=False, locale=locale)
    page = anonymous.get(deal.link(deal.payer))
    _check_page(page)
    assert f'<html lang="{locale}">' in page.text
    assert said in page.text


def test_a_gift_has_a_page_without_money(api: Api, engine: Engine, anonymous: Api) -> None:
    deal = make_deal(api, engine, "gift", agreed=True)
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
