"""What the provider holds against what our books say that it holds.

Both go on moving while they are looked at. So what the provider has and we have not booked yet is
taken into account, and only a difference that stays the same at every look counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from ledger.accounts import balances
from service import db
from service.payments import differences
from service.payments.matching import Found, Kind, judge
from service.payments.port import Provider

_LOOKS: Final = 3
_BATCH: Final = 500
#: The provider's clock may be ahead of ours.
_AHEAD: Final = timedelta(minutes=5)


def check(engine: Engine, provider: Provider, platform_id: UUID, day: date, now: datetime) -> None:
    """Keep a difference between the provider's balance and our books, by unit; or close it.

    Raises:
        ProviderUnavailable: the provider could not be asked.
    """
    ours, theirs = _look(engine, provider, platform_id, day, now)
    differ = {unit for unit in ours.keys() | theirs.keys() if _gap(ours, theirs, unit)}
    for _ in range(_LOOKS - 1):
        if not differ:
            break
        before = {unit: _gap(ours, theirs, unit) for unit in differ}
        ours, theirs = _look(engine, provider, platform_id, day, now)
        differ = {unit for unit in differ if _gap(ours, theirs, unit) == before[unit]}
    with db.transaction(engine, platform_id) as connection:
        kind = Kind.BALANCE_DIFFERS
        rows = differences.open_of(connection, platform_id, provider.name, kind)
        open_ = {row["unit"]: row for row in rows}
        agree = [row for unit, row in open_.items() if unit not in differ]
        differences.heal(connection, platform_id, agree, now)
        found = [
            Found(
                Kind.BALANCE_DIFFERS,
                f"{unit}:{day.isoformat()}",
                ours.get(unit, 0),
                theirs.get(unit, 0),
                unit,
            )
            for unit in sorted(differ - open_.keys())
        ]
        differences.record(connection, platform_id, provider.name, found, day, now)


def _gap(ours: Mapping[str, int], theirs: Mapping[str, int], unit: str) -> int:
    return theirs.get(unit, 0) - ours.get(unit, 0)


def _look(
    engine: Engine, provider: Provider, platform_id: UUID, day: date, now: datetime
) -> tuple[dict[str, int], dict[str, int]]:
    """Return what should be held, by our books and all that is known of the rest, and what is."""
    db.outside_transaction()
    theirs = dict(provider.held(platform_id))
    after_day = datetime.combine(day, time(), UTC) + timedelta(days=1)
    lines = iter(provider.movements(platform_id, after_day, now + _AHEAD))
    ours: dict[str, int] = {}
    while batch := list(islice(lines, _BATCH)):
        with db.transaction(engine, platform_id) as connection:
            kept = _kept(connection, platform_id, provider.name, [one.ref for one in batch])
            for verdict in judge(connection, platform_id, provider.name, batch):
                line = verdict.movement
                if line.ref in kept:
                    continue
                unbooked = verdict.own - verdict.fee
                unbooked += sum(one.theirs - one.ours for one in verdict.differences)
                ours[line.unit] = ours.get(line.unit, 0) + unbooked
    with db.transaction(engine, platform_id) as connection:
        path = f"provider:{provider.name}"
        for one in balances(connection, platform_id, [path]):
            ours[one.unit] = ours.get(one.unit, 0) - one.balance
        for unit, known in _known(connection, platform_id, provider.name).items():
            ours[unit] = ours.get(unit, 0) + known
    return ours, theirs


def _kept(connection: Connection, platform_id: UUID, provider: str, refs: list[str]) -> set[str]:
    """Return those of the lines that a difference is kept of: their amounts are known already."""
    query = text(
        "SELECT movement_ref FROM service.reconciliation_difference "
        "WHERE platform_id = :platform_id AND provider = :provider AND movement_ref = ANY(:refs) "
        "AND resolution IS DISTINCT FROM 'healed'"
    )
    values = {"platform_id": platform_id, "provider": provider, "refs": refs}
    return set(connection.scalars(query, values))


_KNOWN: Final = text(
    "SELECT unit, sum(theirs - ours)::bigint AS amount FROM service.reconciliation_difference "
    "WHERE platform_id = :platform_id AND provider = :provider "
    "AND ((resolved_at IS NULL AND kind IN ('in_flight', 'ours_only')) "
    " OR (resolution = 'explained' AND kind = 'balance_differs')) GROUP BY unit"
)


def _known(connection: Connection, platform_id: UUID, provider: str) -> dict[str, int]:
    """Return what our books do not say but a difference that is kept, or was explained, does."""
    rows = connection.execute(_KNOWN, {"platform_id": platform_id, "provider": provider})
    return {row.unit: row.amount for row in rows}
