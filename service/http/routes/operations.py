"""What the operator of an instance looks at: dead letters, outages and metrics."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection, RowMapping
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service import clock, db, reruns
from service.http.auth import Actor, Operator, operator, platform_key, scraper
from service.http.edge import edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.schemas.base import DeadLetterId
from service.http.schemas.operations import (
    DeadLetterOut,
    DeadLetterPage,
    OperatorDeadLetterOut,
    OperatorDeadLetterPage,
    OutageBody,
    OutageOut,
    OutagePage,
)
from service.ids import encode
from service.operations import dead_letters, metrics, outages, queues
from service.platforms.clocks import now_at
from service.wake import answers

router = APIRouter(tags=["Operations"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(platform_key("operations:read"))]
Writer = Annotated[Actor, Depends(platform_key("operations:write"))]
Open = Annotated[bool | None, Query(alias="open", description="true: not taken up again yet.")]


def _letter(row: RowMapping) -> dict[str, Any]:
    as_is = ("work", "subject", "error", "attempts", "first_failed_at", "died_at")
    return {
        "id": encode("dead_letter", row["id"]),
        "object": "dead_letter",
        **{name: row[name] for name in as_is},
        "resolved_at": row["resolved_at"],
        "resolution": row["resolution"],
    }


def _anybodys_letter(row: RowMapping) -> dict[str, Any]:
    return {**_letter(row), "platform": encode("platform", row["platform_id"])}


def _outage(row: RowMapping) -> dict[str, Any]:
    as_is = ("kind", "began_at", "ended_at", "reason", "recorded_at")
    return {
        "id": encode("outage", row["id"]),
        "object": "outage",
        **{name: row[name] for name in as_is},
    }


@router.get(
    "/v1/dead-letters",
    operation_id="list_dead_letters",
    summary="List work that was given up",
    response_model=DeadLetterPage,
    responses=documented(400, 422),
)
async def list_dead_letters(
    request: Request, actor: Reader, open_: Open = None, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """Newest first. What fails for no reason of the outside's is given up after a few times."""
    rows = await edge_of(request).run(
        actor.platform_id,
        lambda c: dead_letters.page(
            c, actor.platform_id, limit=limit + 1, after=uuid_after(cursor), open_=open_
        ),
    )
    return page(request, rows, limit, _letter, lambda row: (row["id"],))


@router.get(
    "/v1/dead-letters/{dead_letter}",
    operation_id="get_dead_letter",
    summary="Read a dead letter",
    response_model=DeadLetterOut,
    responses=documented(404),
)
async def get_dead_letter(request: Request, dead_letter: DeadLetterId, actor: Reader) -> Response:
    """What could not be done, and why."""
    row = await edge_of(request).run(
        actor.platform_id, lambda c: dead_letters.find(c, actor.platform_id, dead_letter)
    )
    return json_response(_letter(row))


@router.post(
    "/v1/dead-letters/{dead_letter}/retry",
    operation_id="retry_dead_letter",
    summary="Have work taken up again",
    response_model=DeadLetterOut,
    responses=documented(400, 404, 409),
)
async def retry_dead_letter(
    request: Request, dead_letter: DeadLetterId, actor: Writer, key: KeyHeader = None
) -> Response:
    """Once its cause is mended. If it fails again it is a new dead letter."""
    edge = edge_of(request)

    def work(connection: Connection, now: datetime) -> Answer:
        row = reruns.retry(connection, actor.platform_id, dead_letter, now)
        return Answer(_letter(row))

    response = await once(request, edge, actor, key, work)
    edge.wake()
    return response


@router.get(
    "/v1/operator/dead-letters",
    operation_id="list_all_dead_letters",
    summary="List all platforms' work that was given up",
    response_model=OperatorDeadLetterPage,
    responses=documented(400, 422),
    dependencies=[Depends(operator)],
)
async def list_all_dead_letters(
    request: Request, open_: Open = None, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """Newest first; for the operator."""
    rows = await edge_of(request).run(
        db.SYSTEM,
        lambda c: dead_letters.page(
            c, None, limit=limit + 1, after=uuid_after(cursor), open_=open_
        ),
    )
    return page(request, rows, limit, _anybodys_letter, lambda row: (row["id"],))


@router.post(
    "/v1/operator/dead-letters/{dead_letter}/retry",
    operation_id="retry_any_dead_letter",
    summary="Have any platform's work taken up again",
    response_model=OperatorDeadLetterOut,
    responses=documented(400, 404, 409),
)
async def retry_any_dead_letter(
    request: Request,
    dead_letter: DeadLetterId,
    actor: Annotated[Operator, Depends(operator)],
    key: KeyHeader = None,
) -> Response:
    """For the operator; as a platform does with its own."""
    edge = edge_of(request)

    def work(connection: Connection, now: datetime) -> Answer:
        platform_id = dead_letters.platform_of(connection, dead_letter)
        at = now_at(connection, platform_id, now)
        return Answer(_anybodys_letter(reruns.retry(connection, platform_id, dead_letter, at)))

    response = await once(request, edge, actor, key, work)
    edge.wake()
    return response


@router.get(
    "/v1/operator/outages",
    operation_id="list_outages",
    summary="List when the instance was away",
    response_model=OutagePage,
    responses=documented(400, 422),
    dependencies=[Depends(operator)],
)
async def list_outages(request: Request, limit: Limit = 25, cursor: Cursor = None) -> Response:
    """The last recorded first. Those of the API are recorded by themselves."""
    rows = await edge_of(request).run(
        db.SYSTEM, lambda c: outages.page(c, limit=limit + 1, after=uuid_after(cursor))
    )
    return page(request, rows, limit, _outage, lambda row: (row["id"],))


@router.post(
    "/v1/operator/outages",
    operation_id="record_outage",
    summary="Record when the instance was away",
    status_code=201,
    response_model=OutageOut,
    responses=documented(400, 413, 415, 422),
)
async def record_outage(
    request: Request,
    body: OutageBody,
    actor: Annotated[Operator, Depends(operator)],
    key: KeyHeader = None,
) -> Response:
    """What members could not reach because of us, such as mail that did not go out."""

    def work(connection: Connection, now: datetime) -> Answer:
        row = outages.record(connection, body.kind, body.began_at, body.ended_at, body.reason, now)
        return Answer(_outage(row), 201)

    return await once(request, edge_of(request), actor, key, work)


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Read the metrics of this process, and what waits in the database",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **documented(),
    },
    dependencies=[Depends(scraper)],
)
async def show_metrics(request: Request) -> Response:
    """Opens with the operator key, or with the metrics token of the settings."""
    edge = edge_of(request)
    now = clock.now()
    reading = await edge.run(db.SYSTEM, lambda c: queues.read(c, now))
    up = await run_in_threadpool(answers, edge.settings.redis_url)
    text = metrics.render(queues.registry_of(reading, broker_up=up))
    return Response(text, media_type=metrics.CONTENT_TYPE)
