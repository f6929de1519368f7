"""Evidence of a case: brought by its sides and their platform, read by them and by the neutrals."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import evidence, views
from disputes.evidence import New
from disputes.evidence_rows import Piece
from disputes.model import Case
from disputes.outcomes import Side
from service import db
from service.exchanges import case_evidence
from service.exchanges.decide import Rules
from service.http import shown_evidence, uploads
from service.http.auth import Actor, anyone
from service.http.edge import Edge, edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, check_key, once
from service.http.jsonbody import StrictRoute
from service.http.mediator_auth import Neutral, mediator_of
from service.http.moment import moment, moment_on
from service.http.problems import documented
from service.http.schemas.base import CaseId, EvidenceId, EvidenceRequestId, MemberId
from service.http.schemas.evidence import (
    AddEvidenceBody,
    AskBody,
    EvidenceListOut,
    EvidenceOut,
    EvidenceRequestOut,
    EvidenceViewsOut,
    FileSort,
    Part,
)
from service.ids import encode, uuid7

router = APIRouter(prefix="/v1", tags=["Evidence"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(anyone("cases:read"))]
Bringer = Annotated[Actor, Depends(anyone("cases:write"))]
AnyMediator = Annotated[Neutral, Depends(mediator_of("mediator", "supervisor"))]

#: A file is a stranger's: it is saved and not shown, and runs nothing where it is shown all the
#: same.
_FILE_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ENDINGS: Final = {"image/jpeg": "jpg", "image/png": "png", "application/pdf": "pdf"}
_BYTES: Final[dict[str, Any]] = {"schema": {"type": "string", "format": "binary"}}
_FILE_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The file", "content": dict.fromkeys(_ENDINGS, _BYTES)}
}
_FILE_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "The bytes of one photograph (JPEG, PNG, WebP) or PDF document.",
        "content": dict.fromkeys((*_ENDINGS, "image/webp", "application/octet-stream"), _BYTES),
    }
}

#: Beside the address, which is written down by whatever a request passes on its way.
Words = Annotated[
    str | None,
    Header(
        alias="Evidence-Text",
        max_length=9_000,
        description="What the file shows: up to 1,000 characters, as percent-encoded UTF-8.",
        examples=["Le%20cadre%20est%20tordu."],
    ),
]


def _of(case_id: UUID) -> str:
    return f"/v1/cases/{encode('case', case_id)}"


def _of_mediator(case_id: UUID) -> str:
    return f"/v1/mediation/cases/{encode('case', case_id)}"


def _viewer(case: Case, actor: Actor) -> str:
    return evidence.author_of(case, actor.member_id)


def _author(actor: Actor, member: UUID | None) -> UUID | None:
    """Return whose evidence it is; None for a platform that names nobody: its own."""
    if actor.member_id is None and member is None:
        return None
    return actor.acting_for(member)


def _data(body: AddEvidenceBody) -> dict[str, Any]:
    facts = body.carrier or body.hand_over
    said = {} if facts is None else facts.model_dump(mode="json", exclude_none=True)
    return said if body.part is None else said | {"part": body.part}


async def _bring(
    request: Request, actor: Actor, key: str | None, new: New, said: bytes | None = None
) -> Response:
    edge = edge_of(request)

    def work(connection: Connection, now: datetime) -> Answer:
        case_evidence.for_member(connection, actor.platform_id, new.case_id, actor.member_id)
        made = case_evidence.add(connection, actor.platform_id, new, Rules(now, edge.codes))
        shown = shown_evidence.piece(made, _of(new.case_id))
        location = None if shown["file"] is None else shown["file"]["path"]
        return Answer(shown, 201, location=location)

    response = await once(request, edge, actor, key, work, said)
    edge.wake()
    return response


@router.post(
    "/cases/{case}/evidence",
    operation_id="add_evidence",
    summary="Bring evidence in words or facts",
    status_code=201,
    response_model=EvidenceOut,
    responses=documented(404, 409, 413, 415),
)
async def add_evidence(
    request: Request, case: CaseId, body: AddEvidenceBody, actor: Bringer, key: KeyHeader = None
) -> Response:
    """A side's word, a condition record, or what a carrier or a hand-over proves.

    Both sides and the neutrals read the same. What comes after mediation is kept and marked late,
    unless it answers in time what the neutral asked for. It is deleted on its date after the case
    has closed; its hash stays. Facts are the platform's alone to bring, and move nothing.
    """
    new = New(
        id=uuid7(),
        case_id=case,
        sort=body.sort,
        member_id=_author(actor, body.member),
        via=actor.via,
        text=body.text,
        data=_data(body),
        request_id=body.request,
        keep_days=edge_of(request).settings.evidence_days,
    )
    return await _bring(request, actor, key, new)


@router.post(
    "/cases/{case}/evidence/files",
    operation_id="add_evidence_file",
    summary="Bring a photograph or a document",
    status_code=201,
    response_model=EvidenceOut,
    responses=documented(404, 409, 413, 415),
    openapi_extra=_FILE_BODY,
)
async def add_evidence_file(
    request: Request,
    case: CaseId,
    actor: Bringer,
    sort: Annotated[FileSort, Query(description="What it is evidence of.")],
    member: Annotated[
        MemberId | None, Query(description="The side whose evidence it is; else the platform's.")
    ] = None,
    part: Annotated[Part | None, Query(description="Of a condition record.")] = None,
    answers: Annotated[
        EvidenceRequestId | None, Query(description="The request that this answers.")
    ] = None,
    words: Words = None,
    key: KeyHeader = None,
) -> Response:
    """The body is the file itself, 10 MB at most. Its type is read from its bytes.

    An image is kept as its pixels alone: without where, when and with what it was taken. A PDF that
    runs, sends or carries something is refused, as is every other kind of file.
    """
    edge = edge_of(request)
    check_key(key)
    new = New(
        id=uuid7(),
        case_id=case,
        sort=sort,
        member_id=_author(actor, member),
        via=actor.via,
        text=uploads.spoken(words),
        data={"part": part} if part is not None else {},
        request_id=answers,
        keep_days=edge.settings.evidence_days,
    )
    # Before ten megabytes are read of somebody who may not bring them.
    author = await edge.run(actor.scope, lambda connection: _may_bring(connection, actor, new))
    upload = await uploads.receive(
        request, edge.files, lambda media_type: _check_sort(author, new, media_type)
    )
    said = f"{request.url.query}\n{words}\n{upload.file.original_hash}".encode()
    response = await _bring(request, actor, key, replace(new, file=upload.file), said)
    await uploads.ensure(upload, edge.files)
    return response


def _may_bring(connection: Connection, actor: Actor, new: New) -> str:
    """Return whose a file will be, if there is a chance that it is taken."""
    platform_id = actor.platform_id
    case_evidence.for_member(connection, platform_id, new.case_id, actor.member_id)
    case = evidence.open_case(connection, platform_id, new.case_id, lock=False)
    author = evidence.author_of(case, new.member_id)
    evidence.check_room(connection, case, author, 0)
    _check_sort(author, new, min(evidence.MEDIA[new.sort]))
    return author


def _check_sort(author: str, new: New, media_type: str) -> None:
    evidence.check_sort(author, new.sort, said=new.text, data=new.data, media_type=media_type)


@router.get(
    "/cases/{case}/evidence",
    operation_id="list_evidence",
    summary="Read the evidence of a case",
    response_model=EvidenceListOut,
    responses=documented(404),
)
async def list_evidence(request: Request, case: CaseId, actor: Reader) -> Response:
    """Everything that was brought, in its order, with what was asked and what is missing.

    Both sides see the same. That it was read is written down.
    """

    def work(connection: Connection) -> dict[str, Any]:
        found = case_evidence.for_member(connection, actor.platform_id, case, actor.member_id)
        return _see(connection, found, _viewer(found, actor), moment(connection, actor), _of(case))

    return json_response(await edge_of(request).run(actor.scope, work))


@router.get(
    "/cases/{case}/evidence/views",
    operation_id="list_evidence_views",
    summary="Read who looked at the evidence of a case",
    response_model=EvidenceViewsOut,
    responses=documented(404),
)
async def list_evidence_views(request: Request, case: CaseId, actor: Reader) -> Response:
    """Each look at the list or at a file, by whom and when. A neutral is not named."""

    def work(connection: Connection) -> dict[str, Any]:
        case_evidence.for_member(connection, actor.platform_id, case, actor.member_id)
        return shown_evidence.views(views.of_case(connection, actor.platform_id, case))

    return json_response(await edge_of(request).run(actor.scope, work))


@router.get(
    "/cases/{case}/evidence/{evidence}/file",
    operation_id="get_evidence_file",
    summary="Get the file of a piece of evidence",
    response_class=Response,
    responses=documented(404) | _FILE_ANSWER,
)
async def get_evidence_file(
    request: Request, case: CaseId, evidence: EvidenceId, actor: Reader
) -> Response:
    """For the case's people alone, to save. That it was read is written down before it is sent."""
    edge = edge_of(request)

    def work(connection: Connection) -> Piece:
        found = case_evidence.for_member(connection, actor.platform_id, case, actor.member_id)
        now = moment(connection, actor)
        key = (connection, actor.platform_id, case, evidence)
        return views.see_file(*key, _viewer(found, actor), now)

    return await _file(edge, await edge.run(actor.scope, work))


@router.get(
    "/mediation/cases/{case}/evidence",
    operation_id="list_evidence_of_own_case",
    summary="Read the evidence of a case of yours",
    response_model=EvidenceListOut,
    responses=documented(404),
)
async def list_evidence_of_own_case(request: Request, case: CaseId, me: AnyMediator) -> Response:
    """What both sides see, for whoever has the case now. That it was read is written down."""

    def work(connection: Connection) -> dict[str, Any]:
        found = case_evidence.for_mediator(connection, case, me.mediator_id)
        now = moment_on(connection, found.platform_id)
        return _see(connection, found, f"mediator:{me.mediator_id}", now, _of_mediator(case))

    return json_response(await edge_of(request).run(db.SYSTEM, work))


@router.get(
    "/mediation/cases/{case}/evidence/{evidence}/file",
    operation_id="get_evidence_file_of_own_case",
    summary="Get a file of a case of yours",
    response_class=Response,
    responses=documented(404) | _FILE_ANSWER,
)
async def get_evidence_file_of_own_case(
    request: Request, case: CaseId, evidence: EvidenceId, me: AnyMediator
) -> Response:
    """For whoever has the case now. That it was read is written down before it is sent."""
    edge = edge_of(request)

    def work(connection: Connection) -> Piece:
        found = case_evidence.for_mediator(connection, case, me.mediator_id)
        now = moment_on(connection, found.platform_id)
        viewer = f"mediator:{me.mediator_id}"
        return views.see_file(connection, found.platform_id, case, evidence, viewer, now)

    return await _file(edge, await edge.run(db.SYSTEM, work))


@router.post(
    "/mediation/cases/{case}/evidence-requests",
    operation_id="ask_for_evidence",
    summary="Ask a side for evidence or an answer",
    status_code=201,
    response_model=EvidenceRequestOut,
    responses=documented(404, 409, 413, 415),
)
async def ask_for_evidence(
    request: Request, case: CaseId, body: AskBody, me: AnyMediator, key: KeyHeader = None
) -> Response:
    """One of the sorts or questions that the case's reason lists for this side (`askable`).

    Nothing else may be asked, and nothing in other words. The side is told; it has three days, or
    until the stage ends, and what comes in that time is not late.
    """
    edge = edge_of(request)

    def work(connection: Connection, _now: datetime) -> Answer:
        found = case_evidence.for_mediator(connection, case, me.mediator_id)
        rules = Rules(moment_on(connection, found.platform_id, hold=True), edge.codes)
        asked = {"sort": body.sort, "question": body.question}
        made = case_evidence.ask(
            connection, found, uuid7(), me.mediator_id, Side(body.side), asked, rules
        )
        return Answer(shown_evidence.request(made), 201)

    response = await once(request, edge, me, key, work)
    edge.wake()
    return response


def _see(
    connection: Connection, case: Case, viewer: str, now: datetime, below: str
) -> dict[str, Any]:
    pieces = views.see_list(connection, case.platform_id, case.id, viewer, now)
    return shown_evidence.listed(connection, case, pieces, below)


async def _file(edge: Edge, piece: Piece) -> Response:
    """Return the file of a piece whose view is written down."""
    assert piece.file is not None
    content = await uploads.read(piece.file.hash, edge.files)
    name = f"{encode('evidence', piece.id)}.{_ENDINGS[piece.file.media_type]}"
    headers = {**_FILE_HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, headers=headers, media_type=piece.file.media_type)
