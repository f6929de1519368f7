"""Helpers of a member: people who act for them within limits, on the record."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from service.exchanges import helpers
from service.exchanges.commands import Who
from service.http import presenters
from service.http.auth import Actor, platform_key
from service.http.edge import edge_of
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.moment import moment
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.schemas.base import HelperId, MemberId
from service.http.schemas.helpers import HelperBody, HelperOut, HelperPage
from service.messages import links
from service.platforms import helpers as stored
from service.platforms import members

router = APIRouter(prefix="/v1/members/{member}/helpers", tags=["Members"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(platform_key("members:read"))]
#: What is done for a member in their name.
Doer = Annotated[Actor, Depends(platform_key("members:act"))]
_RESPONSES: Final = documented(400, 404, 409, 413, 415, 422)


@router.post(
    "",
    operation_id="name_helper",
    summary="Name a helper for a member",
    status_code=201,
    response_model=HelperOut,
    responses=_RESPONSES,
)
async def name_helper(
    request: Request, member: MemberId, body: HelperBody, actor: Doer, key: KeyHeader = None
) -> Response:
    """At the member's wish, which `consent` says how you know of. The member is told.

    What the helper does bears their name, the member is told each time, and the other side sees
    that somebody else did it. Their link is in this answer alone; by e-mail they get one too.
    """
    edge = edge_of(request)
    limit = None if body.limit is None else (body.limit.amount, body.limit.unit)
    draft = helpers.Draft(
        name=body.name,
        email=body.email,
        phone=body.phone,
        may=body.may,
        ends_at=body.ends_at,
        limit=limit,
        exchange_id=body.exchange,
        consent=body.consent,
        locale=body.locale,
    )

    def work(connection: Connection, now: datetime) -> Answer:
        made = helpers.name(connection, actor.platform_id, Who(member, "platform"), draft, now)
        url = links.make_for_helper(
            connection, made, None, now, public_url=edge.settings.public_url
        )
        shown = presenters.helper(made, now, url)
        there = f"/v1/members/{shown['member']}/helpers/{shown['id']}"
        return Answer(shown, 201, there, kept=presenters.helper(made, now))

    return await once(request, edge, actor, key, work)


@router.get(
    "",
    operation_id="list_helpers",
    summary="List a member's helpers",
    response_model=HelperPage,
    responses=documented(400, 404, 422),
)
async def list_helpers(
    request: Request, member: MemberId, actor: Reader, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """Newest first, those who have ended too."""
    after = uuid_after(cursor)

    def work(connection: Connection) -> Response:
        members.find(connection, actor.platform_id, member)
        now = moment(connection, actor)
        found = stored.page(connection, actor.platform_id, member, limit=limit + 1, after=after)
        return page(
            request, found, limit, lambda one: presenters.helper(one, now), lambda one: (one.id,)
        )

    return await edge_of(request).run(actor.platform_id, work)


@router.post(
    "/{helper}/end",
    operation_id="end_helper",
    summary="End a helper now",
    response_model=HelperOut,
    responses=_RESPONSES,
)
async def end_helper(
    request: Request, member: MemberId, helper: HelperId, actor: Doer, key: KeyHeader = None
) -> Response:
    """At once, and for good: their links open nothing any more. What they did stays done."""

    def work(connection: Connection, now: datetime) -> Answer:
        who = Who(member, "platform")
        ended = helpers.end(connection, actor.platform_id, who, helper, now)
        return Answer(presenters.helper(ended, now))

    return await once(request, edge_of(request), actor, key, work)
