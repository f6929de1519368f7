"""Carry one message to one address and say how it came out. No database, no retry, no redirect."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from time import perf_counter
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

import httpcore

from service.events.guard import AddressRefused, Forbidden, Guard, GuardedBackend
from service.events.ladder import retry_after

#: From the first look at the name to the last byte of the answer.
TIMEOUT_SECONDS: Final = 15.0
#: No more of an answer is read, and less of it kept.
_MOST_READ: Final = 4_096
_MOST_KEPT: Final = 500
_LONGEST_ERROR: Final = 200
#: Connections to all endpoints that are kept open between messages, and for how long.
_MOST_KEPT_OPEN: Final = 200
_KEPT_SECONDS: Final = 30.0

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an attempt: the status of an answer, or why there was none."""

    status: int | None
    error: str | None
    duration_ms: int
    answer: str | None = None
    #: Who did not take it asks for no message before.
    wanted_at: datetime | None = None

    @property
    def delivered(self) -> bool:
        """Whether the endpoint took the message: any 2xx says so (Standard Webhooks)."""
        return self.status is not None and _is_taken(self.status)


class Courier:
    """Sends messages, over connections that stay open for the next to the same place.

    Each place has a list of its own that nobody else's messages are looked for in. Of one place
    there are as many connections as messages on their way to it.
    """

    def __init__(self, guard: Guard, trust: ssl.SSLContext, seconds: float) -> None:
        self._guard = guard
        self._trust = trust
        self._seconds = seconds
        self._idle: dict[str, list[httpcore.AsyncHTTPConnection]] = {}
        self._kept = 0

    async def send(
        self, url: str, headers: Headers, body: bytes, now: datetime, whose: UUID
    ) -> Result:
        """POST ``body`` for a platform; whatever happens is a result.

        ``now`` is when the answer's ``Retry-After`` counts from.
        """
        began = perf_counter()
        try:
            # Again: what the operator allowed when it was registered may be allowed no more.
            self._guard.check_form(url)
            async with asyncio.timeout(self._seconds):
                status, wanted, answer = await self._post(url, headers, body, whose)
        except AddressRefused as error:
            return Result(None, error.detail[:_LONGEST_ERROR], _since(began))
        except TimeoutError:
            return Result(None, f"no answer within {self._seconds:g} seconds", _since(began))
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            return Result(None, _words(error), _since(began))
        except OSError as error:
            return Result(None, _words(error), _since(began))
        if _is_taken(status):
            return Result(status, None, _since(began), answer)
        return Result(
            status,
            _why_not(status),
            _since(began),
            answer,
            retry_after(wanted, now),
        )

    async def close(self) -> None:
        """Close every connection that is idle."""
        for connections in self._idle.values():
            for connection in connections:
                await connection.aclose()
        self._idle.clear()

    async def _post(
        self, url: str, headers: Headers, body: bytes, whose: UUID
    ) -> tuple[int, str | None, str | None]:
        target = httpcore.URL(url)
        sent = [
            ("host", urlsplit(url).netloc),
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("user-agent", "Tierce-Webhooks/1"),
            *headers,
        ]
        kept = await self._take(str(target.origin))
        if kept is not None:
            try:
                return await self._ask(kept, target, sent, body)
            except (httpcore.NetworkError, httpcore.RemoteProtocolError):
                pass  # the other side has closed it just as it was used: once more, over a new one
        new = httpcore.AsyncHTTPConnection(
            target.origin,
            ssl_context=self._trust,
            keepalive_expiry=_KEPT_SECONDS,
            network_backend=GuardedBackend(self._guard, whose),
        )
        return await self._ask(new, target, sent, body)

    async def _ask(
        self,
        connection: httpcore.AsyncHTTPConnection,
        target: httpcore.URL,
        headers: Headers,
        body: bytes,
    ) -> tuple[int, str | None, str | None]:
        request = httpcore.Request("POST", target, headers=list(headers), content=body)
        try:
            response = await connection.handle_async_request(request)
            try:
                return await _read(response)
            finally:
                await response.aclose()
        finally:
            await self._put(str(target.origin), connection)

    async def _take(self, origin: str) -> httpcore.AsyncHTTPConnection | None:
        connections = self._idle.get(origin, [])
        while connections:
            connection = connections.pop()
            self._kept -= 1
            if not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def _put(self, origin: str, connection: httpcore.AsyncHTTPConnection) -> None:
        if connection.is_available() and self._kept < _MOST_KEPT_OPEN:
            self._idle.setdefault(origin, []).append(connection)
            self._kept += 1
        else:
            await connection.aclose()


@lru_cache(maxsize=1)
def trusted() -> ssl.SSLContext:
    """Return whom this process trusts: the machine's authorities. Reading them takes a while."""
    return httpcore.default_ssl_context()


@asynccontextmanager
async def open_courier(
    guard: Guard, seconds: float = TIMEOUT_SECONDS, trust: ssl.SSLContext | None = None
) -> AsyncIterator[Courier]:
    """Return a courier for the time of the block."""
    courier = Courier(guard, trust or trusted(), seconds)
    try:
        yield courier
    finally:
        await courier.close()


async def _read(response: httpcore.Response) -> tuple[int, str | None, str | None]:
    """Return an answer's status, its ``Retry-After`` and its beginning."""
    read = b""
    async for chunk in response.aiter_stream():
        read += chunk[: _MOST_READ - len(read)]
        if len(read) >= _MOST_READ:
            break
    wanted = next((v for k, v in response.headers if k.lower() == b"retry-after"), None)
    after = None if wanted is None else wanted.decode("latin-1")
    # PostgreSQL's text has no NUL.
    answer = read[:_MOST_KEPT].decode(errors="replace").replace("\0", "\ufffd")
    return response.status, after, answer or None


def _is_taken(status: int) -> bool:
    return 200 <= status < 300


def _why_not(status: int) -> str:
    """Say why an answer does not count as having taken the message."""
    if 300 <= status < 400:
        return f"answered {status}; redirects are not followed"
    return f"answered {status}; only 200 to 299 say that the message was taken"


def _since(began: float) -> int:
    return round((perf_counter() - began) * 1000)


def _words(error: Exception) -> str:
    if isinstance(error, Forbidden):
        return "the host is not on the public internet"
    return (str(error) or type(error).__name__).replace("\0", "\ufffd")[:_LONGEST_ERROR]
