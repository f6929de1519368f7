"""Where mediators sign in, and what they may change about that."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from service import clock, db
from service.http import accounts
from service.http.edge import Edge, edge_of, json_response
from service.http.jsonbody import StrictRoute
from service.http.mediator_auth import Neutral, mediator_of
from service.http.problems import documented
from service.http.schemas.mediators import (
    OwnMediatorOut,
    PasswordBody,
    RefreshBody,
    SessionOut,
    SignInBody,
    TakeUpBody,
    TakeUpOut,
)
from service.ids import encode
from service.mediators import sessions
from service.mediators.accounts import Invitation
from service.mediators.sessions import Session

router = APIRouter(prefix="/v1/mediation", tags=["Mediation"], route_class=StrictRoute)

AnyMediator = Annotated[Neutral, Depends(mediator_of())]
InvitationToken = Annotated[str, Path(min_length=1, max_length=200)]


def _session(edge: Edge, session: Session, now: datetime) -> dict[str, Any]:
    token, ends = sessions.access(edge.signer, session, now)
    return {
        "object": "mediator_session",
        "mediator": encode("mediator", session.mediator_id),
        "token": token,
        "expires_at": ends,
        "refresh_token": session.refresh,
        "refresh_expires_at": session.refresh_expires_at,
        "session_expires_at": session.expires_at,
    }


def _own(me: Neutral) -> dict[str, Any]:
    return {
        "id": encode("mediator", me.mediator_id),
        "object": "mediator",
        "name": me.seen.name,
        "email": me.seen.email,
        "languages": list(me.seen.languages),
        "roles": sorted(me.roles),
        "session_started_at": me.seen.started_at,
        "session_expires_at": me.seen.expires_at,
    }


def _taken_up(invitation: Invitation, state: str, uri: str | None = None) -> dict[str, Any]:
    return {
        "object": "mediator_invitation",
        "state": state,
        "email": invitation.email,
        "otpauth_uri": uri,
    }


@router.post(
    "/sign-in",
    operation_id="sign_in_mediator",
    summary="Sign in as a mediator",
    response_model=SessionOut,
    responses=documented(413, 415, 429),
)
async def sign_in_mediator(request: Request, body: SignInBody) -> Response:
    """With address, password and a code of the authenticator, which is taken once.

    What was wrong is not told. After some failures there is a wait (`Retry-After`), which grows;
    it is counted for the network that you come from, so that nobody else's tries keep you out.
    """
    edge, network = edge_of(request), accounts.network_of(request)
    session = await accounts.open_session(edge, network, body.email, body.password, body.code)
    return json_response(_session(edge, session, clock.now()))


@router.post(
    "/refresh",
    operation_id="refresh_mediator_session",
    summary="Get the next token of a session",
    response_model=SessionOut,
    responses=documented(413, 415),
)
async def refresh_mediator_session(request: Request, body: RefreshBody) -> Response:
    """The refresh token is used up, and the answer has the next.

    One that comes a second time was copied by somebody: the whole session ends. A session that
    nobody refreshes for an hour is over, and each after twelve.
    """
    edge, now = edge_of(request), clock.now()
    session = await edge.run(db.SYSTEM, lambda c: sessions.refresh(c, body.refresh_token, now))
    if session is None:
        raise sessions.SessionOver("The session is over: sign in again.")
    return json_response(_session(edge, session, now))


@router.post(
    "/sign-out",
    operation_id="sign_out_mediator",
    summary="End the session",
    status_code=204,
    responses=documented(),
)
async def sign_out_mediator(request: Request, me: AnyMediator) -> Response:
    """Its tokens open nothing from here on, here and in every other process."""
    await accounts.end_session(edge_of(request), me)
    return Response(status_code=204)


@router.get(
    "/me",
    operation_id="get_own_mediator",
    summary="Read who is signed in",
    response_model=OwnMediatorOut,
    responses=documented(),
)
async def get_own_mediator(me: AnyMediator) -> Response:
    """The mediator of the token, their roles, and until when the session lasts."""
    return json_response(_own(me))


@router.post(
    "/password",
    operation_id="change_mediator_password",
    summary="Change the password",
    response_model=OwnMediatorOut,
    responses=documented(409, 413, 415, 429),
)
async def change_mediator_password(
    request: Request, body: PasswordBody, me: AnyMediator
) -> Response:
    """For whoever knows the current one; trying it counts as trying to sign in.

    Every other session of the mediator ends; this one goes on.
    """
    edge, network = edge_of(request), accounts.network_of(request)
    await accounts.change_password(edge, network, me, body.current_password, body.password)
    return json_response(_own(me))


@router.post(
    "/invitations/{token}",
    operation_id="take_up_invitation",
    summary="Open an account by invitation",
    response_model=TakeUpOut,
    responses=documented(404, 409, 413, 415),
)
async def take_up_invitation(
    request: Request, token: InvitationToken, body: TakeUpBody
) -> Response:
    """In two steps. Send a password: the answer has what the authenticator is to be told. Send a
    code of it: the account is open, and the invitation is used up.

    Until then the first step can be taken again, which changes both.
    """
    edge = edge_of(request)
    if body.code is not None:
        network = accounts.network_of(request)
        opened = await accounts.confirm(edge, network, token, body.code)
        return json_response(_taken_up(opened, "account_open"))
    invitation, uri = await accounts.choose(edge, token, body.password or "")
    return json_response(_taken_up(invitation, "code_awaited", uri))
