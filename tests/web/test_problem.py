"""A problem, reported and settled on the members' pages, without a script."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from disputes import store
from disputes.model import Case
from ledger.units import Unit, iso
from service import db
from service.ids import decode
from service.web.member import problem
from service.web.words import Speech
from tests.disputes import samples
from tests.http.client import Server
from tests.http.deal import Deal
from tests.web.browser import Browser, words

ANSWERS = {
    "reason": "not_as_described",
    "answer:what_differs": "The parcel is empty.",
    "answer:when_noticed": "At once.",
    "text": "I want my money back.",
}


@pytest.fixture
def browser(server: Server) -> Browser:
    """Somebody's browser."""
    return Browser(server)


def case_of(deal: Deal) -> Case:
    case_id = decode("case", deal.api.read("/v1/cases")["data"][0]["id"])
    with db.transaction(deal.engine, deal.platform_id) as connection:
        return store.load(connection, deal.platform_id, [case_id], lock=False)[case_id]


def reported(deal: Deal, browser: Browser) -> tuple[str, str]:
    """Let the payer report a problem; return both links."""
    payer, payee = deal.link(deal.payer), deal.link(deal.payee)
    answer = browser.post(f"{payer}/problem", ANSWERS)
    assert (answer.status_code, answer.url.path) == (200, f"{payer}/case")
    return payer, payee


def offered(deal: Deal, browser: Browser, link: str, mine: str) -> httpx.Response:
    (line,) = case_of(deal).lines
    fields = {"outcome": "split", f"to_payee:{line.id}": mine, "text": "Half each?"}
    return browser.post(f"{link}/case/steps/make_offer", fields)


def hidden(page: httpx.Response, ending: str) -> dict[str, str]:
    """The hidden fields of the form that goes to ``ending``."""
    (inside,) = re.findall(rf'action="[^"]+{ending}">(.*?)</form>', page.text, re.DOTALL)
    return dict(re.findall(r'name="([^"]+)" value="([^"]*)"', inside))


def test_a_problem_is_reported_from_the_exchange_s_page_in_three_steps(
    paid: Deal, browser: Browser
) -> None:
    link = paid.link(paid.payer)
    page = browser.get(link)
    assert f'href="{link}/problem"' in page.text
    page = browser.get(f"{link}/problem")
    assert "Qu'est-ce qui ne va pas" in words(page)
    assert "Ce que j'ai prêté" not in words(page), "a reason that is not theirs to give"
    page = browser.get(f"{link}/problem?reason=not_as_described")
    assert "Qu'est-ce qui diffère de la description" in words(page)
    page = browser.post(f"{link}/problem", ANSWERS)
    said = words(page)
    for told in ("Ce n'est pas ce qui était décrit", "65,00", "Vous en parlez entre vous"):
        assert told in said
    assert "ne vous appelle ni ne vous écrit ailleurs en premier" in said
    assert paid.api.read(f"/v1/exchanges/{paid.exchange['id']}")["case"] is not None
    # A second press, and the way back, find the same case.
    again = browser.post(f"{link}/problem", ANSWERS)
    assert again.url.path == f"{link}/case"
    assert browser.get(f"{link}/problem").url.path == f"{link}/case"
    assert len(paid.api.read("/v1/cases")["data"]) == 1
    assert f"{link}/case" in browser.get(link).text


@pytest.mark.parametrize(
    "wrong",
    [
        {"reason": "boredom"},
        {"reason": "deposit_damage"},
        {"answer:what_differs": "  "},
        {"answer:when_noticed": "x" * 5_001},
    ],
)
def test_what_is_not_answered_is_asked_again_and_nothing_is_frozen(
    paid: Deal, browser: Browser, wrong: dict[str, str]
) -> None:
    answer = browser.post(f"{paid.link(paid.payer)}/problem", {**ANSWERS, **wrong})
    assert answer.status_code == 422
    assert "Rien n'a changé" in words(answer)
    assert paid.api.read("/v1/cases")["data"] == []


def test_an_offer_is_made_read_and_accepted_and_paid_at_once(paid: Deal, browser: Browser) -> None:
    payer, payee = reported(paid, browser)
    page = offered(paid, browser, payee, "25,50")
    assert "C'est noté" in words(page)
    page = browser.get(f"{payer}/case")
    assert "Pour vous : 39,50 €" in words(page)
    assert "Half each?" in words(page)
    assert f'href="{payer}/case/review/accept_offer"' in page.text
    page = browser.get(f"{payer}/case/review/accept_offer")
    assert "C'est définitif" in words(page)
    assert "Pour vous : 39,50 €" in words(page)
    assert paid.state() == "active", "looking at what it means does nothing"
    answer = browser.post(f"{payer}/case/steps/accept_offer", hidden(page, "/accept_offer"))
    assert "Comment cela s'est terminé" in words(answer)
    assert paid.state() == "settled"
    back = browser.post(f"{payer}/case/steps/accept_offer", hidden(page, "/accept_offer"))
    assert (back.status_code, back.url.query) == (200, b"done=yes")
    assert paid.state() == "settled"
    late = browser.get(f"{payer}/case/review/accept_offer")
    assert late.status_code == 409
    assert "Voici où vous en êtes" in words(late)


@pytest.mark.parametrize("part", ["65,01", "-1", "12,345", "", "a lot", "1e1", "٣", "9" * 15])
def test_a_part_that_cannot_be_is_refused_with_how_to_write_it(
    paid: Deal, browser: Browser, part: str
) -> None:
    _payer, payee = reported(paid, browser)
    answer = offered(paid, browser, payee, part)
    assert answer.status_code == 422
    assert "Écrivez pour chaque montant un nombre" in words(answer)
    assert case_of(paid).offer is None


def test_an_offer_that_was_replaced_meanwhile_is_not_accepted(paid: Deal, browser: Browser) -> None:
    payer, payee = reported(paid, browser)
    offered(paid, browser, payee, "10")
    read = browser.get(f"{payer}/case/review/accept_offer")
    offered(paid, browser, payee, "60")
    answer = browser.post(f"{payer}/case/steps/accept_offer", hidden(read, "/accept_offer"))
    assert answer.status_code == 409
    assert "Pour Yann : 60,00 €" in words(answer)
    assert paid.state() == "active"


def test_words_and_photographs_are_added_and_shown_to_both(paid: Deal, browser: Browser) -> None:
    payer, payee = reported(paid, browser)
    browser.post(f"{payer}/case/evidence", {"text": "<b>Look</b> at this."})
    photo = samples.encoded(samples.image(12, 8), "JPEG")
    answer = browser.post(f"{payer}/case/evidence", files={"photo": ("p.svg", photo, "text/html")})
    assert "C'est noté" in words(answer)
    page = browser.get(f"{payee}/case")
    assert "<b>Look</b> at this." in words(page)
    (address,) = re.findall(r'src="([^"]+/case/evidence/ev_\w+)"', page.text)
    shown = browser.get(address)
    assert shown.headers["content-type"] == "image/jpeg"
    assert "sandbox" in shown.headers["content-security-policy"]
    assert b"Exif" not in shown.content


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "JPEG ou PNG"),
        (b"%PDF-1.7\n%%EOF", "photo"),
        (b"", "choisissez une photo"),
    ],
)
def test_a_file_that_is_no_photograph_is_refused_in_plain_words(
    paid: Deal, browser: Browser, content: bytes, said: str
) -> None:
    payer, _payee = reported(paid, browser)
    answer = browser.post(
        f"{payer}/case/evidence", files={"photo": ("p.jpg", content, "image/jpeg")}
    )
    assert answer.status_code == 422
    assert said in words(answer)
    assert "Personne n'a encore rien ajouté" in words(browser.get(f"{payer}/case"))


def test_a_photograph_of_twenty_megabytes_is_not_taken_in(paid: Deal, browser: Browser) -> None:
    payer, _payee = reported(paid, browser)
    huge = {"photo": ("p.jpg", bytes(20_000_000), "image/jpeg")}
    assert browser.post(f"{payer}/case/evidence", files=huge).status_code == 413


def test_what_was_written_stays_when_a_form_comes_back(paid: Deal, browser: Browser) -> None:
    link = paid.link(paid.payer)
    page = browser.post(f"{link}/problem", {**ANSWERS, "answer:when_noticed": " "})
    assert page.status_code == 422
    assert f">{ANSWERS['answer:what_differs']}</textarea>" in page.text
    assert f">{ANSWERS['text']}</textarea>" in page.text
    browser.post(f"{link}/problem", ANSWERS)
    page = offered(paid, browser, link, "a lot")
    assert page.status_code == 422
    assert 'value="a lot"' in page.text
    assert ">Half each?</textarea>" in page.text
    assert "<details open><summary>Faire une offre" in page.text


HOSTILE = (
    "</textarea><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e{{ 7 * 7 }}\n--"
)


def test_hostile_words_are_words_on_every_page_of_a_problem(paid: Deal, browser: Browser) -> None:
    link, other = paid.link(paid.payer), paid.link(paid.payee)
    written = {name: HOSTILE for name in ANSWERS if name != "reason"} | {
        "reason": "not_as_described"
    }
    pages = [browser.post(f"{link}/problem", {**written, "answer:when_noticed": ""})]
    browser.post(f"{link}/problem", written)
    pages.append(browser.post(f"{link}/case/evidence", {"text": HOSTILE}))
    (line,) = case_of(paid).lines
    offer = {"outcome": "split", f"to_payee:{line.id}": HOSTILE, "text": HOSTILE}
    pages.append(browser.post(f"{link}/case/steps/make_offer", offer))
    offer[f"to_payee:{line.id}"] = "1"
    pages.append(browser.post(f"{link}/case/steps/make_offer", offer))
    pages += [browser.get(f"{other}/case"), browser.get(f"{other}/case/review/accept_offer")]
    for page in pages:
        assert "alert(1)" in page.text, "what was written is there"
        assert not re.search(r"<script>|<img src=x", page.text)
    for page in pages[1:2] + pages[3:]:
        assert "\u202e" not in page.text
        assert "{{ 7 * 7 }}" in words(page)


def test_each_side_reads_what_the_other_has_said(paid: Deal, browser: Browser) -> None:
    payer, payee = reported(paid, browser)
    for link, by in ((payer, "Ce que vous avez dit"), (payee, "Ce que dit Anna")):
        said = words(browser.get(f"{link}/case"))
        assert by in said
        assert "Ce n'est pas ce qui était décrit" in said
        for told in (ANSWERS["answer:what_differs"], ANSWERS["answer:when_noticed"]):
            assert told in said
        assert ANSWERS["text"] in said


def test_what_was_brought_is_there_once_however_often_the_button_is_pressed(
    paid: Deal, browser: Browser
) -> None:
    payer, _payee = reported(paid, browser)
    photo = samples.encoded(samples.image(12, 8), "JPEG")
    for _press in range(2):
        for sent in ({"fields": {"text": "Look."}}, {"files": {"photo": ("p.jpg", photo, "")}}):
            answer = browser.post(f"{payer}/case/evidence", **sent)
            assert "C'est noté" in words(answer)
    evidence = paid.api.read("/v1/cases")["data"][0]["id"]
    assert len(paid.api.read(f"/v1/cases/{evidence}/evidence")["data"]) == 2


@pytest.mark.parametrize("step", sorted(problem.PLAIN))
@pytest.mark.parametrize("locale", ["fr", "en", "br"])
def test_every_step_says_first_what_it_means(step: str, locale: str) -> None:
    said = Speech(locale, "member", {"other": "Yann"})
    for group in ("case_step", "case_review_title", "case_review", "case_review_button"):
        assert said(f"{group}.{step}")


def test_a_claim_is_taken_back_and_the_exchange_goes_on(paid: Deal, browser: Browser) -> None:
    payer, _payee = reported(paid, browser)
    page = browser.get(f"{payer}/case/review/withdraw_claim")
    assert "L'échange continue comme convenu" in words(page)
    for _press in range(2):
        answer = browser.post(f"{payer}/case/steps/withdraw_claim")
        assert (answer.status_code, answer.url.query) == (200, b"done=yes")
    assert paid.api.read(f"/v1/exchanges/{paid.exchange['id']}")["case"] is None
    assert "Le problème est retiré" in words(browser.get(f"{payer}/case"))


@pytest.mark.parametrize("step", ["decide", "propose", "end_talk", "../claim", "appeal%00"])
def test_no_step_of_somebody_else_goes_by_a_member_s_page(
    paid: Deal, browser: Browser, step: str
) -> None:
    payer, _payee = reported(paid, browser)
    before = case_of(paid)
    assert browser.post(f"{payer}/case/steps/{step}").status_code in {400, 404, 405, 422}
    assert case_of(paid) == before


def test_without_a_problem_the_page_of_one_leads_back(paid: Deal, browser: Browser) -> None:
    link = paid.link(paid.payer)
    assert browser.get(f"{link}/case").url.path == link
    assert browser.post(f"{link}/case/steps/call_mediator").url.path == link


@pytest.mark.parametrize("language", ["fr", "en", "br"])
def test_the_pages_of_a_problem_are_in_every_language(
    paid: Deal, browser: Browser, language: str
) -> None:
    payer, payee = reported(paid, browser)
    offered(paid, browser, payee, "10")
    for link in (payer, payee):
        page = browser.get(f"{link}/case?lang={language}")
        assert f'<html lang="{language}">' in page.text
        assert page.text.count("<h1>") == 1


_UNITS: dict[str, Callable[[], Unit]] = {"EUR": lambda: iso("EUR"), "JPY": lambda: iso("JPY")}


@given(st.sampled_from(sorted(_UNITS)), st.integers(0, 10**9), st.sampled_from([",", "."]))
def test_an_amount_that_is_written_is_read_to_the_last_minor_unit(
    code: str, minor: int, point: str
) -> None:
    unit = _UNITS[code]()
    written: Any = unit.decimal(minor)
    assert problem.minor_of(str(written).replace(".", point), unit) == minor
