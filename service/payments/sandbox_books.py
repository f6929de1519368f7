"""The sandbox provider's own books: what moved there and when, and what it holds for a platform.

Read from the sandbox's memory alone (``service.sandbox_*``), never from ours: it stands for a
company elsewhere whose books are to be compared with our own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from service.payments.port import Movement
from service.payments.sandbox_disputes import lines

#: What an object added to what the sandbox holds, minor units; a block at a bank adds nothing.
_AMOUNT: Final = (
    "CASE WHEN kind IN ('collect', 'reversal') THEN coalesce(captured, amount) ELSE -amount END"
)
_OBJECTS: Final = text(
    f"SELECT ref, kind, {_AMOUNT} AS amount, unit, settled_at "  # noqa: S608 - our own constants
    "FROM service.sandbox_object WHERE platform_id = :platform_id AND status = 'succeeded' "
    "AND settled_at >= :since AND settled_at < :until"
)
_DISPUTES: Final = text(
    "SELECT * FROM service.sandbox_dispute AS d WHERE d.platform_id = :platform_id "
    "AND EXISTS (SELECT FROM jsonb_array_elements(d.movements) AS m "
    "  WHERE CAST(m->>'at' AS timestamptz) >= :since AND CAST(m->>'at' AS timestamptz) < :until)"
)
_HELD: Final = text(
    f"SELECT unit, sum({_AMOUNT})::bigint AS amount "  # noqa: S608 - our own constants
    "FROM service.sandbox_object WHERE platform_id = :platform_id AND status = 'succeeded' "
    "GROUP BY unit UNION ALL "
    "SELECT d.unit, sum(CAST(m->>'amount' AS bigint) - CAST(m->>'fee' AS bigint))::bigint "
    "FROM service.sandbox_dispute AS d, jsonb_array_elements(d.movements) AS m "
    "WHERE d.platform_id = :platform_id GROUP BY d.unit"
)


def movements(
    connection: Connection, platform_id: UUID, since: datetime, until: datetime
) -> list[Movement]:
    """Return what moved in ``[since, until)``, oldest first.

    What failed or was called back has moved nothing and has no line.
    """
    values = {"platform_id": platform_id, "since": since, "until": until}
    found = [_line(row) for row in connection.execute(_OBJECTS, values).mappings()]
    for row in connection.execute(_DISPUTES, values).mappings():
        found += [line for line in lines(row) if since <= line.at < until]
    return sorted(found, key=lambda line: (line.at, line.ref))


def _line(row: RowMapping) -> Movement:
    return Movement(
        ref=f"{row['ref']}_settled",
        kind=row["kind"],
        object_ref=row["ref"],
        amount=row["amount"],
        fee=0,
        unit=row["unit"],
        at=row["settled_at"],
    )


def held(connection: Connection, platform_id: UUID) -> dict[str, int]:
    """Return what the sandbox holds for the platform, in minor units by unit."""
    found: dict[str, int] = {}
    for row in connection.execute(_HELD, {"platform_id": platform_id}):
        found[row.unit] = found.get(row.unit, 0) + row.amount
    return found
