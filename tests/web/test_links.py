"""One-tap links, and their page, as members meet them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import Engine, text
from structlog.testing import capture_logs

from service import db
from service.config import Settings
from service.exchanges import sweep
from service.exchanges.codes import CodeBook
from service.ids import decode
from tests.http.client import Api, Server, problem
from tests.http.deal import Deal, make_deal
from tests.web.browser import Browser, words


def _forms(page: httpx.Response) -> dict[str, dict[str, str]]:
    """Every form of a page, by where it goes: its hidden fields."""
    forms = {}
    for action, inside in re.findall(
        r'<form class="[^"]*" method="post" action="([^"]+)"[^>]*>(.*?)</form>',
        page.text,
        re.DOTALL,
    ):
        forms[action] = dict(re.findall(r'name="([^"]+)" value="([^"]*)"', inside))
    return forms


def _press(browser: Browser, page: httpx.Response, ending: str, **more: str) -> httpx.Response:
    """Press the button whose form goes to ``ending``; what is reviewed first is read first."""
    forms = _forms(page)
    found = [one for one in forms if one.partition("?")[0].endswith(ending)]
    if not found:
        (review,) = re.findall(rf'href="([^"]+/review{ending})"', page.text)
        return _press(browser, browser.get(review), ending, **more)
    return browser.post(found[0], {**forms[found[0]], **more})


def _check_page(page: httpx.Response) -> None:
    """Insist on what every page of a link must be: plain, closed to others, kept nowhere."""
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
    assert "unsafe" not in policy
    assert "form-action 'self'" in policy
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["x-robots-tag"] == "noindex, nofollow"
    assert page.headers["cache-control"] == "no-store"
    assert "set-cookie" not in page.headers
    assert not re.findall(r'(?:src|href)="(?!/|#)', page.text)
    assert re.search(r'<html lang="(fr|en|br)">', page.text)
    assert page.text.count("<h1>") == 1


@pytest.fixture
def browser(server: Server) -> Browser:
    """Somebody's browser."""
    return Browser(server)


def test_looking_at_a_link_shows_everything_and_changes_nothing(
    proposed: Deal, browser: Browser
) -> None:
    link = proposed.link(proposed.payer)
    before = proposed.api.read(f"/v1/exchanges/{proposed.exchange['id']}")
    for _ in range(3):
        page = browser.get(link)
        assert page.status_code == 200
    _check_page(page)
    assert proposed.api.read(f"/v1/exchanges/{proposed.exchange['id']}") == before
    assert "Un &lt;b&gt;vélo&lt;/b&gt;" in page.text
    said = words(page)
    for told in (
        "Avec Yann",
        "Où est mon argent",
        "Rien n'est payé",
        "vous paierez 65,00 €",
        "Vous avez jusqu'au",
        "Sans réponse, la proposition s'arrête",
    ):
        assert told in said
    assert [one.rpartition("/")[2] for one in _forms(page)] == ["agree"]


def test_one_tap_agrees_and_a_second_one_says_the_same(proposed: Deal, browser: Browser) -> None:
    link = proposed.link(proposed.payer)
    page = browser.get(link)
    done = _press(browser, page, "/agree")
    assert (done.status_code, done.url.path) == (200, link)
    assert "vous êtes d'accord" in words(done)
    assert proposed.state() == "agreed"
    after = browser.get(link)
    assert "Payez sur la page de paiement" in words(after)
    again = _press(browser, page, "/agree")
    assert (again.status_code, again.url.path) == (200, link)
    (event,) = [one for one in proposed.api.events(2) if one["type"] == "exchange.agreed"]
    assert event["data"]["by"] == "payer"


def test_terms_that_changed_meanwhile_are_not_agreed_to(proposed: Deal, browser: Browser) -> None:
    page = browser.get(proposed.link(proposed.payer))
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
    answer = _press(browser, page, "/agree")
    assert answer.status_code == 409
    assert "99,00 €" in words(answer)
    assert proposed.state() == "proposed"
    # Without saying to what, nobody agrees either.
    (action,) = _forms(page)
    assert browser.post(action).status_code == 409
    assert proposed.state() == "proposed"


def test_one_tap_confirms_for_its_member_alone(paid: Deal, browser: Browser) -> None:
    review = browser.get(f"{paid.link(paid.payer)}/review/confirm")
    assert "65,00 € pour Yann" in words(review)
    assert _press(browser, review, "/confirm").status_code == 200
    assert paid.state() == "active"
    assert _press(browser, review, "/confirm").status_code == 200
    assert "Nous attendons Yann." in words(browser.get(paid.link(paid.payer)))
    payee_page = browser.get(paid.link(paid.payee))
    assert _press(browser, payee_page, "/confirm").status_code == 200
    assert paid.state() == "completed"
    over = browser.get(paid.link(paid.payee))
    assert "L'échange est terminé. Votre part : 65,00 €" in words(over)
    assert _forms(over) == {}
    # The way back leads nowhere: what was confirmed by both is final, and is said so.
    back = _press(browser, review, "/confirm")
    assert back.status_code == 200
    assert paid.state() == "completed"


def test_a_confirmation_is_taken_back_until_the_other_has_confirmed(
    paid: Deal, browser: Browser
) -> None:
    link = paid.link(paid.payer)
    _press(browser, browser.get(link), "/confirm")
    answer = _press(browser, browser.get(link), "/withdraw_confirmation")
    assert "votre confirmation est reprise" in words(answer)
    _press(browser, browser.get(paid.link(paid.payee)), "/confirm")
    assert paid.state() == "active"


def test_the_payee_enters_the_code_and_a_wrong_one_says_how_many_tries_are_left(
    paid: Deal, browser: Browser, app_settings: Settings
) -> None:
    assert app_settings.code_key is not None
    book = CodeBook(app_settings.code_key.get_secret_value())
    digits = book.digits(decode("exchange", paid.exchange["id"]), "handover", 1)
    page = browser.get(paid.link(paid.payee))
    empty = _press(browser, page, "/enter_code", code=" ")
    assert (empty.status_code, "Écrivez les six chiffres" in words(empty)) == (422, True)
    wrong = _press(browser, page, "/enter_code", code=str((int(digits) + 1) % 10**6).zfill(6))
    assert wrong.status_code == 409
    assert "Il vous reste" in words(wrong)
    assert paid.state() == "active"
    right = _press(browser, page, "/enter_code", code=f"{digits[:3]} {digits[3:]}")
    assert "Le code est juste" in words(right)
    assert paid.state() == "completed"


def test_a_member_pays_on_the_sandbox_s_page_and_comes_back(
    proposed: Deal, browser: Browser
) -> None:
    link = proposed.link(proposed.payer)
    _press(browser, browser.get(link), "/agree")
    page = _press(browser, browser.get(link), "/pay")
    (there,) = re.findall(r'href="([^"]+/sandbox-page)"', page.text)
    provider = browser.get(there)
    assert provider.url.path.startswith("/sandbox/pay/")
    assert "Aucun argent n'est pris" in words(provider)
    assert link.rpartition("/")[2] not in provider.text
    (action,) = {one for one in _forms(provider) if "succeed" in str(_forms(provider)[one]) + one}
    after = browser.post(action, _forms(provider)[action])
    (back,) = re.findall(r'href="http://tierce.test(/back/ex_\w+)"', after.text)
    assert browser.get(back).url.path == link
    deadline = datetime.now(UTC) + timedelta(seconds=30)
    while proposed.state() != "active":
        assert datetime.now(UTC) < deadline
        sweep.run(browser.server.app.state.edge.desk, datetime.now(UTC), proposed.platform_id)
    assert "votre paiement est protégé" in words(browser.get(link))


def test_a_form_of_another_site_does_nothing(proposed: Deal, browser: Browser) -> None:
    page = browser.get(proposed.link(proposed.payer))
    (action,) = _forms(page)
    for headers in ({"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}):
        answer = browser.post(action, _forms(page)[action], headers=headers)
        assert answer.status_code == 403
        assert "autre site" in words(answer)
    assert proposed.state() == "proposed"


@pytest.mark.parametrize("language", ["fr", "en", "br"])
def test_the_language_is_switched_on_the_page(paid: Deal, browser: Browser, language: str) -> None:
    page = browser.get(f"{paid.link(paid.payer)}?lang={language}")
    assert f'<html lang="{language}">' in page.text
    _check_page(page)


def test_a_code_is_shown_to_its_holder_when_they_ask_and_to_nobody_else(
    paid: Deal, browser: Browser, app_settings: Settings
) -> None:
    assert app_settings.code_key is not None
    book = CodeBook(app_settings.code_key.get_secret_value())
    digits = book.digits(decode("exchange", paid.exchange["id"]), "handover", 1)
    link = paid.link(paid.payer)
    page = browser.get(link)
    assert digits not in page.text
    shown = _press(browser, page, "/code")
    assert shown.status_code == 200
    assert f"{digits[:3]}\u202f{digits[3:]}" in shown.text
    assert '<svg class="qr"' in shown.text
    assert "Papier à donner en main propre" in shown.text
    other = paid.link(paid.payee)
    assert not [one for one in _forms(browser.get(other)) if one.endswith("/code")]
    refused = browser.post(f"{other}/code")
    assert refused.status_code == 409
    assert digits not in refused.text


@pytest.mark.parametrize("step", ["fund", "../agree", "enter_code", "agree%00"])
def test_no_other_step_goes_by_a_link(proposed: Deal, browser: Browser, step: str) -> None:
    answer = browser.post(f"{proposed.link(proposed.payer)}/steps/{step}")
    assert answer.status_code in {400, 404, 405, 409, 422}
    assert proposed.state() == "proposed"


@pytest.mark.parametrize("body", [b"\xff\xfe", b"version=99999999999999999999", b"a=1&" * 5000])
def test_a_form_that_no_page_sends_takes_no_step(
    proposed: Deal, browser: Browser, body: bytes
) -> None:
    link = proposed.link(proposed.payer)
    answer = browser.send("POST", f"{link}/steps/agree", content=body)
    assert answer.status_code == 409
    assert proposed.state() == "proposed"


def test_a_revoked_link_opens_nothing_and_says_how_to_get_another(
    proposed: Deal, browser: Browser
) -> None:
    link = proposed.link(proposed.payer)
    page = browser.get(link)
    member = proposed.payer["id"]
    (listed,) = proposed.api.read(f"/v1/members/{member}/links")["data"]
    assert (listed["exchange"], listed["purpose"]) == (proposed.exchange["id"], "proposed")
    assert link.rpartition("/")[2] not in str(listed)
    ended = proposed.api.made(f"/v1/members/{member}/links/{listed['id']}/revoke")
    assert ended["revoked_at"] is not None
    for answer in (browser.get(link), _press(browser, page, "/agree")):
        assert answer.status_code == 410
        _check_page(answer)
        assert "Ce lien ne marche plus" in answer.text
        assert "vélo" not in answer.text
    assert proposed.state() == "proposed"
    again = proposed.api.made(f"/v1/members/{member}/links/{listed['id']}/revoke")
    assert again["revoked_at"] == ended["revoked_at"]


def test_a_link_that_has_ended_says_whom_to_call(paid: Deal, browser: Browser) -> None:
    paid.api.send("PATCH", "/v1/platform", {"phone": "+33298000000"})
    link = paid.link(paid.payer)
    paid.api.made(f"/v1/members/{paid.payer['id']}/links/revoke")
    page = browser.get(link)
    assert page.status_code == 410
    assert "adressez-vous à A test (téléphone 02 98 00 00 00)" in words(page)


def test_every_link_of_a_member_can_be_revoked_at_once(paid: Deal, browser: Browser) -> None:
    link, other = paid.link(paid.payer), paid.link(paid.payee)
    ended = paid.api.made(f"/v1/members/{paid.payer['id']}/links/revoke")
    assert ended["links"] >= 2
    assert browser.get(link).status_code == 410
    assert browser.get(other).status_code == 200
    unknown = "lk_0001j5x7v4e9tsmwd8w1c9xk5v"
    answer = paid.api.post(f"/v1/members/{paid.payer['id']}/links/{unknown}/revoke")
    problem(answer, 404, "link_not_found")


def test_an_expired_link_opens_nothing(proposed: Deal, browser: Browser) -> None:
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
    assert browser.get(link).status_code == 410


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
    browser: Browser, token: str, languages: str, said: str
) -> None:
    page = browser.get(f"/l/{token}", headers={"accept-language": languages})
    assert page.status_code == 404
    _check_page(page)
    assert said in page.text


@pytest.mark.parametrize(
    ("locale", "said"), [("en", "Where is my money"), ("br", "Pelec'h emañ va arc'hant")]
)
def test_the_page_is_in_the_member_s_language(
    api: Api, engine: Engine, browser: Browser, locale: str, said: str
) -> None:
    deal = make_deal(api, engine, agreed=False, locale=locale)
    page = browser.get(deal.link(deal.payer))
    _check_page(page)
    assert f'<html lang="{locale}">' in page.text
    assert said in words(page)


def test_a_gift_has_a_page_without_money(api: Api, engine: Engine, browser: Browser) -> None:
    deal = make_deal(api, engine, "gift", agreed=True)
    page = browser.get(deal.link(deal.payee))
    assert "pas d'argent" in words(page)


def test_the_log_never_holds_a_link_s_token(proposed: Deal, browser: Browser) -> None:
    link = proposed.link(proposed.payer)
    with capture_logs() as logs:
        page = browser.get(link)
        _press(browser, page, "/agree")
    paths = [line["path"] for line in logs if line["event"] == "request"]
    assert paths == ["/l/…", "/l/…/steps/agree", "/l/…"]
    assert link.rpartition("/")[2] not in str(logs)
