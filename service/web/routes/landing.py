"""The landing page: a newcomer is each person in turn, on a development machine alone.

It signs in as anybody of one sandbox, so it is there only where ``tierce up`` made that sandbox
and ``TIERCE_DEV_PAGES`` says so; everywhere else there is nothing at these addresses.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from service import clock, db
from service.exchanges import queries, sweep
from service.exchanges.decide import Rules
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.exchanges.refusals import ExchangeNotFound
from service.http.edge import Edge, edge_of
from service.http.refusals import NotFound
from service.ids import decode, encode
from service.mediators import sessions
from service.messages import links
from service.platforms import clocks
from service.sandbox import passing
from service.web.desk import session as desk
from service.web.forms import fields
from service.web.landing import place as places
from service.web.landing import stories, telling
from service.web.landing.place import Place
from service.web.office import session as office
from service.web.origin import is_ours
from service.web.render import HEADERS, respond
from service.web.routes import door
from service.web.words import Speech, language, preferred

router = APIRouter(include_in_schema=False)

_DAYS: Final = {"1": 1, "3": 3, "8": 8}
#: What is due at an instant is done when the clock stands at it, or a moment later.
_JUST_AFTER: Final = timedelta(seconds=1)


def _enter(request: Request) -> tuple[Edge, Place, Speech]:
    """Return where the page plays.

    Raises:
        NotFound: this instance has no landing page, or a form comes from another site.
    """
    edge = edge_of(request)
    found = places.read(edge.settings)
    foreign = request.method == "POST" and not is_ours(request, edge.settings.public_url)
    if found is None or foreign:
        raise NotFound("There is nothing at this address.")
    own = preferred(request.headers.get("accept-language", ""))
    locale = language(door.asked(request), own)
    return edge, found, Speech(locale, "landing", {})


def _back(say: Speech, path: str) -> Response:
    return RedirectResponse(f"{path}?lang={say.locale}", 303, HEADERS)


def _exchange(text: str) -> UUID:
    try:
        return decode("exchange", text)
    except ValueError as error:
        raise NotFound("There is nothing at this address.") from error


async def _known(edge: Edge, place: Place, exchange_id: UUID) -> Exchange:
    """Return an exchange of the landing page's platform.

    Raises:
        NotFound: it is none.
    """
    try:
        return await edge.run(
            place.platform_id, lambda c: queries.find(c, place.platform_id, exchange_id)
        )
    except ExchangeNotFound as error:
        raise NotFound("There is nothing at this address.") from error


@router.get("/", operation_id="landing")
async def landing(request: Request) -> Response:
    """Show the stories that can be begun, and those that were."""
    edge, place, say = _enter(request)
    found = await edge.run(place.platform_id, lambda c: telling.listed(c, place))
    known = list(stories.STORIES)
    return respond("landing.html", say, here="/", own=None, stories=known, begun=found)


@router.post("/demo", operation_id="begin_story")
async def begin(request: Request) -> Response:
    """Begin a story: two members, and terms that the payee proposes."""
    edge, place, say = _enter(request)
    name = (await fields(request)).get("story", "")
    if name not in stories.STORIES:
        raise NotFound("There is nothing at this address.")

    def work(connection: Connection) -> tuple[UUID, list[UUID]]:
        clocks.hold(connection, place.platform_id)
        now = clocks.now_at(connection, place.platform_id, clock.now())
        provider = edge.desk.providers.of(connection, place.platform_id, "sandbox")
        rules = Rules(now, edge.codes)
        return stories.begin(connection, place.platform_id, name, provider, rules, say)

    exchange_id, payments = await edge.run(place.platform_id, work)
    now = await edge.run(
        place.platform_id, lambda c: clocks.now_at(c, place.platform_id, clock.now())
    )
    for one in payments:
        await run_in_threadpool(sweep.submit, edge.desk, place.platform_id, one, now)
    edge.wake()
    return _back(say, f"/demo/{encode('exchange', exchange_id)}")


@router.get("/demo/{exchange}", operation_id="story")
async def show_story(request: Request, exchange: str) -> Response:
    """Show where a story stands, and who there is to be."""
    edge, place, say = _enter(request)
    exchange_id = _exchange(exchange)
    await _known(edge, place, exchange_id)
    found = await edge.run(place.platform_id, lambda c: telling.story(c, place, exchange_id, say))
    return respond("story.html", say, here=f"/demo/{exchange}", own=None, view=found)


@router.post("/demo/{exchange}/be/{who}", operation_id="be_somebody")
async def be(request: Request, exchange: str, who: str) -> Response:
    """Go on as one person of the story, on the page that they would have."""
    edge, place, say = _enter(request)
    exchange_id = _exchange(exchange)
    await _known(edge, place, exchange_id)
    if who == "office":
        response = _back(say, f"/office/exchanges/{exchange}")
        office.start(response, edge, place.api_key)
        return response
    if who in set(Role):
        return await _member(edge, place, exchange_id, Role(who))
    wanted = next((one for one in place.neutrals.values() if str(one) == who), None)
    if wanted is None:
        raise NotFound("There is nothing at this address.")
    return await _neutral(edge, place, exchange_id, wanted, say)


async def _member(edge: Edge, place: Place, exchange_id: UUID, role: Role) -> Response:
    def work(connection: Connection) -> str:
        found = queries.find(connection, place.platform_id, exchange_id)
        now = clocks.now_at(connection, place.platform_id, clock.now())
        key = (place.platform_id, found.member(role), exchange_id, "demo", now)
        return links.make(connection, *key, public_url="")

    return RedirectResponse(await edge.run(place.platform_id, work), 303, HEADERS)


async def _neutral(
    edge: Edge, place: Place, exchange_id: UUID, mediator_id: UUID, say: Speech
) -> Response:
    found = await _known(edge, place, exchange_id)
    begun = await edge.run(db.SYSTEM, lambda c: sessions.start(c, mediator_id, clock.now()))
    case = found.case_id
    path = "/desk/queue" if case is None else f"/desk/cases/{encode('case', case)}"
    response = _back(say, path)
    desk.begin(response, edge, mediator_id, begun.id, begun.expires_at)
    return response


@router.post("/demo/{exchange}/clock", operation_id="move_clock_of_story")
async def move(request: Request, exchange: str) -> Response:
    """Let time pass in the story's sandbox: some days, or to what happens next by itself."""
    edge, place, say = _enter(request)
    exchange_id = _exchange(exchange)
    await _known(edge, place, exchange_id)
    wanted = (await fields(request)).get("by", "")
    if wanted != "next" and wanted not in _DAYS:
        raise NotFound("There is nothing at this address.")

    def work(connection: Connection) -> UUID | None:
        now = clocks.now_at(connection, place.platform_id, clock.now())
        by = timedelta(days=_DAYS.get(wanted, 0))
        if wanted == "next":
            due = telling.next_due(connection, place, exchange_id)
            if due is None:
                return None  # it has ended meanwhile
            by = max(due - now, timedelta()) + _JUST_AFTER
        return passing.begin(connection, place.platform_id, now, clock.now(), by=by)

    begun = await edge.run(place.platform_id, work)
    if begun is not None:
        await run_in_threadpool(passing.carry_out, edge.desk, place.platform_id, begun, clock.now)
    return _back(say, f"/demo/{exchange}")
