"""Is the process alive, is it ready, and with which keys does it sign?"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from migrations.run import head
from service import db
from service.http.edge import edge_of, json_response
from service.http.schemas.base import Answer

router = APIRouter(tags=["Instance"])


class Alive(Answer):
    """The process answers."""

    status: Literal["ok"]


class Ready(Answer):
    """Whether requests can be served, and what stands in the way."""

    status: Literal["ready", "not_ready"]
    database: str


class Jwks(Answer):
    """A JWK set (RFC 7517)."""

    keys: list[dict[str, Any]]


@router.get("/livez", operation_id="livez", summary="Is the process alive?", response_model=Alive)
async def livez() -> Response:
    """Asks nothing else."""
    return json_response({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Can requests be served?",
    response_model=Ready,
    responses={503: {"description": "Not now", "model": Ready}},
)
async def readyz(request: Request) -> Response:
    """The database answers, and is at the revision that this version of the service needs."""
    try:
        found = await edge_of(request).run(
            db.SYSTEM,
            lambda c: c.execute(text("SELECT version_num FROM tierce_migration")).scalar(),
        )
    except (SQLAlchemyError, OSError):
        return json_response({"status": "not_ready", "database": "does not answer"}, 503)
    if found != head():
        return json_response({"status": "not_ready", "database": f"at revision {found}"}, 503)
    return json_response({"status": "ready", "database": f"at revision {found}"})


@router.get(
    "/.well-known/jwks.json",
    operation_id="jwks",
    summary="Public keys of members' tokens",
    response_model=Jwks,
)
async def jwks(request: Request) -> Response:
    """To verify a member's token without asking."""
    headers = {"Cache-Control": "public, max-age=300"}
    return json_response(edge_of(request).signer.jwks, headers=headers)
