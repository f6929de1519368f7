"""Evidence whose date has come: what it said goes, its hashes stay, its file goes when unused.

The date is set by the database when the case closes (migrations/sql/evidence.v1.sql).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

_DELETE: Final = text(
    "UPDATE disputes.evidence AS e SET deleted_at = :now, text = NULL, data = '{}' FROM ("
    "SELECT platform_id, id FROM disputes.evidence WHERE platform_id = :platform_id "
    "AND delete_at <= :now AND deleted_at IS NULL ORDER BY delete_at LIMIT :limit "
    "FOR UPDATE SKIP LOCKED) AS old "
    "WHERE e.platform_id = old.platform_id AND e.id = old.id RETURNING e.file_hash"
)
_IN_USE: Final = text(
    "SELECT DISTINCT file_hash FROM disputes.evidence "
    "WHERE file_hash = ANY(:hashes) AND deleted_at IS NULL"
)


def delete_due(
    connection: Connection, platform_id: UUID, now: datetime, limit: int
) -> list[str | None]:
    """Delete what at most ``limit`` pieces of a platform said, those due first.

    Returns:
        For each the hash of its file, None where it had none. Another piece may still need it.
    """
    values = {"platform_id": platform_id, "now": now, "limit": limit}
    return list(connection.scalars(_DELETE, values))


def in_use(connection: Connection, hashes: Collection[str]) -> set[str]:
    """Return those of these files that some piece of any platform still needs (system's scope)."""
    return set(connection.scalars(_IN_USE, {"hashes": list(hashes)}))
