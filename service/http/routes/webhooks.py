"""Where providers tell what happened: verified, stored once, answered at once, applied later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Request, Security
from fastapi.security import APIKeyHeader
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service import clock
from service.http.edge import edge_of, json_response
from service.http.jsonbody import StrictRoute
from service.http.lanes import Kind
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
    if await edge.lanes.run(INBOX, platform_id, Come(provider.name, event, now)):
        edge.wake()
    return json_response({"received": True})


@dataclass(frozen=True, slots=True)
class Come:
    """A verified event, whose event it is, and when it came."""

    provider: str
    event: Event
    at: datetime


def _store(connection: Connection, platform_id: UUID, jobs: Sequence[Come]) -> list[bool]:
    """Store what came together, in one statement; tell of each whether it is news."""
    at = clocks.now_at(connection, platform_id, max(job.at for job in jobs))
    told = [(job.provider, job.event) for job in jobs]
    new = inbox.receive(connection, platform_id, told, at)
    return [(job.provider, job.event.id) in new for job in jobs]


INBOX: Final = Kind("provider_events", _store, lambda job: [(job.provider, job.event.id)])
