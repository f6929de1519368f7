"""How fast webhooks are delivered, beside a bare loop that posts the same messages.

The bare loop asks as much at a time of the same sink over connections kept open, but reads no
database, signs nothing and writes nothing down: what is left between the two is the price of it.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final
from uuid import UUID, uuid4

import httpx
from sqlalchemy import Engine, text

from migrations.run import upgrade
from service import db
from service.events import deliveries, endpoints, outbox, signing
from service.events.guard import Guard
from service.local import EmbeddedPostgres
from service.platforms import platforms
from service.sealing import Sealer
from tests.bench.line import Line, Part, least

_ROOT: Final = Path(__file__).parents[2]
_SEALER: Final = Sealer("the secret of a benchmark, long enough")
#: Events of one exchange go one after the other.
_OF_ONE_EXCHANGE: Final = 4


class Sink:
    """The sink's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._asks, self._tells = process.stdin, process.stdout
        self.url: Final = self._tells.readline().strip()

    def count(self) -> int:
        """Return how many messages have arrived."""
        print(file=self._asks, flush=True)
        return int(self._tells.readline())


@contextmanager
def running_sink() -> Iterator[Sink]:
    """Run the sink beside us for the time of the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.sink_process"],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Sink(process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(20)


@dataclass(frozen=True, slots=True)
class Speed:
    """Messages per second: delivered, and by the bare loop. Medians of the rounds."""

    delivered: float
    bare: float

    @property
    def ratio(self) -> float:
        """How much of the bare loop's speed is left."""
        return self.delivered / self.bare


class Post:
    """A platform in a database of its own, with one endpoint: the sink."""

    def __init__(self, server: EmbeddedPostgres, sink: Sink) -> None:
        upgrade(server.url)
        self._sink = sink
        self._engine: Final[Engine] = db.create_engine(server.url, pool_size=8)
        with db.transaction(self._engine, db.SYSTEM) as connection:
            _live, sandbox = platforms.create(connection, "Bench", _now())
        self._platform_id: Final[UUID] = sandbox.id
        with db.transaction(self._engine, sandbox.id) as connection:
            _row, self._secret = endpoints.create(
                connection,
                _SEALER,
                sandbox.id,
                url=sink.url,
                events=["*"],
                description="",
                secret=None,
                now=_now(),
            )

    def close(self) -> None:
        """Let the connections go."""
        self._engine.dispose()

    def deliver(self, count: int) -> float:
        """Let ``count`` events happen; return how many of them were delivered per second."""
        self._happen(count)
        before = self._sink.count()
        began = time.perf_counter()
        sent = 0
        while made := deliveries.run(self._engine, _now(), _SEALER, Guard(allow_private=True)):
            sent += made
        seconds = time.perf_counter() - began
        arrived = self._sink.count() - before
        if (sent, arrived) != (count, count):
            raise RuntimeError(f"{count} events, {sent} attempts, {arrived} arrivals")
        return count / seconds

    def post_bare(self, count: int) -> float:
        """Post the messages of the last ``count`` events by a bare loop; return the same."""
        messages = self._messages(count)
        began = time.perf_counter()
        asyncio.run(_post(self._sink.url, messages))
        return count / (time.perf_counter() - began)

    def _happen(self, count: int) -> None:
        data = {"state": "active", "version": 3, "external_id": "bench", "text": "x" * 200}
        for start in range(0, count, 500):
            size = min(500, count - start)
            with db.transaction(self._engine, self._platform_id) as connection:
                outbox.append(connection, self._platform_id, _events(size, data), _now())

    def _messages(self, count: int) -> Sequence[tuple[bytes, dict[str, str]]]:
        with db.transaction(self._engine, self._platform_id) as connection:
            rows = connection.execute(_LAST, {"count": count}).mappings().all()
        secrets = [signing.Secret(self._secret)]
        found = []
        for row in rows:
            body = signing.payload(dict(row))
            found.append((body, dict(signing.headers(str(row["id"]), body, secrets, _now()))))
        return found


_LAST: Final = text("SELECT * FROM service.event ORDER BY id DESC LIMIT :count")


def _events(count: int, data: dict[str, object]) -> list[outbox.NewEvent]:
    found: list[outbox.NewEvent] = []
    exchange_id = uuid4()
    for number in range(count):
        if number % _OF_ONE_EXCHANGE == 0:
            exchange_id = uuid4()
        sequence = number % _OF_ONE_EXCHANGE + 1
        found.append(outbox.NewEvent("exchange.agreed", data, exchange_id, sequence))
    return found


async def _post(url: str, messages: Sequence[tuple[bytes, dict[str, str]]]) -> None:
    waiting = iter(messages)
    limits = httpx.Limits(max_connections=deliveries.EACH)

    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:

        async def work() -> None:
            for body, headers in waiting:
                (await client.post(url, content=body, headers=headers)).raise_for_status()

        await asyncio.gather(*(work() for _ in range(deliveries.EACH)))


def measure(server: EmbeddedPostgres, *, events: int, rounds: int) -> Speed:
    """Deliver, and post by the bare loop, turn by turn; return the medians."""
    delivered, bare = [], []
    with running_sink() as sink:
        post = Post(server, sink)
        try:
            post.deliver(min(events, 100))  # connections, plans and caches are warm
            for _ in range(rounds):
                delivered.append(post.deliver(events))
                bare.append(post.post_bare(events))
        finally:
            post.close()
    return Speed(median(delivered), median(bare))


def _now() -> datetime:
    return datetime.now(UTC)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this part."""
    parser.add_argument("--events", type=int, default=2_000, help="to deliver (2000)")


def measured(server: EmbeddedPostgres, _folder: Path, asked: argparse.Namespace) -> list[Line]:
    """Measure and return the lines of the table."""
    speed = measure(server, events=asked.events, rounds=asked.rounds)
    return [
        Line("webhook deliveries per second", f"{speed.delivered:,.0f}"),
        Line("the same messages by a bare httpx loop", f"{speed.bare:,.0f}"),
        least("deliveries to bare loop", speed.ratio, 0.5),
    ]


PART = Part("webhooks", options, measured)
