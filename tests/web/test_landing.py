"""A newcomer is each person in turn: the main job, and a dispute from its claim to its end."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import ConsoleMessage, Error, FilePayload, Page, expect
from sqlalchemy import Engine

from service.app import create_app
from service.cli import seed, seed_neutrals
from service.cli.home import Home
from service.clock import now
from service.config import Settings
from service.db import transaction
from service.exchanges import case_rounds, sweep
from service.ids import decode, encode, uuid7
from service.platforms.clocks import now_at
from service.sealing import Sealer
from service.web.landing import place
from tests.http.client import Server
from tests.web.browser import Browser
from tests.web.eyes import NARROW, PHONE, wrong
from tests.web.live import Live

WHY = (
    "La photographie montre le colis ouvert et vide. Le vendeur l'a emballé de bonne foi, et le "
    "transporteur en a perdu une partie, pour autant qu'on le sache. Chacun en porte sa part."
)


class Town:
    """An instance as ``tierce up`` makes it; the worker's work is done when it is asked for."""

    def __init__(self, live: Live, app: Any, engine: Engine) -> None:
        self.live, self.app, self.engine = live, app, engine
        found = place.read(app.state.edge.settings)
        assert found is not None
        self.place = found

    def work(self) -> None:
        """What the worker would do in the next seconds."""
        desk = self.app.state.edge.desk
        with transaction(self.engine, self.place.platform_id) as connection:
            at = now_at(connection, self.place.platform_id, now())
        sweep.run(desk, at, self.place.platform_id)
        case_rounds.find_people(self.engine, desk.codes, now)


@pytest.fixture(scope="module")
def settings(app_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return the settings of a development machine."""
    home = tmp_path_factory.mktemp("home")
    return app_settings.model_copy(update={"home": home, "dev_pages": True})


@pytest.fixture(scope="module")
def town(settings: Settings, engine: Engine) -> Iterator[Town]:
    """Return an instance with the landing page's platform."""
    home = Home(Path(settings.home))
    home.prepare()
    demo = seed.demo(home, engine, now(), seed.LANDING)
    assert settings.code_key is not None
    sealer = Sealer(settings.code_key.get_secret_value())
    platforms = [decode("platform", demo.platform)]
    people = seed_neutrals.neutrals(home, engine, sealer, platforms, now())
    names = [(one.name, id_) for id_, one in people]
    home.keep(place.FILE, place.written(demo.platform, demo.api_key, names))
    app = create_app(settings)
    live = Live(app)
    yield Town(live, app, engine)
    live.close()


@pytest.fixture
def newcomer(town: Town, chromium: Chromium) -> Iterator[Page]:
    """Return one browser, at the landing page; a complaint of its console is an error."""
    context = chromium.new_context(base_url=town.live.url, locale="fr-FR", viewport=PHONE)
    context.set_default_timeout(15_000)
    complaints: list[str] = []

    def heard(said: ConsoleMessage) -> None:
        if said.type == "error":
            complaints.append(said.text)

    context.on("console", heard)
    page = context.new_page()
    page.goto("/")
    yield page
    context.close()
    assert complaints == []


def begun(page: Page, name: str) -> Page:
    """Begin a story."""
    page.click(f"form:has(input[value={name}]) button")
    page.wait_for_url("**/demo/ex_*")
    return page


def become(story: Page, who: str) -> Page:
    """Open the page of somebody, in a tab of its own."""
    with story.expect_popup() as opened:
        story.click(f"form[action*='/be/{who}'] button")
    page = opened.value
    page.wait_for_load_state()
    return page


def later(story: Page, days: int) -> None:
    """Let days pass in the story."""
    before = story.locator("#clock + p").inner_text()
    story.click(f"button[value='{days}']")
    expect(story.locator("#clock + p")).not_to_have_text(before)


def look_again(page: Page) -> None:
    """Load a page anew, as whoever comes back to its tab does.

    On a busy machine Chromium now and then gives up the reload of a tab behind others before it
    asks for anything; whoever sits there presses once more.
    """
    page.bring_to_front()
    try:
        page.reload()
    except Error as error:
        if "ERR_ABORTED" not in error.message:
            raise
        page.reload()


def photograph() -> FilePayload:
    """A picture as a telephone's camera gives it."""
    found = io.BytesIO()
    Image.new("RGB", (640, 480), "#a07848").save(found, "JPEG")
    return FilePayload(name="colis.jpg", mimeType="image/jpeg", buffer=found.getvalue())


def test_a_newcomer_lives_the_main_job_as_both(town: Town, newcomer: Page) -> None:
    story = begun(newcomer, "sale")
    expect(story.locator(".card.turn h3")).to_contain_text("Marie")
    marie = become(story, "payer")
    marie.click("form[action*='/agree'] button")
    marie.click("form[action*='/pay'] button")
    marie.locator("a[href*='sandbox-page']").click()
    marie.click("form[action*='/succeed'] button")
    town.work()
    look_again(story)
    yann = become(story, "payee")
    marie = become(story, "payer")
    marie.click("form[action*='/code'] button")
    digits = re.sub(r"\D", "", marie.locator(".digits").inner_text())
    yann.fill("#code", digits)
    yann.click("form.code button")
    yann.wait_for_url("**done=enter_code*")
    look_again(story)
    expect(story.locator(".path li.now")).to_have_count(0)
    office = become(story, "office")
    expect(office.locator("svg.flow")).to_be_visible()


def test_a_newcomer_lives_a_dispute_from_the_claim_to_the_paid_split_as_everybody(
    town: Town, newcomer: Page
) -> None:
    story = begun(newcomer, "problem")
    town.work()
    look_again(story)
    marie = become(story, "payer")
    marie.click("a[href*='/problem']")
    marie.click("a[href*='not_as_described']")
    marie.fill("#q-what_differs", "Le colis était vide.")
    marie.fill("#q-when_noticed", "En l'ouvrant.")
    marie.locator("main form button[type=submit]").last.click()
    marie.wait_for_url("**/case*")
    marie.set_input_files("input[type=file]", photograph())
    marie.click("form[enctype] button")
    expect(marie.locator(".history img.photo")).to_have_count(1)

    look_again(story)
    yann = become(story, "payee")
    yann.click("a[href*='/case']")
    yann.fill("form[action*='/case/evidence'] textarea", "Je l'ai emballé moi-même.")
    yann.locator("form[action*='/case/evidence'] button").first.click()
    later(story, 3)
    look_again(marie)
    marie.click("a[href*='/review/call_mediator']")
    marie.click("form[action*='/call_mediator'] button")
    town.work()

    look_again(story)
    parts = story.locator(".card", has=story.get_by_text("Personne neutre", exact=True))
    expect(parts).to_have_count(1)
    action = parts.get_attribute("action") or ""
    desk = become(story, action.partition("/be/")[2].partition("?")[0])
    desk.wait_for_url("**/desk/cases/*")
    expect(desk.locator("main")).to_contain_text("Le colis était vide.")
    case = re.sub(r"\?.*", "", desk.url)
    desk.goto(f"{case}/do/propose")
    desk.check("#o-to_payer")
    desk.fill("#text", "Tout revient à Marie ?")
    desk.click("form.form > .act button")
    desk.wait_for_url("**done=propose*")
    look_again(yann)
    yann.click("a[href*='/review/reject_proposal']")
    yann.click("form[action*='/reject_proposal'] button")
    desk.goto(f"{case}/do/decide")
    desk.check("#o-split")
    desk.locator("input[name^='part.']").fill("80,00")
    expect(desk.locator("#preview .holds")).to_have_text(
        re.compile(r"160,00\s€ \+ 80,00\s€ = 240,00\s€")
    )
    desk.select_option("#reason_code", index=1)
    desk.fill("#text", WHY)
    desk.click("form.form > .act button")
    desk.click("button[name='sure']")
    desk.wait_for_url("**done=decide*")
    town.work()

    look_again(story)
    second = story.locator(".card", has=story.get_by_text("Relit la décision", exact=True))
    action = second.get_attribute("action") or ""
    reader = become(story, action.partition("/be/")[2].partition("?")[0])
    reader.goto(f"{case}/do/agree-with")
    reader.click("form.form button")
    reader.wait_for_url("**done=agree-with*")
    look_again(yann)
    expect(yann.locator("#ruling")).to_be_visible()
    later(story, 8)
    town.work()
    for page in (become(story, "payer"), become(story, "payee")):
        expect(page.locator(".lines")).to_contain_text(re.compile(r"160,00\s€"))
        expect(page.locator(".lines")).to_contain_text(re.compile(r"80,00\s€"))
        page.click("a[href*='/receipt']")
        expect(page.locator(".digest")).to_be_visible()


@pytest.mark.parametrize("locale", ["fr", "en", "br"])
def test_the_landing_page_and_a_story_have_no_barrier(newcomer: Page, locale: str) -> None:
    newcomer.set_viewport_size(NARROW)
    newcomer.goto(f"/?lang={locale}")
    assert wrong(newcomer) == []
    begun(newcomer, "rental")
    assert newcomer.locator("html").get_attribute("lang") == locale
    assert wrong(newcomer) == []
    newcomer.goto(f"/?lang={locale}")
    assert wrong(newcomer) == []


def test_where_no_landing_page_was_made_there_is_nothing_and_nobody_is_signed_in(
    server: Server, settings: Settings, town: Town
) -> None:
    story = f"/demo/{encode('exchange', uuid7())}"
    browser = Browser(server)
    assert browser.get("/").status_code == 404
    assert browser.get(story).status_code == 404
    neutral = next(iter(town.place.neutrals.values()))
    for path in ("/demo", f"{story}/clock", f"{story}/be/office", f"{story}/be/{neutral}"):
        answer = browser.post(path, {"story": "sale", "by": "1"})
        assert answer.status_code == 404
        assert "set-cookie" not in answer.headers
    # The file alone opens nothing: the setting is the switch.
    assert place.read(settings.model_copy(update={"dev_pages": False})) is None
    assert place.read(settings.model_copy(update={"home": Path("/nowhere")})) is None


def test_the_landing_page_touches_its_own_sandbox_alone(
    town: Town, server: Server, paid: Any
) -> None:
    own = Server(town.app)
    try:
        browser = Browser(own)
        foreign = f"/demo/{paid.exchange['id']}"
        assert browser.get(foreign).status_code == 404
        for path in (
            "be/payer",
            "be/payee",
            f"be/{next(iter(town.place.neutrals.values()))}",
            "clock",
        ):
            assert browser.post(f"{foreign}/{path}", {"by": "next"}).status_code == 404, path
        for wrong_one in ("/demo/ex_nonsense", "/demo/x"):
            assert browser.get(wrong_one).status_code == 404
        for said in ({"story": "nonsense"}, {}):
            assert browser.post("/demo", said).status_code == 404
        cross = {"sec-fetch-site": "cross-site"}
        assert browser.post("/demo", {"story": "sale"}, headers=cross).status_code == 404
    finally:
        own.close()
