"""Pages by which a member names a helper, and what the helper meets there; without a script."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from sqlalchemy import Engine, text

from service import db
from tests.http.client import Api
from tests.http.deal import PUBLIC, Deal, make_deal
from tests.web.browser import Browser, words

FORM: Final = {
    "name": "Maud Riou",
    "contact": "maud@example.org",
    "may:look": "yes",
    "may:confirm": "yes",
    "of": "one",
    "limit": "",
    "unit": "EUR",
    "days": "30",
}


def link_of(deal: Deal, member: dict[str, Any]) -> str:
    """The path of the newest link that a member was sent to the exchange."""
    deal.tell()
    for one in deal.api.read("/v1/messages", member=member["id"])["data"]:
        text_ = deal.api.read(f"/v1/messages/{one['id']}")["text"] or ""
        found = re.findall(rf"{PUBLIC}(/l/[\w-]+)", text_)
        if found:
            return str(found[0])
    raise AssertionError("no message has a link")


def named(paid: Deal, member: dict[str, Any], **more: str) -> str:
    """Let a member name Maud on their page; return the path of her link."""
    browser = Browser(paid.api.server)
    answer = browser.post(f"{link_of(paid, member)}/helpers", {**FORM, **more})
    assert answer.status_code == 200, words(answer)
    (path,) = set(re.findall(rf"{PUBLIC}(/h/[\w-]{{43}})", answer.text))
    return str(path)


def opened(paid: Deal, home: str) -> str:
    """Open the exchange from a helper's own page; return the path of the page it has."""
    answer = Browser(paid.api.server).post(
        f"{home}/open", {"exchange": paid.exchange["id"]}, follow=False
    )
    assert answer.status_code == 303
    return str(answer.headers["location"])


def point(browser: Browser, page: str) -> dict[str, str]:
    """What the form of a confirmation sends."""
    text = browser.get(f"{page}/review/confirm").text
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', text))


def test_a_helper_confirms_for_the_member_and_each_side_reads_whose_hand_it_was(
    paid: Deal,
) -> None:
    browser = Browser(paid.api.server)
    page = opened(paid, named(paid, paid.payee))
    assert "Vous aidez Yann" in words(browser.get(page))
    answer = browser.post(f"{page}/steps/confirm", point(browser, page))
    assert answer.status_code == 200
    (word,) = paid.api.read(f"/v1/exchanges/{paid.exchange['id']}/confirmations")["data"]
    assert (word["by"], word["via"]) == ("payee", "helper")
    assert word["helper"].startswith("hp_")
    mine = words(browser.get(paid.link(paid.payee)))
    assert "(Fait par Maud Riou, qui vous aide.)" in mine
    theirs = words(browser.get(paid.link(paid.payer)))
    assert "(Fait par quelqu'un qui aide Yann.)" in theirs
    assert "Maud" not in theirs


def test_the_member_is_told_by_message_of_what_the_helper_did_and_so_is_the_other_side(
    paid: Deal,
) -> None:
    browser = Browser(paid.api.server)
    page = opened(paid, named(paid, paid.payee))
    browser.post(f"{page}/steps/confirm", point(browser, page))
    told = paid.message(paid.payee)
    assert told["template"] == "helper_acted"
    assert "Maud Riou vous aide" in told["text"]
    assert "confirmer cette étape\u202f: la remise en main propre" in told["text"]
    other = paid.message(paid.payer)
    assert other["template"] == "other_confirmed"
    assert "Quelqu'un l'a fait pour Yann, avec son accord." in other["text"]


def test_what_the_member_did_not_allow_is_not_offered_and_a_form_made_by_hand_is_refused(
    paid: Deal,
) -> None:
    browser = Browser(paid.api.server)
    page = opened(paid, named(paid, paid.payer, **{"may:confirm": "", "may:pay": "yes"}))
    text = browser.get(page).text
    assert "/review/confirm" not in text
    assert "/code" not in text
    assert "/problem" not in text
    assert "/helpers" not in text
    refused = browser.post(f"{page}/steps/confirm", {"checkpoint": "handover"})
    assert refused.status_code == 409
    assert "Anna ne vous a pas permis de faire cela" in words(refused)
    for path in ("/code", "/problem", "/case/evidence"):
        sent = {"reason": "damaged", "text": "x"}
        answer = browser.post(f"{page}{path}", sent)
        assert "problème" not in answer.url.path
    assert paid.api.read(f"/v1/exchanges/{paid.exchange['id']}")["case"] is None
    assert paid.api.read(f"/v1/exchanges/{paid.exchange['id']}/confirmations")["data"] == []


def test_beyond_the_limit_a_helper_reads_who_can_do_it_and_nothing_changes(paid: Deal) -> None:
    browser = Browser(paid.api.server)
    page = opened(paid, named(paid, paid.payer, limit="64,99"))
    refused = browser.post(f"{page}/steps/confirm", point(browser, page))
    assert refused.status_code == 409
    assert "dépasse la valeur que Anna a fixée" in words(refused)
    code = browser.post(f"{page}/code")
    assert code.status_code == 409
    assert "digits" not in code.text
    assert paid.api.read(f"/v1/exchanges/{paid.exchange['id']}/confirmations")["data"] == []


def test_a_helper_can_name_and_end_nobody(paid: Deal) -> None:
    browser = Browser(paid.api.server)
    page = opened(paid, named(paid, paid.payer))
    (helper,) = paid.api.read(f"/v1/members/{paid.payer['id']}/helpers")["data"]
    for sent in (
        browser.get(f"{page}/helpers"),
        browser.post(f"{page}/helpers", {**FORM, "contact": "lea@example.org"}),
        browser.post(f"{page}/helpers/{helper['id']}/end"),
    ):
        assert sent.status_code == 403
        assert "ne vous a pas permis" in words(sent)
    (left,) = paid.api.read(f"/v1/members/{paid.payer['id']}/helpers")["data"]
    assert left["works"]


def test_once_the_member_has_ended_a_helper_all_their_links_say_so(paid: Deal) -> None:
    browser = Browser(paid.api.server)
    member = paid.link(paid.payer)
    home = named(paid, paid.payer)
    page = opened(paid, home)
    (helper,) = paid.api.read(f"/v1/members/{paid.payer['id']}/helpers")["data"]
    answer = browser.post(f"{member}/helpers/{helper['id']}/end")
    assert "cette aide est terminée" in words(answer)
    for path in (home, page):
        gone = browser.get(path)
        assert gone.status_code == 410
        assert "Cette aide est terminée" in words(gone)
    assert browser.post(f"{page}/steps/confirm", {"checkpoint": "handover"}).status_code == 410
    assert browser.post(f"{home}/open", {"exchange": paid.exchange["id"]}).status_code == 410
    again = browser.post(f"{member}/helpers/{helper['id']}/end")
    assert again.status_code == 200, "a second press says the same"


def test_the_links_of_a_helper_and_of_a_member_open_each_other_not(paid: Deal) -> None:
    browser = Browser(paid.api.server)
    member, home = paid.link(paid.payer), named(paid, paid.payer)
    assert browser.get(home.replace("/h/", "/l/")).status_code == 404
    assert browser.get(member.replace("/l/", "/h/")).status_code == 404
    assert browser.get(opened(paid, home).replace("/l/", "/h/")).status_code == 404


def test_a_helper_opens_no_exchange_that_is_not_the_members(paid: Deal) -> None:
    home = named(paid, paid.payer, of="all")
    stranger = paid.api.made(
        "/v1/exchanges",
        {
            "kind": "gift",
            "title": "Un livre",
            "payer": paid.payee["id"],
            "payee": paid.api.member()["id"],
            "proposed_by": "payee",
        },
    )
    answer = Browser(paid.api.server).post(
        f"{home}/open", {"exchange": stranger["id"]}, follow=False
    )
    assert answer.headers["location"] == home
    assert "Un livre" not in Browser(paid.api.server).get(home).text


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": " "}, "Écrivez le nom"),
        ({"contact": "maud"}, "une adresse e-mail entière"),
        ({"contact": "12"}, "une adresse e-mail entière"),
        ({"days": "9999"}, "pendant combien de temps"),
        ({"may:look": "", "may:confirm": ""}, "Cochez au moins"),
        ({"limit": "beaucoup"}, "Écrivez la valeur"),
        ({"contact": "anna@example.org"}, "votre propre adresse"),
        ({"contact": "yann@example.org"}, "de l'autre côté"),
    ],
)
def test_a_form_that_cannot_be_says_how_to_mend_it_and_keeps_what_was_written(
    paid: Deal, wrong: dict[str, str], said: str
) -> None:
    browser = Browser(paid.api.server)
    answer = browser.post(f"{paid.link(paid.payer)}/helpers", {**FORM, **wrong})
    assert answer.status_code in {409, 422}
    assert said in words(answer)
    if wrong.get("name") is None:
        assert 'value="Maud Riou"' in answer.text
    assert paid.api.read(f"/v1/members/{paid.payer['id']}/helpers")["data"] == []


def test_a_telephone_of_the_country_is_taken_as_it_is_said(paid: Deal) -> None:
    named(paid, paid.payer, contact="06 12 34 56 78")
    (helper,) = paid.api.read(f"/v1/members/{paid.payer['id']}/helpers")["data"]
    assert (helper["phone"], helper["email"]) == ("+33612345678", None)


def test_a_second_press_names_nobody_again(paid: Deal) -> None:
    browser, member = Browser(paid.api.server), paid.link(paid.payer)
    assert browser.post(f"{member}/helpers", FORM).status_code == 200
    second = browser.post(f"{member}/helpers", FORM)
    assert "vous aide déjà" in words(second)
    assert len(paid.api.read(f"/v1/members/{paid.payer['id']}/helpers")["data"]) == 1


def test_a_form_of_another_site_names_nobody(paid: Deal) -> None:
    browser = Browser(paid.api.server)
    foreign = {"sec-fetch-site": "cross-site"}
    answer = browser.post(f"{paid.link(paid.payer)}/helpers", FORM, headers=foreign)
    assert answer.status_code == 403
    home = named(paid, paid.payer)
    sent = {"exchange": paid.exchange["id"]}
    assert browser.post(f"{home}/open", sent, headers=foreign).status_code == 403


def test_a_helper_reports_a_problem_that_is_marked_as_reported_through_them(paid: Deal) -> None:
    browser = Browser(paid.api.server)
    page = opened(paid, named(paid, paid.payer, **{"may:report_problem": "yes"}))
    sent = {
        "reason": "damaged",
        "answer:what_is_damaged": "Le cadre.",
        "answer:when_noticed": "À la remise.",
    }
    assert browser.post(f"{page}/problem", sent).status_code == 200
    assert browser.post(f"{page}/case/evidence", {"text": "Il est fendu."}).status_code == 200
    case = paid.api.read(f"/v1/exchanges/{paid.exchange['id']}")["case"]
    assert case is not None
    assert paid.message(paid.payer)["template"] == "helper_acted"
    offered = {"outcome": "to_payer", "text": "x"}
    refused = browser.post(f"{page}/case/steps/make_offer", offered)
    assert refused.status_code == 409
    assert "ne vous a pas permis" in words(refused)
    history = words(browser.get(paid.link(paid.payer)))
    assert "(Fait par Maud Riou, qui vous aide.)" in history


@pytest.mark.parametrize("locale", ["fr", "en", "br"])
def test_the_pages_speak_the_readers_language(paid: Deal, locale: str) -> None:
    browser = Browser(paid.api.server)
    member, home = paid.link(paid.payer), named(paid, paid.payer)
    page = opened(paid, home)
    for path in (f"{member}/helpers", home, page):
        assert f'<html lang="{locale}">' in browser.get(f"{path}?lang={locale}").text


def test_help_stands_last_on_every_page_of_a_member_and_of_a_helper(paid: Deal) -> None:
    browser = Browser(paid.api.server)
    member, home = paid.link(paid.payer), named(paid, paid.payer)
    pages = [browser.get(home), browser.post(f"{member}/code")]
    for path in ("", "/problem", "/problem?reason=damaged", "/helpers", "/review/confirm"):
        pages.append(browser.get(f"{member}{path}"))
    answers = {"answer:what_is_damaged": "The frame.", "answer:when_noticed": "At once."}
    pages.append(browser.post(f"{member}/problem", {"reason": "damaged", **answers}))
    pages.append(browser.get(f"{member}/case/review/withdraw_claim"))
    for page in pages:
        assert page.status_code == 200
        last = page.text.rpartition("<section")[2]
        assert 'aria-labelledby="help"' in last
        assert "A test" in last, "who can be asked"


def test_the_office_reads_which_helper_gave_a_word(paid: Deal) -> None:
    browser = Browser(paid.api.server)
    page = opened(paid, named(paid, paid.payee))
    browser.post(f"{page}/steps/confirm", point(browser, page))
    office = Browser(paid.api.server)
    office.post("/office/sign-in", {"key": str(paid.api.bearer)})
    said = words(office.get(f"/office/exchanges/{paid.exchange['id']}"))
    assert "Maud Riou, une aide" in said
    there = words(office.get(f"/office/members/{paid.payee['id']}"))
    assert "Maud Riou maud@example.org regarder et confirmer une étape" in there


def test_a_link_of_an_exchange_that_is_over_leads_a_helper_back_to_their_own(paid: Deal) -> None:
    home = named(paid, paid.payer)
    page = opened(paid, home)
    with db.transaction(paid.engine, db.SYSTEM) as connection:
        connection.execute(
            text(
                "UPDATE service.link SET created_at = created_at - interval '30 days', "
                "expires_at = now() - interval '1 day' "
                "WHERE helper_id IS NOT NULL AND exchange_id IS NOT NULL"
            )
        )
    gone = Browser(paid.api.server).get(page)
    assert gone.status_code == 410
    assert "Ouvrez de nouveau le lien de votre message" in words(gone)
    assert Browser(paid.api.server).get(home).status_code == 200


def test_the_members_page_says_who_helps_them_now(paid: Deal) -> None:
    browser, member = Browser(paid.api.server), paid.link(paid.payer)
    assert "Me faire aider par quelqu'un" in words(browser.get(member))
    named(paid, paid.payer)
    assert "Maud Riou : voir cette aide, ou y mettre fin" in words(browser.get(member))


@pytest.fixture
def agreed(api: Api, engine: Engine) -> Deal:
    """A sale that both agreed to, and nobody has paid."""
    return make_deal(api, engine, agreed=True)


def test_a_helper_who_may_pay_pays_and_it_is_marked_as_paid_through_them(agreed: Deal) -> None:
    browser = Browser(agreed.api.server)
    page = opened(agreed, named(agreed, agreed.payer, **{"may:pay": "yes"}))
    assert browser.post(f"{page}/pay").status_code == 200
    assert agreed.state() == "funding"
    assert agreed.message(agreed.payer)["template"] == "helper_acted"
    history = words(browser.get(link_of(agreed, agreed.payer)))
    assert "Vous avez commencé à payer. (Fait par Maud Riou, qui vous aide.)" in history


@pytest.mark.parametrize(
    ("more", "said"),
    [({}, "ne vous a pas permis"), ({"may:pay": "yes", "limit": "10"}, "dépasse la valeur")],
)
def test_who_may_not_pay_or_not_so_much_begins_no_payment_and_finds_no_page_of_one(
    agreed: Deal, more: dict[str, str], said: str
) -> None:
    browser, member = Browser(agreed.api.server), agreed.link(agreed.payer)
    page = opened(agreed, named(agreed, agreed.payer, **more))
    refused = browser.post(f"{page}/pay")
    assert refused.status_code == 409
    assert said in words(refused)
    assert agreed.state() == "agreed"
    browser.post(f"{member}/pay")
    assert "/sandbox-page" in browser.get(member).text
    assert "/sandbox-page" not in browser.get(page).text
    led = browser.get(f"{page}/sandbox-page", follow=False)
    assert led.headers["location"] == page


def test_a_helper_says_yes_to_terms_only_where_the_member_allows_it(proposed: Deal) -> None:
    browser = Browser(proposed.api.server)
    page = opened(proposed, named(proposed, proposed.payer, **{"may:accept_offers": "yes"}))
    looking = opened(
        proposed,
        named(proposed, proposed.payer, contact="lea@example.org", **{"may:confirm": ""}),
    )
    sent = {"terms_hash": proposed.exchange["terms_hash"]}
    assert browser.post(f"{looking}/steps/agree", sent).status_code == 409
    assert proposed.state() == "proposed"
    assert browser.post(f"{page}/steps/agree", sent).status_code == 200
    assert proposed.state() == "agreed"


def test_what_a_phone_kept_of_a_hand_over_is_no_way_round_what_a_helper_may_do(
    paid: Deal,
) -> None:
    browser = Browser(paid.api.server)
    text_ = browser.post(f"{paid.link(paid.payer)}/code").text
    (digits,) = re.findall(r'class="aloud">([0-9 ]+)<', text_)
    sent = {"code": digits, "checkpoint": "handover"}
    looking = opened(paid, named(paid, paid.payee, **{"may:confirm": ""}))
    kept = browser.post(f"{looking}/proof", sent).json()
    assert kept["verdict"] == "refused"
    assert "ne vous a pas permis" in kept["said"]
    assert paid.state() == "active"
    page = opened(paid, named(paid, paid.payee, contact="lea@example.org"))
    assert browser.post(f"{page}/proof", sent).json()["verdict"] == "done"
    words_given = paid.api.read(f"/v1/exchanges/{paid.exchange['id']}/confirmations")["data"]
    assert {one["via"] for one in words_given} == {"helper"}
