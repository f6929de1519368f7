"""How every page of a link begins: who holds it, what it opens, in which language."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request
from sqlalchemy import Connection
from starlette.responses import Response

from service import clock, db
from service.http.edge import edge_of
from service.messages import links
from service.messages.links import Found, Standing
from service.platforms import members
from service.web.member import scene
from service.web.member.scene import Scene
from service.web.origin import is_ours
from service.web.render import respond
from service.web.words import Speech, language, preferred


def asked(request: Request) -> str | None:
    """Return the language that the address asks for."""
    return request.query_params.get("lang")


def closed(request: Request, name: str, status: int, own: str | None = None) -> Response:
    """Return a page that opens nothing: ``gone``, ``unknown``, ``foreign`` or ``back``."""
    own = own or preferred(request.headers.get("accept-language", ""))
    say = Speech(language(asked(request), own), "member", {})
    here = request.url.path
    return respond("closed.html", say, status=status, here=here, own=own, name=name)


async def enter(
    request: Request, token: str, work: Callable[[Connection, Found, Scene], Response]
) -> Response:
    """Run ``work`` in one transaction of the link's platform, or say why the link opens nothing.

    A form that another site made a browser send is not taken (see :mod:`service.web.origin`).
    """
    edge = edge_of(request)
    if request.method == "POST" and not is_ours(request, edge.settings.public_url):
        return closed(request, "foreign", 403)
    found = await edge.run(db.SYSTEM, lambda c: links.find(c, token, clock.now()))
    if found.standing is Standing.UNKNOWN or found.platform_id is None:
        return closed(request, "unknown", 404)
    if found.standing is Standing.ENDED:
        own = await edge.run(found.platform_id, lambda c: _locale(c, found))
        return closed(request, "gone", 410, language(None, own))
    chosen = asked(request)
    return await edge.run(found.platform_id, lambda c: work(c, found, see(c, found, token, chosen)))


def see(connection: Connection, found: Found, token: str, chosen: str | None) -> Scene:
    """Return what the link's page speaks of, as it is now."""
    assert found.platform_id is not None
    assert found.exchange_id is not None
    assert found.member_id is not None
    return scene.read(
        connection, found.platform_id, found.exchange_id, found.member_id, f"/l/{token}", chosen
    )


def _locale(connection: Connection, found: Found) -> str:
    assert found.platform_id is not None
    assert found.member_id is not None
    return members.find(connection, found.platform_id, found.member_id).locale
