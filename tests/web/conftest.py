"""The application as the tests of its API have it, and a real browser to look at it with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, sync_playwright

from service.app import create_app
from service.config import Settings
from tests.http.conftest import (
    anonymous,
    api,
    app_settings,
    neighbour,
    new_api,
    new_desk,
    operator,
    paid,
    proposed,
    server,
)
from tests.web.eyes import PHONE, Open
from tests.web.live import Live

__all__ = [
    "anonymous",
    "api",
    "app_settings",
    "neighbour",
    "new_api",
    "new_desk",
    "operator",
    "paid",
    "proposed",
    "server",
]

CHROMIUM: Final = Path("/usr/bin/chromium")
#: Chromium tells the status of every answer that refuses; the page says it in words.
#: and that there is no network, where a test cut it.
_REFUSED: Final = re.compile(r"status of (404|409|410|413|422)|ERR_INTERNET_DISCONNECTED")


@pytest.fixture(scope="session")
def live(app_settings: Settings) -> Iterator[Live]:
    """Return the application behind a socket."""
    served = Live(create_app(app_settings))
    yield served
    served.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """Return a real browser; without Chromium on this machine its tests are skipped."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM))
        yield browser
        browser.close()


@pytest.fixture
def opened(live: Live, chromium: Chromium) -> Iterator[Open]:
    """Return what opens a page for one more person; a complaint of any console is an error."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def heard(said: ConsoleMessage) -> None:
        if said.type == "error" and not _REFUSED.search(said.text):
            complaints.append(said.text)

    def make(path: str, **more: Any) -> Page:
        settings = {"locale": "fr-FR", "viewport": PHONE, **more}
        context = chromium.new_context(base_url=live.url, **settings)
        contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == []
