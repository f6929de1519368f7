"""Platforms (the operator's) and their API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from service import clock, db
from service.http import presenters
from service.http.auth import Actor, Operator, known, operator, platform_key
from service.http.edge import edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.refusals import ScopeMissing
from service.http.schemas.base import KeyId, PlatformId
from service.http.schemas.platforms import (
    KeyBody,
    KeyOut,
    KeyPage,
    PlatformBody,
    PlatformChanges,
    PlatformCreated,
    PlatformOut,
    PlatformPage,
    RotateBody,
)
from service.platforms import keys, platforms
from service.platforms.scopes import SCOPES

router = APIRouter(prefix="/v1", tags=["Platforms and keys"], route_class=StrictRoute)

KeyReader = Annotated[Actor, Depends(platform_key("keys:read"))]
KeyWriter = Annotated[Actor, Depends(platform_key("keys:write"))]


def _within(actor: Actor, wanted: Sequence[str]) -> None:
    """Stop a key from making a stronger one. Raised, it undoes the whole transaction.

    Raises:
        ScopeMissing
    """
    for scope in wanted:
        if scope not in actor.scopes:
            raise ScopeMissing(
                f"A key gives only scopes that it has; this one lacks {scope}.", scope=scope
            )


def _made(key: keys.Key, secret: str) -> Answer:
    shown, kept = presenters.api_key(key, secret), presenters.api_key(key)
    return Answer(shown, 201, f"/v1/api-keys/{shown['id']}", kept=kept)


@router.post(
    "/platforms",
    operation_id="create_platform",
    summary="Create a platform",
    status_code=201,
    response_model=PlatformCreated,
    responses=documented(400, 409, 413, 415, 422),
)
async def create_platform(
    request: Request,
    body: PlatformBody,
    actor: Annotated[Operator, Depends(operator)],
    key: KeyHeader = None,
) -> Response:
    """Makes a live tenant and its sandbox, each with a key of every scope.

    The keys' secrets are in this answer alone: nothing keeps them, so a replay shows null.
    """

    def work(connection: Connection, now: datetime) -> Answer:
        live, sandbox = platforms.create(connection, body.name, now)
        kept = {"live": presenters.platform(live), "sandbox": presenters.platform(sandbox)}
        shown = dict(kept)
        for one in (live, sandbox):
            made, secret = keys.create(connection, one.id, one.mode, "first key", SCOPES, now)
            kept[f"{one.mode}_key"] = presenters.api_key(made)
            shown[f"{one.mode}_key"] = presenters.api_key(made, secret)
        return Answer(shown, 201, f"/v1/platforms/{shown['live']['id']}", kept=kept)

    return await once(request, edge_of(request), actor, key, work)


@router.get(
    "/platforms",
    operation_id="list_platforms",
    summary="List the instance's platforms",
    response_model=PlatformPage,
    responses=documented(400, 422),
    dependencies=[Depends(operator)],
)
async def list_platforms(request: Request, limit: Limit = 25, cursor: Cursor = None) -> Response:
    """Newest first; for the operator."""
    found = await edge_of(request).run(
        db.SYSTEM, lambda c: platforms.page(c, limit=limit + 1, after=uuid_after(cursor))
    )
    return page(request, found, limit, presenters.platform, lambda one: (one.id,))


@router.get(
    "/platforms/{platform}",
    operation_id="get_platform",
    summary="Read a platform",
    response_model=PlatformOut,
    responses=documented(404),
    dependencies=[Depends(operator)],
)
async def get_platform(request: Request, platform: PlatformId) -> Response:
    """For the operator."""
    found = await edge_of(request).run(db.SYSTEM, lambda c: platforms.find(c, platform))
    return json_response(presenters.platform(found))


@router.get(
    "/platform",
    operation_id="get_own_platform",
    summary="Read the platform of this key",
    response_model=PlatformOut,
    responses=documented(),
)
async def get_own_platform(request: Request, actor: KeyReader) -> Response:
    """Which tenant, and which mode, the key opens."""
    found = await edge_of(request).run(
        actor.platform_id, lambda c: platforms.find(c, actor.platform_id)
    )
    return json_response(presenters.platform(found))


@router.patch(
    "/platform",
    operation_id="change_own_platform",
    summary="Say where members can talk to somebody",
    response_model=PlatformOut,
    responses=documented(400, 413, 415, 422),
)
async def change_own_platform(
    request: Request, body: PlatformChanges, actor: KeyWriter
) -> Response:
    """For the tenant that the key opens; its twin has a number of its own."""
    changed = await edge_of(request).run(
        actor.platform_id, lambda c: platforms.change(c, actor.platform_id, body.phone)
    )
    return json_response(presenters.platform(changed))


@router.post(
    "/api-keys",
    operation_id="create_api_key",
    summary="Make an API key",
    status_code=201,
    response_model=KeyOut,
    responses=documented(400, 409, 413, 415, 422),
)
async def create_api_key(
    request: Request, body: KeyBody, actor: KeyWriter, key: KeyHeader = None
) -> Response:
    """The secret is in this answer alone: nothing keeps it, so a replay shows null.

    A key gives no scope that it does not have itself.
    """

    def work(connection: Connection, _now: datetime) -> Answer:
        made, secret = keys.create(
            connection, actor.platform_id, actor.mode, body.label, body.scopes, clock.now()
        )
        _within(actor, made.scopes)
        return _made(made, secret)

    return await once(request, edge_of(request), actor, key, work)


@router.get(
    "/api-keys",
    operation_id="list_api_keys",
    summary="List API keys",
    response_model=KeyPage,
    responses=documented(400, 422),
)
async def list_api_keys(
    request: Request, actor: KeyReader, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """Newest first, without their secrets."""
    found = await edge_of(request).run(
        actor.platform_id,
        lambda c: keys.page(c, actor.platform_id, limit=limit + 1, after=uuid_after(cursor)),
    )
    return page(request, found, limit, presenters.api_key, lambda one: (one.id,))


@router.get(
    "/api-keys/{api_key}",
    operation_id="get_api_key",
    summary="Read an API key",
    response_model=KeyOut,
    responses=documented(404),
)
async def get_api_key(request: Request, api_key: KeyId, actor: KeyReader) -> Response:
    """Its scopes, last use and end; never its secret."""
    found = await edge_of(request).run(
        actor.platform_id, lambda c: keys.find(c, actor.platform_id, api_key)
    )
    return json_response(presenters.api_key(found))


@router.post(
    "/api-keys/{api_key}/rotate",
    operation_id="rotate_api_key",
    summary="Replace an API key",
    status_code=201,
    response_model=KeyOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def rotate_api_key(
    request: Request, api_key: KeyId, body: RotateBody, actor: KeyWriter, key: KeyHeader = None
) -> Response:
    """A new key with the same scopes, which the caller's own must have; the old one works on for
    the overlap. The secret is in this answer alone.
    """

    def work(connection: Connection, _now: datetime) -> Answer:
        overlap, now = timedelta(hours=body.overlap_hours), clock.now()
        made, secret = keys.rotate(connection, actor.platform_id, api_key, actor.mode, now, overlap)
        _within(actor, made.scopes)
        return _made(made, secret)

    response = await once(request, edge_of(request), actor, key, work)
    known.forget()
    return response


@router.post(
    "/api-keys/{api_key}/revoke",
    operation_id="revoke_api_key",
    summary="End an API key at once",
    response_model=KeyOut,
    responses=documented(400, 404, 409),
)
async def revoke_api_key(
    request: Request, api_key: KeyId, actor: KeyWriter, key: KeyHeader = None
) -> Response:
    """Works on no process for longer than two seconds after this answer."""

    def work(connection: Connection, _now: datetime) -> Answer:
        ended = keys.revoke(connection, actor.platform_id, api_key, clock.now())
        return Answer(presenters.api_key(ended))

    response = await once(request, edge_of(request), actor, key, work)
    known.forget()
    return response
