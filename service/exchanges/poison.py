"""Rows whose work fails for no reason of the outside's: tried a few times, then left alone.

Such a row never keeps the others waiting. Once it is given up it is due no more, and stands as a
dead letter until somebody has mended its cause and has it taken up again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from service.ids import decode, encode
from service.operations import dead_letters
from service.operations.dead_letters import MOST_FAILURES, NEVER, again_after, is_passing
from service.payments.inbox import Received

_TIMER: Final = text(
    "SELECT failures FROM service.timer WHERE platform_id = :platform_id "
    "AND exchange_id = :exchange_id AND step = :step AND due_at <= :now"
)
_TIMER_LATER: Final = text(
    "UPDATE service.timer SET due_at = :due_at, failures = :failures "
    "WHERE platform_id = :platform_id AND exchange_id = :exchange_id AND step = :step"
)
_PAYMENT: Final = text(
    "UPDATE service.payment SET look_again_at = :due_at, failures = :failures "
    "WHERE platform_id = :platform_id AND id = :id AND look_again_at IS NOT NULL"
)
_EVENT: Final = text(
    "UPDATE service.provider_event SET try_at = :due_at, failures = :failures, note = :note "
    "WHERE platform_id = :platform_id AND provider = :provider AND event_id = :event_id "
    "AND try_at IS NOT NULL"
)


def _due_again(failures: int, now: datetime) -> datetime:
    return NEVER if failures >= MOST_FAILURES else now + again_after(failures)


def timer_failed(
    connection: Connection,
    platform_id: UUID,
    exchange_id: UUID,
    step: str,
    error: Exception,
    now: datetime,
) -> None:
    """Put a timer that cannot fire off, after all the others, or give it up."""
    row = {"platform_id": platform_id, "exchange_id": exchange_id, "step": step}
    before = connection.execute(_TIMER, {**row, "now": now}).scalar_one_or_none()
    if before is None:
        return  # somebody else took or moved the step meanwhile
    passing = is_passing(error)
    failures = before if passing else before + 1
    due_at = now + again_after(1) if passing else _due_again(failures, now)
    connection.execute(_TIMER_LATER, {**row, "due_at": due_at, "failures": failures})
    if due_at == NEVER:
        subject = {"exchange": encode("exchange", exchange_id), "step": step}
        dead_letters.record(connection, platform_id, "timer", subject, error, now, failures)


def payment_failed(
    connection: Connection, row: RowMapping, error: Exception, now: datetime
) -> None:
    """Put a payment off that could not be asked about, or whose answer could not be taken."""
    failures = row["failures"] + 1
    due_at = _due_again(failures, now)
    key = {"platform_id": row["platform_id"], "id": row["id"]}
    connection.execute(_PAYMENT, {**key, "due_at": due_at, "failures": failures})
    if due_at == NEVER:
        subject = {"payment": encode("payment", row["id"])}
        dead_letters.record(
            connection,
            row["platform_id"],
            "payment",
            subject,
            error,
            now,
            failures,
            row["created_at"],
        )


def event_failed(connection: Connection, event: Received, error: Exception, now: datetime) -> None:
    """Put a provider's event off that could not be followed up, or give it up."""
    failures = event.failures + 1
    due_at = _due_again(failures, now)
    key = {
        "platform_id": event.platform_id,
        "provider": event.provider,
        "event_id": event.event_id,
    }
    note = dead_letters.words(error)
    connection.execute(_EVENT, {**key, "due_at": due_at, "failures": failures, "note": note})
    if due_at == NEVER:
        subject = {"provider": event.provider, "event": event.event_id}
        dead_letters.record(
            connection,
            event.platform_id,
            "provider_event",
            subject,
            error,
            now,
            failures,
            event.received_at,
        )


_TIMER_AGAIN: Final = text(
    "UPDATE service.timer SET due_at = least(due_at, :now), failures = 0 "
    "WHERE platform_id = :platform_id AND exchange_id = :exchange_id AND step = :step"
)


def _timer_again(
    connection: Connection, platform_id: UUID, subject: Mapping[str, Any], now: datetime
) -> bool:
    values = {
        "platform_id": platform_id,
        "exchange_id": decode("exchange", subject["exchange"]),
        "step": subject["step"],
        "now": now,
    }
    return connection.execute(_TIMER_AGAIN, values).rowcount == 1


def _payment_again(
    connection: Connection, platform_id: UUID, subject: Mapping[str, Any], now: datetime
) -> bool:
    payment_id = decode("payment", subject["payment"])
    values = {"platform_id": platform_id, "id": payment_id, "due_at": now, "failures": 0}
    return connection.execute(_PAYMENT, values).rowcount == 1


def _event_again(
    connection: Connection, platform_id: UUID, subject: Mapping[str, Any], now: datetime
) -> bool:
    values = {
        "platform_id": platform_id,
        "provider": subject["provider"],
        "event_id": subject["event"],
        "due_at": now,
        "failures": 0,
        "note": None,
    }
    return connection.execute(_EVENT, values).rowcount == 1


dead_letters.register("timer", _timer_again)
dead_letters.register("payment", _payment_again)
dead_letters.register("provider_event", _event_again)
