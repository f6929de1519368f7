"""The mailbox of a development machine: what was told to members and went nowhere.

It needs no key, so it is there only where ``TIERCE_DEV_PAGES`` says so, as `tierce up` does on
loopback; everywhere else there is nothing at its address. It never holds what went to a person.
"""

from __future__ import annotations

import re
from typing import Any, Final

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from service import db
from service.http.edge import Edge, edge_of
from service.http.refusals import NotFound
from service.ids import decode, encode
from service.messages import store
from service.messages.words import pages

router = APIRouter(prefix="/dev/mailbox", include_in_schema=False)

_MOST: Final = 100
_STYLE: Final = (
    "body{font:18px/1.5 Arial,Helvetica,sans-serif;color:#1a1a1a}"
    "main{max-width:50em;margin:0 auto;padding:24px}li{margin:12px 0}"
    "iframe{width:100%;height:32em;border:1px solid #666}pre{white-space:pre-wrap}"
)
#: The message inside of its frame brings styles of its own, and no more.
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "x-robots-tag": "noindex, nofollow",
}


def _open(request: Request) -> Edge:
    edge = edge_of(request)
    if not edge.settings.dev_pages:
        raise NotFound("There is nothing at this address.")
    return edge


def _page(**parts: Any) -> Response:
    shown = {"one": None, "rows": [], "link": None, **parts, "style": Markup(_STYLE)}  # noqa: S704
    return HTMLResponse(pages.get_template("mailbox.html").render(shown), headers=_HEADERS)


@router.get("", operation_id="list_mailbox")
async def list_mailbox(request: Request) -> Response:
    """Show what is in the mailbox, newest first."""
    edge = _open(request)
    found = await edge.run(db.SYSTEM, lambda c: store.mailbox(c, _MOST))
    return _page(rows=[{**row, "public": encode("message", row["id"])} for row in found])


@router.get("/{message}", operation_id="read_mailbox")
async def read_mailbox(request: Request, message: str) -> Response:
    """Show one message of the mailbox, both its parts."""
    edge = _open(request)
    try:
        message_id = decode("message", message)
    except ValueError as error:
        raise NotFound("No message with this id.") from error
    found = await edge.run(db.SYSTEM, lambda c: store.mailbox(c, 1, message_id))
    if not found:
        raise NotFound("No message with this id.")
    written = dict(found[0])
    # The button leads out of the frame: no page lets itself be framed.
    written["html"] = written["html"].replace("<head>", '<head><base target="_top">', 1)
    links = re.findall(rf"{re.escape(edge.settings.public_url)}/l/[\w-]+", written["plain"])
    return _page(one=written, link=links[0] if links else None)
