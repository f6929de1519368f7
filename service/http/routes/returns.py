"""Give released money back, recover it, and ask for a failed refund again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from service.exchanges import returns
from service.exchanges.advance import Done
from service.exchanges.decide import Rules
from service.exchanges.returns import Return
from service.http import presenters
from service.http.auth import Actor, platform_key
from service.http.edge import edge_of
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.problems import documented
from service.http.schemas.base import ExchangeId, PaymentId
from service.http.schemas.exchanges import ExchangeOut
from service.http.schemas.returns import GiveBackBody

router = APIRouter(prefix="/v1", tags=["Money that goes back"], route_class=StrictRoute)

Payer = Annotated[Actor, Depends(platform_key("payments:write"))]
_RESPONSES: Final = documented(400, 404, 409, 413, 415, 422)


@router.post(
    "/exchanges/{exchange}/give-back",
    operation_id="give_back",
    summary="Give released money back to the payer",
    response_model=ExchangeOut,
    responses=_RESPONSES,
)
async def give_back(
    request: Request, exchange: ExchangeId, body: GiveBackBody, actor: Payer, key: KeyHeader = None
) -> Response:
    """Two legs: a refund to the payer and, if the payee bears it, a call on what they were paid.

    Each has its own state: see the exchange's payments. If the payee's account no longer covers the
    call, the payer is paid all the same, and the exchange's receivable shows what is missing.
    """
    wanted = Return(body.amount, body.borne_by, body.reason_code, body.reason)
    return await _once(
        request,
        actor,
        key,
        lambda c, rules: returns.give_back(c, actor.platform_id, exchange, wanted, rules),
    )


@router.post(
    "/exchanges/{exchange}/recover",
    operation_id="recover",
    summary="Call back from the payee what is missing",
    response_model=ExchangeOut,
    responses=_RESPONSES,
)
async def recover(
    request: Request, exchange: ExchangeId, actor: Payer, key: KeyHeader = None
) -> Response:
    """Once more, when an earlier call failed because the payee's account did not cover it."""
    return await _once(
        request,
        actor,
        key,
        lambda c, rules: returns.recover(c, actor.platform_id, exchange, rules),
    )


@router.post(
    "/payments/{payment}/refund-again",
    operation_id="refund_again",
    summary="Ask once more for a refund that failed",
    response_model=ExchangeOut,
    responses=_RESPONSES,
)
async def refund_again(
    request: Request, payment: PaymentId, actor: Payer, key: KeyHeader = None
) -> Response:
    """A refund that failed, or that the payer's bank returned, is owed to the payer still."""
    return await _once(
        request,
        actor,
        key,
        lambda c, rules: returns.refund_again(c, actor.platform_id, payment, rules),
    )


async def _once(
    request: Request, actor: Actor, key: str | None, act: Callable[[Connection, Rules], Done]
) -> Response:
    edge = edge_of(request)

    def work(connection: Connection, now: datetime) -> Answer:
        done = act(connection, Rules(now, edge.codes))
        return Answer(presenters.exchange(done.exchange, None, now))

    response = await once(request, edge, actor, key, work)
    edge.wake()
    return response
