"""Do something to many in one transaction, and let none of them stop the others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar
from uuid import UUID

import structlog
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, Engine, text

from service import db

_log = structlog.get_logger(__name__)

T = TypeVar("T")
#: Answers each thing, in order, by None or by what refused it, and then leaves no trace of it.
Work = Callable[[Connection, Sequence[T]], Sequence[Exception | None]]

#: A row that somebody holds stops a batch for so long; then it is halved until who wants the row
#: stands alone, and waits as long as any transaction does.
_SHORT_LOCK: Final = text("SET LOCAL lock_timeout = '1s'")


def together(
    engine: Engine, platform_id: UUID, things: Sequence[T], work: Work[T]
) -> list[Exception | None]:
    """Do ``work`` on all of ``things`` in one transaction; answer each by what became of it.

    A batch that fails as a whole is halved until who is to blame stands alone with their error.
    When the database is away nobody is to blame: all are answered by that, and nothing is halved.
    """
    try:
        with db.transaction(engine, platform_id) as connection:
            connection.execute(_SHORT_LOCK)
            return list(work(connection, things))
    except Exception as error:
        if db.is_away(error):
            return [error] * len(things)
        if len(things) == 1:
            return [_alone(engine, platform_id, things, work, error)]
        _log.warning("batch_halved", size=len(things), why=type(error).__name__)
    middle = len(things) // 2
    return [
        *together(engine, platform_id, things[:middle], work),
        *together(engine, platform_id, things[middle:], work),
    ]


def _alone(
    engine: Engine, platform_id: UUID, things: Sequence[T], work: Work[T], error: Exception
) -> Exception | None:
    if not isinstance(getattr(error, "orig", None), LockNotAvailable):
        return error
    try:
        with db.transaction(engine, platform_id) as connection:
            (outcome,) = work(connection, things)
    except Exception as again:
        return again
    return outcome


def by_platform(things: Iterable[T], of: Callable[[T], UUID]) -> dict[UUID, list[T]]:
    """Return ``things`` by their platform, in order: no transaction reaches over two of them."""
    found: dict[UUID, list[T]] = defaultdict(list)
    for one in things:
        found[of(one)].append(one)
    return found
