"""A dispute from claim to paid split, by all its people, each in a real browser of their own."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import Engine

from disputes import store
from disputes.model import Case, Stage
from service import db
from service.ids import decode
from tests.disputes import samples
from tests.http.client import Api
from tests.http.deal import Deal
from tests.http.desk import PASSWORD
from tests.web.desk.conftest import Join, Sitting
from tests.web.eyes import Open, wrong

PHOTO: Final[Any] = {
    "name": "vase.jpg",
    "mimeType": "image/jpeg",
    "buffer": samples.encoded(samples.image(640, 480), "JPEG"),
}
WHY: Final = (
    "La photo montre le vase fêlé à l'arrivée. L'annonce ne parlait pas d'emballage, et la "
    "personne payée l'a emballé comme elle a pu. Chacun porte une part de la perte."
)


@pytest.fixture
def weighty(api: Api, engine: Engine) -> Deal:
    """A paid exchange of 400 euros: its decision is read by a second person."""
    payer = api.member(name="Anna", email="anna@example.org")
    payee = api.member(name="Yann", email="yann@example.org")
    body = {
        "kind": "sale",
        "title": "Un vase",
        "payer": payer["id"],
        "payee": payee["id"],
        "proposed_by": "payee",
        "both_agreed": True,
        "legs": [{"role": "price", "amount": {"amount": 40_000, "unit": "EUR"}}],
    }
    deal = Deal(api, engine, payer, payee, api.made("/v1/exchanges", body))
    deal.fund()
    return deal


def case_of(deal: Deal) -> Case:
    case_id = decode("case", deal.api.read("/v1/cases")["data"][0]["id"])
    with db.transaction(deal.engine, deal.platform_id) as connection:
        return store.load(connection, deal.platform_id, [case_id], lock=False)[case_id]


def signed_in(opened: Open, sitting: Sitting) -> Page:
    """The desk in a browser of their own, by the page that asks who they are."""
    page = opened("/desk", viewport={"width": 1280, "height": 900})
    page.fill("#email", sitting.person.email)
    page.fill("#password", PASSWORD)
    page.fill("#code", sitting.person.code())
    page.click("form.answer button")
    page.wait_for_url("**/desk/queue")
    return page


def said(page: Page) -> str:
    """What a page says, with every space as one."""
    return " ".join(page.locator("main").inner_text().split())


def pass_days(deal: Deal, days: int) -> None:
    """Let the sandbox's clock go on."""
    deal.api.made("/v1/sandbox/clock/advance", {"by": f"P{days}D"})


def report(payer: Page) -> None:
    """The payer says what is wrong and shows it."""
    payer.click("a[href$='/problem']")
    payer.click("a[href$='reason=damaged']")
    for box in payer.locator("textarea[name^='answer:']").all():
        box.fill("Le vase est fêlé.")
    payer.fill("#text", "Je l'ai vu en ouvrant le carton.")
    payer.click("form[action$='/problem'] button")
    payer.wait_for_url("**/case")
    payer.set_input_files("#photo", PHOTO)
    payer.click("form[enctype] button")
    expect(payer.locator("#pieces ~ ol img")).to_have_count(1)


def answer(payee: Page) -> None:
    """The payee reads it, says their side, and asks for somebody neutral."""
    payee.click("a[href$='/case']")
    expect(payee.locator("#pieces ~ ol img")).to_have_count(1)
    payee.fill("#evidence-text", "Il était entier quand je l'ai emballé.")
    payee.click("form:has(#evidence-text) button")
    expect(payee.locator("#pieces ~ ol")).to_contain_text("entier quand je l'ai emballé")


def read_and_decide(page: Page) -> None:
    """Whoever has the case looks at the evidence, tries a split, and decides it."""
    page.click("[data-row]")
    assert "Le vase est fêlé." in said(page)
    assert "entier quand je l'ai emballé" in said(page)
    assert not re.search(r"Anna|Yann", said(page)), "the two sides have no names here"
    page.click("a[href$='/evidence']")
    image = page.locator("article.exhibit img").first
    image.scroll_into_view_if_needed()
    expect(image).to_be_visible()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.exhibit img')].every((one) => one.naturalWidth > 0)"
    )
    page.locator("article.exhibit a:has(img)").first.click()
    page.click("a[href='?zoom=200']")
    expect(page.locator(".viewer.zoom200 img")).to_be_visible()
    page.keyboard.press("u")
    page.wait_for_url("**/evidence")
    page.keyboard.press("u")
    page.wait_for_url(re.compile(r"/desk/cases/cs_\w+$"))
    page.keyboard.press("d")
    page.wait_for_url("**/do/decide")
    page.check("#o-split")
    page.fill("input[name^='part.']", "250")
    expect(page.locator("#preview .holds")).to_have_text(
        re.compile(r"150,00\s€ \+ 250,00\s€ = 400,00\s€")
    )
    page.select_option("#reason_code", "evidence")
    page.fill("#text", WHY)
    assert wrong(page) == []
    page.click("form.form > .act button")
    expect(page.locator(".effect tfoot")).to_contain_text("250,00")
    page.click("button[name='sure']")
    page.wait_for_url("**?done=decide")


def agree(page: Page) -> None:
    """The second reader finds it in their inbox and agrees."""
    page.click(".menu a[href='/desk/inbox']")
    page.click("[data-row]")
    assert "250,00" in said(page)
    page.click("a[href$='/do/agree-with']")
    assert WHY[:40] in said(page)
    page.click("form.form button[type='submit']")
    page.wait_for_url("**done=agree-with")


@pytest.mark.timeout(400)
def test_a_dispute_goes_from_claim_to_paid_split_in_the_browsers_of_all_its_people(
    weighty: Deal, join: Join, opened: Open
) -> None:
    sittings = join(), join()
    payer = opened(weighty.link(weighty.payer))
    report(payer)
    payee = opened(weighty.link(weighty.payee))
    answer(payee)
    for _ in range(30):  # talk has its time, as its page says
        if case_of(weighty).mediator_id is not None:
            break
        pass_days(weighty, 1)
    on_it = case_of(weighty).mediator_id
    (mine,) = [one for one in sittings if one.person.uuid == on_it]
    (other,) = [one for one in sittings if one is not mine]
    read_and_decide(signed_in(opened, mine))
    assert case_of(weighty).stage is Stage.SECOND_LOOK
    payer.reload()
    assert "250,00" not in said(payer), "nobody is told before it was read twice"
    agree(signed_in(opened, other))
    assert case_of(weighty).stage is Stage.APPEALABLE
    for page in (payer, payee):
        page.goto(page.url.split("?")[0])
        assert WHY[:40] in said(page)
        assert wrong(page) == []
    for _ in range(20):
        if case_of(weighty).stage is Stage.CLOSED:
            break
        pass_days(weighty, 1)
    settlement = case_of(weighty).settlement
    assert settlement is not None
    assert list(settlement.values()) == [25_000]
    for _ in range(10):
        if weighty.state() == "completed":
            break
        pass_days(weighty, 1)
    for member in (weighty.payer, weighty.payee):
        page = opened(weighty.link(member))
        assert re.search(r"250,00\s€", page.locator("main").inner_text())
        assert wrong(page) == []
        page.click("a[href*='/receipt']")
        receipt = said(page)
        assert "250,00" in receipt
        assert "150,00" in receipt
        assert wrong(page) == []
