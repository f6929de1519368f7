"""What somebody with a small screen, weak eyes or a screen reader would stumble over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page

PHONE: Final[Any] = {"width": 360, "height": 740}
NARROW: Final[Any] = {"width": 320, "height": 640}
#: Opens a path for one more person.
Open = Callable[..., Page]


def wrong(page: Page) -> list[str]:
    """What axe finds, what is wider than the screen, and what is too small to read or to hit."""
    found = [one["id"] for one in Axe().run(page).response["violations"]]
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    if wide > 0:
        found.append(f"{wide} px too wide")
    size = page.evaluate("parseFloat(getComputedStyle(document.querySelector('main')).fontSize)")
    if size < 18:
        found.append(f"text of {size} px")
    small: list[str] = page.evaluate(
        "[...document.querySelectorAll("
        "'button, a.button, input:not([type=hidden]), summary, nav a')]"
        ".filter((one) => one.offsetParent !== null)"
        # A tick is hit by its words too: what is pressed is the label around it or beside it.
        ".filter((one) => Math.max(...[one, ...(one.labels ?? [])]"
        ".map((each) => each.getBoundingClientRect().height)) < 44)"
        ".map((one) => one.outerHTML.slice(0, 80))"
    )
    return found + small
