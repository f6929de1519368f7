"""Lanes: requests of one kind and one platform that wait together go in one transaction.

Nothing waits for company: a lane takes what is there whenever its last batch has gone, so alone a
request goes at once, and under load batches grow by themselves (design §5). When many wait, a
second batch goes beside the first: while the database does one, the other is read or answered.
Each command has its own outcome. When a batch fails as a whole it is halved and tried again until
who is to blame stands alone with an error of its own; nobody else notices.

The lanes of all platforms share a few connections and take turns, a batch each. What waits is
bounded, for each lane and in all; beyond that a request is told at once to come again. Whoever goes
away before their batch began is not served; a batch that began ends, whoever still listens.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import structlog
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from ledger.refusals import Refusal
from service import db
from service.operations import metrics

_log = structlog.get_logger(__name__)

#: How many commands one transaction takes: enough to share its cost, few enough to be soon done.
LARGEST: Final = 64
#: How many batches of one lane may be under way, and how many must wait for another to go beside.
AT_ONCE: Final = 2
MANY: Final = 16
#: What waits is shared out among those of a lane who are free when each gets as many as this.
LEAST_SHARED: Final = 64
#: How many wait in one lane, and in all of them.
MOST_IN_LANE: Final = 1_000
MOST_IN_ALL: Final = 4_000
#: A row that somebody holds stops a batch for so long. Then it is halved until who wants the row
#: stands alone, and that one waits beside the lane, as long as any transaction does.
_SHORT_LOCK: Final = text("SET LOCAL lock_timeout = '1s'")

Job = TypeVar("Job")
Result = TypeVar("Result")


class Busy(Refusal):
    """Too much waits already; ``wait_seconds`` says when to come again."""

    code = "too_much_waits"


@dataclass(frozen=True, slots=True)
class Kind(Generic[Job, Result]):
    """What a lane does.

    ``work`` answers one outcome for each job, in order, and changes nothing for one that it answers
    with an exception. ``apart`` names what no two jobs under way may share. ``at_once`` batches of
    a lane may be under way.
    """

    name: str
    work: Callable[[Connection, UUID, Sequence[Job]], Sequence[Result | Exception]]
    apart: Callable[[Job], Sequence[Hashable]]
    largest: int = LARGEST
    at_once: int = AT_ONCE


@dataclass(slots=True, eq=False)
class _Waiting:
    job: Any
    answer: asyncio.Future[Any]

    def fail(self, error: BaseException) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class _Lane:
    """The commands of one kind and one platform that wait."""

    def __init__(self, kind: Kind[Any, Any], platform_id: UUID) -> None:
        self.kind = kind
        self.platform_id = platform_id
        self.queue: deque[_Waiting] = deque()
        #: How many tasks serve it, how many have a batch, and what the batches under way are about.
        self.servers = 0
        self._under_way = 0
        self._held: set[Hashable] = set()

    def take(self) -> tuple[list[_Waiting], set[Hashable]]:
        """Take the next batch, in order, and what it is about.

        What may not go with what is under way waits.
        """
        share = -(-len(self.queue) // max(1, self.kind.at_once - self._under_way))
        most = min(self.kind.largest, max(share, LEAST_SHARED))
        first = [self.queue.popleft() for _ in range(min(most, len(self.queue)))]
        batch = [one for one in first if not one.answer.done()]  # somebody still waits for it
        names = [name for one in batch for name in self.kind.apart(one.job)]
        named = set(names)
        if len(named) < len(names) or not self._held.isdisjoint(named):
            self.queue.extendleft(reversed(batch))
            batch, named = self._take_apart(most)
        if batch:
            self._under_way += 1
            self._held |= named
        return batch, named

    def _take_apart(self, most: int) -> tuple[list[_Waiting], set[Hashable]]:
        batch: list[_Waiting] = []
        later: list[_Waiting] = []
        held: set[Hashable] = set()
        named = set(self._held)
        while self.queue and len(batch) < most:
            one = self.queue.popleft()
            if one.answer.done():
                continue  # nobody waits for it any more
            names = self.kind.apart(one.job)
            if named.isdisjoint(names):
                batch.append(one)
                held.update(names)
            else:
                later.append(one)
            named.update(names)  # also of who waits: nobody overtakes their own
        self.queue.extendleft(reversed(later))
        return batch, held

    def let_go(self, named: set[Hashable]) -> None:
        """Let others have what a batch was about."""
        self._under_way -= 1
        self._held -= named


class Lanes:
    """The lanes of a process. Made and used on one event loop."""

    def __init__(
        self,
        engine: AsyncEngine,
        connections: int,
        most_in_lane: int = MOST_IN_LANE,
        most_in_all: int = MOST_IN_ALL,
    ) -> None:
        """Share ``connections`` of ``engine``: so many batches are under way at once.

        Half as many again are for commands that wait for a row somebody else holds.
        """
        self._engine = engine
        self._turns = asyncio.Semaphore(connections)
        #: Those who wait for a row have turns of their own, or the lanes would wait with them.
        self._stuck = asyncio.Semaphore(max(1, connections // 2))
        self._most_in_lane = most_in_lane
        self._most_in_all = most_in_all
        self._lanes: dict[tuple[str, int], _Lane] = {}
        #: How many wait in all of them.
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def run(self, kind: Kind[Job, Result], platform_id: UUID, job: Job) -> Result:
        """Do one job in the next batch of its lane; what is returned is committed.

        Raises:
            Busy: too much waits already, or the process is ending.
            Exception: the job's own outcome was this.
        """
        name = (kind.name, platform_id.int)  # a number's hash costs a tenth of a UUID's
        lane = self._lanes.get(name)
        in_lane = 0 if lane is None else len(lane.queue)
        if self._closing or in_lane >= self._most_in_lane or self._waiting >= self._most_in_all:
            metrics.lane_refused.labels(kind.name).inc()
            raise Busy("Too much waits here already; come again in a second.", wait_seconds=1)
        waiting = _Waiting(job, asyncio.get_running_loop().create_future())
        if lane is None:
            lane = self._lanes[name] = _Lane(kind, platform_id)
        lane.queue.append(waiting)
        self._waiting += 1
        if not lane.servers or (lane.servers < kind.at_once and len(lane.queue) >= MANY):
            lane.servers += 1
            self._start(self._serve(lane))
        result: Result = await waiting.answer
        return result

    async def close(self) -> None:
        """Take nothing more, and end when all that waits has been served."""
        self._closing = True
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, lane: _Lane) -> None:
        """Serve a lane until nothing waits in it, or until another who serves it is enough.

        Turns are given in the order they are asked.
        """
        batch: list[_Waiting] = []
        try:
            while lane.queue and (lane.servers == 1 or len(lane.queue) >= MANY):
                async with self._turns:
                    before = len(lane.queue)
                    batch, named = lane.take()
                    self._waiting += len(lane.queue) - before
                    if batch:
                        metrics.lane_batch.labels(lane.kind.name).observe(len(batch))
                        try:
                            await self._do(lane, batch)
                        finally:
                            lane.let_go(named)
                    elif lane.servers > 1:
                        return  # all that waits, waits for what the other has under way
                # Whoever was answered may have more to ask: it goes with the next batch.
                await asyncio.sleep(0)
        except BaseException as error:
            for one in [*batch, *lane.queue]:
                one.fail(error)
            raise
        finally:
            lane.servers -= 1
            if not lane.servers:
                self._waiting -= len(lane.queue)
                del self._lanes[lane.kind.name, lane.platform_id.int]

    async def _do(self, lane: _Lane, batch: Sequence[_Waiting], *, alone: bool = False) -> None:
        """Do a batch in one transaction, or halve it until who is to blame stands alone."""
        work = partial(_work, lane.kind, lane.platform_id, [one.job for one in batch], alone)
        try:
            outcomes = await db.run(self._engine, lane.platform_id, work)
        except Exception as error:
            if len(batch) > 1 and not db.is_away(error):
                _log.warning("lane_halved", lane=lane.kind.name, size=len(batch), why=_why(error))
                metrics.lane_halved.labels(lane.kind.name).inc()
                middle = len(batch) // 2
                await self._do(lane, batch[:middle])
                await self._do(lane, batch[middle:])
            elif isinstance(getattr(error, "orig", None), LockNotAvailable) and not alone:
                self._start(self._wait_alone(lane, batch))
            else:
                for one in batch:
                    one.fail(error)
            return
        for one, outcome in zip(batch, outcomes, strict=True):
            if one.answer.done():
                continue  # nobody waits for it any more
            if isinstance(outcome, Exception):
                one.answer.set_exception(outcome)
            else:
                one.answer.set_result(outcome)

    async def _wait_alone(self, lane: _Lane, batch: Sequence[_Waiting]) -> None:
        """Let one wait for a row that somebody holds, beside its lane, which goes on."""
        try:
            async with self._stuck:
                await self._do(lane, batch, alone=True)
        except BaseException as error:
            for one in batch:
                one.fail(error)
            raise

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        # In a context of its own: what it logs is not the first caller's alone.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _work(
    kind: Kind[Job, Result],
    platform_id: UUID,
    jobs: Sequence[Job],
    alone: bool,
    connection: Connection,
) -> Sequence[Result | Exception]:
    if not alone:
        connection.execute(_SHORT_LOCK)
    return kind.work(connection, platform_id, jobs)


def _why(error: Exception) -> str:
    return type(getattr(error, "orig", None) or error).__name__
