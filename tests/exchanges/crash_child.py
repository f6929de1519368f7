"""A process that lives one sale through and is killed by SIGKILL right after its n-th commit."""

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


def main(url: str, platform_id: str, exchange_id: str, now: str, commits: int) -> None:
    """Fund, confirm twice and pay out; die after ``commits`` transactions (0: never)."""
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


if __name__ == "__main__":
    url_, platform_, exchange_, now_, commits_ = sys.argv[1:]
    main(url_, platform_, exchange_, now_, int(commits_))
