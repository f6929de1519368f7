"""Is the process alive, is it ready, and with which keys does it sign?"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from migrations.run import head
from service import clock, db
from service.http.edge import edge_of, json_response
from service.http.schemas.base import Answer
from service.operations import outages
from service.records import keys
from service.wake import answers

router = APIRouter(tags=["Instance"])


class Alive(Answer):
    """The process answers."""

    status: Literal["ok"]


class Ready(Answer):
    """Whether requests can be served, and what stands in the way."""

    status: Literal["ready", "not_ready"]
    database: str
    broker: Literal["answers", "does not answer", "not asked"] = Field(
        description="Without it work waits for the worker's schedule; requests are served."
    )
    worker: Literal["alive", "not seen", "not asked"] = Field(
        description="Without one nothing moves by itself; requests are served."
    )


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
    edge = edge_of(request)
    try:
        found, seen = await edge.run(db.SYSTEM, partial(_state, clock.now()))
    except (SQLAlchemyError, OSError) as error:
        # One without our tables has not been migrated yet.
        return _not_ready(
            "is not migrated" if isinstance(error, ProgrammingError) else "does not answer"
        )
    if found != head():
        return _not_ready(f"at revision {found}")
    up = await run_in_threadpool(answers, edge.settings.redis_url)
    return json_response(
        {
            "status": "ready",
            "database": f"at revision {found}",
            "broker": "answers" if up else "does not answer",
            "worker": "alive" if seen else "not seen",
        }
    )


def _state(now: datetime, connection: Connection) -> tuple[str | None, bool]:
    """Return the revision, and whether a worker was seen within a minute."""
    revision: str | None = connection.execute(
        text("SELECT version_num FROM tierce_migration")
    ).scalar()
    if revision != head():
        return revision, False
    seen = outages.last_seen(connection).get("worker")
    return revision, seen is not None and now - seen < timedelta(minutes=1)


def _not_ready(database: str) -> Response:
    body = {"status": "not_ready", "database": database}
    return json_response({**body, "broker": "not asked", "worker": "not asked"}, 503)


@router.get(
    "/.well-known/jwks.json",
    operation_id="jwks",
    summary="Public keys of members' tokens and of signed documents",
    response_model=Jwks,
)
async def jwks(request: Request) -> Response:
    """To verify a member's token, a decision or a receipt without asking.

    Keys of documents stay when they are retired: what they signed is genuine for ever.
    """
    edge = edge_of(request)
    documents = await edge.run(db.SYSTEM, keys.published)
    every = [*edge.signer.jwks["keys"], *(key.jwk for key in documents)]
    headers = {"Cache-Control": "public, max-age=300"}
    return json_response({"keys": every}, headers=headers)
