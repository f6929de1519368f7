"""Differences between a provider's books and ours: kept, told, healed when the other half comes.

What the provider has and we cannot explain stands in ``suspense:<provider>``, so that our books say
what it holds all the same; and no payout leaves before somebody, or the other half, has explained
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, RowMapping, text

from ledger.posting import Posting, Status, Transfer
from service.events import outbox
from service.ids import encode, uuid7
from service.operations.posted import post, reverse
from service.payments import stops
from service.payments.matching import Found, Kind
from service.payments.port import Movement


class BrokenReconciliation(RuntimeError):
    """A posting of reconciliation was refused by the books: never expected, always an alert."""


#: Kinds whose unexplained amount is shown in the books.
SUSPENDED: Final = frozenset({Kind.THEIRS_ONLY, Kind.AMOUNT_DIFFERS})
_HEALED: Final = "every difference has found its other half"


def book(
    connection: Connection, platform_id: UUID, postings: Sequence[Posting], now: datetime
) -> None:
    """Post what reconciliation books, each once.

    Raises:
        BrokenReconciliation: the books refused one.
    """
    for posting, result in zip(postings, post(connection, platform_id, postings, now), strict=True):
        if result.status not in {Status.CREATED, Status.EXISTS}:
            raise BrokenReconciliation(f"posting {posting.key}: {result.status} {result.account}")


def move(debit: str, credit: str, amount: int, unit: str) -> Transfer:
    """Return a transfer of a signed, non-zero amount: below zero it goes the other way."""
    return (
        Transfer(debit, credit, amount, unit) if amount > 0 else _back(debit, credit, amount, unit)
    )


def _back(debit: str, credit: str, amount: int, unit: str) -> Transfer:
    return Transfer(credit, debit, -amount, unit)


_INSERT: Final = text(
    """
    INSERT INTO service.reconciliation_difference (platform_id, id, provider, day, kind, subject,
        movement_ref, movement, object_ref, description, posting_key, payment_id, ours, theirs, fee,
        unit, suspended, found_at)
    SELECT :platform_id, r.id, :provider, r.day, r.kind, r.subject, r.movement_ref, r.movement,
        r.object_ref, r.description, r.posting_key, r.payment_id, r.ours, r.theirs, r.fee, r.unit,
        r.suspended, :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, day date, kind text, subject text,
        movement_ref text, movement text, object_ref text, description text, posting_key text,
        payment_id uuid, ours bigint, theirs bigint, fee bigint, unit text, suspended boolean)
    ON CONFLICT (platform_id, provider, kind, subject) DO NOTHING
    RETURNING id, kind, subject, movement_ref, payment_id, ours, theirs, unit, day, suspended
    """
)


def record(
    connection: Connection,
    platform_id: UUID,
    provider: str,
    found: Sequence[Found],
    day: date,
    now: datetime,
) -> None:
    """Keep what was found, once; what is really wrong is told, stops payouts and is suspended.

    ``day``: of those that no line of the provider's is at the root of.

    Raises:
        BrokenReconciliation: the books refused to suspend an amount.
    """
    if not found:
        return
    rows = [_row(one, day) for one in found]
    new = (
        connection.execute(
            _INSERT,
            {
                "platform_id": platform_id,
                "provider": provider,
                "rows": orjson.dumps(rows).decode(),
                "now": now,
            },
        )
        .mappings()
        .all()
    )
    wrong = [row for row in new if row["kind"] != Kind.IN_FLIGHT]
    if not wrong:
        return
    theirs, suspense = f"provider:{provider}", f"suspense:{provider}"
    suspended = [
        Posting(
            f"suspense:{row['subject']}",
            "suspense",
            (move(theirs, suspense, row["theirs"] - row["ours"], row["unit"]),),
            _reference(row),
        )
        for row in wrong
        if row["suspended"]
    ]
    book(connection, platform_id, suspended, now)
    events = [outbox.NewEvent("reconciliation.difference", facts(row)) for row in wrong]
    outbox.append(connection, platform_id, events, now)
    stops.take_turn(connection, platform_id)
    stops.stop(connection, platform_id, "reconciliation found differences", now)


def _row(found: Found, day: date) -> dict[str, Any]:
    line = found.movement
    return {
        "id": uuid7(),
        "day": day if line is None else line.at.astimezone(UTC).date(),
        "kind": found.kind,
        "subject": found.subject,
        "movement_ref": None if line is None else line.ref,
        "movement": None if line is None else line.kind,
        "object_ref": None if line is None else line.object_ref,
        "description": None if line is None else line.description,
        "posting_key": found.posting_key,
        "payment_id": found.payment_id,
        "ours": found.ours,
        "theirs": found.theirs,
        "fee": found.fee,
        "unit": found.unit,
        "suspended": found.kind in SUSPENDED and found.ours != found.theirs,
    }


def _reference(row: RowMapping) -> str:
    return f"difference:{row['id']}"


def facts(row: RowMapping) -> dict[str, Any]:
    """Return what events tell of a difference."""
    payment_id = row["payment_id"]
    return {
        "difference": encode("difference", row["id"]),
        "kind": row["kind"],
        "day": row["day"].isoformat(),
        "movement": row["movement_ref"],
        "payment": None if payment_id is None else encode("payment", payment_id),
        "ours": row["ours"],
        "theirs": row["theirs"],
        "unit": row["unit"],
    }


def reopenable(
    connection: Connection, platform_id: UUID, provider: str, after: UUID, limit: int
) -> Sequence[RowMapping]:
    """Return open differences, after the id ``after``, whose other half may still come."""
    query = text(
        "SELECT * FROM service.reconciliation_difference WHERE platform_id = :platform_id "
        "AND provider = :provider AND resolved_at IS NULL AND id > :after "
        "AND kind IN ('theirs_only', 'in_flight') ORDER BY id LIMIT :limit"
    )
    values = {
        "platform_id": platform_id,
        "provider": provider,
        "after": after,
        "limit": limit,
    }
    return connection.execute(query, values).mappings().all()


def line_of(row: RowMapping) -> Movement:
    """Return the line that a difference is about, as it was told."""
    return Movement(
        ref=row["movement_ref"],
        kind=row["movement"],
        object_ref=row["object_ref"],
        amount=row["theirs"] + row["fee"],
        # What was booked of the fee already is in our books, whatever becomes of the rest.
        fee=row["fee"],
        unit=row["unit"],
        at=datetime.combine(row["day"], time(), UTC),
        description=row["description"],
    )


_FOUND_AFTER_ALL: Final = text(
    "SELECT d.* FROM service.reconciliation_difference d WHERE d.platform_id = :platform_id "
    "AND d.provider = :provider AND d.resolved_at IS NULL AND d.kind = 'ours_only' "
    "AND (SELECT m.movement_ref FROM service.reconciliation_match m "
    " WHERE m.platform_id = d.platform_id AND m.provider = d.provider "
    " AND m.posting_key = d.posting_key LIMIT 1) IS NOT NULL ORDER BY d.id"
)


def heal_ours(connection: Connection, platform_id: UUID, provider: str, now: datetime) -> None:
    """Close the differences of our postings that a line has spoken of since."""
    values = {"platform_id": platform_id, "provider": provider}
    rows = connection.execute(_FOUND_AFTER_ALL, values).mappings().all()
    heal(connection, platform_id, rows, now)


def open_of(
    connection: Connection, platform_id: UUID, provider: str, kind: Kind
) -> Sequence[RowMapping]:
    """Return the open differences of a kind."""
    query = text(
        "SELECT * FROM service.reconciliation_difference WHERE platform_id = :platform_id "
        "AND provider = :provider AND kind = :kind AND resolved_at IS NULL ORDER BY id"
    )
    values = {"platform_id": platform_id, "provider": provider, "kind": kind}
    return connection.execute(query, values).mappings().all()


def heal(
    connection: Connection, platform_id: UUID, rows: Sequence[RowMapping], now: datetime
) -> None:
    """Close differences whose other half has come; what was suspended of them is undone."""
    if not rows:
        return
    changed = connection.scalars(
        text(
            "UPDATE service.reconciliation_difference SET resolved_at = :now, "
            "resolution = 'healed' WHERE platform_id = :platform_id AND id = ANY(:ids) "
            "AND resolved_at IS NULL RETURNING id"
        ),
        {"platform_id": platform_id, "ids": [row["id"] for row in rows], "now": now},
    ).all()
    # Somebody may have said meanwhile what one was: then that holds.
    rows = [row for row in rows if row["id"] in set(changed)]
    for row in rows:
        if row["suspended"]:
            key = f"suspense:{row['subject']}"
            done = reverse(connection, platform_id, key, f"healed:{row['subject']}", now)
            if done.status not in {Status.CREATED, Status.EXISTS}:
                raise BrokenReconciliation(f"undoing {key}: {done.status}")
    events = [
        outbox.NewEvent("reconciliation.resolved", {**facts(row), "resolution": "healed"})
        for row in rows
        if row["kind"] != Kind.IN_FLIGHT
    ]
    outbox.append(connection, platform_id, events, now)


_WRONG: Final = text(
    "SELECT EXISTS (SELECT FROM service.reconciliation_difference WHERE platform_id = :platform_id "
    "AND resolved_at IS NULL AND kind <> 'in_flight')"
)


def resume(
    connection: Connection, platform_id: UUID, now: datetime, by: str = "", reason: str = _HEALED
) -> None:
    """Let payouts leave again if no difference is open any more."""
    stops.take_turn(connection, platform_id)
    if not connection.scalar(_WRONG, {"platform_id": platform_id}):
        stops.clear(connection, platform_id, by or "reconciliation", reason, now)
