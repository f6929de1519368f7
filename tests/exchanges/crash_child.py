"""A process that, asked for it, lives a sale through in a child killed right after its n-th commit.

The children are forked from here, where everything is imported and nothing else runs: a whole
interpreter for each kill would take longer than the life that it ends.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import datetime
from uuid import UUID

from sqlalchemy import event

from service import db
from service.exchanges.kinds import Role
from tests.exchanges.world import World


def live(url: str, platform_id: str, exchange_id: str, now: str, commits: int) -> None:
    """Fund, confirm twice and pay out; die after ``commits`` transactions."""
    engine = db.create_engine(url, 2)
    world = World.__new__(World)
    world.reopen(engine, UUID(platform_id), datetime.fromisoformat(now))
    left = commits

    # A connection goes back to its pool right after its transaction ended.
    @event.listens_for(engine, "checkin")
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


def main(url: str) -> None:
    """Answer each line ``platform exchange now commits`` with the exit status of its child."""
    for line in sys.stdin:
        platform_id, exchange_id, now, commits = line.split()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                live(url, platform_id, exchange_id, now, int(commits))
                status = 0
            finally:
                os._exit(status)
        _, ended = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(ended), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
