"""Pools of mediators, as the operator reads them: who is in each, and whom it serves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes.mediators import PoolNotFound


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool; cases of ``platforms`` are drawn among its ``mediators``, and those of others."""

    id: UUID
    name: str
    created_at: datetime
    mediators: list[UUID]
    platforms: list[UUID]


_READ: Final = """
    SELECT p.id, p.name, p.created_at,
           ARRAY(SELECT m.mediator_id FROM disputes.pool_member AS m
                  WHERE m.pool_id = p.id ORDER BY m.mediator_id) AS mediators,
           ARRAY(SELECT s.platform_id FROM disputes.pool_platform AS s
                  WHERE s.pool_id = p.id ORDER BY s.platform_id) AS platforms
      FROM disputes.pool AS p
"""
_ONE: Final = text(f"{_READ} WHERE p.id = :id")
_PAGE: Final = text(
    f"{_READ} WHERE CAST(:after AS uuid) IS NULL OR p.id > :after ORDER BY p.id LIMIT :limit"
)
_SERVING: Final = text(
    """
    SELECT m.id, m.name FROM disputes.mediator AS m
     WHERE m.id IN (SELECT c.id FROM disputes.candidates(:platform_id, :none, :none, :none, :now)
                        AS c)
       AND (CAST(:after AS uuid) IS NULL OR m.id > :after)
     ORDER BY m.id LIMIT :limit
    """
)


def get(connection: Connection, pool_id: UUID) -> Pool:
    """Return a pool.

    Raises:
        PoolNotFound: no such pool.
    """
    row = connection.execute(_ONE, {"id": pool_id}).one_or_none()
    if row is None:
        raise PoolNotFound("No pool with this id.")
    return Pool(**row._asdict())


def page(connection: Connection, after: UUID | None, limit: int) -> list[Pool]:
    """Return pools by id."""
    rows = connection.execute(_PAGE, {"after": after, "limit": limit})
    return [Pool(**row._asdict()) for row in rows]


def serving(
    connection: Connection, platform_id: UUID, now: datetime, after: UUID | None, limit: int
) -> list[tuple[UUID, str]]:
    """Return id and name of each mediator who may be drawn for a platform, by id."""
    values = {
        "platform_id": platform_id,
        "none": UUID(int=0),
        "now": now,
        "after": after,
        "limit": limit,
    }
    return [(row.id, row.name) for row in connection.execute(_SERVING, values)]
