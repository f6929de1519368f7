"""When something was last proved, or done that is done every hour, and how much did not hold.

The schedule of a worker has no memory: one that is restarted begins its hours anew. What stands
here has.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, Engine, text

from service import db

#: How old the last result is when the next is due.
EVERY: Final = timedelta(hours=1)

_RECORD: Final = text(
    "INSERT INTO service.proof AS p (what, proved_at, problems) VALUES (:what, :now, :problems) "
    "ON CONFLICT (what) DO UPDATE SET proved_at = EXCLUDED.proved_at, problems = EXCLUDED.problems"
)


def record(connection: Connection, what: str, problems: int, now: datetime) -> None:
    """Keep the newest result (in the system's scope)."""
    connection.execute(_RECORD, {"what": what, "now": now, "problems": problems})


def last(connection: Connection, what: str) -> datetime | None:
    """Return when ``what`` was last recorded (in the system's scope); None if it never was."""
    query = text("SELECT proved_at FROM service.proof WHERE what = :what")
    return connection.execute(query, {"what": what}).scalar_one_or_none()


def hourly(engine: Engine, what: str, now: datetime, work: Callable[[], int | None]) -> bool:
    """Do ``work`` if the last time is an hour ago, and record it; return whether it was done.

    One process does it at a time. Work that fails is not recorded: it is due at the next look.

    Args:
        work: returns how much did not hold; None where there is nothing to prove.
    """
    with db.alone(engine, f"hourly:{what}") as mine:
        if not mine:
            return False
        with db.transaction(engine, db.SYSTEM) as connection:
            before = last(connection, what)
        # A time to come was written by a machine whose clock was wrong: it says nothing.
        if before is not None and timedelta() <= now - before < EVERY:
            return False
        problems = work()
        with db.transaction(engine, db.SYSTEM) as connection:
            record(connection, what, problems or 0, now)
        return True
