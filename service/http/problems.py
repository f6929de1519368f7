"""Errors as RFC 9457 problems: one table from each refusal to its status, and one shape for all.

``type`` is a URN that names the code; ``code`` repeats it for programs, ``detail`` is for people,
``pointer`` (RFC 6901) names the field at fault, ``facts`` helps to mend the request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg import OperationalError
from psycopg.errors import (
    AdminShutdown,
    CannotConnectNow,
    DeadlockDetected,
    LockNotAvailable,
    QueryCanceled,
    SerializationFailure,
    TooManyConnections,
)
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path

from ledger.refusals import Refusal
from service.http import hints, lanes, limits
from service.http import refusals as http
from service.http.statuses import STATUS
from service.mediators import throttle

_log = structlog.get_logger(__name__)

#: Ended by the database for want of time or place: the same request may do a moment later.
_PASSING: Final = (
    AdminShutdown,
    CannotConnectNow,
    DeadlockDetected,
    LockNotAvailable,
    QueryCanceled,
    SerializationFailure,
    TooManyConnections,
)

MEDIA_TYPE: Final = "application/problem+json"

TITLES: Final = {
    400: "The request is not understood",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    408: "Too slow",
    409: "Not possible now",
    413: "Too large",
    415: "Wrong kind of content",
    422: "The request cannot be carried out as it is",
    429: "Too often",
    500: "Our mistake",
    503: "Busy",
}


class Problem(BaseModel):
    """What every error looks like (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(examples=["urn:tierce:problem:stale_version"])
    title: str
    status: int
    detail: str = Field(description="What is wrong and how to mend it, for a developer.")
    code: str = Field(description="Stable name of the reason.", examples=["stale_version"])
    request_id: str
    pointer: str | None = Field(default=None, description="JSON Pointer to the field at fault.")
    errors: list[dict[str, str]] | None = Field(
        default=None, description="Every field at fault, when there are several."
    )
    facts: dict[str, Any] = Field(default_factory=dict, description="What helps to mend it.")


def problem_body(
    status: int, code: str, detail: str, request_id: str, **more: Any
) -> dict[str, Any]:
    """Return the JSON of a problem; parts that are None are left out."""
    body = {
        "type": f"urn:tierce:problem:{code}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        **more,
    }
    return {name: value for name, value in body.items() if value is not None}


def of_refusal(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """Return the problem of a refusal."""
    return problem_body(
        STATUS[type(refusal)],
        refusal.code,
        refusal.detail,
        request_id,
        pointer=refusal.pointer,
        facts=refusal.facts,
    )


def respond(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """Return the response of a problem."""
    return Response(orjson.dumps(body), body["status"], headers, MEDIA_TYPE)


def _request_id(request: Request) -> str:
    return str(request.scope.get("tierce.request_id", ""))


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    body = of_refusal(error, _request_id(request))
    headers = {}
    if body["status"] == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Tierce"'
    if isinstance(error, http.IdempotencyKeyInUse):
        headers["Retry-After"] = "1"
    if isinstance(error, throttle.TooManyTries | limits.TooManyRequests | lanes.Busy):
        headers["Retry-After"] = str(error.facts["wait_seconds"])
    return respond(body, headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    """Pydantic's complaints: a path that names nothing is 404, the rest 422 with pointers."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["loc"][0] == "path" for one in found):
        return await _on_refusal(request, http.NotFound("There is nothing at this address."))
    errors = invalid_errors(found, body=error.body)
    return respond(
        problem_body(
            422,
            "invalid_request",
            f"{errors[0]['pointer'] or 'The request'}: {errors[0]['detail']}",
            _request_id(request),
            pointer=errors[0]["pointer"],
            errors=errors,
            facts={},
        )
    )


def invalid_errors(
    found: Sequence[Any], inside: tuple[int | str, ...] = (), body: Any = None
) -> list[dict[str, str]]:
    """Return pydantic's complaints about ``body`` as pointers and words.

    ``inside`` is where the body stands in a larger one.
    """
    return [
        {
            "pointer": _pointer(("body", *inside, *one["loc"]) if inside else one["loc"]),
            "detail": _words(one, body, one["loc"] if inside else one["loc"][1:]),
        }
        for one in found
    ]


_SHAPE: Final = re.compile(r"(literal|list|dict|tuple|function-\w+|constrained-\w+)\[")


def _pointer(location: tuple[int | str, ...]) -> str:
    """``("body", "legs", 0)`` → ``/legs/0``; other places keep their name: ``/query/limit``."""
    parts = location[1:] if location[0] == "body" else location
    # Of a field that takes several shapes, the checker names the shape beside the field.
    parts = tuple(part for part in parts if not _SHAPE.match(str(part)))
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _words(error: Any, body: Any, location: tuple[int | str, ...]) -> str:
    if location[-1:] == ("amount",) and error["type"].startswith("int"):
        beside = body
        for part in location[:-1]:
            found = isinstance(beside, dict) or (isinstance(beside, list) and isinstance(part, int))
            beside = beside[part] if found else None
        return hints.amount(
            error["input"], beside.get("unit") if isinstance(beside, dict) else None
        )
    return str(error["msg"]).removeprefix("Value error, ")


async def _on_http(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: no such route, no such method."""
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    details = {
        404: "There is nothing at this address.",
        405: "This address does not take this method; see the Allow header.",
    }
    body = problem_body(
        error.status_code,
        codes.get(error.status_code, "http_error"),
        details.get(error.status_code, str(error.detail)),
        _request_id(request),
        facts={},
    )
    headers = dict(error.headers or {})
    # Pages are not in the document: what the framework found there is what there is.
    if error.status_code == 405 and (allowed := _allowed(request)):
        headers["Allow"] = ", ".join(sorted(allowed))
    return respond(body, headers)


def _allowed(request: Request) -> set[str]:
    """Every method that some operation takes at this address.

    The framework names those of the first route that has the address, and there can be two.
    """
    methods: set[str] = set()
    for path, operations in request.app.openapi()["paths"].items():
        if compile_path(path)[0].match(request.scope["path"]):
            methods |= {method.upper() for method in operations}
    return methods


async def _on_database(request: Request, error: Exception) -> Response:
    """A row or a connection could not be had in time: say so, and when to come back."""
    orig = getattr(error, "orig", None)
    # Without a SQLSTATE the server never answered: it is down, or out of reach.
    unreachable = isinstance(orig, OperationalError) and orig.sqlstate is None
    if unreachable or isinstance(error, PoolTimeoutError) or isinstance(orig, _PASSING):
        _log.warning("busy", error=str(error))
        detail = "The service is busy; send the same request again, with the same key."
        return respond(
            problem_body(503, "busy", detail, _request_id(request), facts={}),
            {"Retry-After": "1"},
        )
    return of_bug(error, _request_id(request))


def of_bug(error: Exception, request_id: str) -> Response:
    """Return the response to a mistake of ours, and log what it was."""
    _log.error("unexpected_error", exc_info=error)
    detail = (
        "Something went wrong on our side. Send the same request again, with the same key; if it "
        "stays so, quote the request_id."
    )
    return respond(problem_body(500, "internal_error", detail, request_id, facts={}))


def install(app: FastAPI) -> None:
    """Register every handler. What none of them takes is answered by the outermost layer."""
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(DBAPIError, _on_database)
    app.add_exception_handler(PoolTimeoutError, _on_database)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route: the problems it can answer with."""
    return {
        status: {
            "description": TITLES[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({400, 401, 403, 422, 429, 500, 503, *statuses})
    }
