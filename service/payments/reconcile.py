"""Compare a day of the provider's books with ours, line by line and then the balance.

Lines are read outside of any transaction and judged in batches, each in one of its own, so that a
process that dies leaves whole batches behind and the next run goes over them again for nothing. Two
runs at once take turns, batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine, text

from ledger.posting import Posting
from ledger.refusals import Refusal
from service import db
from service.payments import balance_check, differences, own_money
from service.payments.differences import book, move
from service.payments.matching import Found, Kind, Verdict, judge, unmatched
from service.payments.port import Movement, Provider

BATCH: Final = 500
_NOBODY: Final = UUID(int=0)
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)


class DayNotOver(Refusal):
    """Only a day that is over (in UTC) can be reconciled."""

    code = "day_not_over"


@dataclass(frozen=True, slots=True)
class Run:
    """What a day came to: how many lines of the provider's, and postings of ours, were which."""

    platform_id: UUID
    provider: str
    day: date
    matched: int
    ours_only: int
    theirs_only: int
    amount_differs: int
    in_flight: int
    started_at: datetime
    finished_at: datetime | None
    #: The provider's lines, and by unit the minor units that they moved (``amount``, signed) and
    #: that the provider took of them (``fees``).
    lines: int
    totals: Mapping[str, Mapping[str, int]]


def midnight(day: date) -> datetime:
    """Return the first instant of a day of UTC."""
    return datetime.combine(day, time(), UTC)


def reconcile(
    engine: Engine, provider: Provider, platform_id: UUID, day: date, now: datetime
) -> Run:
    """Compare the provider's books of ``day`` (UTC) with ours, keep and tell what differs.

    Running it again changes nothing but what has changed since.

    Raises:
        DayNotOver: ``day`` has not ended at ``now``.
        ProviderUnavailable: the provider's books could not be read to the end; run it again.
    """
    since, until = midnight(day), midnight(day) + _DAY
    if now < until:
        raise DayNotOver(f"{day} is not over in UTC.")
    with db.transaction(engine, platform_id) as connection:
        _begin(connection, platform_id, provider.name, day, now)
    heal(engine, provider.name, platform_id, now)
    tally = _Tally()
    for lines in _read(provider, platform_id, since, until):
        tally.add(lines)
        with db.transaction(engine, platform_id) as connection:
            _take_turn(connection, platform_id, provider.name)
            verdicts = judge(connection, platform_id, provider.name, lines)
            _write(connection, platform_id, provider.name, verdicts, day, now)
    _look_for_ours(engine, provider, platform_id, day, now)
    with db.transaction(engine, platform_id) as connection:
        _heal_more(connection, platform_id, provider.name, now)
    if now - until < 2 * _DAY:
        balance_check.check(engine, provider, platform_id, day, now)
    with db.transaction(engine, platform_id) as connection:
        differences.resume(connection, platform_id, now)
        return _finish(connection, platform_id, provider.name, day, tally, now)


class _Tally:
    """What the provider's books of a day sum to."""

    def __init__(self) -> None:
        self.lines = 0
        self.totals: dict[str, dict[str, int]] = {}

    def add(self, lines: Sequence[Movement]) -> None:
        self.lines += len(lines)
        for line in lines:
            sums = self.totals.setdefault(line.unit, {"amount": 0, "fees": 0})
            sums["amount"] += line.amount
            sums["fees"] += line.fee


def _read(
    provider: Provider, platform_id: UUID, since: datetime, until: datetime
) -> Iterator[Sequence[Movement]]:
    db.outside_transaction()
    lines = iter(provider.movements(platform_id, since, until))
    while batch := list(islice(lines, BATCH)):
        yield batch


def _take_turn(connection: Connection, platform_id: UUID, provider: str) -> None:
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"),
        {"name": f"reconcile:{platform_id}:{provider}"},
    )


def _begin(
    connection: Connection, platform_id: UUID, provider: str, day: date, now: datetime
) -> None:
    connection.execute(
        text(
            "INSERT INTO service.reconciliation_run (platform_id, provider, day, started_at) "
            "VALUES (:platform_id, :provider, :day, :now) ON CONFLICT DO NOTHING"
        ),
        {"platform_id": platform_id, "provider": provider, "day": day, "now": now},
    )


def heal(engine: Engine, provider: str, platform_id: UUID, now: datetime) -> None:
    """Close the open differences whose other half has come since; payouts resume after the last."""
    after = _NOBODY
    while True:
        with db.transaction(engine, platform_id) as connection:
            _take_turn(connection, platform_id, provider)
            rows = differences.reopenable(connection, platform_id, provider, after, BATCH)
            verdicts = judge(
                connection, platform_id, provider, [differences.line_of(row) for row in rows]
            )
            changed = [
                (row, verdict)
                for row, verdict in zip(rows, verdicts, strict=True)
                if [found.kind for found in verdict.differences] != [row["kind"]]
            ]
            differences.heal(connection, platform_id, [row for row, _ in changed], now)
            found = [verdict for _, verdict in changed]
            _write(connection, platform_id, provider, found, now.astimezone(UTC).date(), now)
            if len(rows) < BATCH:
                _heal_more(connection, platform_id, provider, now)
                differences.resume(connection, platform_id, now)
                return
            after = rows[-1]["id"]


def _heal_more(connection: Connection, platform_id: UUID, provider: str, now: datetime) -> None:
    """Close the differences that no line of the provider's is at the root of, and that heal."""
    differences.heal_ours(connection, platform_id, provider, now)
    own_money.heal(connection, platform_id, provider, now)


def _write(
    connection: Connection,
    platform_id: UUID,
    provider: str,
    verdicts: Sequence[Verdict],
    day: date,
    now: datetime,
) -> None:
    book(
        connection,
        platform_id,
        [_fee(provider, verdict) for verdict in verdicts if verdict.fee],
        now,
    )
    found = own_money.book(connection, platform_id, provider, verdicts, now)
    _match(connection, platform_id, provider, verdicts)
    found += [one for verdict in verdicts for one in verdict.differences]
    differences.record(connection, platform_id, provider, found, day, now)


def _fee(provider: str, verdict: Verdict) -> Posting:
    """Return the posting of a fee, the same that following up its payment would have made."""
    line = verdict.movement
    moved = move("expense:provider_fees", f"provider:{provider}", verdict.fee, line.unit)
    return Posting(f"fee:{line.ref}", "fee", (moved,), verdict.reference)


_MATCH: Final = text(
    "INSERT INTO service.reconciliation_match "
    "(platform_id, provider, movement_ref, posting_key, day) "
    "SELECT :platform_id, :provider, r.movement_ref, r.posting_key, r.day "
    "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) "
    "AS r(movement_ref text, posting_key text, day date) ON CONFLICT DO NOTHING"
)


def _match(
    connection: Connection, platform_id: UUID, provider: str, verdicts: Sequence[Verdict]
) -> None:
    rows = [
        {"movement_ref": one.movement.ref, "posting_key": key, "day": _day(one.movement)}
        for one in verdicts
        for key in one.keys
    ]
    if rows:
        connection.execute(
            _MATCH,
            {
                "platform_id": platform_id,
                "provider": provider,
                "rows": orjson.dumps(rows).decode(),
            },
        )


def _day(line: Movement) -> date:
    return line.at.astimezone(UTC).date()


def _look_for_ours(
    engine: Engine, provider: Provider, platform_id: UUID, day: date, now: datetime
) -> None:
    """Find the postings of the day that the provider does not know.

    Clocks differ and a posting follows its line: the days beside are looked through first.
    """
    since, until = midnight(day), midnight(day) + _DAY
    # Hour by hour: a page of a day that the provider knows nothing of must not cost a whole day.
    hours = [since + count * _HOUR for count in range(24)]
    with db.transaction(engine, platform_id) as connection:
        if not any(_has_unmatched(connection, provider.name, platform_id, hour) for hour in hours):
            return
    for first, last in ((since - _DAY, since), (until, min(until + 2 * _DAY, now))):
        for lines in _read(provider, platform_id, first, last) if first < last else ():
            with db.transaction(engine, platform_id) as connection:
                _take_turn(connection, platform_id, provider.name)
                verdicts = judge(connection, platform_id, provider.name, lines)
                _match(connection, platform_id, provider.name, _agreeing(verdicts))
    for hour in hours:
        after: str | None = ""
        while after is not None:
            with db.transaction(engine, platform_id) as connection:
                after = _keep_ours(connection, platform_id, provider.name, hour, after, now)


def _has_unmatched(
    connection: Connection, provider: str, platform_id: UUID, hour: datetime
) -> bool:
    return bool(unmatched(connection, platform_id, provider, hour, hour + _HOUR, limit=1))


def _keep_ours(
    connection: Connection,
    platform_id: UUID,
    provider: str,
    start: datetime,
    after: str,
    now: datetime,
) -> str | None:
    """Keep a page of an hour's postings that no line speaks of; return where the next begins."""
    _take_turn(connection, platform_id, provider)
    left = unmatched(
        connection, platform_id, provider, start, start + _HOUR, limit=BATCH, after=after
    )
    found = [
        Found(Kind.OURS_ONLY, one.key, one.amount, 0, one.unit, posting_key=one.key) for one in left
    ]
    differences.record(connection, platform_id, provider, found, start.date(), now)
    return left[-1].key if len(left) == BATCH else None


def _agreeing(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Leave the rest to the run of its own day."""
    return [one for one in verdicts if not (one.differences or one.fee or one.own)]


_FINISH: Final = text(
    """
    UPDATE service.reconciliation_run AS r SET finished_at = :now, lines = :lines,
        totals = CAST(:totals AS jsonb),
        matched = (SELECT count(DISTINCT m.movement_ref) FROM service.reconciliation_match m
            WHERE m.platform_id = :platform_id AND m.provider = :provider AND m.day = :day)
          - (SELECT count(DISTINCT d.movement_ref) FROM service.reconciliation_difference d
            WHERE d.platform_id = :platform_id AND d.provider = :provider AND d.day = :day
              AND d.kind IN ('theirs_only', 'amount_differs', 'in_flight')
              AND d.resolution IS DISTINCT FROM 'healed'
              AND (SELECT m.day FROM service.reconciliation_match m
                   WHERE m.platform_id = d.platform_id AND m.provider = d.provider
                     AND m.movement_ref = d.movement_ref LIMIT 1) = d.day),
        ours_only = f.ours_only, theirs_only = f.theirs_only,
        amount_differs = f.amount_differs, in_flight = f.in_flight
    FROM (SELECT count(*) FILTER (WHERE kind = 'ours_only') AS ours_only,
                 count(*) FILTER (WHERE kind = 'theirs_only') AS theirs_only,
                 count(*) FILTER (WHERE kind = 'amount_differs') AS amount_differs,
                 count(*) FILTER (WHERE kind = 'in_flight') AS in_flight
          FROM service.reconciliation_difference
          WHERE platform_id = :platform_id AND provider = :provider AND day = :day
            AND resolution IS DISTINCT FROM 'healed') AS f
    WHERE r.platform_id = :platform_id AND r.provider = :provider AND r.day = :day
    RETURNING r.*
    """
)


def _finish(
    connection: Connection,
    platform_id: UUID,
    provider: str,
    day: date,
    tally: _Tally,
    now: datetime,
) -> Run:
    values = {
        "platform_id": platform_id,
        "provider": provider,
        "day": day,
        "now": now,
        "lines": tally.lines,
        "totals": orjson.dumps(tally.totals).decode(),
    }
    return Run(**connection.execute(_FINISH, values).mappings().one())
