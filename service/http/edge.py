"""What routes work with: the application's engines and signers, and one way to run a use case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from fastapi import Request
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import Response

from service import db
from service.config import Settings
from service.exchanges.codes import CodeBook
from service.exchanges.desk import Desk
from service.exchanges.proofs import Prover
from service.files import Files
from service.http.lanes import Lanes
from service.http.limits import Limits
from service.platforms.tokens import Signer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Edge:
    """Built once at start; every route finds it by :func:`edge_of`."""

    settings: Settings
    engine: AsyncEngine
    desk: Desk
    codes: CodeBook
    signer: Signer
    #: Signs and checks what the squares of hand-overs hold.
    prover: Prover
    #: Where files of evidence are.
    files: Files
    #: Tells the worker that rows wait for it; never fails, never waits.
    wake: Callable[[], None]
    #: How often one may ask.
    limits: Limits
    #: Where requests of one kind and platform go together.
    lanes: Lanes

    async def run(self, scope: db.Scope, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one committed transaction of a platform, or of the system."""
        return await db.run(self.engine, scope, work)


def edge_of(request: Request) -> Edge:
    """Return the application's edge."""
    edge: Edge = request.app.state.edge
    return edge


def request_id(request: Request) -> str:
    """Return the id of the request, as the caller will see it."""
    return str(request.scope["tierce.request_id"])


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response; instants are RFC 3339 in UTC, with Z."""
    return Response(dumps(body), status, headers, "application/json")


def dumps(body: Any) -> bytes:
    """Return the JSON of a body."""
    return orjson.dumps(body, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)
