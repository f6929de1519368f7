"""A receiver of webhooks on loopback, as flaky as a test wants it.

Each path is an endpoint with a script of its own. Everything that arrives is kept, whether it is
answered well or not: event, exchange, sequence, and whether its signature holds.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Thread
from types import TracebackType
from typing import Any, Self

import orjson
from standardwebhooks import Webhook


@dataclass(frozen=True, slots=True)
class Reply:
    """How a message is answered; ``hang`` does not answer, ``hang_up`` ends the connection."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b"thank you"
    after_seconds: float = 0.0
    hang: bool = False
    hang_up: bool = False


OK = Reply()
HANG = Reply(hang=True)
HANG_UP = Reply(hang_up=True)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message that arrived."""

    path: str
    event: str
    type: str
    exchange: str | None
    sequence: int | None
    timestamp: datetime
    signatures: tuple[str, ...]
    headers: dict[str, str]
    body: bytes
    at: float
    reply: Reply

    @property
    def payload(self) -> dict[str, Any]:
        """The message as its receiver reads it."""
        read: dict[str, Any] = orjson.loads(self.body)
        return read

    def is_signed_by(self, secret: str) -> bool:
        """Tell whether one of the signatures is of this secret, whatever the clock says."""
        made = Webhook(secret).sign(self.event, self.timestamp, self.body.decode())
        return made in self.signatures

    def verify(self, secret: str) -> None:
        """Verify as receivers do, with the tolerance of time that they have.

        Raises:
            standardwebhooks.webhooks.WebhookVerificationError
        """
        Webhook(secret).verify(self.body, self.headers)


#: Answers a message, by what arrived on its path before.
Script = Callable[[str, int], Reply]


@dataclass
class _Path:
    script: Script = field(default=lambda _event, _number: OK)
    arrivals: int = 0
    at_once: int = 0
    most_at_once: int = 0


class Sink:
    """Serves on a loop in a thread; use it as a context manager."""

    def __init__(self, trust: ssl.SSLContext | None = None) -> None:
        self._trust = trust
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._paths: defaultdict[str, _Path] = defaultdict(_Path)
        self._open: set[asyncio.StreamWriter] = set()
        self.arrivals: list[Arrival] = []
        #: The names that connections over TLS asked for.
        self.server_names: list[str | None] = []
        self.port = 0

    def __enter__(self) -> Self:
        if self._trust is not None:
            self._trust.sni_callback = lambda _socket, name, _context: self._named(name)
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._trust), self._loop
        )
        self._server = started.result(10)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def url(self, path: str = "/hook") -> str:
        """Return the address of an endpoint."""
        return f"http{'s' if self._trust else ''}://127.0.0.1:{self.port}{path}"

    def reply(self, path: str, *replies: Reply) -> None:
        """Answer on ``path`` with each reply in turn, and with the last from then on."""
        self.script(path, lambda _event, number: replies[min(number, len(replies)) - 1])

    def script(self, path: str, script: Script) -> None:
        """Answer on ``path`` by a function of the event's id and the number of the arrival."""
        self._paths[path].script = script
        self._paths[path].arrivals = 0

    def of(self, path: str = "/hook") -> list[Arrival]:
        """Return what arrived on a path."""
        return [one for one in list(self.arrivals) if one.path == path]

    def taken(self, path: str = "/hook") -> list[Arrival]:
        """Return what arrived on a path and was answered well."""
        return [one for one in self.of(path) if _is_well(one.reply)]

    def wait(self, count: int, path: str = "/hook", seconds: float = 30) -> list[Arrival]:
        """Return what arrived on a path once there are ``count``."""
        deadline = time.monotonic() + seconds
        while len(found := self.of(path)) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} arrived"
            time.sleep(0.01)
        return found

    def most_at_once(self, path: str = "/hook") -> int:
        """Return how many messages at most were being answered at the same time."""
        return self._paths[path].most_at_once

    def hang_up(self) -> None:
        """End all connections, with whatever they wait for."""
        self._loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _close(self) -> None:
        self._server.close()
        self._abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _named(self, name: str | None) -> None:
        self.server_names.append(name)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass  # the sender has gone
        except asyncio.CancelledError:
            pass  # the sink closes
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.rstrip().split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, v in (one.split(":", 1) for one in rest)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = line.split(" ")[1]
        reply, one = self._keep(path, headers, body), self._paths[path]
        one.at_once += 1
        one.most_at_once = max(one.most_at_once, one.at_once)
        try:
            if reply.hang:
                await reader.read()  # until the sender has enough of it
            await asyncio.sleep(reply.after_seconds)
        finally:
            one.at_once -= 1
        if reply.hang or reply.hang_up:
            return False
        length = (
            ()
            if "content-length" in dict(reply.headers)
            else (("content-length", len(reply.body)),)
        )
        told = [f"{name}: {value}" for name, value in (*length, *reply.headers)]
        head = "\r\n".join([f"HTTP/1.1 {reply.status} Told", *told, "", ""])
        writer.write(head.encode() + reply.body)
        await writer.drain()
        return True

    def _keep(self, path: str, headers: dict[str, str], body: bytes) -> Reply:
        read = orjson.loads(body)
        one = self._paths[path]
        one.arrivals += 1
        reply = one.script(read["id"], one.arrivals)
        self.arrivals.append(
            Arrival(
                path,
                headers["webhook-id"],
                read["type"],
                read["exchange"],
                read["sequence"],
                datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC),
                tuple(headers["webhook-signature"].split(" ")),
                headers,
                body,
                time.monotonic(),
                reply,
            )
        )
        return reply


def _is_well(reply: Reply) -> bool:
    return not (reply.hang or reply.hang_up) and 200 <= reply.status < 300


def out_of_order(arrivals: Iterable[Arrival]) -> list[Arrival]:
    """Return what came, the first time it was taken, after a later event of its exchange."""
    seen: set[str] = set()
    highest: dict[str, int] = {}
    wrong = []
    for one in arrivals:
        if one.event in seen or one.exchange is None:
            continue
        seen.add(one.event)
        assert one.sequence is not None
        if one.sequence < highest.get(one.exchange, 0):
            wrong.append(one)
        highest[one.exchange] = max(highest.get(one.exchange, 0), one.sequence)
    return wrong
