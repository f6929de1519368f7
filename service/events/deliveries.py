"""Send what is due to webhook endpoints, side by side, so that none waits for another.

A step is one transaction: write what came of the last attempts, turn new events into deliveries,
claim what is due. Then the claimed are sent, outside of any transaction. What a dead process had
claimed is due again when its lease ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from threading import Lock
from time import monotonic
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, RowMapping

from service import db
from service.events import fanout, queue, signing
from service.events.courier import Courier, Result, open_courier
from service.events.guard import Guard
from service.ids import encode
from service.operations import dead_letters
from service.sealing import SealBroken, Sealer

_log = structlog.get_logger(__name__)

#: Messages on their way at a time, to all endpoints and to one.
MOST: Final = 400
EACH: Final = 16
#: No new ones are claimed after so long: the next round begins, while this one waits for its last
#: answers. Longer than any attempt takes, so that of a process no more than two are under way.
ROUND: Final = timedelta(seconds=20)
#: While answers are waited for, new deliveries are looked for this often.
_LOOK_SECONDS: Final = 0.2
#: How often a step is tried that met another process in the database.
_TRIES: Final = 3

#: Held by the round of this process that claims.
_claiming: Final = Lock()


def run(
    engine: Engine,
    now: datetime,
    sealer: Sealer,
    guard: Guard,
    *,
    most: int = MOST,
    each: int = EACH,
    lasting: timedelta = ROUND,
    on_over: Callable[[], None] = lambda: None,
) -> int:
    """Send until nothing is due or ``lasting`` is over; return how many attempts were made.

    ``now`` is when it begins, in real time. Several may run at once, in any processes.
    ``on_over`` is called, perhaps often, once ``lasting`` is over: no more is claimed then.
    """
    with db.transaction(engine, db.SYSTEM) as connection:
        taken = fanout.fan_out(connection, now)
        idle = taken < fanout.BATCH and not queue.is_due(connection, now)
    if idle:
        return 0
    return asyncio.run(_Round(engine, now, sealer, guard, most, each, lasting, on_over).go())


def turn(engine: Engine, now: datetime, sealer: Sealer, guard: Guard) -> int:
    """Do as :func:`run`, unless a thread of this process claims: it finds what is new by itself.

    One that claims no more keeps nobody from beginning, however long its last answers take.
    """
    if not _claiming.acquire(blocking=False):
        return 0
    with ExitStack() as held:
        held.callback(_claiming.release)
        return run(engine, now, sealer, guard, on_over=held.close)


class _Round:
    """One round: what is on its way, and what came back and is not written yet."""

    def __init__(
        self,
        engine: Engine,
        now: datetime,
        sealer: Sealer,
        guard: Guard,
        most: int,
        each: int,
        lasting: timedelta,
        on_over: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._began_at = now
        self._began = monotonic()
        self._sealer = sealer
        self._guard = guard
        self._most = most
        self._each = each
        self._ends_at = now + lasting
        self._on_over = on_over
        self._busy: Counter[UUID] = Counter()
        self._opened: dict[bytes, list[signing.Secret]] = {}

    def _now(self) -> datetime:
        return self._began_at + timedelta(seconds=monotonic() - self._began)

    async def go(self) -> int:
        """Send until nothing is due; return how many attempts were made."""
        attempts = 0
        flying: set[asyncio.Task[queue.Attempt]] = set()
        landed: list[queue.Attempt] = []
        async with open_courier(self._guard) as courier:
            try:
                while True:
                    more, claimed = await asyncio.to_thread(
                        self._step, landed, self._most - len(flying)
                    )
                    if self._now() >= self._ends_at:
                        self._on_over()
                    flying |= {asyncio.create_task(self._send(courier, row)) for row in claimed}
                    self._busy.update(row["endpoint_id"] for row in claimed)
                    if not flying and not more:
                        return attempts
                    landed, flying = await self._land(flying)
                    attempts += len(landed)
            finally:
                for task in flying:
                    task.cancel()

    async def _land(
        self, flying: set[asyncio.Task[queue.Attempt]]
    ) -> tuple[list[queue.Attempt], set[asyncio.Task[queue.Attempt]]]:
        if not flying:
            return [], flying
        done, flying = await asyncio.wait(
            flying, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        landed = [task.result() for task in done]
        self._busy.subtract(one.row["endpoint_id"] for one in landed)
        self._busy = +self._busy
        return landed, flying

    def _step(
        self, landed: Sequence[queue.Attempt], room: int
    ) -> tuple[bool, Sequence[RowMapping]]:
        """Record, fan out, claim; return whether more events may wait, and what was claimed."""
        now = self._now()
        for number in range(1, _TRIES + 1):
            try:
                with db.transaction(self._engine, db.SYSTEM) as connection:
                    queue.record(connection, landed, now)
                    return self._look(connection, room, now)
            except Exception as error:
                if number == _TRIES or not dead_letters.is_passing(error):
                    raise
                _log.warning("deliveries_step_again", error=str(error))
        raise AssertionError("the loop returns or raises")

    def _look(
        self, connection: Connection, room: int, now: datetime
    ) -> tuple[bool, Sequence[RowMapping]]:
        if now >= self._ends_at:
            return False, []
        full = fanout.fan_out(connection, now) >= fanout.BATCH
        if room <= 0:
            return full, []
        # When half of the room is taken, somebody is slow: each is asked one at a time.
        each = self._each if room * 2 >= self._most else 1
        return full, queue.claim(connection, now, room, each, self._busy)

    async def _send(self, courier: Courier, row: RowMapping) -> queue.Attempt:
        at = self._now()
        try:
            message_id, body = encode("event", row["id"]), signing.payload(dict(row))
            headers = signing.headers(message_id, body, self._secrets(row), at)
            result = await courier.send(row["url"], headers, body, at, row["platform_id"])
        except SealBroken as error:
            result = Result(None, f"its secret: {error}", 0)
        except Exception as error:  # whatever it is, it must not keep the others waiting
            _log.error("webhook_not_sent", event_id=str(row["id"]), exc_info=error)
            result = Result(None, f"not sent: a mistake of ours ({type(error).__name__})", 0)
        return queue.Attempt(row, result, at)

    def _secrets(self, row: RowMapping) -> list[signing.Secret]:
        """Open an endpoint's secrets once in a round."""
        sealed = bytes(row["secrets_sealed"])
        if sealed not in self._opened:
            self._opened[sealed] = signing.unseal(
                self._sealer, row["platform_id"], row["endpoint_id"], sealed
            )
        return self._opened[sealed]
