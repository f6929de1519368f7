"""What time it is on a platform: a sandbox's own clock may be ahead of the real one.

Everything that happens on a platform, and everything its members see, has the platform's time.
Keys, tokens and tries over the network end in real time, whoever they belong to.

A clock moves forward only. While it is being moved it stands at each instant at which something is
due (:func:`stand`), so that whoever looks meanwhile, in any process, sees that instant.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

#: Real time for which a clock stands without a further word: longer than anything due takes.
STANDS: Final = timedelta(seconds=60)

_NOW: Final = text("SELECT service.platform_now(:platform_id, :real)")
_SHARED: Final = text("SELECT pg_advisory_xact_lock_shared(hashtextextended(:name, 0))")
_EXCLUSIVE: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
_AHEAD: Final = text(
    "SELECT coalesce((SELECT ahead FROM service.platform_clock "
    "WHERE platform_id = :platform_id), '0')"
)
_STAND: Final = text(
    "INSERT INTO service.platform_clock AS c (platform_id, ahead, stands_at, stands_until) "
    "VALUES (:platform_id, greatest(:ahead, interval '0'), :at, :until) "
    "ON CONFLICT (platform_id) DO UPDATE SET ahead = greatest(c.ahead, EXCLUDED.ahead), "
    "stands_at = EXCLUDED.stands_at, stands_until = EXCLUDED.stands_until"
)
_GO_ON: Final = text(
    "UPDATE service.platform_clock SET stands_at = NULL, stands_until = NULL "
    "WHERE platform_id = :platform_id"
)


def swept(column: str, statement: str) -> TextClause:
    """Return a statement that sweeps over platforms, with ``{of_scope}`` filled in.

    That is a condition on the platform that ``column`` names. With ``:only`` it keeps to that
    platform. Without, it leaves out every platform with a clock of its own: what is due there is
    due in its time, and is done for each of them alone.
    """
    of_scope = (
        "(CASE WHEN CAST(:only AS uuid) IS NULL THEN NOT EXISTS (SELECT "
        f"FROM service.platform_clock AS own WHERE own.platform_id = {column}) "
        f"ELSE {column} = :only END)"
    )
    return text(statement.replace("{of_scope}", of_scope))


def owners(connection: Connection) -> set[UUID]:
    """Return the platforms with a clock of their own (in the system's scope: everybody's)."""
    return set(connection.scalars(text("SELECT platform_id FROM service.platform_clock")))


def hold(connection: Connection, platform_id: UUID) -> None:
    """Keep a platform's clock from being moved until the transaction ends.

    So that nothing is written at an instant that others have left behind. The machine's time is to
    be asked after this: it may have waited.
    """
    connection.execute(_SHARED, {"name": _name(platform_id)})


def now_at(connection: Connection, platform_id: UUID, real: datetime) -> datetime:
    """Return what time it is on a platform when it is ``real`` for the machine."""
    values = {"platform_id": platform_id, "real": real}
    at: datetime = connection.execute(_NOW, values).scalar_one()
    return at


def ahead(connection: Connection, platform_id: UUID) -> timedelta:
    """Return how far a platform's clock is ahead of the real one; zero without one of its own."""
    found: timedelta = connection.execute(_AHEAD, {"platform_id": platform_id}).scalar_one()
    return found


def stand(
    connection: Connection, platform_id: UUID, real: datetime, at: datetime | None = None
) -> datetime:
    """Move a platform's clock to ``at`` (None: to where it is) and hold it there; return that.

    Call it in a transaction of its own: it waits for every transaction that holds the clock. The
    database refuses it on a live platform. An instant that is behind is not gone back to.
    """
    connection.execute(_EXCLUSIVE, {"name": _name(platform_id)})
    now = now_at(connection, platform_id, real)
    reached = now if at is None else max(at, now)
    connection.execute(
        _STAND,
        {
            "platform_id": platform_id,
            "ahead": reached - real,
            "at": reached,
            "until": real + STANDS,
        },
    )
    return reached


def go_on(connection: Connection, platform_id: UUID) -> None:
    """Let a clock that stood run with the real one again."""
    connection.execute(_EXCLUSIVE, {"name": _name(platform_id)})
    connection.execute(_GO_ON, {"platform_id": platform_id})


def _name(platform_id: UUID) -> str:
    return f"clock:{platform_id}"
