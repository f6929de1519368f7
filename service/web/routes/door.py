"""How every page of a link begins: who holds it, what it opens, in which language."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request
from sqlalchemy import Connection
from starlette.responses import Response

from service import clock, db
from service.http.edge import edge_of
from service.messages import links, words
from service.messages.links import Found, Standing
from service.platforms import clocks, helpers, members, platforms
from service.platforms.platforms import Platform
from service.web.member import scene
from service.web.member.scene import Scene
from service.web.origin import is_ours
from service.web.render import respond
from service.web.words import Speech, language, preferred, telephone


def asked(request: Request) -> str | None:
    """Return the language that the address asks for."""
    return request.query_params.get("lang")


def closed(
    request: Request,
    name: str,
    status: int,
    own: str | None = None,
    platform: Platform | None = None,
) -> Response:
    """Return a page that opens nothing: ``gone``, ``unknown``, ``foreign`` or ``back``.

    ``platform``: who can help, where that is known.
    """
    own = own or preferred(request.headers.get("accept-language", ""))
    phone = None if platform is None or platform.phone is None else telephone(platform.phone)
    name_ = None if platform is None else words.clean(platform.name)
    say = Speech(language(asked(request), own), "member", {"platform": name_, "phone": phone})
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
    if found.standing is Standing.UNKNOWN or found.platform_id is None or not found.exchange_id:
        return closed(request, "unknown", 404)
    if found.standing is Standing.ENDED:
        return await ended(request, found)
    chosen = asked(request)
    return await edge.run(found.platform_id, lambda c: work(c, found, see(c, found, token, chosen)))


async def ended(request: Request, found: Found) -> Response:
    """Return the page of a link that worked once, in the language of whose it was."""
    assert found.platform_id is not None
    own, name, platform = await edge_of(request).run(found.platform_id, lambda c: _ended(c, found))
    return closed(request, name, 410, language(None, own), platform)


def see(connection: Connection, found: Found, token: str, chosen: str | None) -> Scene:
    """Return what the link's page speaks of, as it is now."""
    assert found.platform_id is not None
    assert found.exchange_id is not None
    assert found.member_id is not None
    key = (found.platform_id, found.exchange_id, found.member_id)
    return scene.read(connection, *key, f"/l/{token}", chosen, found.helper_id)


def _ended(connection: Connection, found: Found) -> tuple[str, str, Platform]:
    """Return the language of whose link it was, what to say of it, and whose platform it is."""
    assert found.platform_id is not None
    assert found.member_id is not None
    platform = platforms.find(connection, found.platform_id)
    if found.helper_id is not None:
        helper = helpers.find(connection, found.platform_id, found.helper_id)
        now = clocks.now_at(connection, found.platform_id, clock.now())
        # The link of one exchange ends sooner than the helper, who can open it again.
        return helper.locale, "helper_again" if helper.works(now) else "helper_gone", platform
    return members.find(connection, found.platform_id, found.member_id).locale, "gone", platform
