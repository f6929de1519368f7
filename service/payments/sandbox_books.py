"""The sandbox provider's own books: a line for everything that moved what it holds.

As with a real provider they are written there, not here: nothing of ours has a part in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from heapq import merge
from typing import Final
from uuid import UUID

from sqlalchemy import Engine, text

from service import db
from service.payments.port import Movement
from service.payments.sandbox_disputes import lines

#: Lines that are read at a time.
PAGE: Final = 500

_SIGNED: Final = (
    "CASE WHEN kind IN ('collect', 'reversal') THEN 1 ELSE -1 END * coalesce(captured, amount)"
)
_LINES: Final = text(
    f"SELECT ref, kind, {_SIGNED} AS amount, unit, settled_at "  # noqa: S608 - our own words
    "FROM service.sandbox_object WHERE platform_id = :platform_id AND status = 'succeeded' "
    "AND settled_at >= :since AND settled_at < :until "
    "AND (settled_at, ref) > (:after_at, :after_ref) ORDER BY settled_at, ref LIMIT :limit"
)
_DISPUTES: Final = text(
    "SELECT ref, unit, movements FROM service.sandbox_dispute WHERE platform_id = :platform_id "
    "AND kind = 'dispute' AND EXISTS (SELECT FROM jsonb_array_elements(movements) AS line "
    " WHERE CAST(line->>'at' AS timestamptz) >= :since "
    " AND CAST(line->>'at' AS timestamptz) < :until) ORDER BY ref"
)
_HELD: Final = text(
    f"SELECT unit, sum(amount)::bigint AS amount FROM ("  # noqa: S608 - our own words
    f" SELECT unit, {_SIGNED} AS amount FROM service.sandbox_object "
    " WHERE platform_id = :platform_id AND status = 'succeeded' "
    " UNION ALL "
    " SELECT d.unit, CAST(line->>'amount' AS bigint) - CAST(line->>'fee' AS bigint) "
    " FROM service.sandbox_dispute d, jsonb_array_elements(d.movements) AS line "
    " WHERE d.platform_id = :platform_id) moved GROUP BY unit"
)


class SandboxBooks:
    """The part of the sandbox provider that shows its books."""

    _engine: Engine

    def movements(self, platform_id: UUID, since: datetime, until: datetime) -> Iterator[Movement]:
        """Read what moved in ``[since, until)``, oldest first, a page at a time."""
        return merge(
            self._payments(platform_id, since, until),
            self._contested(platform_id, since, until),
            key=lambda line: line.at,
        )

    def _payments(self, platform_id: UUID, since: datetime, until: datetime) -> Iterator[Movement]:
        after_at, after_ref = since, ""
        while True:
            with db.transaction(self._engine, db.SYSTEM) as connection:
                rows = connection.execute(
                    _LINES,
                    {
                        "platform_id": platform_id,
                        "since": since,
                        "until": until,
                        "after_at": after_at,
                        "after_ref": after_ref,
                        "limit": PAGE,
                    },
                ).all()
            for row in rows:
                yield Movement(
                    ref=f"{row.ref}_line",
                    kind=row.kind,
                    object_ref=row.ref,
                    amount=row.amount,
                    fee=0,
                    unit=row.unit,
                    at=row.settled_at,
                )
            if len(rows) < PAGE:
                return
            after_at, after_ref = rows[-1].settled_at, rows[-1].ref

    def _contested(self, platform_id: UUID, since: datetime, until: datetime) -> Iterator[Movement]:
        values = {"platform_id": platform_id, "since": since, "until": until}
        with db.transaction(self._engine, db.SYSTEM) as connection:
            rows = connection.execute(_DISPUTES, values).mappings().all()
        found = [line for row in rows for line in lines(row) if since <= line.at < until]
        yield from sorted(found, key=lambda line: line.at)

    def held(self, platform_id: UUID) -> Mapping[str, int]:
        """Return what the sandbox holds for the platform, in minor units by unit."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            rows = connection.execute(_HELD, {"platform_id": platform_id})
            return {row.unit: row.amount for row in rows}
