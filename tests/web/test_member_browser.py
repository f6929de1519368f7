"""The members' pages in real Chromium: two people, small screens, one key after the other."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.http.claimed import DAMAGED, claim
from tests.http.deal import Deal
from tests.web.eyes import NARROW, Open, wrong


def pressed(page: Page, selector: str) -> None:
    """Go to a button or link by Tab alone, and press Enter."""
    for _ in range(60):
        if page.evaluate("(s) => document.activeElement?.matches(s)", selector):
            page.keyboard.press("Enter")
            return
        page.keyboard.press("Tab")
    pytest.fail(f"no way by keyboard to {selector}")


def digits_of(page: Page) -> str:
    """Read a hand-over code off its page."""
    return re.sub(r"\D", "", page.locator(".digits").inner_text())


def test_two_people_hand_over_with_a_code_and_both_see_that_it_is_over(
    paid: Deal, opened: Open
) -> None:
    payer, payee = opened(paid.link(paid.payer)), opened(paid.link(paid.payee))
    payer.click("form[action$='/code'] button")
    expect(payer.locator(".qr")).to_be_visible()
    payee.fill("#code", digits_of(payer))
    payee.click("form.code button")
    payee.wait_for_url("**?done=enter_code*")
    assert paid.state() == "completed"
    payer.click("a.button")
    expect(payer.locator("h1")).to_be_visible()
    assert payer.locator("form").count() == 0


def test_a_confirmation_is_reviewed_given_and_taken_back_with_the_keyboard_alone(
    paid: Deal, opened: Open
) -> None:
    page = opened(paid.link(paid.payer))
    pressed(page, "a[href$='/review/confirm']")
    page.wait_for_url("**/review/confirm")
    pressed(page, "form[action$='/confirm'] button")
    page.wait_for_url("**?done=confirm*")
    pressed(
        page, "form[action$='/withdraw_confirmation'] button, a[href$='/withdraw_confirmation']"
    )
    page.wait_for_url("**withdraw_confirmation*")
    assert paid.state() == "active"


def test_the_way_back_after_both_confirmed_says_so_and_changes_nothing(
    paid: Deal, opened: Open
) -> None:
    for one in (paid.payer, paid.payee):
        page = opened(f"{paid.link(one)}/review/confirm")
        page.click("form[action$='/confirm'] button")
        page.wait_for_url("**?done=confirm*")
    assert paid.state() == "completed"
    page.go_back()
    expect(page.locator("form[action$='/confirm']")).to_have_count(0)
    expect(page.locator("h1")).to_be_visible()
    assert paid.state() == "completed"


def test_loading_the_page_of_a_wrong_code_again_or_going_back_to_it_costs_no_try(
    paid: Deal, opened: Open
) -> None:
    payer, payee = opened(paid.link(paid.payer)), opened(paid.link(paid.payee))
    payer.click("form[action$='/code'] button")
    right = digits_of(payer)
    payee.fill("#code", f"{(int(right) + 1) % 1_000_000:06}")
    payee.click("form.code button")
    expect(payee.locator(".mend")).to_contain_text("4 essais")
    payee.reload()
    expect(payee.locator(".mend")).to_contain_text("4 essais")
    payee.fill("#code", right)
    payee.click("form.code button")
    payee.wait_for_url("**done=enter_code*")
    payee.go_back()
    expect(payee.locator("h1")).to_be_visible()
    expect(payee.locator("[role=alert]:visible")).to_have_count(0)
    assert paid.state() == "completed"


def test_a_code_is_heard_digit_by_digit(paid: Deal, opened: Open) -> None:
    page = opened(paid.link(paid.payer))
    page.click("form[action$='/code'] button")
    spelled = " ".join(digits_of(page))
    heard = page.locator("main").aria_snapshot()
    assert heard.count(spelled) == 2, "the digits, and the square that holds the same"


def test_the_slip_alone_is_printed_of_a_code_s_page(paid: Deal, opened: Open) -> None:
    page = opened(paid.link(paid.payer))
    page.click("form[action$='/code'] button")
    page.emulate_media(media="print")
    expect(page.locator(".slip .digits")).to_be_visible()
    expect(page.locator(".slip .qr")).to_be_visible()
    for hidden in ("header", "main button", "main a.button"):
        for one in page.locator(hidden).all():
            expect(one).not_to_be_visible()


def test_a_page_works_whole_without_a_script(paid: Deal, opened: Open) -> None:
    payer = opened(paid.link(paid.payer), java_script_enabled=False)
    payee = opened(paid.link(paid.payee), java_script_enabled=False)
    payer.click("form[action$='/code'] button")
    payee.fill("#code", digits_of(payer))
    payee.click("form.code button")
    payee.wait_for_url("**?done=enter_code*")
    assert paid.state() == "completed"


def everything(paid: Deal) -> list[str]:
    """Every page that a member of a paid exchange with a problem can come to by its address."""
    payer, payee = paid.link(paid.payer), paid.link(paid.payee)
    claimed = [payer, f"{payer}/problem", f"{payer}/problem?reason=damaged", payee]
    claimed += [f"{payer}/helpers", f"{payer}/review/confirm", "/code", f"/l/{'x' * 43}"]
    return claimed


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["fr", "en", "br"])
def test_no_page_has_a_barrier_at_320_px(
    paid: Deal, opened: Open, locale: str, scheme: Any
) -> None:
    found = {}
    page = opened(paid.link(paid.payer), viewport=NARROW, color_scheme=scheme)

    def look(address: str) -> None:
        joint = "&" if "?" in address else "?"
        page.goto(f"{address}{joint}lang={locale}")
        assert page.locator("html").get_attribute("lang") == locale
        found[address] = wrong(page)

    for address in everything(paid):
        look(address)
    page.goto(f"{paid.link(paid.payer)}?lang={locale}")
    page.click("form[action*='/code'] button")
    expect(page.locator(".qr")).to_be_visible()
    found["slip"] = wrong(page)
    claim(paid, DAMAGED)
    for link in (paid.link(paid.payer), paid.link(paid.payee)):
        look(link)
        look(f"{link}/case")
    assert {address: one for address, one in found.items() if one} == {}


def test_at_400_percent_nothing_runs_out_of_the_page(paid: Deal, opened: Open) -> None:
    # A window of 1280 px at 400 % has 320 by 256 of the page's own pixels, each as large as four.
    page = opened("/code", viewport={"width": 320, "height": 256}, device_scale_factor=4)
    for address in everything(paid):
        page.goto(address)
        assert wrong(page) == [], address


@pytest.mark.parametrize("locale", ["fr", "en", "br"])
def test_paying_in_the_sandbox_has_no_barrier(proposed: Deal, opened: Open, locale: str) -> None:
    page = opened(f"{proposed.link(proposed.payer)}?lang={locale}", viewport=NARROW)
    page.click("form[action*='/agree'] button")
    page.wait_for_url("**done=agree*")
    assert wrong(page) == []
    page.click("form[action*='/pay'] button")
    page.locator("a[href*='sandbox-page']").click()
    page.wait_for_url("**/sandbox/pay/**")
    assert wrong(page) == []


def test_a_member_names_a_helper_who_confirms_and_the_member_sees_whose_hand_it_was(
    paid: Deal, opened: Open
) -> None:
    member = opened(paid.link(paid.payee))
    member.click("a[href$='/helpers']")
    member.fill("#name", "Maud Riou")
    member.fill("#contact", "maud@example.org")
    member.check("input[name='may:confirm']")
    member.click("form[action$='/helpers'] button")
    link = member.locator(".helper-link").inner_text()
    expect(member.locator(".qr")).to_be_visible()
    assert wrong(member) == []
    home = link[link.index("/h/") :]
    helper = opened(home)
    helper.click("form[action$='/open'] button")
    expect(helper.locator("[role=note]")).to_contain_text("Vous aidez Yann")
    there = helper.url.partition("?")[0]
    found = {}
    for locale in ("br", "en", "fr"):
        for address in (home, there):
            helper.goto(f"{address}?lang={locale}")
            found[address, locale] = wrong(helper)
    assert {address: one for address, one in found.items() if one} == {}
    helper.click("a[href$='/review/confirm']")
    helper.click("form[action$='/confirm'] button")
    helper.wait_for_url("**?done=confirm*")
    member.goto(paid.link(paid.payee))
    expect(member.locator(".history")).to_contain_text("Fait par Maud Riou, qui vous aide.")
    member.click("a[href$='/helpers']")
    assert wrong(member) == []
    member.click("form[action$='/end'] button")
    expect(member.locator("[role=status]")).to_be_visible()
    helper.reload()
    expect(helper.locator("h1")).to_contain_text("Cette aide est terminée")
