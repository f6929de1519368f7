"""Signed receipts and decisions, and the export of a case."""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service import clock, db
from service.http.auth import Actor, anyone
from service.http.edge import Edge, edge_of, json_response
from service.http.jsonbody import StrictRoute
from service.http.mediator_auth import Neutral, mediator_of
from service.http.moment import moment
from service.http.problems import documented
from service.http.schemas.base import CaseId, ExchangeId
from service.http.schemas.records import ExportOut, Format, Language, SignedOut
from service.platforms import clocks
from service.records import access, decisions, dossier, exports, receipts, signed
from service.sealing import Sealer

router = APIRouter(prefix="/v1", tags=["Records"], route_class=StrictRoute)

OfExchange = Annotated[Actor, Depends(anyone("exchanges:read"))]
OfCase = Annotated[Actor, Depends(anyone("cases:read"))]
AnyMediator = Annotated[Neutral, Depends(mediator_of())]


#: The same address gives both; the description of JSON comes from its model.
_AS_PDF: Final[dict[str, Any]] = {
    "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}
}


def sealer_of(edge: Edge) -> Sealer:
    """Return what signing keys are sealed with."""
    secret = edge.settings.code_key
    assert secret is not None  # the application does not start without it
    return Sealer(secret.get_secret_value())


def issuer_of(edge: Edge) -> str:
    """Return who signs: the address under which the keys are published."""
    return edge.settings.public_url.rstrip("/")


def _shown(kind: str, jws: str) -> dict[str, Any]:
    body = jws.split(".")[1]
    said = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return {"object": "signed_document", "kind": kind, "jws": jws, "document": said}


@router.get(
    "/exchanges/{exchange}/receipt",
    operation_id="get_receipt",
    summary="The signed receipt of an exchange",
    response_model=SignedOut,
    responses=documented(404, 409),
)
async def get_receipt(request: Request, exchange: ExchangeId, actor: OfExchange) -> Response:
    """What was agreed, what happened and who got what, once the exchange has ended.

    It is the same document for ever, unless a member's data are erased: then it is made anew
    without the name, and copies of the first stay genuine.
    """
    edge = edge_of(request)

    def work(connection: Connection) -> str:
        return receipts.receipt(
            connection,
            sealer_of(edge),
            actor.platform_id,
            exchange,
            issuer_of(edge),
            clock.now(),
            actor.member_id,
        )

    return json_response(_shown("receipt", await edge.run(actor.scope, work)))


@router.get(
    "/cases/{case}/decision",
    operation_id="get_case_decision",
    summary="The signed decision of a case",
    response_model=SignedOut,
    responses=documented(404, 409),
)
async def get_case_decision(request: Request, case: CaseId, actor: OfCase) -> Response:
    """The last that both sides were told: how the case ended, or what is decided so far.

    `final` says which. A decision that an appeal changes has a document of its own before it.
    """
    edge = edge_of(request)

    def work(connection: Connection) -> str:
        known = access.for_side(
            connection, actor.platform_id, case, issuer_of(edge), actor.member_id
        )
        return decisions.signed_decision(connection, sealer_of(edge), known, clock.now())

    return json_response(_shown("decision", await edge.run(actor.scope, work)))


@router.get(
    "/cases/{case}/export",
    operation_id="export_case",
    summary="A case as whoever judges it next needs it",
    response_model=ExportOut,
    responses=documented(404) | {200: _AS_PDF},
)
async def export_case(
    request: Request,
    case: CaseId,
    actor: OfCase,
    format_: Annotated[Format, Query(alias="format")] = "json",
    lang: Annotated[Language, Query(description="Of the PDF.")] = "fr",
) -> Response:
    """The file, the journal with its hashes and the signed decision, for a court's conciliator.

    Of lines in which those who decide deliberate, only the hash is there. The same bytes as long as
    nothing more happens in the case. Each page of the PDF has the SHA-256
    of the JSON, so that the two belong together.
    """
    edge = edge_of(request)

    def work(connection: Connection) -> dict[str, Any]:
        known = access.for_side(
            connection, actor.platform_id, case, issuer_of(edge), actor.member_id
        )
        side = actor.member_id and known.case.side_of(actor.member_id)
        now = moment(connection, actor)
        return exports.export(connection, sealer_of(edge), known, side or "platform", now)

    found = await edge.run(actor.scope, work)
    return await _exported(found, format_, lang)


async def _exported(export: dict[str, Any], format_: Format, lang: Language) -> Response:
    said = signed.canonical(export)
    name = f"{export['case']}.{format_}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    if format_ == "json":
        return Response(said, headers=headers, media_type="application/json")
    digest = hashlib.sha256(said).hexdigest()
    pdf = await run_in_threadpool(dossier.render, orjson.loads(said), digest, lang)
    return Response(pdf, headers=headers, media_type="application/pdf")


@router.get(
    "/mediation/cases/{case}/decision",
    operation_id="get_decision_of_own_case",
    summary="The signed decision of a case of yours",
    response_model=SignedOut,
    responses=documented(404, 409),
)
async def get_decision_of_own_case(request: Request, case: CaseId, me: AnyMediator) -> Response:
    """For the mediators whose case it is, or was until their part was done."""
    edge = edge_of(request)

    def work(connection: Connection) -> str:
        known = access.for_mediator(connection, case, me.mediator_id, issuer_of(edge))
        return decisions.signed_decision(connection, sealer_of(edge), known, clock.now())

    return json_response(_shown("decision", await edge.run(db.SYSTEM, work)))


@router.get(
    "/mediation/cases/{case}/export",
    operation_id="export_own_case",
    summary="A case of yours as whoever judges it next needs it",
    response_model=ExportOut,
    responses=documented(404) | {200: _AS_PDF},
)
async def export_own_case(
    request: Request,
    case: CaseId,
    me: AnyMediator,
    format_: Annotated[Format, Query(alias="format")] = "json",
    lang: Annotated[Language, Query(description="Of the PDF.")] = "fr",
) -> Response:
    """What the two sides have, and how it was deliberated: for the mediators of the case."""
    edge = edge_of(request)

    def work(connection: Connection) -> dict[str, Any]:
        known = access.for_mediator(connection, case, me.mediator_id, issuer_of(edge))
        viewer = f"mediator:{me.mediator_id}"
        now = clocks.now_at(connection, known.case.platform_id, clock.now())
        return exports.export(connection, sealer_of(edge), known, viewer, now)

    return await _exported(await edge.run(db.SYSTEM, work), format_, lang)
