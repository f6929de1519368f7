"""Pages as HTML, and what a browser is told about them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from service.messages.words import LOCALES
from service.web import assets
from service.web.words import NAMES, Speech

#: What a browser may do with a page: show it with our style, run our script, and send its forms
#: back here. Nothing written into a page itself runs, and nothing comes from elsewhere.
POLICY: Final = (
    "default-src 'none'; style-src 'self'; script-src 'self'; worker-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    # To other sites nothing is told of the address, which holds a token; our own forms are known
    # by it (see origin.py).
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(self), geolocation=(), microphone=()",
    "x-robots-tag": "noindex, nofollow",
    "cache-control": "no-store",
}

_pages: Final = Environment(
    undefined=StrictUndefined,
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
)
_pages.globals["asset"] = assets.address


def respond(
    template: str,
    say: Speech,
    *,
    status: int = 200,
    here: str,
    own: str | None = None,
    headers: Mapping[str, str] | None = None,
    **parts: Any,
) -> HTMLResponse:
    """Return a page.

    Args:
        here: its address without a query, for the language switch.
        own: the language it has without being asked for one.
    """
    base = Speech(say.locale, "base", {})
    languages = [
        {
            "code": code,
            "name": NAMES[code],
            "address": here if code == own else f"{here}?lang={code}",
        }
        for code in LOCALES
    ]
    shown = {**parts, "say": say, "base": base, "locale": say.locale, "languages": languages}
    html = _pages.get_template(template).render(shown)
    return HTMLResponse(html, status, {**HEADERS, **(headers or {})})
