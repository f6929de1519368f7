"""Precedents that anybody can read, and the words that mediators share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import precedents, templates
from disputes.precedents import Precedent
from disputes.templates import Template
from service import db
from service.http.edge import edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.mediator_auth import Neutral, mediator_of
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.routes.records import issuer_of
from service.http.schemas.base import PrecedentId, TemplateId
from service.http.schemas.mediators import Language, Word
from service.http.schemas.precedents import (
    PrecedentBody,
    PrecedentOut,
    PrecedentPage,
    TemplateBody,
    TemplateList,
    TemplateOut,
    WithdrawBody,
)
from service.ids import encode, uuid7
from service.records import precedents as publishing

router = APIRouter(prefix="/v1", tags=["Precedents"], route_class=StrictRoute)

AnyMediator = Annotated[Neutral, Depends(mediator_of())]
Supervisor = Annotated[Neutral, Depends(mediator_of("supervisor"))]


def _shown(one: Precedent) -> dict[str, Any]:
    as_is = ("mode", "language", "kind", "reason", "outcome", "reason_code", "asked", "text")
    return {
        "id": encode("precedent", one.id),
        "object": "precedent",
        **{name: getattr(one, name) for name in as_is},
        "to_payee_percent": list(one.to_payee),
        "published_at": one.published_at,
    }


def _template(one: Template) -> dict[str, Any]:
    as_is = ("language", "reason", "outcome", "title", "text", "blanks", "created_at")
    return {
        "id": encode("template", one.id),
        "object": "decision_template",
        **{name: getattr(one, name) for name in as_is},
    }


@router.get(
    "/precedents",
    operation_id="list_precedents",
    summary="Published decisions",
    response_model=PrecedentPage,
    responses=documented(),
)
async def list_precedents(
    request: Request,
    kind: Word | None = None,
    reason: Word | None = None,
    outcome: Word | None = None,
    reason_code: Word | None = None,
    language: Language | None = None,
    mode: Literal["live", "sandbox"] = "live",
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """How disputes were decided, and why, told without names and amounts. Open to everybody."""
    given = {
        "kind": kind,
        "reason": reason,
        "outcome": outcome,
        "reason_code": reason_code,
        "language": language,
    }
    filters = {name: value for name, value in given.items() if value is not None}
    after = uuid_after(cursor)
    found = await edge_of(request).run(
        db.SYSTEM,
        lambda c: precedents.page(c, mode=mode, limit=limit + 1, after=after, filters=filters),
    )
    return page(request, found, limit, _shown, lambda one: (str(one.id),))


@router.get(
    "/precedents/{precedent}",
    operation_id="get_precedent",
    summary="One published decision",
    response_model=PrecedentOut,
    responses=documented(404),
)
async def get_precedent(request: Request, precedent: PrecedentId) -> Response:
    """To be cited by its id. Open to everybody."""
    found = await edge_of(request).run(db.SYSTEM, lambda c: precedents.find(c, precedent))
    return json_response(_shown(found))


@router.post(
    "/mediation/precedents",
    operation_id="publish_precedent",
    summary="Publish a decision for others to go by",
    status_code=201,
    response_model=PrecedentOut,
    responses=documented(404, 409, 413, 415),
)
async def publish_precedent(
    request: Request, body: PrecedentBody, me: Supervisor, key: KeyHeader = None
) -> Response:
    """Of a case that was decided and is over. What tells whose it was is refused."""
    edge = edge_of(request)
    draft = publishing.Draft(body.case, body.language, body.asked, body.text)

    def work(connection: Connection, now: datetime) -> Answer:
        made = publishing.publish(connection, draft, me.mediator_id, issuer_of(edge), now)
        return Answer(_shown(made), 201, f"/v1/precedents/{encode('precedent', made.id)}")

    return await once(request, edge, me, key, work)


@router.post(
    "/mediation/precedents/{precedent}/withdraw",
    operation_id="withdraw_precedent",
    summary="Show a precedent no more",
    response_model=PrecedentOut,
    responses=documented(404, 409, 413, 415),
)
async def withdraw_precedent(
    request: Request,
    precedent: PrecedentId,
    body: WithdrawBody,
    me: Supervisor,
    key: KeyHeader = None,
) -> Response:
    """It stays on record with the reason; another can be published of the same case."""

    def work(connection: Connection, now: datetime) -> Answer:
        found = precedents.find(connection, precedent)
        precedents.withdraw(connection, precedent, me.mediator_id, body.reason, now)
        return Answer(_shown(found))

    return await once(request, edge_of(request), me, key, work)


@router.get(
    "/mediation/templates",
    operation_id="list_decision_templates",
    summary="Words for decisions",
    response_model=TemplateList,
    responses=documented(),
)
async def list_decision_templates(
    request: Request,
    _me: AnyMediator,
    language: Language | None = None,
    reason: Annotated[Word | None, Query(description="Those for every reason fit too.")] = None,
    outcome: Word | None = None,
) -> Response:
    """Templates with blanks to fill in, by reason, outcome and language."""
    found = await edge_of(request).run(
        db.SYSTEM,
        lambda c: templates.find(c, language=language, reason=reason, outcome=outcome),
    )
    return json_response({"data": [_template(one) for one in found]})


@router.post(
    "/mediation/templates",
    operation_id="add_decision_template",
    summary="Share words for decisions",
    status_code=201,
    response_model=TemplateOut,
    responses=documented(409, 413, 415),
)
async def add_decision_template(
    request: Request, body: TemplateBody, me: Supervisor, key: KeyHeader = None
) -> Response:
    """To change one, add another and retire the first."""

    def work(connection: Connection, now: datetime) -> Answer:
        made = Template(
            uuid7(),
            body.language,
            body.reason,
            body.outcome,
            body.title,
            body.text,
            now,
            me.mediator_id,
        )
        templates.add(connection, made)
        return Answer(_template(made), 201)

    return await once(request, edge_of(request), me, key, work)


@router.post(
    "/mediation/templates/{template}/retire",
    operation_id="retire_decision_template",
    summary="Offer a template no more",
    response_model=TemplateOut,
    responses=documented(404, 409),
)
async def retire_decision_template(
    request: Request, template: TemplateId, me: Supervisor, key: KeyHeader = None
) -> Response:
    """Decisions that were written with it stay as they are."""

    def work(connection: Connection, now: datetime) -> Answer:
        return Answer(_template(templates.retire(connection, template, now)))

    return await once(request, edge_of(request), me, key, work)
