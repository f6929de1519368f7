"""The load generator: a process that speaks HTTP over connections kept open, and measures.

It reads the path of a plan a line from standard input, writes what it measured into the file beside
it, and says so in a line: plans and bodies have megabytes, and a pipe of one kernel lost the end of
those, one time in ten. A plan names requests to make, one after the other, on so many connections,
either as fast as answers come or at a steady rate; then what is late waits, and its waiting counts.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson
import uvloop

_MARK: Final = b"\r\n\r\n"


@dataclass
class Measured:
    """Statuses, seconds of each request, and bodies where they are wanted."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    bodies: dict[int, Any] = field(default_factory=dict)


class Wire(asyncio.Protocol):
    """One connection, one request at a time; reads as much of HTTP as our answers use."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: Any = None  # uvloop's own, of no class of asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer once the whole body is there."""
        self._buffer += data
        end = self._buffer.find(_MARK)
        if end < 0 or self._answer is None:
            return
        head = self._buffer[:end].lower()
        at = head.index(b"content-length:") + 15
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(self._buffer) >= end + 4 + length:
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed"))

    async def ask(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        """Send a POST and return its status and body."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(
            b"%bIdempotency-Key: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (head, uuid4().hex.encode(), len(body), body)
        )
        return await self._answer


@dataclass(frozen=True)
class Plan:
    """What to ask for. A job is a list of requests, each ``[path, body]``.

    ``{id}`` in a path is the exchange that the first request of the job made. ``rate``: jobs
    begun a second; none means as fast as they come.
    """

    ports: list[int]
    connections: int
    bearer: str
    jobs: list[list[list[Any]]]
    seconds: float | None = None
    count: int | None = None
    rate: float | None = None
    keep: bool = False


async def measure(plan: Plan) -> dict[str, Any]:
    """Make the plan's requests; return counts, seconds and rates."""
    loop = asyncio.get_running_loop()
    found = Measured()
    jobs = deque(plan.jobs)
    endless = plan.seconds is not None or plan.count is not None
    began = time.perf_counter()
    state = {"begun": 0, "done": 0}

    def next_job() -> tuple[int, list[list[Any]], float] | None:
        at = state["begun"]
        now = time.perf_counter()
        due = now if plan.rate is None else began + at / plan.rate
        late = plan.seconds is not None and max(now, due) - began >= plan.seconds
        if late or (plan.count is not None and at >= plan.count) or not jobs:
            return None
        state["begun"] += 1
        job = jobs[at % len(jobs)] if endless and plan.rate is None else jobs.popleft()
        return at, job, due

    async def work(number: int) -> None:
        port = plan.ports[number % len(plan.ports)]
        _, wire = await loop.create_connection(Wire, "127.0.0.1", port)
        while (job := next_job()) is not None:
            at, requests, due = job
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            made = ""
            since = due
            for path, body in requests:
                head = _head(path.replace("{id}", made), plan.bearer)
                status, said = await wire.ask(head, _encoded(body))
                ended = time.perf_counter()
                found.statuses[status] += 1
                found.seconds.append(ended - since)
                since = ended
                if not made and len(requests) > 1:
                    made = orjson.loads(said)["id"]
                if plan.keep:
                    found.bodies[at] = orjson.loads(said)
            state["done"] += 1

    await asyncio.gather(*(work(number) for number in range(plan.connections)))
    took = time.perf_counter() - began
    ordered = sorted(found.seconds) or [0.0]
    return {
        "seconds": took,
        "requests": sum(found.statuses.values()),
        "jobs": state["done"],
        "statuses": {str(status): count for status, count in found.statuses.items()},
        "median": ordered[len(ordered) // 2],
        "p99": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "bodies": [found.bodies[at] for at in sorted(found.bodies)],
    }


_known: Final[dict[int, bytes]] = {}


def _encoded(body: Any) -> bytes:
    # The plan's bodies live as long as the plan, so an object's identity is its own.
    if id(body) not in _known:
        _known[id(body)] = orjson.dumps(body)
    return _known[id(body)]


def _head(path: str, bearer: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {bearer}\r\n"
        "Content-Type: application/json\r\n"
    ).encode()


def main() -> None:
    """Do plan after plan until there are no more."""
    for line in sys.stdin:
        _known.clear()
        plan = Path(line.strip())
        said = uvloop.run(measure(Plan(**orjson.loads(plan.read_bytes()))))
        plan.with_suffix(".said").write_bytes(orjson.dumps(said))
        print("measured", flush=True)


if __name__ == "__main__":
    main()
