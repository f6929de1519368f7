"""The office in real Chromium: for everybody's eyes, on small screens and on large ones."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from service.ids import decode, spoken
from tests.http.deal import Deal
from tests.web.eyes import NARROW, Open, wrong
from tests.web.test_office import ROOMS


@pytest.mark.parametrize("screen", [NARROW, {"width": 1280, "height": 800}])
@pytest.mark.parametrize("locale", ["fr", "en", "br"])
def test_no_room_has_a_barrier(paid: Deal, opened: Open, locale: str, screen: Any) -> None:
    page = opened(f"/office/sign-in?lang={locale}", viewport=screen)
    found = {"sign-in": wrong(page)}
    page.fill("#key", str(paid.api.bearer))
    page.click("main button")
    page.wait_for_url("**/office*")
    rooms = [f"/office{room}" for room in ROOMS]
    rooms.append(f"/office/exchanges/{paid.exchange['id']}")
    rooms.append(f"/office/counter/{paid.exchange['id']}")
    rooms.append(f"/office/members/{paid.payer['id']}")
    for room in rooms:
        page.goto(f"{room}?lang={locale}")
        assert page.locator("html").get_attribute("lang") == locale
        found[room] = wrong(page)
    assert {address: one for address, one in found.items() if one} == {}


def test_a_slip_is_entered_at_the_counter_and_the_receipt_is_all_that_is_printed(
    paid: Deal, opened: Open
) -> None:
    payer = opened(paid.link(paid.payer))
    payer.click("form[action$='/code'] button")
    digits = "".join(payer.locator(".digits").inner_text().split())
    payer.emulate_media(media="print")
    expect(payer.locator(".slip")).to_be_visible()
    expect(payer.locator(".slip")).to_contain_text(spoken(decode("exchange", paid.exchange["id"])))
    expect(payer.locator(".act").first).not_to_be_visible()
    page = opened("/office/sign-in?next=/office/counter")
    page.fill("#key", str(paid.api.bearer))
    page.click("main button")
    page.goto("/office/counter")
    page.fill("#q", spoken(decode("exchange", paid.exchange["id"])))
    page.click(".find button")
    assert wrong(page) == []
    page.fill("#code", digits)
    page.fill("#operator", "Soazig")
    page.check("input[name=seen]")
    page.click("form.code button")
    page.wait_for_url("**/handover")
    assert wrong(page) == []
    assert paid.state() == "completed"
    page.emulate_media(media="print")
    expect(page.locator(".paper")).to_contain_text("Soazig")
    for hidden in (".rooms", ".screen", "form"):
        expect(page.locator(hidden).first).not_to_be_visible()
