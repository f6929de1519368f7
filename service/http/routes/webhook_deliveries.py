"""What was sent to a webhook endpoint, sending it again, and what there is to send."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection, RowMapping
from starlette.responses import Response

from service import clock
from service.events import catalogue, endpoints, replays
from service.http.edge import edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.routes.webhook_endpoints import Reader, Writer
from service.http.schemas.base import EventId, WebhookEndpointId
from service.http.schemas.webhooks import (
    DeliveryDetail,
    DeliveryOut,
    DeliveryPage,
    EventTypes,
    ReplayBody,
    ReplayOut,
    State,
)
from service.ids import encode

router = APIRouter(prefix="/v1", tags=["Webhooks"], route_class=StrictRoute)


def _delivery(row: RowMapping) -> dict[str, Any]:
    exchange_id = row["exchange_id"]
    return {
        "object": "webhook_delivery",
        "endpoint": encode("webhook_endpoint", row["endpoint_id"]),
        "event": encode("event", row["event_id"]),
        "type": row["type"],
        "exchange": None if exchange_id is None else encode("exchange", exchange_id),
        "sequence": row["sequence"],
        "state": row["state"],
        "attempts": row["taken"],
        "failures": row["failures"],
        "replays": row["replays"],
        "next_at": row["next_at"],
        "created_at": row["created_at"],
        "ended_at": row["ended_at"],
    }


def _attempt(row: RowMapping) -> dict[str, Any]:
    names = ("number", "at", "status", "error", "duration_ms", "answer")
    return {name: row[name] for name in names}


@router.get(
    "/webhook-endpoints/{webhook_endpoint}/deliveries",
    operation_id="list_webhook_deliveries",
    summary="List deliveries to a webhook endpoint",
    response_model=DeliveryPage,
    responses=documented(400, 404, 422),
)
async def list_webhook_deliveries(
    request: Request,
    webhook_endpoint: WebhookEndpointId,
    actor: Reader,
    limit: Limit = 25,
    cursor: Cursor = None,
    state: Annotated[State | None, Query(description="Only those in this state.")] = None,
) -> Response:
    """Those of the newest events first."""
    after = uuid_after(cursor)

    def work(connection: Connection) -> Any:
        endpoints.find(connection, actor.platform_id, webhook_endpoint)
        return replays.page(
            connection,
            actor.platform_id,
            webhook_endpoint,
            limit=limit + 1,
            after=after,
            state=state,
        )

    rows = await edge_of(request).run(actor.platform_id, work)
    return page(request, rows, limit, _delivery, lambda row: (row["event_id"],))


@router.get(
    "/webhook-endpoints/{webhook_endpoint}/deliveries/{event}",
    operation_id="get_webhook_delivery",
    summary="Read a delivery and its attempts",
    response_model=DeliveryDetail,
    responses=documented(404),
)
async def get_webhook_delivery(
    request: Request, webhook_endpoint: WebhookEndpointId, event: EventId, actor: Reader
) -> Response:
    """By the event's id, which is the `webhook-id` that the endpoint saw."""

    def work(connection: Connection) -> dict[str, Any]:
        endpoints.find(connection, actor.platform_id, webhook_endpoint)
        row, log = replays.find(connection, actor.platform_id, webhook_endpoint, event)
        return {**_delivery(row), "log": [_attempt(one) for one in log]}

    return json_response(await edge_of(request).run(actor.platform_id, work))


@router.post(
    "/webhook-endpoints/{webhook_endpoint}/deliveries/{event}/replay",
    operation_id="replay_webhook_delivery",
    summary="Send an event to a webhook endpoint again",
    response_model=DeliveryOut,
    responses=documented(400, 404, 409),
)
async def replay_webhook_delivery(
    request: Request,
    webhook_endpoint: WebhookEndpointId,
    event: EventId,
    actor: Writer,
    key: KeyHeader = None,
) -> Response:
    """At once, under the same `webhook-id`, from the foot of the ladder."""
    edge = edge_of(request)

    def work(connection: Connection, _now: datetime) -> Answer:
        row = endpoints.find(connection, actor.platform_id, webhook_endpoint, lock=True)
        return Answer(_delivery(replays.replay(connection, row, event, clock.now())))

    answer = await once(request, edge, actor, key, work)
    edge.wake()
    return answer


@router.post(
    "/webhook-endpoints/{webhook_endpoint}/replay",
    operation_id="replay_events",
    summary="Send a range of events to a webhook endpoint (again)",
    response_model=ReplayOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def replay_events(
    request: Request,
    webhook_endpoint: WebhookEndpointId,
    body: ReplayBody,
    actor: Writer,
    key: KeyHeader = None,
) -> Response:
    """Also those from before it was there, or while it was disabled. 10,000 at most."""
    edge = edge_of(request)

    def work(connection: Connection, _now: datetime) -> Answer:
        row = endpoints.find(connection, actor.platform_id, webhook_endpoint, lock=True)
        count = replays.replay_range(
            connection,
            row,
            since=body.since,
            until=body.until,
            types=body.types,
            only_failed=body.only_failed,
            now=clock.now(),
        )
        return Answer({"object": "webhook_replay", "replayed": count})

    answer = await once(request, edge, actor, key, work)
    edge.wake()
    return answer


@router.get(
    "/event-types",
    operation_id="list_event_types",
    summary="List the types of events",
    response_model=EventTypes,
    responses=documented(),
)
async def list_event_types(_actor: Reader) -> Response:
    """A closed list: each with its version and what it means."""
    types = [
        {"name": one.name, "version": one.version, "meaning": one.meaning}
        for one in catalogue.TYPES.values()
    ]
    return json_response({"data": types})
