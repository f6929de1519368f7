"""When something is due on a platform next, whatever it is.

Each source is a table of rows that wait for an instant. They are the same rows that the sweeps,
the timers, the sandbox provider and the scripts look for, so that moving a clock from one instant
to the next misses none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from service.exchanges import case_clocks, case_reminders
from service.payments import contests, daily
from service.payments.reconcile import midnight


@dataclass(frozen=True, slots=True)
class Source:
    """A table with rows that wait, the instant they wait for, and which of them do."""

    table: str
    due: str
    which: str = "true"
    room: str = "service"


_AHEAD: Final = f"interval '{int(contests.ANSWER_AHEAD.total_seconds())} seconds'"
SOURCES: Final = (
    Source("timer", "due_at"),
    Source("case", case_clocks.tried("waiting"), "due_at IS NOT NULL", "disputes"),
    Source("case", case_reminders.next_at("waiting"), "due_at IS NOT NULL", "disputes"),
    Source("payment", "look_again_at"),
    Source("provider_event", "try_at"),
    Source("payee_account", "look_again_at"),
    Source("bank_payout", "look_again_at"),
    Source("chargeback", "look_again_at"),
    Source("chargeback", "answer_at", "evidence_refused IS NULL"),
    Source(
        "chargeback",
        f"due_by - {_AHEAD}",
        "answer_at IS NULL AND evidence_refused IS NULL AND left_reason IS NULL "
        "AND kind = 'dispute' AND status IN ('warning', 'needs_response') "
        "AND answered_as IS DISTINCT FROM status",
    ),
    # What a bank took of an exchange that has ended is accounted for as soon as the bank is done.
    Source(
        "exchange",
        "closed_at",
        "charged_back > 0 AND NOT EXISTS (SELECT FROM service.chargeback AS open "
        "WHERE open.platform_id = waiting.platform_id AND open.exchange_id = waiting.id "
        "AND open.closed_at IS NULL)",
    ),
    Source("sandbox_object", "becomes_at"),
    Source("sandbox_event", "deliver_at"),
    Source("sandbox_account", "due_by", "ready"),
    Source(
        "sandbox_dispute",
        "due_by",
        "kind = 'dispute' AND (status = 'needs_response' "
        "OR status = 'warning' AND evidence IS NULL)",
    ),
    Source("sandbox_part", "due_at", "ended_at IS NULL"),
)


def _next_after() -> TextClause:
    parts = [
        f"SELECT min({one.due}) AS at FROM {one.room}.{one.table} AS waiting "  # noqa: S608 - ours
        f"WHERE platform_id = :platform_id AND {one.due} > :after AND {one.which}"
        for one in SOURCES
    ]
    return text(f"SELECT min(at) FROM ({' UNION ALL '.join(parts)}) AS soon")  # noqa: S608


def _moved() -> TextClause:
    waits = " OR ".join(
        f"EXISTS (SELECT FROM {one.room}.{one.table} AS waiting "
        f"WHERE waiting.platform_id = c.platform_id AND {one.due} <= n.now AND {one.which})"
        for one in SOURCES
    )
    return text(
        "SELECT c.platform_id FROM service.platform_clock AS c, "  # noqa: S608 - as above
        "LATERAL (SELECT service.platform_now(c.platform_id, :real) AS now) AS n "
        f"WHERE {waits} ORDER BY c.platform_id"
    )


_NEXT_AFTER: Final = _next_after()
_MOVED: Final = _moved()


def next_after(connection: Connection, platform_id: UUID, after: datetime) -> datetime | None:
    """Return the first instant later than ``after`` at which something is due on a platform."""
    values = {"platform_id": platform_id, "after": after}
    found: datetime | None = connection.execute(_NEXT_AFTER, values).scalar_one()
    over = day_over(connection, platform_id)
    if over is not None and over > after and (found is None or over < found):
        return over
    return found


def day_over(connection: Connection, platform_id: UUID) -> datetime | None:
    """Return when the next day of a platform's books can be reconciled, None without any."""
    ends = [
        midnight(one.first if one.last is None else one.last + timedelta(days=1))
        + timedelta(days=1)
        + daily.SETTLING
        for one in daily.books(connection, platform_id)
    ]
    return min(ends, default=None)


def moved(connection: Connection, real: datetime) -> Sequence[UUID]:
    """Return the platforms with a clock of their own on which something is due (as the system)."""
    return connection.scalars(_MOVED, {"real": real}).all()
