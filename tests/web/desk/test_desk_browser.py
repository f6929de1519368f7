"""The desk in real Chromium: with the keyboard alone, for everybody's eyes, on small screens."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

from disputes.model import Stage
from tests.disputes import samples
from tests.http.claimed import Claimed
from tests.http.client import Api
from tests.http.desk import PASSWORD, invite
from tests.web.desk.browser import Browser
from tests.web.desk.conftest import Join, Sitting
from tests.web.desk.test_desk_cases import WHY, path, split_up
from tests.web.live import Live

PHOTO: Final = samples.encoded(samples.image(640, 480), "JPEG")
_REFUSED: Final = re.compile(r"status of (404|409)")
Open = Callable[..., Page]


@pytest.fixture
def opened(live: Live, chromium: Chromium) -> Iterator[Open]:
    """Return what opens a page; whatever its console or our policy complains of is an error."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def heard(said: ConsoleMessage) -> None:
        # A page that says that there is nothing has its status, which the console tells too.
        if said.type == "error" and not _REFUSED.search(said.text):
            complaints.append(said.text)

    def make(sitting: Sitting | None = None, **more: Any) -> Page:
        more.setdefault("locale", "fr-FR")
        context = chromium.new_context(base_url=live.url, **more)
        contexts.append(context)
        if sitting is not None:
            kept = sitting.browser.cookies.items()
            context.add_cookies(
                [{"name": name, "value": said, "url": f"{live.url}/desk"} for name, said in kept]
            )
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the focus is there; whoever cannot get there is trapped."""
    for _ in range(200):
        if page.evaluate("(s) => document.activeElement?.matches(s)", selector):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"no way by keyboard to {selector}")


def enter(page: Page, selector: str, to: str) -> None:
    """Go to what is pressed by keyboard, press Enter, and wait for the page that it leads to."""
    tab_to(page, selector)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{to}")


def test_from_signing_in_to_the_second_look_with_the_keyboard_alone(
    join: Join, pressed: Callable[[], Claimed], opened: Open
) -> None:
    sittings = join(), join()
    found = pressed()
    mine, other = split_up(found, *sittings)
    page = opened()
    page.goto("/desk")
    for field, said in (
        ("#email", mine.person.email),
        ("#password", PASSWORD),
        ("#code", mine.person.code()),
    ):
        tab_to(page, field)
        page.keyboard.type(said)
    page.keyboard.press("Enter")
    page.wait_for_url("**/desk/queue")
    tab_to(page, "[data-row]")
    page.keyboard.press("j")
    page.keyboard.press("k")
    enter(page, "[data-row]", path(found))

    enter(page, f"a[href='{path(found)}/do/propose']", "/do/propose")
    tab_to(page, "input[name='outcome']")
    page.keyboard.press("Space")
    expect(page.locator("#preview .holds")).to_contain_text("Le compte est juste")
    tab_to(page, "#text")
    page.keyboard.type("Tout revient à qui a payé : qu'en dites-vous ?")
    enter(page, "form.form > .act button", "?done=propose")
    expect(page.locator("[role='status']")).to_contain_text("envoyée aux deux")

    enter(page, f"a[href='{path(found)}/do/decide']", "/do/decide")
    tab_to(page, "input[name='outcome']")
    for _ in range(3):
        page.keyboard.press("ArrowDown")  # past all, none and shares, to the unusual one
    expect(page.locator("#o-cannot_decide")).to_be_checked()
    tab_to(page, "#reason_code")
    page.keyboard.type("rien")
    tab_to(page, "#text")
    page.keyboard.type(WHY)
    tab_to(page, "form.form > .act button")
    page.keyboard.press("Enter")
    page.wait_for_selector("button[name='sure']")
    enter(page, "button[name='sure']", "?done=decide")
    assert found.case().stage is Stage.SECOND_LOOK

    reader = opened(other)
    reader.goto("/desk/inbox")
    enter(reader, "[data-row]", path(found))
    enter(reader, f"a[href='{path(found)}/do/agree-with']", "/do/agree-with")
    enter(reader, "form.form button", "?done=agree-with")
    assert found.case().stage is Stage.APPEALABLE


def test_a_key_leads_where_its_page_says_and_never_while_somebody_writes_or_has_turned_it_off(
    join: Join, pressed: Callable[[], Claimed], opened: Open
) -> None:
    maud = join()
    found = pressed()
    page = opened(maud)
    page.goto("/desk/account")
    page.keyboard.press("q")
    page.wait_for_url("**/desk/queue")
    page.keyboard.press("j")  # from anywhere on the page, to the first of the list
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{path(found)}")
    page.keyboard.press("d")
    page.wait_for_url("**/do/decide")
    tab_to(page, "#text")
    page.keyboard.type("qjiudst?")
    assert page.input_value("#text").strip() == "qjiudst?"
    page.locator("h1").click()  # out of the field
    page.keyboard.press("?")
    page.wait_for_url("**/desk/keys")
    for key in ("Q", "J", "D", "?"):
        expect(
            page.locator("kbd", has_text=re.compile(f"^{re.escape(key)}$")).first
        ).to_be_visible()
    page.get_by_label("Se servir de ces touches").uncheck()
    page.locator("h1").click()
    page.keyboard.press("q")
    page.goto("/desk/numbers")
    page.keyboard.press("q")
    tab_to(page, "a[href='/desk/inbox']")
    assert page.url.endswith("/desk/numbers")


def test_what_has_the_focus_is_always_seen(shown: tuple[Sitting, list[str]], opened: Open) -> None:
    maud, pages = shown
    page = opened(maud)
    for address in pages:
        page.goto(address)
        for _ in range(25):
            page.keyboard.press("Tab")
            marked = page.evaluate(
                """() => {
                  const one = document.activeElement;
                  if (!one || one === document.body) return true;
                  const style = getComputedStyle(one);
                  return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
                }"""
            )
            assert marked, (address, page.evaluate("document.activeElement.outerHTML.slice(0, 90)"))


def test_what_will_move_is_calculated_while_it_is_written(
    join: Join, pressed: Callable[[], Claimed], opened: Open
) -> None:
    maud = join()
    found = pressed()
    page = opened(maud)
    page.goto(f"{path(found)}/do/decide")
    page.check("#o-split")
    part = page.locator("input[name^='part.']")
    part.fill("40,50")
    expect(page.locator("#preview .holds")).to_have_text(
        re.compile(r"24,50\s€ \+ 40,50\s€ = 65,00\s€")
    )
    part.fill("99")
    expect(page.locator("#preview .holds")).to_have_count(0)
    page.check("#o-to_payee")
    expect(page.locator("#preview .holds")).to_have_text(re.compile(r"0,00\s€ \+ 65,00\s€"))
    assert found.case().ruling is None


def test_before_the_session_ends_its_reader_is_told_and_may_stay(join: Join, opened: Open) -> None:
    page = opened(join())
    page.clock.install()
    page.goto("/desk/queue")
    warning = page.locator("[data-ends]")
    expect(warning).to_be_hidden()
    page.clock.run_for("56:00")
    expect(warning).to_be_visible()
    warning.get_by_role("button").click()
    expect(warning).to_be_hidden()
    assert page.url.endswith("/desk/queue")


def everything(found: Claimed, evidence: str) -> list[str]:
    """The address of every page that somebody who has a case can come to."""
    steps = ("propose", "decide", "ask", "decline", "send-back")
    return [
        "/desk/queue",
        "/desk/queue?due=today&stage=appeal",
        "/desk/inbox",
        "/desk/reviews",
        "/desk/numbers",
        "/desk/account",
        "/desk/ties",
        "/desk/templates",
        "/desk/templates/new",
        "/desk/keys",
        "/desk/cases/nothing",
        path(found),
        f"{path(found)}/evidence",
        f"{path(found)}/evidence/{evidence}?zoom=200",
        *(f"{path(found)}/do/{step}" for step in steps),
    ]


@pytest.fixture
def shown(join: Join, pressed: Callable[[], Claimed]) -> tuple[Sitting, list[str]]:
    """Somebody with a case full of everything, and the pages that they can come to."""
    maud = join(roles=["mediator", "supervisor"])
    found = pressed()
    photo = found.sent(PHOTO, found.payer, text="Son message.")
    found.sent(PHOTO, found.payee, "condition_out", part="cadre")
    found.sent(PHOTO, found.payer, "condition_back", part="cadre")
    long = "Unmotsansfin" * 30
    found.payee.made(found.path, {"sort": "text", "text": f"{long} <b>\n\nEt encore."})
    return maud, everything(found, photo["id"])


@pytest.mark.parametrize(
    ("locale", "scheme"), [("fr", "light"), ("en", "light"), ("br", "light"), ("fr", "dark")]
)
def test_no_page_has_a_barrier_that_axe_finds(
    shown: tuple[Sitting, list[str]], opened: Open, locale: str, scheme: Any
) -> None:
    maud, pages = shown
    page, stranger = opened(maud, color_scheme=scheme), opened(color_scheme=scheme)
    stranger.goto(f"/desk/sign-in?lang={locale}")
    page.goto(f"/desk/queue?lang={locale}")
    found: dict[str, Any] = {"sign-in": Axe().run(stranger).response["violations"]}
    for address in pages:
        page.goto(address)
        assert page.locator("html").get_attribute("lang") == locale
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        found[address] = Axe().run(page).response["violations"]
    assert {
        address: [one["id"] for one in wrong] for address, wrong in found.items() if wrong
    } == {}


def barriers(page: Page) -> list[str]:
    """What axe finds on a page, where nothing is wider than the screen either."""
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    return [one["id"] for one in Axe().run(page).response["violations"]]


NARROW: Final[Any] = {"width": 320, "height": 640}


def test_no_form_has_a_barrier_when_something_is_wrong_or_it_is_read_over(
    join: Join, pressed: Callable[[], Claimed], opened: Open
) -> None:
    maud = join()
    found = pressed()
    page = opened(maud, viewport=NARROW)
    page.goto(f"{path(found)}/do/decide")
    page.check("#o-split")
    page.select_option("#reason_code", "facts")
    page.fill("#text", WHY)
    page.fill("input[name^='part.']", "40,50")
    page.click("form.form > .act button")
    page.wait_for_selector("button[name='sure']")
    assert barriers(page) == []
    page.click("button[name='edit']")
    page.wait_for_selector("form.form")
    assert barriers(page) == []
    assert page.input_value("#text").strip() == WHY.strip()


def test_no_page_of_an_invitation_has_a_barrier(operator: Api, opened: Open) -> None:
    page = opened(viewport=NARROW)
    page.goto(invite(operator)["invitation"]["page"])
    assert barriers(page) == []
    page.fill("#password", PASSWORD)
    page.click("button[type='submit']")
    page.wait_for_selector(".qr")
    assert barriers(page) == []


def test_short_reviews_have_no_barrier_and_mark_themselves_when_written_in(
    silent: tuple[Browser, dict[str, Claimed]], opened: Open, live: Live
) -> None:
    browser, cases = silent
    page = opened(viewport=NARROW)
    page.context.add_cookies(
        [
            {"name": name, "value": said, "url": f"{live.url}/desk"}
            for name, said in browser.cookies.items()
        ]
    )
    page.goto("/desk/reviews")
    assert barriers(page) == []
    first = next(iter(cases))
    page.check(f"[id='{first}.to_payer']")
    assert page.is_checked(f"[id='{first}.take']")


@pytest.mark.parametrize(("width", "height"), [(320, 640), (320, 256)])
def test_nothing_has_to_be_scrolled_sideways_on_a_narrow_screen_or_at_four_times_the_size(
    shown: tuple[Sitting, list[str]], opened: Open, width: int, height: int
) -> None:
    maud, pages = shown
    page = opened(maud, viewport={"width": width, "height": height})
    for address in ["/desk/sign-in", *pages]:
        page.goto(address)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, (address, wide)


def test_everything_that_is_pressed_is_large_enough_and_text_is_too(
    shown: tuple[Sitting, list[str]], opened: Open
) -> None:
    maud, pages = shown
    page = opened(maud)
    small = """() => [...document.querySelectorAll(
        "a, button, select, summary, textarea, input[type=text], input[type=password]"
      )].filter((one) => {
        const box = one.getBoundingClientRect();
        const inline = getComputedStyle(one).display === "inline" && !one.closest("nav, li");
        return box.width && box.height && !inline && box.height < 43.5;
      }).map((one) => one.outerHTML.slice(0, 120))"""
    for address in pages:
        page.goto(address)
        assert page.evaluate(small) == [], address
        assert page.evaluate("parseFloat(getComputedStyle(document.body).fontSize)") >= 18


def test_without_a_script_the_same_is_decided(
    join: Join, pressed: Callable[[], Claimed], opened: Open
) -> None:
    maud = join()
    found = pressed()
    page = opened(maud, java_script_enabled=False)
    page.goto(f"{path(found)}/do/decide")
    page.check("#o-split")
    page.fill("input[name^='part.']", "12")
    page.click("button[name='calculate']")
    expect(page.locator("#preview .holds")).to_contain_text("12,00")
    page.select_option("#reason_code", "facts")
    page.fill("#text", WHY)
    page.click("form.form > .act button")
    page.click("button[name='sure']")
    page.wait_for_url("**?done=decide")
    ruling = found.case().ruling
    assert ruling is not None
    assert list(ruling.to_payee.values()) == [1200]
    page.goto(f"{path(found)}/do/decide")
    expect(page.get_by_role("heading", level=1)).to_have_text("Il n'y a rien ici")
