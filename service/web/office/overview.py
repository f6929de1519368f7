"""The first page: what is held, over time; what belongs to whom; whether the books hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from ledger import accounts, history
from service.exchanges.model import TERMINAL
from service.payments import resolutions, stops
from service.web.office import chart
from service.web.office.chart import Chart
from service.web.office.telling import Teller

DAYS: Final = 60
#: What belongs to whom: sorts of accounts that many have, summed up; then the few of the platform.
_SORTS: Final = ("hold", "member", "transit")
_FEW: Final = ("platform", "provider", "suspense")

_BALANCES: Final = text(
    """
    SELECT split_part(path, ':', 1) AS sort, unit, sum(balance)::bigint AS balance
    FROM ledger.account WHERE platform_id = :platform_id AND floor IS NOT NULL
    GROUP BY 1, 2
    """
)
_STATES: Final = text(
    "SELECT state, count(*) FROM service.exchange WHERE platform_id = :platform_id "
    "AND state <> ALL(:ended) GROUP BY state ORDER BY state"
)
_CASES: Final = text(
    "SELECT count(*) AS open, min(due_at) AS due_at FROM disputes.case "
    "WHERE platform_id = :platform_id AND closed_at IS NULL"
)
_FAILED: Final = text(
    "SELECT count(*) FROM service.webhook_delivery "
    "WHERE platform_id = :platform_id AND state = 'failed'"
)


@dataclass(frozen=True, slots=True)
class Picture:
    """What is held of one unit, as a drawing and in words."""

    unit: str
    chart: Chart | None  # None: nothing was held in all these days
    top: str
    now: str
    highest: str
    highest_on: str
    first_on: str
    last_on: str
    days: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """The first page's facts, as they are written."""

    pictures: tuple[Picture, ...]
    balances: tuple[tuple[str, str], ...]
    states: Mapping[str, int]
    cases: int
    cases_due: str
    failed: int
    stopped: str | None
    differences: int


def read(connection: Connection, platform_id: UUID, teller: Teller, now: datetime) -> Overview:
    """Return what the first page shows."""
    values = {"platform_id": platform_id}
    held = history.by_day(connection, platform_id, "hold", now, DAYS)
    teller.know(held)
    found = connection.execute(_BALANCES, values).all()
    teller.know(row.unit for row in found)
    balances = [
        (row.sort, teller.amount(row.balance, row.unit))
        for row in sorted(found, key=lambda row: (_SORTS.index(row.sort), row.unit))
    ]
    for one in accounts.balances(connection, platform_id, kinds=_FEW):
        balances.append((one.path, teller.amount(one.balance, one.unit)))
    ended = [str(state) for state in TERMINAL]
    states = connection.execute(_STATES, {**values, "ended": ended})
    cases = connection.execute(_CASES, values).one()
    stopped = stops.standing(connection, platform_id)
    return Overview(
        tuple(_picture(unit, days, teller) for unit, days in held.items()),
        tuple(balances),
        {row[0]: row[1] for row in states},
        cases.open,
        teller.at(cases.due_at),
        connection.execute(_FAILED, values).scalar_one(),
        None if stopped is None else stopped[1],
        resolutions.count_open(connection, platform_id),
    )


def _picture(unit: str, days: list[history.Day], teller: Teller) -> Picture:
    highest = max(days, key=lambda one: one.balance)
    drawn = chart.draw(days) if highest.balance else None
    return Picture(
        unit,
        drawn,
        "" if drawn is None else teller.amount(drawn.top, unit),
        teller.amount(days[-1].balance, unit),
        teller.amount(highest.balance, unit),
        teller.day(highest.day),
        teller.day(days[0].day),
        teller.day(days[-1].day),
        tuple((teller.day(one.day), teller.amount(one.balance, unit)) for one in reversed(days)),
    )
