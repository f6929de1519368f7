"""Name and end helpers on a member's page; and the page of a helper's own link.

A helper's link opens the list of what they can help with; each exchange opens by a link of its own
there, and is the member's page with what the helper may do. The helper names nobody.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from ledger import units
from ledger.refusals import Refusal
from service import clock, db
from service.exchanges import helpers
from service.exchanges.model import Exchange
from service.http.edge import Edge, edge_of
from service.http.schemas.base import HelperId
from service.ids import decode, encode, spoken
from service.messages import links, words
from service.messages.links import Found, Standing
from service.platforms import clocks, members, platforms
from service.platforms import helpers as stored
from service.platforms.helpers import Helper
from service.web import qr
from service.web.forms import fields
from service.web.member import helpers as told
from service.web.member import taking
from service.web.member.scene import Scene
from service.web.origin import is_ours
from service.web.render import HEADERS, respond
from service.web.routes import door
from service.web.routes.member import show
from service.web.words import Speech, language, telephone

router = APIRouter(include_in_schema=False)


def _page(
    connection: Connection,
    scene: Scene,
    *,
    status: int = 200,
    error: str | None = None,
    done: str | None = None,
    form: dict[str, str] | None = None,
) -> Response:
    say = told.speech(scene)
    return respond(
        "helpers.html",
        say,
        status=status,
        here=f"{scene.address}/helpers",
        own=scene.own_locale,
        scene=scene,
        lines=told.lines(connection, scene),
        days=told.DAYS,
        may=list(stored.May),
        may_words=words.catalogue(scene.locale, "words")["helper_may"],
        units=list(scene.units.values()),
        said=form or {},
        error=None if error is None else say(f"error_{error}"),
        view={"number": spoken(scene.exchange.id)},
        wrong=error,
        done=done,
    )


def _closed_to_helpers(request: Request, scene: Scene) -> Response | None:
    if scene.helper is None:
        return None
    return show(edge_of(request), scene, status=403, error=scene.say("error.helper_may_not"))


@router.get("/l/{token}/helpers", operation_id="open_helpers_by_link")
async def open_helpers(request: Request, token: str, done: str = "") -> Response:
    """Show who helps the member, and ask for one more."""

    def work(connection: Connection, _found: Found, scene: Scene) -> Response:
        noted = told.speech(scene)("ended") if done == "ended" else None
        return _closed_to_helpers(request, scene) or _page(connection, scene, done=noted)

    return await door.enter(request, token, work)


@router.post("/l/{token}/helpers", operation_id="name_helper_by_link")
async def name_helper(request: Request, token: str) -> Response:
    """Name a helper; their own link is shown on the answer alone."""
    edge, form = edge_of(request), await fields(request)

    def work(connection: Connection, found: Found, scene: Scene) -> Response:
        shut = _closed_to_helpers(request, scene)
        if shut is not None:
            return shut
        draft = told.draft(scene, form)
        if isinstance(draft, str):
            return _page(connection, scene, status=422, error=draft, form=form)
        platform_id = scene.exchange.platform_id
        clocks.hold(connection, platform_id)
        try:
            made = helpers.name(connection, platform_id, scene.who, draft, scene.now)
        except Refusal as refusal:
            code = refusal.code if told.speech(scene).has(f"error_{refusal.code}") else "refused"
            return _page(connection, scene, status=409, error=code, form=form)
        links.used(connection, found, clock.now())
        return _named(edge, connection, scene, made)

    answer = await door.enter(request, token, work)
    edge.wake()
    return answer


def _named(edge: Edge, connection: Connection, scene: Scene, made: Helper) -> Response:
    url = links.make_for_helper(
        connection, made, None, scene.now, public_url=edge.settings.public_url
    )
    say = told.speech(scene)
    return respond(
        "helper_named.html",
        say,
        here=f"{scene.address}/helpers",
        own=scene.own_locale,
        name=words.clean(made.name or ""),
        limits=told.limits(made, say, scene.units, scene.member.time_zone),
        url=url,
        square=qr.draw(url),
        by_mail=made.email is not None,
        scene=scene,
        view={"number": spoken(scene.exchange.id)},
        back=scene.link("/helpers"),
    )


@router.post("/l/{token}/helpers/{helper}/end", operation_id="end_helper_by_link")
async def end_helper(request: Request, token: str, helper: HelperId) -> Response:
    """End a helper at once; one that has ended stays so."""
    edge = edge_of(request)

    def work(connection: Connection, found: Found, scene: Scene) -> Response:
        shut = _closed_to_helpers(request, scene)
        if shut is not None:
            return shut
        platform_id = scene.exchange.platform_id
        clocks.hold(connection, platform_id)
        try:
            helpers.end(connection, platform_id, scene.who, helper, scene.now)
        except helpers.HelperOver:
            pass  # a second press
        except Refusal as refusal:
            return show(edge_of(request), scene, status=409, error=taking.error(scene, refusal))
        links.used(connection, found, clock.now())
        return RedirectResponse(scene.link("/helpers", done="ended"), 303, HEADERS)

    answer = await door.enter(request, token, work)
    edge.wake()
    return answer


async def _find(request: Request, token: str) -> Found | Response:
    """Return whose link a helper's token is, or the page that says why it opens nothing."""
    edge = edge_of(request)
    if request.method == "POST" and not is_ours(request, edge.settings.public_url):
        return door.closed(request, "foreign", 403)
    found = await edge.run(db.SYSTEM, lambda c: links.find(c, token, clock.now()))
    mine = found.helper_id is not None and found.exchange_id is None
    if found.standing is Standing.UNKNOWN or found.platform_id is None or not mine:
        return door.closed(request, "unknown", 404)
    if found.standing is Standing.ENDED:
        return await door.ended(request, found)
    return found


def _line(exchange: Exchange, helper: Helper, say: Speech) -> dict[str, Any]:
    return {
        "id": encode("exchange", exchange.id),
        "title": words.clean(str(exchange.terms["title"])),
        "over": exchange.closed_at is not None,
        "side": say(f"side_{exchange.role_of(helper.member_id)}"),
    }


@router.get("/h/{token}", operation_id="open_helper_link")
async def open_home(request: Request, token: str) -> Response:
    """Show a helper whom they help, what they may do, and where. Nothing changes by looking."""
    found = await _find(request, token)
    if isinstance(found, Response):
        return found
    platform_id, helper_id = found.platform_id, found.helper_id
    assert platform_id is not None
    assert helper_id is not None

    def work(connection: Connection) -> Response:
        one = stored.find(connection, platform_id, helper_id)
        locale = language(door.asked(request), one.locale)
        member = members.find(connection, platform_id, one.member_id)
        somebody = words.catalogue(locale, "words")["somebody_helped"]
        platform = platforms.find(connection, platform_id)
        facts = {
            "me": words.clean(member.name) if member.name else somebody,
            "platform": words.clean(platform.name),
            "phone": None if platform.phone is None else telephone(platform.phone),
        }
        say = Speech(locale, "helper", facts)
        known = units.find_many(
            connection, platform_id, {one.limit_unit} if one.limit_unit else set()
        )
        return respond(
            "helper_home.html",
            say,
            here=f"/h/{token}",
            own=one.locale,
            limits=told.limits(one, say, known, member.time_zone),
            exchanges=[_line(x, one, say) for x in helpers.exchanges_of(connection, one)],
            open=f"/h/{token}/open",
        )

    return await edge_of(request).run(platform_id, work)


@router.post("/h/{token}/open", operation_id="open_exchange_as_helper")
async def open_exchange(request: Request, token: str) -> Response:
    """Open one of the exchanges that a helper can help with, by a link of its own."""
    edge, form = edge_of(request), await fields(request)
    found = await _find(request, token)
    if isinstance(found, Response):
        return found
    platform_id, helper_id = found.platform_id, found.helper_id
    assert platform_id is not None
    assert helper_id is not None

    def work(connection: Connection) -> Response:
        one = stored.find(connection, platform_id, helper_id)
        try:
            wanted = decode("exchange", form.get("exchange", ""))
        except ValueError:
            return RedirectResponse(f"/h/{token}", 303, HEADERS)
        if wanted not in {each.id for each in helpers.exchanges_of(connection, one)}:
            return RedirectResponse(f"/h/{token}", 303, HEADERS)
        now = clocks.now_at(connection, platform_id, clock.now())
        url = links.make_for_helper(connection, one, wanted, now, public_url="")
        links.used(connection, found, clock.now())
        return RedirectResponse(url, 303, HEADERS)

    return await edge.run(platform_id, work)
