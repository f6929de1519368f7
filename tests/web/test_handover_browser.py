"""Two people, two phones, no network: real Chromium with the network cut."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from service import db
from service.ids import decode
from service.messages import links
from tests.http.client import Api
from tests.http.deal import Deal, make_deal
from tests.web.eyes import NARROW, Open, wrong
from tests.web.squares import exchange_of, prover_of, square_of
from tests.web.test_handover import STRANGER


def ready(page: Page) -> Page:
    """Wait until the page is kept for when there is no network."""
    page.locator("html[data-ready]").wait_for(state="attached")
    assert page.evaluate(
        "async () => (await Promise.all((await navigator.serviceWorker.getRegistrations())"
        ".map((one) => caches.match(new URL(one.scope).pathname)))).every(Boolean)"
    )
    return page


def cut(page: Page) -> None:
    page.context.set_offline(True)


def mend(page: Page) -> None:
    page.context.set_offline(False)


@pytest.fixture
def payee(paid: Deal, opened: Open) -> Page:
    """The payee's phone, with the page open since there was a network."""
    return ready(opened(paid.link(paid.payee)))


def test_a_hand_over_without_a_network_is_kept_and_settled_when_there_is_one(
    paid: Deal, payee: Page, opened: Open
) -> None:
    payer = ready(opened(paid.link(paid.payer)))
    payer.click("form[action$='/code'] button")
    expect(payer.locator(".qr")).to_be_visible()
    cut(payer)
    cut(payee)
    # The payer comes back to the square at the meeting point, where nothing reaches them.
    payer.goto(paid.link(paid.payer))
    expect(payer.locator("[data-offline]")).to_be_visible()
    payer.click("form[action$='/code'] button")
    expect(payer.locator(".qr")).to_be_visible()
    # The phone's camera opens what the square says.
    payee.goto(f"/code#{square_of(paid)}")
    payee.wait_for_url("**/l/*")
    expect(payee.locator("[data-kept-square]")).to_be_visible()
    expect(payee.locator("[data-offline]")).to_be_visible()
    assert paid.state() == "active", "nothing is settled before the server has said so"
    assert wrong(payee) == []
    # It outlives the page.
    payee.reload()
    expect(payee.locator("[data-kept-square]")).to_be_visible()
    mend(payee)
    payee.wait_for_url("**?done=enter_code*")
    expect(payee.locator("[data-kept-square]")).to_be_hidden()
    assert paid.state() == "completed"


def test_digits_written_without_a_network_are_kept_and_sent(
    paid: Deal, payee: Page, opened: Open
) -> None:
    payer = opened(paid.link(paid.payer))
    payer.click("form[action$='/code'] button")
    digits = re.sub(r"\D", "", payer.locator(".digits").inner_text())
    cut(payee)
    payee.fill("#code", digits)
    payee.click("form.code button")
    expect(payee.locator("[data-kept-digits]")).to_be_visible()
    assert paid.state() == "active"
    mend(payee)
    payee.wait_for_url("**?done=enter_code*")
    assert paid.state() == "completed"


def test_wrong_digits_are_told_when_the_network_is_back(paid: Deal, payee: Page) -> None:
    cut(payee)
    payee.fill("#code", "000000")
    payee.click("form.code button")
    expect(payee.locator("[data-kept-digits]")).to_be_visible()
    (kept,) = payee.evaluate("Keeping.all('said')")
    assert kept["exchange"] == exchange_of(paid).id.hex, "a newer link's page must find them"
    mend(payee)
    expect(payee.locator("[data-refused]")).to_contain_text("4 essais")
    expect(payee.locator("[data-kept-digits]")).to_be_hidden()
    assert paid.state() == "active"


def changed(deal: Deal, **more: Any) -> str:
    """A proof of ours that is not of what the exchange waits for."""
    proof = prover_of(deal).read(square_of(deal))
    values = {name: getattr(proof, name) for name in type(proof).__slots__}
    return prover_of(deal).write(type(proof)(**{**values, **more}))


@pytest.mark.parametrize("fault", ["forged", "tampered", "broken", "checkpoint", "expired"])
def test_a_square_that_is_not_the_right_one_is_refused_by_the_phone_alone(
    paid: Deal, payee: Page, fault: str
) -> None:
    good = square_of(paid)
    ends = exchange_of(paid).proposed_at
    squares = {
        "forged": STRANGER.sign(exchange_of(paid)),
        "tampered": good[:-20] + ("A" if good[-20] != "A" else "B") + good[-19:],
        "broken": good[:-7],
        "checkpoint": changed(paid, position=1),
        "expired": changed(paid, ends_at=ends),
    }
    cut(payee)
    payee.goto(f"/code#{squares[fault]}")
    said = "old" if fault in {"checkpoint", "expired"} else "bad"
    expect(payee.locator(f"[data-square-{said}]")).to_be_visible()
    assert payee.url.endswith("/code"), "what stood behind the hash does not stay in the history"
    assert wrong(payee) == []
    payee.goto(paid.link(paid.payee))
    expect(payee.locator("[data-kept-square]")).to_be_hidden()
    mend(payee)
    assert paid.state() == "active"


def test_a_square_of_an_exchange_that_this_phone_has_not_seen_says_what_to_do(
    paid: Deal, api: Api, engine: Any, payee: Page
) -> None:
    other = make_deal(api, engine, agreed=True)
    other.tell()
    other.fund()
    cut(payee)
    payee.goto(f"/code#{square_of(other)}")
    expect(payee.locator("[data-square-unknown]")).to_be_visible()
    mend(payee)
    assert other.state() == "active"


def test_a_square_that_was_used_meanwhile_is_told_as_done(
    paid: Deal, payee: Page, opened: Open
) -> None:
    second = payee.context.new_page()
    square = square_of(paid)
    cut(payee)
    for page in (payee, second):
        page.goto(f"/code#{square}")
        page.wait_for_url("**/l/*")
        expect(page.locator("[data-kept-square]")).to_be_visible()
    mend(payee)
    for page in (payee, second):
        page.wait_for_url("**?done=enter_code*")
    assert paid.state() == "completed"
    facts = paid.api.read(f"/v1/exchanges/{paid.exchange['id']}/confirmations")["data"]
    assert len(facts) == 2, "the code is both words, once"


def test_a_code_that_was_renewed_meanwhile_refuses_the_kept_square(paid: Deal, payee: Page) -> None:
    cut(payee)
    payee.goto(f"/code#{square_of(paid)}")
    expect(payee.locator("[data-kept-square]")).to_be_visible()
    for _ in range(5):
        body = {"member": paid.payee["id"], "checkpoint": "handover", "code": "000000"}
        paid.api.post(f"/v1/exchanges/{paid.exchange['id']}/enter-code", body)
    paid.api.made(f"/v1/exchanges/{paid.exchange['id']}/renew-code", {"member": paid.payer["id"]})
    mend(payee)
    expect(payee.locator("[data-refused]")).to_contain_text("ne sert plus")
    assert paid.state() == "active"


def test_nothing_is_kept_of_pages_that_are_not_the_link_s(
    paid: Deal, payee: Page, opened: Open
) -> None:
    cut(payee)
    for path in (paid.link(paid.payer), f"/l/{'x' * 43}", "/office", "/desk"):
        with pytest.raises(Exception, match="ERR_INTERNET_DISCONNECTED"):
            payee.goto(path)
    mend(payee)


def test_when_it_is_over_the_phone_forgets(paid: Deal, payee: Page) -> None:
    payee.goto(f"/code#{square_of(paid)}")
    payee.wait_for_url("**?done=enter_code*")
    payee.locator("html[data-ready]").wait_for(state="attached")
    left = payee.evaluate(
        "async () => [await caches.keys(), await Keeping.all('link'), await Keeping.all('said'),"
        " (await navigator.serviceWorker.getRegistrations()).length]"
    )
    assert left == [[], [], [], 0]


_CAMERA = """
navigator.mediaDevices.getUserMedia = async () => document.createElement("canvas").captureStream();
HTMLMediaElement.prototype.play = async () => {};
globalThis.BarcodeDetector = class {
  async detect() { return globalThis.seen ? [{ rawValue: globalThis.seen }] : []; }
};
"""


def test_the_page_reads_the_square_itself_where_the_browser_can(paid: Deal, opened: Open) -> None:
    # Chromium reads squares on telephones alone: its own reader is stood in for, ours is not.
    page = opened(paid.link(paid.payee))
    assert page.locator("[data-reader]").is_hidden(), "no button that could do nothing"
    page.add_init_script(_CAMERA)
    ready(page).reload()
    ready(page)
    page.evaluate("square => { globalThis.seen = square }", f"http://x/code#{square_of(paid)}")
    page.click("[data-reader] button")
    page.wait_for_url("**?done=enter_code*")
    assert paid.state() == "completed"


@pytest.mark.parametrize("locale", ["fr", "en", "br"])
def test_what_is_said_without_a_network_has_no_barrier(
    paid: Deal, opened: Open, locale: str
) -> None:
    page = opened(f"{paid.link(paid.payee)}?lang={locale}", viewport=NARROW)
    ready(page)
    cut(page)
    page.fill("#code", "123456")
    page.click("form.code button")
    expect(page.locator("[data-kept-digits]")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == locale
    assert wrong(page) == []


_ANSWERED = """
async ([status, link]) => {
  await Keeping.put("said", { link, said: { proof: "x" } });
  globalThis.fetch = async () => new Response("<p>no</p>", { status });
  const word = await Keeping.send(link);
  return [word && word.verdict, (await Keeping.all("said")).length];
}
"""


@pytest.mark.parametrize("status", [200, 400, 403, 408, 413, 429, 500, 502])
def test_an_answer_that_is_no_verdict_leaves_the_proof_on_the_phone(
    payee: Page, status: int
) -> None:
    # A slow network gets 408 and a full house 429: neither speaks of the proof.
    assert payee.evaluate(_ANSWERED, [status, "/l/other"]) == [None, 1]


@pytest.mark.parametrize("status", [404, 410])
def test_a_link_that_has_ended_ends_what_it_kept(payee: Page, status: int) -> None:
    assert payee.evaluate(_ANSWERED, [status, "/l/other"]) == ["closed", 0]


def another_link(deal: Deal, member: dict[str, Any]) -> str:
    """A second link of a member to the same exchange, as each message brings one."""
    platform_id, now = deal.platform_id, datetime.now(UTC)
    exchange_id, member_id = decode("exchange", deal.exchange["id"]), decode("member", member["id"])
    with db.transaction(deal.engine, platform_id) as connection:
        return links.make(
            connection, platform_id, member_id, exchange_id, "message", now, public_url=""
        )


@pytest.mark.parametrize("right", [True, False])
def test_what_an_older_link_kept_is_sent_and_told_by_the_newer_one(
    paid: Deal, payee: Page, opened: Open, right: bool
) -> None:
    # Safari has no Background Sync: what is kept is put there as a page that was closed left it.
    exchange = exchange_of(paid).id.hex
    square = square_of(paid) if right else STRANGER.sign(exchange_of(paid))
    kept = {"link": paid.link(paid.payee), "exchange": exchange, "said": {"proof": square}}
    payee.evaluate("kept => Keeping.put('said', kept)", kept)
    payee.goto(another_link(paid, paid.payee))
    if right:
        payee.wait_for_url("**?done=enter_code*")
        assert paid.state() == "completed"
    else:
        expect(payee.locator("[data-refused]")).to_contain_text("six chiffres")
        assert paid.state() == "active"
    assert payee.evaluate("Keeping.all('said')") == []


def test_two_people_who_share_a_browser_hand_over_in_it(paid: Deal, payee: Page) -> None:
    payer = payee.context.new_page()
    payer.goto(paid.link(paid.payer))
    ready(payer)
    payee.goto(f"/code#{square_of(paid)}")
    payee.wait_for_url("**?done=enter_code*")
    assert paid.state() == "completed"


def test_where_the_browser_checks_nothing_the_digits_are_named(paid: Deal, payee: Page) -> None:
    # On a page that came without https there is no WebCrypto, and nothing was remembered.
    payee.evaluate("id => Keeping.drop('link', id)", exchange_of(paid).id.hex)
    payee.add_init_script("Object.defineProperty(crypto, 'subtle', { value: undefined });")
    payee.goto(f"/code#{square_of(paid)}")
    expect(payee.locator("[data-square-unable]")).to_contain_text("six chiffres")
    assert paid.state() == "active"
