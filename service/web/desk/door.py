"""Getting in: who may see a page or send a form, and what those meet who may not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from ledger.refusals import Refusal
from service.http.statuses import STATUS
from service.web.desk import frame
from service.web.desk.frame import Form, Frame

#: Fields of the page that asks for the password, which are no part of what is kept.
KEPT: Final = "kept."
_START: Final = "/desk/queue"


def local(address: str) -> str:
    """Return an address of the desk; anything else is no place to lead somebody to."""
    is_ours = address.startswith("/desk/") and "\\" not in address and "//" not in address
    return address if is_ours and address.isprintable() else _START


def sign_in(
    seen: Frame,
    *,
    status: int = 200,
    to: str = _START,
    error: str | None = None,
    kept: Mapping[str, str] | None = None,
    email: str = "",
) -> Response:
    """Return the page that asks who somebody is."""
    return seen.page(
        "sign_in", status=status, error=error, to=local(to), kept=dict(kept or {}), email=email
    )


def gone(seen: Frame, name: str, status: int) -> Response:
    """Return a page that says why there is nothing, and the way back: ``foreign``, ``unknown``."""
    return seen.page("gone", status=status, name=name)


def refused(seen: Frame, refusal: Refusal) -> Response:
    """Return a page of its own for what was refused."""
    if refusal.code in {"case_not_found", "evidence_not_found", "supervisor_only"}:
        return gone(seen, "unknown", 404)
    return seen.page("gone", status=STATUS[type(refusal)], name="no", error=seen.refused(refusal))


async def look(request: Request) -> Frame | Response:
    """Let somebody look at a page; whoever is not signed in is asked to, and led on to it."""
    seen = await frame.enter(request)
    if seen.visit is not None:
        return seen
    to = request.url.path
    if request.url.query:
        to = f"{to}?{request.url.query}"
    return seen.go(f"/desk/sign-in?{urlencode({'to': to})}")


async def send(request: Request) -> tuple[Frame, Form] | Response:
    """Let somebody send a form. Where the session is over, what they wrote is kept for after it."""
    seen = await frame.enter(request)
    if frame.is_foreign(request):
        return gone(seen, "foreign", 403)
    form = await frame.fields(request)
    if seen.visit is not None:
        return seen, form
    error = seen.speech("desk")("sign_in.over")
    return sign_in(seen, status=401, to=request.url.path, error=error, kept=form)
