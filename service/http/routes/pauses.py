"""Members who cannot act for a while: their deadlines stand still."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from service.exchanges import pauses
from service.exchanges.pauses import MemberPause
from service.http.auth import Actor, platform_key
from service.http.edge import edge_of
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.schemas.base import MemberId, PauseId
from service.http.schemas.pauses import PauseBody, PauseOut, PausePage
from service.ids import encode

router = APIRouter(prefix="/v1/members/{member}/pauses", tags=["Members"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(platform_key("members:read"))]
Writer = Annotated[Actor, Depends(platform_key("members:write"))]
_RESPONSES: Final = documented(400, 404, 409, 413, 415, 422)


@router.post(
    "",
    operation_id="pause_member",
    summary="Let a member's deadlines stand still",
    status_code=201,
    response_model=PauseOut,
    responses=_RESPONSES,
)
async def pause_member(
    request: Request, member: MemberId, body: PauseBody, actor: Writer, key: KeyHeader = None
) -> Response:
    """For somebody who cannot act, in hospital or after a flood, as you have made sure.

    Their deadlines move by as much, 30 days at most each; the limits of how long money may be held
    do not. What has had its outcome already stays as it is.
    """

    def work(connection: Connection, now: datetime) -> Answer:
        made = pauses.record(
            connection, actor.platform_id, member, body.from_ or now, body.until, now
        )
        return Answer(_shown(made), 201)

    return await once(request, edge_of(request), actor, key, work)


@router.get(
    "",
    operation_id="list_member_pauses",
    summary="List a member's pauses",
    response_model=PausePage,
    responses=documented(400, 404, 422),
)
async def list_pauses(
    request: Request, member: MemberId, actor: Reader, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """Newest first."""
    found = await edge_of(request).run(
        actor.platform_id,
        lambda c: pauses.page(
            c, actor.platform_id, member, limit=limit + 1, after=uuid_after(cursor)
        ),
    )
    return page(request, found, limit, _shown, lambda one: (one.id,))


@router.post(
    "/{pause}/end",
    operation_id="end_member_pause",
    summary="End a pause now",
    response_model=PauseOut,
    responses=_RESPONSES,
)
async def end_pause(
    request: Request, member: MemberId, pause: PauseId, actor: Writer, key: KeyHeader = None
) -> Response:
    """The member is back sooner. Deadlines move no further."""

    def work(connection: Connection, now: datetime) -> Answer:
        return Answer(_shown(pauses.end(connection, actor.platform_id, member, pause, now)))

    return await once(request, edge_of(request), actor, key, work)


def _shown(pause: MemberPause) -> dict[str, Any]:
    return {
        "id": encode("pause", pause.id),
        "object": "member_pause",
        "member": encode("member", pause.member_id),
        "from": pause.began_at,
        "until": pause.ended_at,
        "created_at": pause.recorded_at,
    }
