"""What the platform moves between its account at the provider and its own bank.

That is for what it earned. If more leaves, it is members' money: booked, since it has happened, and
told, and no payout leaves before it is there again or somebody has said why it is in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from ledger.posting import Posting, Status
from service.operations.posted import post
from service.payments import differences
from service.payments.differences import BrokenReconciliation, move
from service.payments.matching import Found, Kind, Verdict
from service.payments.port import Movement


def book(
    connection: Connection,
    platform_id: UUID,
    provider: str,
    verdicts: Sequence[Verdict],
    now: datetime,
) -> list[Found]:
    """Book what the platform moved to or from its bank; return what was not its own to move.

    Raises:
        BrokenReconciliation: the books refused one.
    """
    own = [verdict for verdict in verdicts if verdict.own]
    theirs, ours = f"provider:{provider}", "platform:paid_out"
    postings = [
        Posting(
            f"bank_payout:{verdict.movement.ref}",
            "bank_payout",
            (move(theirs, ours, verdict.own, verdict.movement.unit),),
        )
        for verdict in own
    ]
    fresh: list[Movement] = []
    for verdict, result in zip(own, post(connection, platform_id, postings, now), strict=True):
        if result.status not in {Status.CREATED, Status.EXISTS}:
            raise BrokenReconciliation(f"bank payout {verdict.movement.ref}: {result.status}")
        if result.status is Status.CREATED and verdict.own < 0:
            fresh.append(verdict.movement)
    return _exceeding(fresh, left(connection, platform_id)) if fresh else []


def _exceeding(lines: Sequence[Movement], own: dict[str, int]) -> list[Found]:
    """Return what of ``lines`` exceeds; ``own`` is after them, so the last ones exceed first."""
    missing = {unit: -amount for unit, amount in own.items() if amount < 0}
    found = []
    for line in reversed(lines):
        amount = line.amount - line.fee
        excess = min(missing.get(line.unit, 0), -amount)
        if excess > 0:
            missing[line.unit] -= excess
            found.append(
                Found(
                    Kind.BANK_PAYOUT_EXCEEDS_OWN_MONEY,
                    line.ref,
                    amount + excess,
                    amount,
                    line.unit,
                    line,
                    posting_key=f"bank_payout:{line.ref}",
                )
            )
    return found


_LEFT: Final = text(
    """
    SELECT unit, sum(CASE kind WHEN 'receivable' THEN least(balance, 0) ELSE balance END)::bigint
        AS amount
    FROM (SELECT a.unit, split_part(a.path, ':', 1) AS kind,
              ledger.unfloored_balance(a.platform_id, a.id) AS balance
          FROM ledger.account a WHERE a.platform_id = :platform_id
            AND split_part(a.path, ':', 1) IN ('platform', 'expense', 'receivable')) own
    GROUP BY unit
    """
)


def left(connection: Connection, platform_id: UUID) -> dict[str, int]:
    """Return what of the money held is the platform's own, in minor units by unit.

    Earned, less what it took out, less what providers and losses cost it and what it has advanced.
    """
    rows = connection.execute(_LEFT, {"platform_id": platform_id})
    return {row.unit: row.amount for row in rows}


def heal(connection: Connection, platform_id: UUID, provider: str, now: datetime) -> None:
    """Close the differences of units in which nothing of the members' is missing any more."""
    rows = differences.open_of(
        connection, platform_id, provider, Kind.BANK_PAYOUT_EXCEEDS_OWN_MONEY
    )
    own = left(connection, platform_id) if rows else {}
    whole = [row for row in rows if own.get(row["unit"], 0) >= 0]
    differences.heal(connection, platform_id, whole, now)
