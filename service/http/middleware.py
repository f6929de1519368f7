"""What every request passes first: an id, a size limit, headers that browsers obey."""

from __future__ import annotations

import re
import time
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import of_bug, of_refusal, respond
from service.http.refusals import BadRequest, BodyTooLarge
from service.ids import encode, uuid7
from service.operations import metrics

_log = structlog.get_logger(__name__)

_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,80}")
_TOKEN: Final = re.compile(r"^(/l/|/v1/mediation/invitations/)[^/]*")
#: Where a body is a file.
_FILES: Final = re.compile(r"/v1/cases/[^/]+/evidence/files")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NUL: Final = re.compile(rb"%00|\x00")
#: An API answers programs: nothing of it is to be framed, sniffed, cached or run.
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)


class Edge:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, max_file_bytes: int) -> None:
        self._app = app
        self._max = max_body_bytes
        self._max_file = max_file_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else encode("request", uuid7())
        scope["tierce.request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)

        began, status = time.perf_counter(), 0

        async def finish(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = message["headers"]
                names = {name for name, _value in given}
                message["headers"] = [
                    *given,
                    (b"x-request-id", request_id.encode()),
                    *(header for header in _HEADERS if header[0] not in names),
                ]
            await send(message)

        refusal = self._refusal(scope, headers)
        try:
            if refusal is not None:
                await respond(of_refusal(refusal, request_id))(scope, receive, finish)
            else:
                await self._app(scope, _limited(receive, self._most(scope)), finish)
        except ClientDisconnect:
            pass  # nobody is left to be answered
        except Exception as error:
            if status:
                raise  # the answer is on its way already; only the connection can be cut
            await of_bug(error, request_id)(scope, receive, finish)
        seconds = time.perf_counter() - began
        _count(scope, status, seconds)
        _log.info(
            "request",
            method=scope["method"],
            path=_shown(scope["path"]),
            status=status,
            ms=round(seconds * 1000, 1),
        )

    def _refusal(self, scope: Scope, headers: Headers) -> BadRequest | BodyTooLarge | None:
        if _NUL.search(scope["query_string"]) or "\x00" in scope["path"]:
            return BadRequest("The address holds a NUL.")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 15:
            return BadRequest("Content-Length is not a number.")
        most = self._most(scope)
        return _too_large(most) if int(length) > most else None

    def _most(self, scope: Scope) -> int:
        """Return how many bytes a body may have at this address."""
        return self._max_file if _FILES.fullmatch(scope["path"]) else self._max


def _shown(path: str) -> str:
    """Return a path as the log may keep it: the token of a link or invitation is a credential."""
    return _TOKEN.sub(r"\1…", path)


def _count(scope: Scope, status: int, seconds: float) -> None:
    """Count a request under its route's template: addresses hold ids, and labels must not."""
    method = scope["method"] if scope["method"] in _METHODS else "other"
    route = getattr(scope.get("route"), "path", "unknown")
    metrics.http_requests.labels(method, route, f"{status // 100}xx" if status else "gone").inc()
    metrics.http_seconds.labels(method, route).observe(seconds)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"A body has {limit} bytes at most.", limit=limit)


def _limited(receive: Receive, limit: int) -> Receive:
    """Count a body that comes without its length, and stop it at the limit."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _too_large(limit)
        return message

    return counted
