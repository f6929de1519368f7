"""The receipt on the member's page: readable, printable, and the signed file beside it."""

from __future__ import annotations

import hashlib
import re

import pytest
from playwright.sync_api import expect

from tests.http.client import Server
from tests.http.deal import Deal
from tests.web.browser import Browser, words
from tests.web.eyes import NARROW, Open, wrong


@pytest.fixture
def over(paid: Deal) -> Deal:
    """A sale that both have confirmed."""
    for member in (paid.payer, paid.payee):
        body = {"member": member["id"], "checkpoint": "handover"}
        paid.api.made(f"/v1/exchanges/{paid.exchange['id']}/confirm", body)
    assert paid.state() == "completed"
    return paid


def test_each_side_reads_who_got_what_and_saves_what_was_signed(over: Deal, server: Server) -> None:
    jws = over.api.read(f"/v1/exchanges/{over.exchange['id']}/receipt")["jws"]
    for member in (over.payer, over.payee):
        browser = Browser(server)
        link = over.link(member)
        assert f'href="{link}/receipt"' in browser.get(link).text
        page = browser.get(f"{link}/receipt")
        assert page.status_code == 200
        for said in ("Anna", "Yann", "65,00", "Un <b>vélo</b>"):
            assert said in words(page).replace("\u00a0", " ")
        digest = re.sub(r"\s", "", re.findall(r'class="digest">([^<]+)<', page.text)[0])
        file = browser.get(f"{link}/receipt/file")
        assert file.text == jws
        assert digest == hashlib.sha256(file.content).hexdigest()
        assert file.headers["content-type"] == "application/jose"
        disposition = file.headers["content-disposition"]
        assert re.fullmatch(r'attachment; filename="tierce-[0-9a-f]{10}\.jws"', disposition)


def test_before_the_end_there_is_no_receipt_and_the_page_comes_back(
    paid: Deal, server: Server
) -> None:
    browser, link = Browser(server), paid.link(paid.payer)
    assert "/receipt" not in browser.get(link).text
    for path in ("receipt", "receipt/file"):
        assert browser.get(f"{link}/{path}").url.path == link


def test_a_receipt_is_for_its_two_members_alone(over: Deal, server: Server) -> None:
    for path in ("receipt", "receipt/file"):
        assert Browser(server).get(f"/l/{'x' * 43}/{path}").status_code == 404


@pytest.mark.parametrize("locale", ["fr", "en", "br"])
def test_a_receipt_has_no_barrier_and_prints_without_buttons(
    over: Deal, opened: Open, locale: str
) -> None:
    page = opened(f"{over.link(over.payer)}/receipt?lang={locale}", viewport=NARROW)
    assert page.locator("html").get_attribute("lang") == locale
    assert wrong(page) == []
    expect(page.locator("[data-print] button")).to_be_visible()
    page.emulate_media(media="print")
    for hidden in ("[data-print] button", "a[download]", "nav"):
        expect(page.locator(hidden).first).to_be_hidden()
    expect(page.locator(".digest")).to_be_visible()
