"""The operator's side of who may take which case: pools, ties, and the record of each draw."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import assignments, mediators, pools, store, ties
from disputes.recusal import Tie, TieKind
from disputes.refusals import CaseNotFound
from service import db
from service.http import shown_mediators
from service.http.auth import Operator, operator
from service.http.edge import edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.schemas.base import CaseId, MediatorId, PlatformId, PoolId, TieId
from service.http.schemas.mediator_desk import (
    AssignmentsOut,
    PoolBody,
    PoolOut,
    PoolPage,
    TieBody,
    TieOut,
    TiePage,
)
from service.ids import encode, uuid7
from service.platforms import members, platforms

router = APIRouter(prefix="/v1/operator", tags=["Mediation"], route_class=StrictRoute)

TheOperator = Annotated[Operator, Depends(operator)]


@router.post(
    "/pools",
    operation_id="create_pool",
    summary="Make a pool of mediators",
    status_code=201,
    response_model=PoolOut,
    responses=documented(400, 409, 413, 415, 422),
)
async def create_pool(
    request: Request, body: PoolBody, actor: TheOperator, key: KeyHeader = None
) -> Response:
    """Put mediators in it, and the platforms that it serves."""

    def work(connection: Connection, now: datetime) -> Answer:
        pool_id = uuid7()
        mediators.make_pool(connection, pool_id, body.name, now)
        shown = shown_mediators.pool(pools.get(connection, pool_id))
        return Answer(shown, 201, f"/v1/operator/pools/{shown['id']}")

    return await once(request, edge_of(request), actor, key, work)


@router.get(
    "/pools",
    operation_id="list_pools",
    summary="List pools",
    response_model=PoolPage,
    responses=documented(400, 422),
    dependencies=[Depends(operator)],
)
async def list_pools(request: Request, limit: Limit = 25, cursor: Cursor = None) -> Response:
    """Oldest first, with who is in each and whom it serves."""
    found = await edge_of(request).run(
        db.SYSTEM, lambda c: pools.page(c, uuid_after(cursor), limit + 1)
    )
    return page(request, found, limit, shown_mediators.pool, lambda one: (one.id,))


@router.get(
    "/pools/{pool}",
    operation_id="get_pool",
    summary="Read a pool",
    response_model=PoolOut,
    responses=documented(404),
    dependencies=[Depends(operator)],
)
async def get_pool(request: Request, pool: PoolId) -> Response:
    """With who is in it and whom it serves."""
    found = await edge_of(request).run(db.SYSTEM, lambda c: pools.get(c, pool))
    return json_response(shown_mediators.pool(found))


async def _changed(
    request: Request, pool_id: UUID, change: Callable[[Connection], None]
) -> Response:
    """Change a pool, and answer with it; once more it changes nothing."""

    def work(connection: Connection) -> dict[str, Any]:
        pools.get(connection, pool_id)
        change(connection)
        return shown_mediators.pool(pools.get(connection, pool_id))

    return json_response(await edge_of(request).run(db.SYSTEM, work))


def _on_pool(method: str, path: str, operation: str, summary: str) -> Callable[[Any], Any]:
    return router.api_route(
        f"/pools/{{pool}}{path}",
        methods=[method],
        operation_id=operation,
        summary=summary,
        response_model=PoolOut,
        responses=documented(404),
        dependencies=[Depends(operator)],
    )


@_on_pool("PUT", "/mediators/{mediator}", "add_pool_mediator", "Put a mediator in a pool")
async def add_pool_mediator(request: Request, pool: PoolId, mediator: MediatorId) -> Response:
    """They may be drawn for every platform that it serves, from the next draw on."""
    return await _changed(request, pool, lambda c: mediators.put_in_pool(c, pool, [mediator]))


@_on_pool(
    "DELETE", "/mediators/{mediator}", "remove_pool_mediator", "Take a mediator out of a pool"
)
async def remove_pool_mediator(request: Request, pool: PoolId, mediator: MediatorId) -> Response:
    """They are drawn from it no more, and keep the cases they have."""
    return await _changed(request, pool, lambda c: mediators.take_from_pool(c, pool, mediator))


@_on_pool("PUT", "/platforms/{platform}", "add_pool_platform", "Let a pool serve a platform")
async def add_pool_platform(request: Request, pool: PoolId, platform: PlatformId) -> Response:
    """Its mediators may be drawn for cases of the platform."""

    def change(connection: Connection) -> None:
        platforms.find(connection, platform)
        mediators.serve(connection, pool, platform)

    return await _changed(request, pool, change)


@_on_pool(
    "DELETE", "/platforms/{platform}", "remove_pool_platform", "Let a pool serve a platform no more"
)
async def remove_pool_platform(request: Request, pool: PoolId, platform: PlatformId) -> Response:
    """None of its mediators is drawn for the platform by it; they keep the cases they have."""
    return await _changed(request, pool, lambda c: mediators.serve_no_more(c, pool, platform))


@router.get(
    "/mediators/{mediator}/ties",
    operation_id="list_mediator_ties",
    summary="List what ties a mediator",
    response_model=TiePage,
    responses=documented(400, 404, 422),
    dependencies=[Depends(operator)],
)
async def list_mediator_ties(
    request: Request, mediator: MediatorId, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """Whoever told of it: you, a platform, or they themselves. Oldest first, ended ones too."""

    def work(connection: Connection) -> list[ties.Told]:
        mediators.get(connection, mediator)
        return ties.page(connection, uuid_after(cursor), limit + 1, mediator_id=mediator)

    found = await edge_of(request).run(db.SYSTEM, work)
    return page(request, found, limit, shown_mediators.tie, lambda one: (one.id,))


@router.post(
    "/mediators/{mediator}/ties",
    operation_id="create_mediator_tie",
    summary="Record what ties a mediator",
    status_code=201,
    response_model=TieOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def create_mediator_tie(
    request: Request, mediator: MediatorId, body: TieBody, actor: TheOperator, key: KeyHeader = None
) -> Response:
    """From the next draw on it keeps them off every case that it touches."""
    hashed = None if body.instrument is None else mediators.instrument(body.instrument)
    tie = Tie(TieKind(body.kind), body.platform, body.member, hashed)

    def work(connection: Connection, now: datetime) -> Answer:
        if body.platform is not None:
            platforms.find(connection, body.platform)
            if body.member is not None:
                members.find(connection, body.platform, body.member)
        made = mediators.declare(connection, mediator, tie, body.note, now)
        return Answer(shown_mediators.tie(ties.get(connection, made)), 201)

    return await once(request, edge_of(request), actor, key, work)


@router.post(
    "/mediators/{mediator}/ties/{tie}/end",
    operation_id="end_mediator_tie",
    summary="End what ties a mediator",
    response_model=TieOut,
    responses=documented(400, 404, 409),
)
async def end_mediator_tie(
    request: Request, mediator: MediatorId, tie: TieId, actor: TheOperator, key: KeyHeader = None
) -> Response:
    """It holds no more, and stays on record. Once more it changes nothing."""

    def work(connection: Connection, now: datetime) -> Answer:
        if ties.get(connection, tie).mediator_id != mediator:
            raise ties.TieNotFound("No tie with this id.")
        mediators.end_tie(connection, mediator, tie, now)
        return Answer(shown_mediators.tie(ties.get(connection, tie)))

    return await once(request, edge_of(request), actor, key, work)


@router.get(
    "/cases/{case}/assignments",
    operation_id="list_case_assignments",
    summary="List who was given a case, and how they were drawn",
    response_model=AssignmentsOut,
    responses=documented(404),
    dependencies=[Depends(operator)],
)
async def list_case_assignments(request: Request, case: CaseId) -> Response:
    """Each draw with its seed, who could have been drawn, who could not and why, and whether
    drawing once more gives the same people.
    """

    def work(connection: Connection) -> dict[str, Any]:
        platform_id = store.platform_of(connection, case)
        if platform_id is None:
            raise CaseNotFound("No case with this id.")
        found = assignments.of_case(connection, platform_id, case)
        return {
            "object": "case_assignments",
            "case": encode("case", case),
            "platform": encode("platform", platform_id),
            "data": shown_mediators.assignments(found),
        }

    return json_response(await edge_of(request).run(db.SYSTEM, work))
