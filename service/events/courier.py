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

import httpcore

from service.events.guard import Forbidden, Guard, GuardedBackend
from service.events.ladder import retry_after

#: From the first look at the name to the last byte of the answer.
TIMEOUT_SECONDS: Final = 15.0
#: No more of an answer is read, and less of it kept.
_MOST_READ: Final = 4_096
_MOST_KEPT: Final = 500
_LONGEST_ERROR: Final = 200
#: Connections to all endpoints that are kept open between messages.
_KEPT_OPEN: Final = 100

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an attempt: the status of an answer, or why there was none."""

    status: int | None
    error: str | None
    duration_ms: int
    answer: str | None = None
    #: The endpoint asks for no message before.
    wanted_at: datetime | None = None

    @property
    def delivered(self) -> bool:
        """Whether the endpoint took the message: any 2xx says so (Standard Webhooks)."""
        return self.status is not None and 200 <= self.status < 300


class Courier:
    """Sends messages over connections that are kept open between them."""

    def __init__(self, pool: httpcore.AsyncConnectionPool, seconds: float) -> None:
        self._pool = pool
        self._seconds = seconds

    async def send(self, url: str, headers: Headers, body: bytes, now: datetime) -> Result:
        """POST ``body``; whatever happens is a result.

        ``now`` is when the answer's ``Retry-After`` counts from.
        """
        began = perf_counter()
        try:
            async with asyncio.timeout(self._seconds):
                status, wanted, answer = await self._post(url, headers, body)
        except TimeoutError:
            return Result(None, f"no answer within {self._seconds:g} seconds", _since(began))
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
            return Result(None, _words(error), _since(began))
        except OSError as error:
            return Result(None, _words(error), _since(began))
        return Result(
            status,
            f"answered {status}; redirects are not followed" if 300 <= status < 400 else None,
            _since(began),
            answer,
            retry_after(wanted, now),
        )

    async def _post(
        self, url: str, headers: Headers, body: bytes
    ) -> tuple[int, str | None, str | None]:
        sent = [("content-type", "application/json"), ("user-agent", "Tierce-Webhooks/1"), *headers]
        async with self._pool.stream("POST", url, headers=sent, content=body) as response:
            read = b""
            async for chunk in response.aiter_stream():
                read += chunk[: _MOST_READ - len(read)]
                if len(read) >= _MOST_READ:
                    break
            wanted = next((v for k, v in response.headers if k.lower() == b"retry-after"), None)
        # PostgreSQL's text has no NUL.
        answer = read[:_MOST_KEPT].decode(errors="replace").replace("\0", "\ufffd")
        after = None if wanted is None else wanted.decode("latin-1")
        return response.status, after, answer or None


@lru_cache(maxsize=1)
def trusted() -> ssl.SSLContext:
    """Return whom this process trusts: the machine's authorities. Reading them takes a while."""
    return httpcore.default_ssl_context()


@asynccontextmanager
async def open_courier(
    guard: Guard,
    connections: int = 1,
    seconds: float = TIMEOUT_SECONDS,
    trust: ssl.SSLContext | None = None,
) -> AsyncIterator[Courier]:
    """Return a courier with up to ``connections`` at once, for the time of the block."""
    pool = httpcore.AsyncConnectionPool(
        ssl_context=trust or trusted(),
        max_connections=connections,
        max_keepalive_connections=min(connections, _KEPT_OPEN),
        keepalive_expiry=30.0,
        network_backend=GuardedBackend(guard),
    )
    async with pool:
        yield Courier(pool, seconds)


def _since(began: float) -> int:
    return round((perf_counter() - began) * 1000)


def _words(error: Exception) -> str:
    if isinstance(error, Forbidden):
        return "the host is not on the public internet"
    return (str(error) or type(error).__name__)[:_LONGEST_ERROR]
