"""Payments at the provider, and the sandbox's stand-in for its page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service.http import presenters
from service.http.auth import Actor, platform_key
from service.http.edge import edge_of, json_response
from service.http.jsonbody import StrictRoute
from service.http.problems import documented
from service.http.schemas.base import PaymentId
from service.http.schemas.platforms import ActBody, PaymentOut
from service.payments import payments
from service.payments.payments import PaymentNotFound
from service.payments.sandbox import Sandbox

router = APIRouter(prefix="/v1", tags=["Payments"], route_class=StrictRoute)


@router.get(
    "/payments/{payment}",
    operation_id="get_payment",
    summary="Read a payment",
    response_model=PaymentOut,
    responses=documented(404),
)
async def get_payment(
    request: Request,
    payment: PaymentId,
    actor: Annotated[Actor, Depends(platform_key("payments:read"))],
) -> Response:
    """Where it stands at the provider, as we last heard."""
    row = await edge_of(request).run(
        actor.platform_id, lambda c: payments.find(c, actor.platform_id, payment)
    )
    return json_response(presenters.payment(dict(row)))


@router.post(
    "/sandbox/payments/{payment}/act",
    operation_id="act_on_sandbox_payment",
    summary="Do what the payer would do on the provider's page",
    response_model=PaymentOut,
    responses=documented(400, 404, 413, 415, 422),
)
async def act(
    request: Request,
    payment: PaymentId,
    body: ActBody,
    actor: Annotated[Actor, Depends(platform_key("payments:write"))],
) -> Response:
    """For pm_sandbox_requires_action. What was done stays done; the exchange hears by an event."""
    edge = edge_of(request)
    row = await edge.run(actor.platform_id, lambda c: payments.find(c, actor.platform_id, payment))
    provider = edge.desk.providers[row["provider"]]
    if not isinstance(provider, Sandbox) or row["provider_ref"] is None:
        raise PaymentNotFound("The sandbox has no such payment.")
    seen = await run_in_threadpool(
        provider.act, actor.platform_id, row["provider_ref"], succeed=body.outcome == "succeed"
    )
    edge.wake()
    now_there = {"state": seen.status, "next_action": seen.next_action, "failure": seen.failure}
    return json_response(presenters.payment({**row, **now_there}))
