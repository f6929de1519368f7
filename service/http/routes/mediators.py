"""The operator's side of mediators: invited, listed, ended, reset."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import mediators
from disputes.mediators import Mediator
from service import clock, db
from service.http import shown_mediators
from service.http.auth import Operator, operator
from service.http.case_desk import pass_on
from service.http.edge import edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.schemas.base import MediatorId
from service.http.schemas.mediator_desk import MediatorChanges
from service.http.schemas.mediators import InvitedOut, MediatorBody, MediatorOut, MediatorPage
from service.ids import uuid7
from service.mediators import accounts
from service.mediators.accounts import Invitation

router = APIRouter(prefix="/v1/operator/mediators", tags=["Mediation"], route_class=StrictRoute)

TheOperator = Annotated[Operator, Depends(operator)]


def _invited(one: Mediator, invitation: Invitation) -> Answer:
    """Show an invitation's secret once; nothing keeps it, so a replay shows null."""
    shown = shown_mediators.mediator(one)
    path = f"/v1/mediation/invitations/{invitation.secret}"
    page, ends = f"/desk/invitations/{invitation.secret}", invitation.expires_at
    return Answer(
        {**shown, "invitation": {"path": path, "page": page, "expires_at": ends}},
        201,
        f"/v1/operator/mediators/{shown['id']}",
        kept={**shown, "invitation": {"path": None, "page": None, "expires_at": ends}},
    )


@router.post(
    "",
    operation_id="create_mediator",
    summary="Invite a mediator",
    status_code=201,
    response_model=InvitedOut,
    responses=documented(400, 409, 413, 415, 422),
)
async def create_mediator(
    request: Request, body: MediatorBody, actor: TheOperator, key: KeyHeader = None
) -> Response:
    """They choose their password and set up their authenticator themselves, within seven days.

    The invitation is in this answer alone: nothing keeps it, so a replay shows null.
    """

    def work(connection: Connection, now: datetime) -> Answer:
        made = Mediator(
            uuid7(),
            body.name,
            body.email,
            frozenset(body.languages),
            frozenset(body.skills),
            frozenset(body.roles),
            body.caseload_cap,
            now,
        )
        return _invited(made, accounts.add(connection, made, now))

    return await once(request, edge_of(request), actor, key, work)


@router.get(
    "",
    operation_id="list_mediators",
    summary="List mediators",
    response_model=MediatorPage,
    responses=documented(400, 422),
    dependencies=[Depends(operator)],
)
async def list_mediators(request: Request, limit: Limit = 25, cursor: Cursor = None) -> Response:
    """Oldest first, those who have ended too; for the operator."""
    found = await edge_of(request).run(
        db.SYSTEM, lambda c: mediators.page(c, uuid_after(cursor), limit + 1)
    )
    return page(request, found, limit, shown_mediators.mediator, lambda one: (one.id,))


@router.get(
    "/{mediator}",
    operation_id="get_mediator",
    summary="Read a mediator",
    response_model=MediatorOut,
    responses=documented(404),
    dependencies=[Depends(operator)],
)
async def get_mediator(request: Request, mediator: MediatorId) -> Response:
    """For the operator."""
    found = await edge_of(request).run(db.SYSTEM, lambda c: mediators.get(c, mediator))
    return json_response(shown_mediators.mediator(found))


@router.patch(
    "/{mediator}",
    operation_id="change_mediator",
    summary="Change a mediator",
    response_model=MediatorOut,
    responses=documented(400, 404, 409, 413, 415, 422),
    dependencies=[Depends(operator)],
)
async def change_mediator(
    request: Request, mediator: MediatorId, body: MediatorChanges
) -> Response:
    """Only what is sent changes, from the next draw on: they keep the cases they have."""
    changes, now = body.model_dump(exclude_unset=True), clock.now()
    changed = await edge_of(request).run(
        db.SYSTEM, lambda c: accounts.change(c, mediator, changes, now)
    )
    return json_response(shown_mediators.mediator(changed))


@router.post(
    "/{mediator}/end",
    operation_id="end_mediator",
    summary="End a mediator's work",
    response_model=MediatorOut,
    responses=documented(400, 404, 409),
)
async def end_mediator(
    request: Request, mediator: MediatorId, actor: TheOperator, key: KeyHeader = None
) -> Response:
    """They are drawn for no case any more, and signed out at once. Cases that they have pass on to
    others at once; what they have decided stands.
    """

    def work(connection: Connection, now: datetime) -> Answer:
        return Answer(shown_mediators.mediator(accounts.end(connection, mediator, now)))

    edge = edge_of(request)
    response = await once(request, edge, actor, key, work)
    await pass_on(edge, mediator)
    edge.wake()
    return response


@router.post(
    "/{mediator}/reset",
    operation_id="reset_mediator",
    summary="Invite a mediator again",
    status_code=201,
    response_model=InvitedOut,
    responses=documented(400, 404, 409),
)
async def reset_mediator(
    request: Request, mediator: MediatorId, actor: TheOperator, key: KeyHeader = None
) -> Response:
    """For a lost authenticator, a forgotten password, or an account in the wrong hands: nothing of
    the old opens it from here on. The new invitation is in this answer alone.
    """

    def work(connection: Connection, now: datetime) -> Answer:
        invitation = accounts.reset(connection, mediator, now)
        return _invited(mediators.get(connection, mediator), invitation)

    return await once(request, edge_of(request), actor, key, work)
