"""Who is in the office: a browser that brought one of the platform's API keys, for twelve hours.

The key itself is sealed in the cookie and recognised anew with each request, so that a key which
is revoked closes every page at once. Nothing is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

from fastapi import Request
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from ledger.refusals import Refusal
from service import clock
from service.http.auth import Actor, by_key
from service.http.edge import Edge, edge_of
from service.http.limits import TooManyRequests
from service.http.refusals import NotSignedIn
from service.http.statuses import STATUS
from service.platforms import clocks, platforms
from service.sealing import SealBroken, Sealer
from service.web.origin import is_ours
from service.web.render import HEADERS, respond
from service.web.words import Speech, language, preferred

COOKIE: Final = "tierce_office"
PATH: Final = "/office"
SIGN_IN: Final = f"{PATH}/sign-in"
LIVES: Final = timedelta(hours=12)
_PLACE: Final = "office session"


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of somebody who is signed in."""

    request: Request
    edge: Edge
    actor: Actor
    ends_at: datetime
    locale: str

    @property
    def say(self) -> Speech:
        """The words of the office, in the visitor's language."""
        return Speech(self.locale, "office", {})

    def may(self, scope: str) -> bool:
        """Tell whether the key that was brought has ``scope``."""
        return scope in self.actor.scopes


Work = Callable[[Connection, Visit, datetime], Response]


def sealer(edge: Edge) -> Sealer:
    """Return what seals the cookie."""
    assert edge.settings.code_key is not None  # the application does not start without it
    return Sealer(edge.settings.code_key.get_secret_value())


def chosen(request: Request) -> str:
    """Return the language of a page: asked for, chosen before, or the browser's."""
    asked = request.query_params.get("lang") or request.cookies.get("tierce_lang")
    return language(asked, preferred(request.headers.get("accept-language", "")))


def start(response: Response, edge: Edge, secret: str) -> None:
    """Let the browser in with a key that was recognised."""
    ends_at = clock.now() + LIVES
    sealed = sealer(edge).seal(_PLACE, [secret, ends_at.isoformat()]).decode()
    response.set_cookie(
        COOKIE,
        sealed,
        max_age=int(LIVES.total_seconds()),
        path=PATH,
        secure=urlsplit(edge.settings.public_url).scheme == "https",
        httponly=True,
        samesite="strict",
    )


def end(response: Response) -> None:
    """Let the browser forget the key."""
    response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")


async def enter(request: Request, scope: str, work: Work) -> Response:
    """Run ``work`` in one transaction of the visitor's platform, or lead to the way in.

    A form that another site made a browser send is not taken (see :mod:`service.web.origin`). A
    refusal is told on a page of its own, and what ``work`` had done is undone.
    """
    edge = edge_of(request)
    locale = chosen(request)
    if request.method == "POST" and not is_ours(request, edge.settings.public_url):
        return closed(request, "foreign", 403)
    try:
        found = await _visitor(request)
    except TooManyRequests as refusal:
        return closed(request, "refused", STATUS[type(refusal)], why=str(refusal))
    if found is None:
        there = request.url.path if request.method == "GET" else PATH
        return RedirectResponse(f"{SIGN_IN}?next={quote(there)}", 303, HEADERS)
    actor, ends_at = found
    if scope not in actor.scopes:
        return closed(request, "scope_missing", 403, scope=scope)
    visit = Visit(request, edge, actor, ends_at, locale)

    def inside(connection: Connection) -> Response:
        now = clocks.now_at(connection, actor.platform_id, clock.now())
        return work(connection, visit, now)

    try:
        return await edge.run(actor.platform_id, inside)
    except Refusal as refusal:
        return closed(request, "refused", STATUS[type(refusal)], why=str(refusal))


async def _visitor(request: Request) -> tuple[Actor, datetime] | None:
    sealed = request.cookies.get(COOKIE)
    if sealed is None:
        return None
    try:
        secret, ends = sealer(edge_of(request)).open(_PLACE, sealed.encode())
        ends_at = datetime.fromisoformat(ends)
        if clock.now() >= ends_at:
            return None
        return await by_key(request, secret), ends_at
    except (SealBroken, NotSignedIn, ValueError):
        return None


def closed(request: Request, name: str, status: int, **facts: str) -> Response:
    """Return a page that says why there is nothing to see."""
    say = Speech(chosen(request), "office", facts)
    return respond("office_closed.html", say, status=status, here=request.url.path, name=name)


def shown(
    connection: Connection, visit: Visit, template: str, section: str, **parts: Any
) -> Response:
    """Return a page of the office, with what stands on each of them."""
    platform = platforms.find(connection, visit.actor.platform_id)
    return respond(
        template,
        visit.say,
        here=visit.request.url.path,
        section=section,
        platform=platform.name,
        mode=platform.mode,
        ends_at=visit.ends_at,
        may=visit.may,
        **parts,
    )
