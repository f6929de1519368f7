"""Endpoints that fail: their platform is warned, and in the end they are disabled.

Both are events like any other: seen in ``GET /v1/events`` and sent to the platform's other
endpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from service.events import outbox
from service.events.catalogue import DISABLED, FAILING
from service.ids import encode
from service.platforms import clocks

#: After so long without any success the platform is warned, and then the endpoint is disabled.
WARN_AFTER: Final = timedelta(days=1)
DISABLE_AFTER: Final = timedelta(days=3)
#: At least so long lies between the two, even where no worker was there to warn in time.
NOTICE: Final = timedelta(days=1)

_LOCK: Final = text(
    """
    SELECT w.* FROM service.webhook_endpoint AS w
    JOIN jsonb_to_recordset(:failed) AS f(platform_id uuid, id uuid, gone boolean)
      ON w.platform_id = f.platform_id AND w.id = f.id
    WHERE w.enabled_at IS NOT NULL AND (f.gone OR w.failing_since <= :before)
    ORDER BY w.id FOR UPDATE OF w
    """
).bindparams(bindparam("failed", type_=JSONB))
_WARNED: Final = text(
    "UPDATE service.webhook_endpoint SET warned_at = :now "
    "WHERE platform_id = :platform_id AND id = :id"
)
_DISABLE: Final = text(
    "UPDATE service.webhook_endpoint SET enabled_at = NULL, disabled_at = :now, "
    "disabled_reason = :reason, held_until = NULL WHERE platform_id = :platform_id AND id = :id"
)
# Its deliveries keep waiting, out of sight of whoever looks for what is due.
_PARK: Final = text(
    "UPDATE service.webhook_delivery SET next_at = NULL "
    "WHERE platform_id = :platform_id AND endpoint_id = :id AND state = 'waiting'"
)


@dataclass(frozen=True, slots=True)
class Fate:
    """A failed attempt at an endpoint: in what words, and whether it said 410 Gone."""

    platform_id: UUID
    endpoint_id: UUID
    error: str
    gone: bool


def judge(connection: Connection, failed: Sequence[Fate], now: datetime) -> None:
    """Warn of endpoints that have failed for a day; disable those that are gone, or after three."""
    if not failed:
        return
    last = {one.endpoint_id: one for one in failed}
    gone = {one.endpoint_id for one in failed if one.gone}
    rows = [
        {"platform_id": str(one.platform_id), "id": str(id_), "gone": id_ in gone}
        for id_, one in last.items()
    ]
    values = {"failed": rows, "before": now - WARN_AFTER}
    for row in connection.execute(_LOCK, values).mappings().all():
        error = last[row["id"]].error
        if row["id"] in gone:
            disable(connection, row, "gone", now, error)
        elif row["warned_at"] is None:
            connection.execute(_WARNED, {**_key(row), "now": now})
            ends_at = _ends_at(row["failing_since"], now)
            _tell(connection, row, FAILING, now, error=error, disabled_at=ends_at)
        elif _ends_at(row["failing_since"], row["warned_at"]) <= now:
            disable(connection, row, "failing", now, error)


def disable(
    connection: Connection, row: RowMapping, reason: str, now: datetime, error: str | None = None
) -> None:
    """Disable an endpoint and say so; what waits for it goes on waiting until it is enabled."""
    connection.execute(_DISABLE, {**_key(row), "now": now, "reason": reason})
    connection.execute(_PARK, _key(row))
    _tell(connection, row, DISABLED, now, reason=reason, error=error)


def _ends_at(failing_since: datetime, warned_at: datetime) -> datetime:
    return max(failing_since + DISABLE_AFTER, warned_at + NOTICE)


def _key(row: RowMapping) -> dict[str, UUID]:
    return {"platform_id": row["platform_id"], "id": row["id"]}


def _tell(connection: Connection, row: RowMapping, type_: str, now: datetime, **more: Any) -> None:
    facts = {
        "endpoint": encode("webhook_endpoint", row["id"]),
        "url": row["url"],
        "failing_since": row["failing_since"],
        **more,
    }
    event = outbox.NewEvent(type_, facts)
    at = clocks.now_at(connection, row["platform_id"], now)
    outbox.append(connection, row["platform_id"], [event], at)
