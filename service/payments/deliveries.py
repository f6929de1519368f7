"""Deliveries to webhook endpoints that were refused, kept for whoever looks why.

Anybody can send anything there, so of a body there is only its digest, the same one is kept once,
and no platform keeps more than :data:`MOST_A_DAY` a day.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from service.ids import uuid7

#: Lines that are kept of one platform within 24 hours, and for how long.
MOST_A_DAY: Final = 200
KEPT: Final = timedelta(days=90)

_KEEP: Final = text(
    "INSERT INTO service.refused_delivery "
    "(platform_id, id, provider, endpoint, reason, digest, received_at) "
    "SELECT :platform_id, :id, :provider, :endpoint, :reason, :digest, :now "
    "WHERE (SELECT count(*) FROM service.refused_delivery WHERE platform_id = :platform_id "
    "       AND received_at > :day_ago) < :most ON CONFLICT DO NOTHING"
)
_FORGET: Final = text(
    "DELETE FROM service.refused_delivery "
    "WHERE platform_id = :platform_id AND received_at < :long_ago"
)


def keep(
    connection: Connection,
    platform_id: UUID,
    provider: str,
    endpoint: str,
    reason: str,
    body: bytes,
    now: datetime,
) -> None:
    """Note a delivery that was refused, unless it is noted already or there are too many today."""
    connection.execute(_FORGET, {"platform_id": platform_id, "long_ago": now - KEPT})
    connection.execute(
        _KEEP,
        {
            "platform_id": platform_id,
            "id": uuid7(),
            "provider": provider,
            "endpoint": endpoint,
            "reason": reason,
            "digest": hashlib.sha256(body).digest(),
            "now": now,
            "day_ago": now - timedelta(days=1),
            "most": MOST_A_DAY,
        },
    )


def page(
    connection: Connection, platform_id: UUID, *, limit: int, after: UUID | None = None
) -> Sequence[RowMapping]:
    """Return up to ``limit`` refused deliveries, newest first."""
    return (
        connection.execute(
            text(
                "SELECT * FROM service.refused_delivery WHERE platform_id = :platform_id "
                "AND (CAST(:after AS uuid) IS NULL OR id < :after) ORDER BY id DESC LIMIT :limit"
            ),
            {"platform_id": platform_id, "after": after, "limit": limit},
        )
        .mappings()
        .all()
    )
