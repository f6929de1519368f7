"""Payouts stop while the books and the provider's disagree: what left cannot be called back."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from service.events import outbox
from service.ids import uuid7

_STANDS: Final = text(
    "SELECT EXISTS (SELECT FROM service.payout_stop "
    "WHERE platform_id = :platform_id AND cleared_at IS NULL)"
)


def take_turn(connection: Connection, platform_id: UUID) -> None:
    """Until the commit, let nobody else find or clear what stops the platform's payouts.

    Else who sees no difference open would clear the stop that another was about to rely on.
    """
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
        {"name": f"payout_stop:{platform_id}"},
    )


def stopped(connection: Connection, platform_id: UUID) -> bool:
    """Tell whether no payout of the platform may leave now."""
    return bool(connection.scalar(_STANDS, {"platform_id": platform_id}))


def standing(connection: Connection, platform_id: UUID) -> tuple[datetime, str] | None:
    """Return since when, and why, no payout of the platform leaves; None if they do."""
    row = connection.execute(
        text(
            "SELECT since, reason FROM service.payout_stop "
            "WHERE platform_id = :platform_id AND cleared_at IS NULL"
        ),
        {"platform_id": platform_id},
    ).one_or_none()
    return None if row is None else (row.since, row.reason)


def stop(connection: Connection, platform_id: UUID, reason: str, now: datetime) -> bool:
    """Stop the platform's payouts, and tell; False if they are stopped already."""
    made = connection.execute(
        text(
            "INSERT INTO service.payout_stop (platform_id, id, since, reason) "
            "VALUES (:platform_id, :id, :now, :reason) ON CONFLICT DO NOTHING"
        ),
        {"platform_id": platform_id, "id": uuid7(), "now": now, "reason": reason},
    )
    if made.rowcount == 0:
        return False
    event = outbox.NewEvent("payouts.stopped", {"reason": reason})
    outbox.append(connection, platform_id, [event], now)
    return True


def clear(connection: Connection, platform_id: UUID, by: str, reason: str, now: datetime) -> bool:
    """Let the platform's payouts leave again, and tell; False if nothing stopped them."""
    changed = connection.execute(
        text(
            "UPDATE service.payout_stop SET cleared_at = :now, cleared_by = :by, "
            "cleared_reason = :reason WHERE platform_id = :platform_id AND cleared_at IS NULL"
        ),
        {"platform_id": platform_id, "now": now, "by": by, "reason": reason},
    )
    if changed.rowcount == 0:
        return False
    event = outbox.NewEvent("payouts.resumed", {"reason": reason})
    outbox.append(connection, platform_id, [event], now)
    return True
