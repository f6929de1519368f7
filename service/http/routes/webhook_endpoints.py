"""Webhook endpoints: where the platform's events are sent."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection, RowMapping
from starlette.responses import Response

from service import clock
from service.events import endpoints, trial
from service.events.guard import Guard
from service.http.auth import Actor, platform_key
from service.http.edge import Edge, edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.schemas.base import WebhookEndpointId
from service.http.schemas.webhooks import (
    EndpointBody,
    EndpointChange,
    EndpointDeleted,
    EndpointOut,
    EndpointPage,
    RotateSecretBody,
    TestOut,
)
from service.ids import encode
from service.sealing import Sealer

router = APIRouter(prefix="/v1", tags=["Webhooks"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(platform_key("webhooks:read"))]
Writer = Annotated[Actor, Depends(platform_key("webhooks:write"))]


# Secrets and tries over the network live in real time, whatever a sandbox's clock says.
def _sealer(edge: Edge) -> Sealer:
    assert edge.settings.code_key is not None
    return Sealer(edge.settings.code_key.get_secret_value())


def _guard(edge: Edge) -> Guard:
    return Guard(edge.settings.webhooks_allow_private)


def _endpoint(edge: Edge, row: RowMapping, secret: str | None = None) -> dict[str, Any]:
    now = clock.now()
    held_until = row["held_until"]
    return {
        "id": encode("webhook_endpoint", row["id"]),
        "object": "webhook_endpoint",
        "url": row["url"],
        "events": row["events"],
        "description": row["description"],
        "enabled": row["enabled_at"] is not None,
        "disabled_at": row["disabled_at"],
        "disabled_reason": row["disabled_reason"],
        "failing_since": row["failing_since"],
        "held_until": None if held_until is None or held_until <= now else held_until,
        "former_secret_until": endpoints.secret_ends(_sealer(edge), row, now),
        "secret": secret,
        "created_at": row["created_at"],
    }


def _made(edge: Edge, row: RowMapping, secret: str, status: int) -> Answer:
    shown, kept = _endpoint(edge, row, secret), _endpoint(edge, row)
    location = f"/v1/webhook-endpoints/{shown['id']}" if status == 201 else None
    return Answer(shown, status, location, kept=kept)


@router.post(
    "/webhook-endpoints",
    operation_id="create_webhook_endpoint",
    summary="Add a webhook endpoint",
    status_code=201,
    response_model=EndpointOut,
    responses=documented(400, 409, 413, 415, 422),
)
async def create_webhook_endpoint(
    request: Request, body: EndpointBody, actor: Writer, key: KeyHeader = None
) -> Response:
    """Its signing secret is in this answer alone. Messages are signed as Standard Webhooks asks."""
    edge = edge_of(request)
    await _guard(edge).check(body.url, actor.platform_id)

    def work(connection: Connection, _now: datetime) -> Answer:
        row, secret = endpoints.create(
            connection,
            _sealer(edge),
            actor.platform_id,
            url=body.url,
            events=body.events,
            description=body.description,
            secret=body.secret,
            now=clock.now(),
        )
        return _made(edge, row, secret, 201)

    return await once(request, edge, actor, key, work)


@router.get(
    "/webhook-endpoints",
    operation_id="list_webhook_endpoints",
    summary="List webhook endpoints",
    response_model=EndpointPage,
    responses=documented(400, 422),
)
async def list_webhook_endpoints(
    request: Request, actor: Reader, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """Newest first, without their secrets."""
    edge, after = edge_of(request), uuid_after(cursor)
    rows = await edge.run(actor.platform_id, lambda c: endpoints.every(c, actor.platform_id))
    shown = [row for row in rows if after is None or row["id"] < after][: limit + 1]
    return page(request, shown, limit, lambda row: _endpoint(edge, row), lambda row: (row["id"],))


@router.get(
    "/webhook-endpoints/{webhook_endpoint}",
    operation_id="get_webhook_endpoint",
    summary="Read a webhook endpoint",
    response_model=EndpointOut,
    responses=documented(404),
)
async def get_webhook_endpoint(
    request: Request, webhook_endpoint: WebhookEndpointId, actor: Reader
) -> Response:
    """Whether it is enabled, since when it fails, and why it was disabled."""
    edge = edge_of(request)
    row = await edge.run(
        actor.platform_id, lambda c: endpoints.find(c, actor.platform_id, webhook_endpoint)
    )
    return json_response(_endpoint(edge, row))


@router.patch(
    "/webhook-endpoints/{webhook_endpoint}",
    operation_id="change_webhook_endpoint",
    summary="Change a webhook endpoint, disable it, enable it again",
    response_model=EndpointOut,
    responses=documented(400, 404, 413, 415, 422),
)
async def change_webhook_endpoint(
    request: Request, webhook_endpoint: WebhookEndpointId, body: EndpointChange, actor: Writer
) -> Response:
    """A new filter counts for what happens from now on."""
    edge = edge_of(request)
    changes = body.model_dump(exclude_none=True)
    if body.url is not None:
        await _guard(edge).check(body.url, actor.platform_id)
    row = await edge.run(
        actor.platform_id,
        lambda c: endpoints.change(c, actor.platform_id, webhook_endpoint, changes, clock.now()),
    )
    edge.wake()
    return json_response(_endpoint(edge, row))


@router.delete(
    "/webhook-endpoints/{webhook_endpoint}",
    operation_id="delete_webhook_endpoint",
    summary="Delete a webhook endpoint",
    response_model=EndpointDeleted,
    responses=documented(404),
)
async def delete_webhook_endpoint(
    request: Request, webhook_endpoint: WebhookEndpointId, actor: Writer
) -> Response:
    """Its secret is deleted, and what waits for it is not sent any more."""
    await edge_of(request).run(
        actor.platform_id,
        lambda c: endpoints.delete(c, actor.platform_id, webhook_endpoint, clock.now()),
    )
    shown = encode("webhook_endpoint", webhook_endpoint)
    return json_response({"id": shown, "object": "webhook_endpoint", "deleted": True})


@router.post(
    "/webhook-endpoints/{webhook_endpoint}/rotate-secret",
    operation_id="rotate_webhook_secret",
    summary="Give a webhook endpoint a new signing secret",
    response_model=EndpointOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def rotate_webhook_secret(
    request: Request,
    webhook_endpoint: WebhookEndpointId,
    body: RotateSecretBody,
    actor: Writer,
    key: KeyHeader = None,
) -> Response:
    """It is in this answer alone. For a while messages carry a signature of each of the two."""
    edge = edge_of(request)

    def work(connection: Connection, _now: datetime) -> Answer:
        row, secret = endpoints.rotate(
            connection,
            _sealer(edge),
            actor.platform_id,
            webhook_endpoint,
            secret=body.secret,
            overlap=timedelta(hours=body.overlap_hours),
            now=clock.now(),
        )
        return _made(edge, row, secret, 200)

    return await once(request, edge, actor, key, work)


@router.post(
    "/webhook-endpoints/{webhook_endpoint}/test",
    operation_id="test_webhook_endpoint",
    summary="Send a test to a webhook endpoint now",
    response_model=TestOut,
    responses=documented(404, 409),
)
async def test_webhook_endpoint(
    request: Request, webhook_endpoint: WebhookEndpointId, actor: Writer
) -> Response:
    """A `webhook_endpoint.test` to this endpoint alone, also to a disabled one; tried once."""
    edge = edge_of(request)
    row = await edge.run(
        actor.platform_id, lambda c: endpoints.find(c, actor.platform_id, webhook_endpoint)
    )
    event_id, result = await trial.send(row, _sealer(edge), _guard(edge), clock.now())
    return json_response(
        {
            "object": "webhook_test",
            "event": encode("event", event_id),
            "delivered": result.delivered,
            "status": result.status,
            "error": result.error,
            "duration_ms": result.duration_ms,
            "answer": result.answer,
        }
    )
