"""A process that, asked for it, lives a sale through in a child killed at its n-th moment.

A moment is right before and right after each transaction: between the row and the call, the call
and the record, the record and what follows.

The children are forked from here, where everything is imported and nothing else runs: a whole
interpreter for each kill would take longer than the life that it ends.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import event

from service import db
from service.exchanges.kinds import Role
from tests.exchanges.world import World


def live(world: World, exchange_id: str, moments: int) -> None:
    """Fund, confirm twice and pay out; die at the moment of that number."""
    left = moments

    # A connection leaves its pool before its transaction, and goes back right after it ended.
    @event.listens_for(world.engine, "checkout")
    @event.listens_for(world.engine, "checkin")
    def _die(*_args: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    exchange = world.exchange(UUID(exchange_id))
    world.funded(exchange)
    world.step(exchange, "confirm", Role.PAYER)
    world.step(exchange, "confirm", Role.PAYEE)
    world.sweep()


def open_world(url: str, platform_id: str, now: str) -> World:
    """Come to a platform that exists, as another process."""
    world = World.__new__(World)
    world.reopen(db.create_engine(url, 5), UUID(platform_id), datetime.fromisoformat(now))
    return world


def main(open_: Callable[[str, str], World]) -> None:
    """Answer each line ``platform exchange now moments`` with the exit status of its child."""
    for line in sys.stdin:
        platform_id, exchange_id, now, moments = line.split()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                live(open_(platform_id, now), exchange_id, int(moments))
                status = 0
            finally:
                os._exit(status)
        _, ended = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(ended), flush=True)


if __name__ == "__main__":
    main(partial(open_world, sys.argv[1]))
