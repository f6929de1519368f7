"""Payments that the payers' banks contest: seen, answered, lifted, borne; and their rehearsal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection, RowMapping
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service import db
from service.exchanges import chargebacks, evidence, losses, queries
from service.exchanges.decide import Rules
from service.http.auth import Actor, platform_key
from service.http.edge import Edge, edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, check_key, once, once_in_two
from service.http.jsonbody import StrictRoute
from service.http.moment import moment_of
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.schemas.base import ChargebackId, ExchangeId, PaymentId
from service.http.schemas.chargebacks import (
    ChargebackOut,
    ChargebackPage,
    ChargebackState,
    ContestBody,
    ContestOut,
    DecideBody,
    EvidenceOut,
    OwnWordsBody,
    WhyBody,
    WrittenOffOut,
)
from service.ids import decode, encode
from service.payments import contests, payments
from service.payments.contests import ChargebackNotFound
from service.payments.payee import ProviderDeclined
from service.payments.payments import PaymentNotFound
from service.payments.port import ProviderRefused, ProviderUnavailable
from service.payments.sandbox_disputes import SandboxDisputes

router = APIRouter(prefix="/v1", tags=["Chargebacks"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(platform_key("chargebacks:read"))]
Writer = Annotated[Actor, Depends(platform_key("chargebacks:write"))]

T = TypeVar("T")


def _shown(row: RowMapping) -> dict[str, Any]:
    as_is = ("kind", "status", "provider", "amount", "unit", "withdrawn", "reason", "due_by")
    return {
        "id": encode("chargeback", row["id"]),
        "object": "chargeback",
        **{name: row[name] for name in as_is},
        "exchange": encode("exchange", row["exchange_id"]),
        "payment": encode("payment", row["payment_id"]),
        "provider_ref": row["ref"],
        "own_words": row["own_words"],
        "answer_decided_at": row["evidence_asked_at"],
        "answered_at": row["evidence_sent_at"],
        "answer_failure": row["evidence_refused"],
        "left_unanswered": row["left_reason"],
        "opened_at": row["opened_at"],
        "closed_at": row["closed_at"],
        "closed_reason": row["closed_reason"],
    }


@router.get(
    "/chargebacks",
    operation_id="list_chargebacks",
    summary="List chargebacks and early warnings",
    response_model=ChargebackPage,
    responses=documented(400, 422),
)
async def list_chargebacks(
    request: Request,
    actor: Reader,
    status: Annotated[ChargebackState | None, Query()] = None,
    exchange: Annotated[ExchangeId | None, Query()] = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Response:
    """Newest first."""
    rows = await edge_of(request).run(
        actor.platform_id,
        lambda c: contests.page(
            c,
            actor.platform_id,
            limit=limit + 1,
            after=uuid_after(cursor),
            status=status,
            exchange_id=exchange,
        ),
    )
    return page(request, rows, limit, _shown, lambda row: (row["id"],))


@router.get(
    "/chargebacks/{chargeback}",
    operation_id="get_chargeback",
    summary="Read a chargeback",
    response_model=ChargebackOut,
    responses=documented(404),
)
async def get_chargeback(request: Request, chargeback: ChargebackId, actor: Reader) -> Response:
    """Where it stands at the bank, as we last heard."""
    row = await edge_of(request).run(
        actor.platform_id, lambda c: contests.find(c, actor.platform_id, chargeback)
    )
    return json_response(_shown(row))


@router.get(
    "/chargebacks/{chargeback}/evidence",
    operation_id="get_evidence",
    summary="Read what the bank is shown",
    response_model=EvidenceOut,
    responses=documented(404),
)
async def get_evidence(request: Request, chargeback: ChargebackId, actor: Reader) -> Response:
    """What was sent; before that, what would be sent now."""
    shown = await edge_of(request).run(
        actor.platform_id, lambda c: _evidence(c, actor.platform_id, chargeback)
    )
    return json_response(shown)


def _evidence(connection: Connection, platform_id: UUID, chargeback_id: UUID) -> dict[str, Any]:
    row = contests.find(connection, platform_id, chargeback_id)
    made = evidence.pack(connection, row)
    return {
        "object": "evidence",
        "chargeback": encode("chargeback", row["id"]),
        "fields": made.fields if row["evidence"] is None else row["evidence"],
        "payer_confirmed": made.right,
        "sent_at": row["evidence_sent_at"],
    }


@router.put(
    "/chargebacks/{chargeback}/evidence",
    operation_id="add_to_evidence",
    summary="Say what you know beside what is recorded",
    response_model=EvidenceOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def add_to_evidence(
    request: Request, chargeback: ChargebackId, body: OwnWordsBody, actor: Writer
) -> Response:
    """In place of what you said before, until it is sent."""

    def work(connection: Connection) -> dict[str, Any]:
        evidence.say(connection, actor.platform_id, chargeback, body.own_words)
        return _evidence(connection, actor.platform_id, chargeback)

    return json_response(await edge_of(request).run(actor.platform_id, work))


@router.post(
    "/chargebacks/{chargeback}/answer",
    operation_id="answer_chargeback",
    summary="Answer the bank with the evidence",
    response_model=ChargebackOut,
    responses=documented(400, 404, 409),
)
async def answer_chargeback(
    request: Request, chargeback: ChargebackId, actor: Writer, key: KeyHeader = None
) -> Response:
    """Now; most banks take one answer only. Otherwise it goes out a day before `due_by`."""
    edge = edge_of(request)

    def begin(connection: Connection, now: datetime) -> Answer:
        evidence.decide(connection, actor.platform_id, chargeback, now)
        return Answer(None, resume=encode("chargeback", chargeback))

    async def proceed(begun: str) -> None:
        which = decode("chargeback", begun)
        try:
            now = await moment_of(edge, actor)
            await run_in_threadpool(evidence.send, edge.desk, actor.platform_id, which, now)
        except ProviderUnavailable:
            edge.wake()  # the row says what is to be sent, and the sweep sends it

    def conclude(connection: Connection, begun: str, _now: datetime) -> Answer:
        which = decode("chargeback", begun)
        return Answer(_shown(contests.find(connection, actor.platform_id, which)))

    return await once_in_two(request, edge, actor, key, begin, proceed, conclude)


@router.post(
    "/chargebacks/{chargeback}/lift",
    operation_id="lift_warning",
    summary="Let an exchange go on although its payment was warned of",
    response_model=ChargebackOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def lift_warning(
    request: Request,
    chargeback: ChargebackId,
    body: WhyBody,
    actor: Writer,
    key: KeyHeader = None,
) -> Response:
    """An early fraud warning only: a dispute is the bank's to end. By itself it ends in 30 days."""
    edge = edge_of(request)

    def work(connection: Connection, now: datetime) -> Answer:
        rules = Rules(now, edge.codes)
        chargebacks.lift_warning(connection, actor.platform_id, chargeback, body.reason, rules)
        return Answer(_shown(contests.find(connection, actor.platform_id, chargeback)))

    response = await once(request, edge, actor, key, work)
    edge.wake()
    return response


@router.post(
    "/exchanges/{exchange}/write-off",
    operation_id="write_off",
    summary="Bear what is missing on an exchange",
    response_model=WrittenOffOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def write_off(
    request: Request, exchange: ExchangeId, body: WhyBody, actor: Writer, key: KeyHeader = None
) -> Response:
    """When neither the bank nor the payee brings it any more: it becomes the platform's expense."""
    edge = edge_of(request)

    def work(connection: Connection, now: datetime) -> Answer:
        unit = queries.find(connection, actor.platform_id, exchange).money_unit
        rules = Rules(now, edge.codes)
        amount = losses.bear(connection, actor.platform_id, exchange, body.reason, rules)
        return Answer(
            {
                "object": "write_off",
                "exchange": encode("exchange", exchange),
                "amount": amount,
                "unit": unit,
            }
        )

    return await once(request, edge, actor, key, work)


def _bank(edge: Edge, name: str) -> SandboxDisputes | None:
    provider = edge.desk.providers[name]
    return provider if isinstance(provider, SandboxDisputes) else None


async def _rehearse(edge: Edge, call: Callable[[], T]) -> T:
    """Let something happen at the sandbox provider; we hear of it by an event.

    Raises:
        ProviderDeclined: it cannot happen there.
    """
    db.outside_transaction()
    try:
        return await run_in_threadpool(call)
    except ProviderRefused as refusal:
        raise ProviderDeclined(str(refusal), failure=refusal.failure) from refusal
    finally:
        edge.wake()


@router.post(
    "/sandbox/payments/{payment}/dispute",
    operation_id="contest_sandbox_payment",
    summary="Let the payer's bank contest a payment",
    response_model=ContestOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def contest_payment(
    request: Request, payment: PaymentId, body: ContestBody, actor: Writer, key: KeyHeader = None
) -> Response:
    """To rehearse it. We hear of it by an event: then it is among the chargebacks."""
    edge = edge_of(request)
    bare = check_key(key)
    row = await edge.run(actor.platform_id, lambda c: payments.find(c, actor.platform_id, payment))
    bank, ref = _bank(edge, row["provider"]), row["provider_ref"]
    if bank is None or ref is None:
        raise PaymentNotFound("The sandbox has no such payment.")
    made = await _rehearse(
        edge,
        lambda: bank.contest(actor.platform_id, ref, body.kind, body.amount, body.reason, bare),
    )
    return json_response({"provider_ref": made})


@router.post(
    "/sandbox/chargebacks/{chargeback}/close",
    operation_id="decide_sandbox_chargeback",
    summary="Let the bank decide",
    response_model=ContestOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def decide_chargeback(
    request: Request, chargeback: ChargebackId, body: DecideBody, actor: Writer
) -> Response:
    """To rehearse it: won, lost, or an inquiry that becomes a dispute. We hear of it by an event.

    The same again changes nothing.
    """
    edge = edge_of(request)
    row = await edge.run(
        actor.platform_id, lambda c: contests.find(c, actor.platform_id, chargeback)
    )
    bank = _bank(edge, row["provider"])
    if bank is None or row["kind"] != "dispute":
        raise ChargebackNotFound("The sandbox has no such dispute.")
    seen = await _rehearse(
        edge, lambda: bank.close_dispute(actor.platform_id, row["ref"], body.outcome)
    )
    return json_response({"provider_ref": seen.ref})
