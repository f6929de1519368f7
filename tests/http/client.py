"""The application as its callers meet it: real HTTP messages, real database, no socket.

One event loop in a thread serves the application; tests are plain functions that may call it from
several threads at once.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI

T = TypeVar("T")


class Server:
    """Runs an application's lifespan and its requests on a loop of its own."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._stop = asyncio.Event()
        started = asyncio.run_coroutine_threadsafe(self._start(), self._loop)
        self._life = started.result(30)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://tierce.test")

    async def _start(self) -> asyncio.Task[None]:
        ready = asyncio.Event()

        async def live() -> None:
            async with self.app.router.lifespan_context(self.app):
                ready.set()
                await self._stop.wait()

        task = asyncio.create_task(live())
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        return task

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send one request, with nothing added to it."""
        return self.run(self._http.request(method, path, **more))

    def close(self) -> None:
        """End the lifespan, as a server does when it is told to stop."""

        async def end() -> None:
            self._stop.set()
            await self._life
            await self._http.aclose()

        self.run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


class Api:
    """A caller with a credential."""

    def __init__(self, server: Server, bearer: str | None) -> None:
        self.server = server
        self.bearer = bearer

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str | bytes] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Send a request; a POST gets an idempotency key of its own unless one is given."""
        sent: dict[str, str | bytes] = dict(headers or {})
        if self.bearer is not None:
            sent.setdefault("Authorization", f"Bearer {self.bearer}")
        if method == "POST":
            sent.setdefault("Idempotency-Key", key or secrets.token_hex(16))
        if body is not None:
            more["json"] = body
        return self.server.send(method, path, headers=sent, **more)

    def get(self, path: str, **query: Any) -> httpx.Response:
        """Read."""
        return self.send("GET", path, params=query or None)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Create or move something."""
        return self.send("POST", path, {} if body is None else body, **more)

    def made(self, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        """POST, insist on success, and return the body."""
        answer = self.post(path, body, **more)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def read(self, path: str, **query: Any) -> dict[str, Any]:
        """GET, insist on success, and return the body."""
        answer = self.get(path, **query)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def member(self, external_id: str | None = None, **more: Any) -> dict[str, Any]:
        """Add a member."""
        name = external_id or f"m-{secrets.token_hex(8)}"
        return self.made("/v1/members", {"external_id": name, **more})

    def events(self, count: int) -> list[dict[str, Any]]:
        """Return the platform's events, newest first, once there are ``count``.

        The feed stops before the oldest transaction still running, on the whole server.
        """
        deadline = time.monotonic() + 30
        while len(found := self.read("/v1/events", limit=100)["data"]) < count:
            assert time.monotonic() < deadline, found
            time.sleep(0.1)
        return list(found)

    def acting(self, member_id: str) -> Api:
        """Return the API as a member meets it, by a token of their own."""
        token = self.made(f"/v1/members/{member_id}/tokens")["token"]
        return Api(self.server, token)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Insist that the answer is this problem, told the way all problems are; return its body."""
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    ), answer.text
    body: dict[str, Any] = answer.json()
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["type"] == f"urn:tierce:problem:{code}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Make the calls at the same time, each in a thread of its own; return what each gave."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


async def chunks(size: int, count: int) -> AsyncIterator[bytes]:
    """Yield a body in pieces, so that its length is not known beforehand."""
    for _ in range(count):
        yield b" " * size
