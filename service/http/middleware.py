"""What every request passes first: an id, a size limit, headers that browsers obey."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.problems import of_bug, of_refusal, respond
from service.http.refusals import BadRequest, BodyTooLarge, BodyTooSlow
from service.ids import encode, uuid7
from service.operations import metrics

_log = structlog.get_logger(__name__)
_lines: Final = logging.getLogger(__name__)

_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,80}")
_TOKEN: Final = re.compile(r"^(/l/|/h/|/v1/mediation/invitations/|/desk/invitations/)[^/]*")
_CLOSE: Final = (b"connection", b"close")
#: Where a body is a file.
_FILES: Final = re.compile(r"/v1/cases/[^/]+/evidence/files|/l/[^/]+/case/evidence")
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

    def __init__(
        self,
        app: ASGIApp,
        max_body_bytes: int,
        max_file_bytes: int,
        body_seconds: float,
        file_seconds: float,
    ) -> None:
        self._app = app
        self._max = max_body_bytes
        self._max_file = max_file_bytes
        self._seconds = body_seconds
        self._file_seconds = file_seconds

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

        # Whatever answers GET answers HEAD with the same status and headers (RFC 9110, 9.3.2).
        bodyless = scope["method"] == "HEAD"
        asked = {**scope, "method": "GET"} if bodyless else scope
        body = _Body(receive, headers, *self._most(scope))
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
                if body.left:
                    message["headers"].append(_CLOSE)
            elif bodyless:
                message = {**message, "body": b""}
            await send(message)

        refusal = self._refusal(scope, headers)
        try:
            if refusal is not None:
                await respond(of_refusal(refusal, request_id))(asked, receive, finish)
            else:
                await self._app(asked, body.receive, finish)
        except ClientDisconnect:
            pass  # nobody is left to be answered
        except Exception as error:
            if status:
                raise  # the answer is on its way already; only the connection can be cut
            await of_bug(error, request_id)(asked, receive, finish)
        seconds = time.perf_counter() - began
        _count(scope["method"], asked, status, seconds)
        if _lines.isEnabledFor(logging.INFO):  # or the facts are gathered for nobody
            _log.info(
                "request",
                method=scope["method"],
                path=_shown(asked),
                status=status,
                ms=round(seconds * 1000, 1),
            )

    def _refusal(self, scope: Scope, headers: Headers) -> BadRequest | BodyTooLarge | None:
        if _NUL.search(scope["query_string"]) or "\x00" in scope["path"]:
            return BadRequest("The address holds a NUL.")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 15:
            return BadRequest("Content-Length is not a number.")
        most, _seconds = self._most(scope)
        return _too_large(most) if int(length) > most else None

    def _most(self, scope: Scope) -> tuple[int, float]:
        """Return how many bytes a body may have at this address, and how long it may take."""
        if _FILES.fullmatch(scope["path"]):
            return self._max_file, self._file_seconds
        return self._max, self._seconds


def _shown(scope: Scope) -> str:
    """Return a path as the log may keep it: the token of a link or invitation is a credential.

    A token is known by its name in the route's address, and where no route was found by its place.
    """
    path: str = scope["path"]
    token = scope.get("path_params", {}).get("token")
    if isinstance(token, str) and token:
        path = path.replace(token, "…")
    return _TOKEN.sub(r"\1…", path)


def _count(given: str, scope: Scope, status: int, seconds: float) -> None:
    """Count a request under its route's template: addresses hold ids, and labels must not."""
    method = given if given in _METHODS else "other"
    route = getattr(scope.get("route"), "path", "unknown")
    metrics.http_requests.labels(method, route, f"{status // 100}xx" if status else "gone").inc()
    metrics.http_seconds.labels(method, route).observe(seconds)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"A body has {limit} bytes at most.", limit=limit)


class _Body:
    """A body as it comes: stopped at the limit of size or of time, also where it did not say its
    length.

    ``left`` tells whether much of it was not read: then the connection is closed with the answer,
    or the server would take in all the rest of it, to throw it away.
    """

    def __init__(self, receive: Receive, headers: Headers, limit: int, seconds: float) -> None:
        self._receive = receive
        self._limit = limit
        self._seen = 0
        self._ends_at = time.monotonic() + seconds
        self._seconds = seconds
        self._whole = False
        length = headers.get("content-length", "0")
        self.left = "transfer-encoding" in headers or not length.isdecimal() or len(length) > 4

    async def receive(self) -> Message:
        """Return the next piece, as ASGI has it."""
        message = await self._next()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > self._limit:
                raise _too_large(self._limit)
            if not message.get("more_body", False):
                self.left = False
                self._whole = True
        return message

    async def _next(self) -> Message:
        if self._whole:
            return await self._receive()  # only that the caller has gone can come
        try:
            async with asyncio.timeout(self._ends_at - time.monotonic()):
                return await self._receive()
        except TimeoutError as error:
            self.left = True
            raise BodyTooSlow(
                f"The body did not come whole within {self._seconds:g} seconds."
            ) from error
