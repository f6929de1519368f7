"""What accounts of a sort held at the end of each day: for pictures, not for proofs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

#: Transfers are numbered as they are written, and are written as they are recorded, but for those
#: whose transactions were open side by side: nothing is open so long.
_SIDE_BY_SIDE: Final = timedelta(hours=1)

_FROM: Final = text(
    "SELECT t.id, p.recorded_at FROM ledger.transfer AS t "
    "JOIN ledger.posting AS p ON p.platform_id = t.platform_id AND p.id = t.posting_id "
    "WHERE t.platform_id = :platform_id AND t.id >= :id ORDER BY t.id LIMIT 1"
)
_LAST: Final = text("SELECT max(id) FROM ledger.transfer WHERE platform_id = :platform_id")
_NOW: Final = text(
    "SELECT unit, sum(balance)::bigint AS balance FROM ledger.account "
    "WHERE platform_id = :platform_id AND floor IS NOT NULL "
    "AND split_part(path, ':', 1) = :kind GROUP BY unit"
)
_BY_DAY: Final = text(
    """
    SELECT (p.recorded_at AT TIME ZONE 'UTC')::date AS day, t.unit,
           sum(CASE WHEN split_part(c.path, ':', 1) = :kind THEN t.amount ELSE 0 END
               - CASE WHEN split_part(d.path, ':', 1) = :kind THEN t.amount ELSE 0 END)::bigint
               AS moved
    FROM ledger.transfer AS t
    JOIN ledger.posting AS p ON p.platform_id = t.platform_id AND p.id = t.posting_id
    JOIN ledger.account AS c ON c.platform_id = t.platform_id AND c.id = t.credit_account
    JOIN ledger.account AS d ON d.platform_id = t.platform_id AND d.id = t.debit_account
    WHERE t.platform_id = :platform_id AND t.id >= :first AND p.recorded_at >= :since
    GROUP BY 1, 2
    """
)


@dataclass(frozen=True, slots=True)
class Day:
    """What was there when a day (UTC) ended, in minor units."""

    day: date
    balance: int


def by_day(
    connection: Connection, platform_id: UUID, kind: str, now: datetime, days: int
) -> Mapping[str, list[Day]]:
    """Return the balance of all accounts of a sort by unit, on each of the last ``days`` days.

    Today's is the one of now. Counted backwards from the balances that the database keeps.

    Args:
        kind: the first part of the accounts' paths, one of those with a floor (``hold``, …).
        now: the platform's own time.
    """
    today = now.astimezone(UTC).date()
    since = datetime.combine(today - timedelta(days=days - 1), time(), UTC)
    values = {"platform_id": platform_id, "kind": kind}
    balances = {row.unit: row.balance for row in connection.execute(_NOW, values)}
    first = _first_since(connection, platform_id, since - _SIDE_BY_SIDE)
    moved: dict[str, dict[date, int]] = {unit: {} for unit in balances}
    for row in connection.execute(_BY_DAY, {**values, "since": since, "first": first}):
        moved.setdefault(row.unit, {})[row.day] = row.moved
    return {
        unit: _backwards(balances.get(unit, 0), found, today, days)
        for unit, found in sorted(moved.items())
    }


def _backwards(balance: int, moved: Mapping[date, int], today: date, days: int) -> list[Day]:
    found = []
    for back in range(days):
        day = today - timedelta(days=back)
        found.append(Day(day, balance))
        balance -= moved.get(day, 0)
    return found[::-1]


def _first_since(connection: Connection, platform_id: UUID, since: datetime) -> int:
    """Return the number of the first transfer recorded since an instant, by halving."""
    last = connection.execute(_LAST, {"platform_id": platform_id}).scalar_one()
    low, high = 0, (last or 0) + 1
    while low < high:
        middle = (low + high) // 2
        values = {"platform_id": platform_id, "id": middle}
        row = connection.execute(_FROM, values).one_or_none()
        if row is None or row.recorded_at >= since:
            high = middle
        else:
            low = row.id + 1
    return low
