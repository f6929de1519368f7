"""What a platform knows of the neutrals who serve it: who of them is tied to it or its members."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import mediators, pools, ties
from disputes.recusal import Tie, TieKind
from service.http import shown_mediators
from service.http.auth import Actor, platform_key
from service.http.edge import edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.moment import moment
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.schemas.base import TieId
from service.http.schemas.mediator_desk import NeutralPage, OwnTieBody, TieOut, TiePage
from service.ids import encode
from service.platforms import members

router = APIRouter(prefix="/v1", tags=["Mediation"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(platform_key("cases:read"))]
Writer = Annotated[Actor, Depends(platform_key("cases:write"))]


def _neutral(one: tuple[UUID, str]) -> dict[str, Any]:
    return {"id": encode("mediator", one[0]), "object": "mediator", "name": one[1]}


@router.get(
    "/mediators",
    operation_id="list_serving_mediators",
    summary="List who may be drawn for your cases",
    response_model=NeutralPage,
    responses=documented(400, 422),
)
async def list_serving_mediators(
    request: Request, actor: Reader, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """Their names alone, so that you can say who of them is tied to you or to a member."""

    def work(connection: Connection) -> list[tuple[UUID, str]]:
        now, after = moment(connection, actor), uuid_after(cursor)
        return pools.serving(connection, actor.platform_id, now, after, limit + 1)

    found = await edge_of(request).run(actor.platform_id, work)
    return page(request, found, limit, _neutral, lambda one: (one[0],))


@router.get(
    "/mediator-ties",
    operation_id="list_own_mediator_ties",
    summary="List the ties that you have told of",
    response_model=TiePage,
    responses=documented(400, 422),
)
async def list_own_mediator_ties(
    request: Request, actor: Reader, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """Oldest first, ended ones too. What others have told of a mediator is not shown."""
    found = await edge_of(request).run(
        actor.platform_id,
        lambda c: ties.page(
            c, uuid_after(cursor), limit + 1, platform_id=actor.platform_id, by="platform"
        ),
    )
    return page(request, found, limit, shown_mediators.tie, lambda one: (one.id,))


@router.get(
    "/mediator-ties/{tie}",
    operation_id="get_own_mediator_tie",
    summary="Read a tie that you have told of",
    response_model=TieOut,
    responses=documented(404),
)
async def get_own_mediator_tie(request: Request, tie: TieId, actor: Reader) -> Response:
    """Until when it holds, and what you noted."""
    found = await edge_of(request).run(actor.platform_id, lambda c: ties.get(c, tie))
    return json_response(shown_mediators.tie(found))


@router.post(
    "/mediator-ties",
    operation_id="create_own_mediator_tie",
    summary="Say that a mediator is tied to you or to a member",
    status_code=201,
    response_model=TieOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def create_own_mediator_tie(
    request: Request, body: OwnTieBody, actor: Writer, key: KeyHeader = None
) -> Response:
    """As your `staff`, or of a member's `household`, or as their `helper`, either way round.

    From the next draw on it keeps them off each case that it touches: `staff` off all of yours.
    """

    def work(connection: Connection, now: datetime) -> Answer:
        if body.member is not None:
            members.find(connection, actor.platform_id, body.member)
        tie = Tie(TieKind(body.kind), actor.platform_id, body.member)
        made = mediators.declare(connection, body.mediator, tie, body.note, now, "platform")
        shown = shown_mediators.tie(ties.get(connection, made))
        return Answer(shown, 201, f"/v1/mediator-ties/{shown['id']}")

    return await once(request, edge_of(request), actor, key, work)


@router.post(
    "/mediator-ties/{tie}/end",
    operation_id="end_own_mediator_tie",
    summary="End a tie that you have told of",
    response_model=TieOut,
    responses=documented(400, 404, 409),
)
async def end_own_mediator_tie(
    request: Request, tie: TieId, actor: Writer, key: KeyHeader = None
) -> Response:
    """It holds no more, and stays on record. Once more it changes nothing."""

    def work(connection: Connection, now: datetime) -> Answer:
        found = ties.get(connection, tie)
        mediators.end_tie(connection, found.mediator_id, tie, now, "platform")
        return Answer(shown_mediators.tie(ties.get(connection, tie)))

    return await once(request, edge_of(request), actor, key, work)
