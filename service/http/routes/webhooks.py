"""Where providers tell what happened: verified, stored once, answered at once, applied later."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request, Security
from fastapi.security import APIKeyHeader
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service import clock
from service.http.edge import Edge, edge_of, json_response
from service.http.jsonbody import StrictRoute
from service.http.problems import documented
from service.http.refusals import BodyTooLarge, NotFound
from service.http.schemas.base import PlatformId
from service.http.schemas.providers import ReceivedOut
from service.payments import connections, deliveries, inbox
from service.payments.port import Event, ForgedEvent
from service.platforms import clocks

router = APIRouter(prefix="/v1/providers", tags=["Payment providers"], route_class=StrictRoute)

#: Stripe's events are a few kilobytes; what is far larger is not one.
MOST_BYTES: Final = 512_000

_signature: Final = APIKeyHeader(
    name="Stripe-Signature",
    scheme_name="StripeSignature",
    description="`t=<unix>,v1=<hex HMAC-SHA256 of t.body>` under the endpoint's signing secret.",
    auto_error=False,
)
Signature = Annotated[str | None, Security(_signature)]
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


@router.post(
    "/stripe/{platform}/events",
    operation_id="receive_stripe_event",
    summary="Take an event of the platform's own Stripe account",
    response_model=ReceivedOut,
    responses=documented(400, 404, 413, 415, 422),
    openapi_extra=_BODY,
)
async def receive_stripe_event(
    request: Request, platform: PlatformId, signature: Signature
) -> Response:
    """For Stripe: the first of the platform's two webhook endpoints."""
    return await _receive(request, platform, "platform", signature)


@router.post(
    "/stripe/{platform}/payee-events",
    operation_id="receive_stripe_payee_event",
    summary="Take an event of a payee's Stripe account",
    response_model=ReceivedOut,
    responses=documented(400, 404, 413, 415, 422),
    openapi_extra=_BODY,
)
async def receive_stripe_payee_event(
    request: Request, platform: PlatformId, signature: Signature
) -> Response:
    """For Stripe: the second endpoint, for events on connected accounts."""
    return await _receive(request, platform, "payees", signature)


async def _receive(
    request: Request, platform_id: UUID, endpoint: str, signature: str | None
) -> Response:
    edge, now = edge_of(request), clock.now()
    if not await edge.run(platform_id, lambda c: connections.exists(c, platform_id)):
        raise NotFound("There is nothing at this address.")
    body = await request.body()
    if len(body) > MOST_BYTES:
        raise BodyTooLarge(f"An event has {MOST_BYTES} bytes at most.", limit=MOST_BYTES)
    provider = edge.desk.providers[connections.STRIPE]
    try:
        event = await run_in_threadpool(
            provider.read_event, platform_id, endpoint, body, signature or ""
        )
    except ForgedEvent as forged:
        reason = str(forged.facts["reason"])
        await edge.run(
            platform_id,
            lambda c: deliveries.keep(c, platform_id, provider.name, endpoint, reason, body, now),
        )
        raise
    await _store(edge, platform_id, provider.name, event, now)
    return json_response({"received": True})


async def _store(edge: Edge, platform_id: UUID, provider: str, event: Event, now: datetime) -> None:
    def work(connection: Connection) -> bool:
        at = clocks.now_at(connection, platform_id, now)
        return inbox.receive(connection, platform_id, provider, event, at)

    if await edge.run(platform_id, work):
        edge.wake()
