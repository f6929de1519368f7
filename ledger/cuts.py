"""Cut the balances of accounts without a floor, so that reading them stays cheap."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, text


def cut(connection: Connection, platform_id: UUID) -> int:
    """Cut one platform's balances (in the system's scope); return how many.

    The transaction is the cut's own: one that has written already is refused. How a cut stays right
    while transactions commit out of order: ``migrations/sql/ledger_cut.v1.sql``.
    """
    value: int = connection.execute(
        text("SELECT ledger.take_cut(:platform_id)"), {"platform_id": platform_id}
    ).scalar_one()
    return value


def platforms(connection: Connection) -> list[UUID]:
    """Return the platforms that have books (in a transaction of the system's scope)."""
    return list(connection.scalars(text("SELECT DISTINCT platform_id FROM ledger.account")).all())
