"""Every page there is, in each language, on the smallest screen and at four times the size."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from fastapi.routing import APIRoute
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, ConsoleMessage, Page
from sqlalchemy import Engine

from service.app import ROUTERS
from service.ids import encode
from service.web.render import POLICY
from tests.disputes import samples
from tests.http.claimed import Claimed
from tests.http.client import Api
from tests.http.deal import Deal, make_deal
from tests.web.desk.browser import Browser
from tests.web.desk.conftest import (
    Join,
    join,
    new_browser,
    people,
    pressed,
)
from tests.web.eyes import NARROW, wrong
from tests.web.live import Live
from tests.web.test_helpers import named

__all__ = ["join", "new_browser", "people", "pressed"]


@dataclass
class World:
    """One of everything that pages show."""

    paid: Deal
    other: Deal
    over: Deal
    found: Claimed
    piece: str
    helper: str
    endpoint: str
    template: str
    cookies: list[Any]

    @property
    def link(self) -> str:
        return self.paid.link(self.paid.payer)

    @property
    def case(self) -> str:
        return f"/desk/cases/{encode('case', self.found.case_id)}"


#: Where each page is found. What an address of ours is called is what its route says.
WALK: Final[dict[str, Callable[[World], str]]] = {
    "/l/{token}": lambda w: w.link,
    "/l/{token}/review/{step}": lambda w: f"{w.other.link(w.other.payer)}/review/confirm",
    "/code": lambda _: "/code",
    "/l/{token}/helpers": lambda w: f"{w.link}/helpers",
    "/h/{token}": lambda w: w.helper,
    "/l/{token}/problem": lambda w: f"{w.other.link(w.other.payer)}/problem",
    "/l/{token}/case": lambda w: f"{w.link}/case",
    "/l/{token}/case/review/{step}": lambda w: f"{w.link}/case/review/withdraw_claim",
    "/l/{token}/receipt": lambda w: f"{w.over.link(w.over.payee)}/receipt",
    "/desk/sign-in": lambda _: "/desk/sign-in",
    "/desk/signed-out": lambda _: "/desk/signed-out",
    "/desk/account": lambda _: "/desk/account",
    "/desk/opened": lambda _: "/desk/opened",
    "/desk/queue": lambda _: "/desk/queue",
    "/desk/inbox": lambda _: "/desk/inbox",
    "/desk/keys": lambda _: "/desk/keys",
    "/desk/ties": lambda _: "/desk/ties",
    "/desk/profile": lambda _: "/desk/profile",
    "/desk/decided": lambda _: "/desk/decided",
    "/desk/templates": lambda _: "/desk/templates",
    "/desk/templates/new": lambda _: "/desk/templates/new",
    "/desk/templates/{template}": lambda w: w.template,
    "/desk/numbers": lambda _: "/desk/numbers",
    "/desk/reviews": lambda _: "/desk/reviews",
    "/desk/cases/{case}": lambda w: w.case,
    "/desk/cases/{case}/evidence": lambda w: f"{w.case}/evidence",
    "/desk/cases/{case}/evidence/{piece}": lambda w: f"{w.case}/evidence/{w.piece}",
    "/desk/cases/{case}/do/{step}": lambda w: f"{w.case}/do/decide",
    "/desk/{rest:path}": lambda _: "/desk/nothing",
    "/office/sign-in": lambda _: "/office/sign-in",
    "/office": lambda _: "/office",
    "/office/counter": lambda _: "/office/counter",
    "/office/counter/{exchange}": lambda w: f"/office/counter/{w.paid.exchange['id']}",
    "/office/exchanges": lambda _: "/office/exchanges",
    "/office/exchanges/{exchange}": lambda w: f"/office/exchanges/{w.over.exchange['id']}",
    "/office/members": lambda _: "/office/members",
    "/office/members/{member}": lambda w: f"/office/members/{w.paid.payer['id']}",
    "/office/keys": lambda _: "/office/keys",
    "/office/rules": lambda _: "/office/rules",
    "/office/webhooks": lambda _: "/office/webhooks",
    "/office/webhooks/{webhook_endpoint}": lambda w: f"/office/webhooks/{w.endpoint}",
    "/office/reconciliation": lambda _: "/office/reconciliation",
}
_AGAIN: Final = "desk/test_desk_own.py::test_no_page_of_a_case_to_decide_again_has_a_barrier"
#: Addresses that are no page of their own, or that another test looks at as closely, and which.
ELSEWHERE: Final = {
    "/static/{name}": "a file",
    "/handover-worker.js": "a script",
    "/l/{token}/case/evidence/{piece}": "a file",
    "/l/{token}/receipt/file": "a file",
    "/desk/cases/{case}/evidence/{piece}/file": "a file",
    "/l/{token}/code": "leads back; the page of the code is an answer to a form: "
    "test_member_browser.py::test_no_page_has_a_barrier_at_320_px",
    "/back/{exchange}": "leads back",
    "/l/{token}/sandbox-page": "leads to the sandbox's page",
    "/desk": "leads to the queue",
    "/desk/ties/{tie}/end": "leads back",
    "/desk/decided/{case}": "desk/test_desk_own.py::test_no_page_of_bad_faith_has_a_barrier",
    "/desk/decided/strikes/{strike}/lift": "leads back",
    "/desk/templates/{template}/retire": "leads back",
    "/desk/again/{again}": _AGAIN,
    "/desk/again/{again}/evidence": _AGAIN,
    "/desk/again/{again}/evidence/{piece}": _AGAIN,
    "/desk/again/{again}/evidence/{piece}/file": "a file",
    "/desk/stay": "leads back",
    "/desk/claim-next": "leads back",
    "/sandbox/pay/{token}": "test_member_browser.py::test_paying_in_the_sandbox_has_no_barrier",
    "/desk/invitations/{token}": "desk/test_desk_browser.py::"
    "test_no_page_of_an_invitation_has_a_barrier",
    "/office/counter/{exchange}/{checkpoint}": "test_office_browser.py::"
    "test_a_slip_is_entered_at_the_counter_and_the_receipt_is_all_that_is_printed",
    "/": "test_landing.py::test_the_landing_page_and_a_story_have_no_barrier",
    "/demo/{exchange}": "test_landing.py::test_the_landing_page_and_a_story_have_no_barrier",
}
#: A window of 1280 by 1024 px at 400 % has so many of the page's own.
FOUR_TIMES: Final[Any] = {"width": 320, "height": 256}


def _routes() -> set[str]:
    return {
        route.path
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        and route.endpoint.__module__.startswith("service.web")
        and "GET" in (route.methods or ())
    }


def test_every_address_of_the_pages_is_looked_at() -> None:
    assert set(WALK).isdisjoint(ELSEWHERE)
    assert _routes() == set(WALK) | set(ELSEWHERE)


def test_whoever_looks_elsewhere_is_there() -> None:
    here = Path(__file__).parent
    for where in ELSEWHERE.values():
        for file, name in re.findall(r"([\w/]+\.py)::(\w+)", where):
            assert f"def {name}(" in (here / file).read_text()


def a_template(boss: Browser) -> str:
    """Write words for decisions; return where they are changed."""
    at = "/desk/templates/new"
    words = {"language": "fr", "outcome": "to_payer", "title": "Pour tous", "text": "Des mots."}
    assert boss.post(at, boss.fill(at, **words)).status_code == 303
    found = re.findall(r'href="(/desk/templates/tp_[0-9a-z]+)"', boss.read("/desk/templates"))
    return str(found[0])


@pytest.fixture
def world(
    paid: Deal,
    api: Api,
    engine: Engine,
    join: Join,
    pressed: Callable[[], Claimed],
    live: Live,
    chromium: Chromium,
) -> World:
    """Return one of everything: a case, exchanges under way and over, a helper, an endpoint."""
    maud = join(roles=["mediator", "supervisor"])
    other, over = (make_deal(api, engine, agreed=True) for _ in range(2))
    for deal in (other, over):
        deal.tell()
        deal.fund()
    for member in (over.payer, over.payee):
        body = {"member": member["id"], "checkpoint": "handover"}
        api.made(f"/v1/exchanges/{over.exchange['id']}/confirm", body)
    helper = named(paid, paid.payer)
    endpoint = api.made("/v1/webhook-endpoints", {"url": "https://93.184.215.14/hook"})
    found = pressed()
    template = a_template(maud.browser)
    photo = samples.encoded(samples.image(320, 240), "JPEG")
    piece = found.sent(photo, found.payer, text="Photo")["id"]
    context = chromium.new_context(base_url=live.url, locale="fr-FR")
    page = context.new_page()
    page.goto("/office/sign-in")
    page.fill("#key", str(api.bearer))
    page.click("main button")
    page.wait_for_url("**/office*")
    cookies: list[Any] = list(context.cookies())
    context.close()
    kept = maud.browser.cookies.items()
    cookies += [{"name": name, "value": said, "url": f"{live.url}/desk"} for name, said in kept]
    return World(paid, other, over, found, piece, helper, endpoint["id"], template, cookies)


def looked_at(page: Page, address: str, locale: str) -> list[str]:
    """Open a page and return what is wrong with it, for eyes, hands and readers of screens."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    joint = "&" if "?" in address else "?"
    answer = page.goto(f"{address}{joint}lang={locale}")
    assert answer is not None
    found = wrong(page)
    origin = page.evaluate("location.origin")
    found += [f"asks {url}" for url in asked if not url.startswith(f"{origin}/")]
    if answer.headers.get("content-security-policy") != POLICY:
        found.append(f"policy {answer.headers.get('content-security-policy')}")
    if page.locator("html").get_attribute("lang") != locale:
        found.append("in another language")
    if page.locator("h1").count() != 1:
        found.append(f"{page.locator('h1').count()} headings of the page")
    if not page.title().strip():
        found.append("no title")
    # By Tab alone, and each time the focus can be seen.
    for _ in range(8):
        page.keyboard.press("Tab")
        unseen = page.evaluate(
            "(() => { const one = document.activeElement;"
            " if (!one || one === document.body) return null;"
            " const style = getComputedStyle(one);"
            " const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;"
            " return seen ? null : one.outerHTML.slice(0, 80); })()"
        )
        if unseen:
            found.append(f"focus unseen on {unseen}")
    return found


def listen(page: Page, route: str, complaints: list[str]) -> None:
    """Note whatever a page's console complains of; that there is nothing, the page itself says."""

    def heard(said: ConsoleMessage) -> None:
        if said.type == "error" and "status of 404" not in said.text:
            complaints.append(f"{route}: {said.text}")

    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(f"{route}: {error}"))


Open = Callable[..., BrowserContext]


@pytest.fixture
def opening(world: World, live: Live, chromium: Chromium) -> Iterator[Open]:
    """Return what opens a browser of somebody who is signed in everywhere, on some screen."""
    made: list[BrowserContext] = []

    def open_(**more: Any) -> BrowserContext:
        settings = {"locale": "fr-FR", "reduced_motion": "reduce", **more}
        context = chromium.new_context(base_url=live.url, **settings)
        made.append(context)
        context.add_cookies(world.cookies)
        context.set_default_timeout(15_000)
        return context

    yield open_
    for context in made:
        context.close()


def keep(page: Page, request: pytest.FixtureRequest, name: str, route: str) -> None:
    """Take a picture, where pictures are asked for."""
    folder: str | None = request.config.getoption("--screenshots")
    if folder:
        file = re.sub(r"\W+", "_", route).strip("_") or "root"
        page.screenshot(path=f"{folder}/{name}-{file}.png", full_page=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("locale", ["fr", "en", "br"])
def test_every_page_is_for_everybody_at_320_px(
    world: World, opening: Open, locale: str, request: pytest.FixtureRequest
) -> None:
    found: dict[str, list[str]] = {}
    complaints: list[str] = []
    titles: list[str] = []
    context = opening(viewport=NARROW)
    for route, address in WALK.items():
        page = context.new_page()
        listen(page, route, complaints)
        seen = looked_at(page, address(world), locale)
        titles.append(page.title())
        if seen:
            found[route] = seen
        keep(page, request, f"320-{locale}", route)
        page.close()
    assert found == {}
    assert complaints == []
    # An exchange's page, its review and its case are called after the exchange.
    assert len(titles) - len(set(titles)) <= 3, sorted(titles)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("locale", ["fr", "en", "br"])
def test_nothing_runs_out_of_any_page_at_four_times_the_size(
    world: World, opening: Open, locale: str, request: pytest.FixtureRequest
) -> None:
    context = opening(viewport=FOUR_TIMES, device_scale_factor=4)
    page = context.new_page()
    found: dict[str, int] = {}
    for route, address in WALK.items():
        there = address(world)
        page.goto(f"{there}{'&' if '?' in there else '?'}lang={locale}")
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        if wide > 0:
            found[route] = wide
        keep(page, request, f"400-{locale}", route)
    assert found == {}
