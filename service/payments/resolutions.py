"""Somebody says what a difference was: the amount goes where it belongs, and payouts resume."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from ledger.posting import Posting, Status, post
from ledger.refusals import Refusal
from service.events import outbox
from service.ids import encode
from service.payments import differences
from service.payments.differences import BrokenReconciliation, facts, move
from service.payments.matching import Kind
from service.platforms import members


class Resolution(StrEnum):
    """What a difference was found to be."""

    HEALED = "healed"  # its other half came: nobody had to say anything
    PLATFORM_BEARS = "platform_bears"
    BELONGS_TO_MEMBER = "belongs_to_member"
    EXPLAINED = "explained"


class DifferenceNotFound(Refusal):
    """No such difference on this platform."""

    code = "difference_not_found"


class DifferenceResolved(Refusal):
    """It is resolved already."""

    code = "difference_resolved"


class DifferenceInFlight(Refusal):
    """The provider has not finished the payment: it will say itself how it ended."""

    code = "difference_in_flight"


class StillUnexplained(Refusal):
    """An amount stands in suspense: words alone do not move it to where it belongs."""

    code = "still_unexplained"


class MemberUnclear(Refusal):
    """A member is named for what belongs to a member, and for nothing else."""

    code = "member_unclear"


class MemberHasLess(Refusal):
    """The member's balance does not have what would be taken from it."""

    code = "member_has_less"


def find(connection: Connection, platform_id: UUID, difference_id: UUID) -> RowMapping:
    """Return a difference.

    Raises:
        DifferenceNotFound
    """
    return _find(connection, platform_id, difference_id, "")


def _find(connection: Connection, platform_id: UUID, difference_id: UUID, lock: str) -> RowMapping:
    query = text(
        "SELECT * FROM service.reconciliation_difference "  # noqa: S608 - our own words
        f"WHERE platform_id = :platform_id AND id = :id {lock}"
    )
    values = {"platform_id": platform_id, "id": difference_id}
    row = connection.execute(query, values).mappings().one_or_none()
    if row is None:
        raise DifferenceNotFound("No difference with this id.")
    return row


def resolve(
    connection: Connection,
    platform_id: UUID,
    difference_id: UUID,
    resolution: Resolution,
    reason: str,
    by: str,
    now: datetime,
    member_id: UUID | None = None,
) -> RowMapping:
    """Resolve an open difference for good and return it; after the last, payouts leave again.

    ``platform_bears``: the amount is the platform's loss (or gain). ``belongs_to_member``: it is
    owed to ``member_id``, or was paid out to them already. ``explained``: nothing has to move.

    Raises:
        DifferenceNotFound, MemberNotFound
        DifferenceResolved, DifferenceInFlight: there is nothing to resolve.
        StillUnexplained: ``explained``, and an amount stands in suspense.
        MemberUnclear: a member is missing, or named beside another resolution.
        MemberHasLess: what the member would give back is not on their balance.
    """
    row = _find(connection, platform_id, difference_id, "FOR UPDATE")
    if row["resolved_at"] is not None:
        raise DifferenceResolved(f"It was resolved as {row['resolution']} already.")
    if row["kind"] == Kind.IN_FLIGHT:
        raise DifferenceInFlight("The provider has not finished this payment; wait for its end.")
    if (member_id is not None) != (resolution is Resolution.BELONGS_TO_MEMBER):
        raise MemberUnclear(
            "Name a member for belongs_to_member, and for nothing else.", pointer="/member"
        )
    if member_id is not None:
        members.find(connection, platform_id, member_id)
    amount = row["theirs"] - row["ours"]
    if resolution is Resolution.EXPLAINED and row["suspended"]:
        raise StillUnexplained(
            "An amount stands in suspense: say who bears it, or whom it belongs to.",
            pointer="/resolution",
            amount=amount,
            unit=row["unit"],
        )
    to = "expense:losses" if member_id is None else f"member:{member_id}"
    if resolution is not Resolution.EXPLAINED and amount:
        _settle(connection, row, to, amount, now)
    connection.execute(
        text(
            "UPDATE service.reconciliation_difference SET resolved_at = :now, "
            "resolution = :resolution, reason = :reason, resolved_by = :by, member_id = :member_id "
            "WHERE platform_id = :platform_id AND id = :id"
        ),
        {
            "platform_id": platform_id,
            "id": difference_id,
            "now": now,
            "resolution": resolution,
            "reason": reason,
            "by": by,
            "member_id": member_id,
        },
    )
    told = {
        **facts(row),
        "resolution": resolution,
        "reason": reason,
        "member": None if member_id is None else encode("member", member_id),
    }
    event = outbox.NewEvent("reconciliation.resolved", told, member_id=member_id)
    outbox.append(connection, platform_id, [event], now)
    differences.resume(connection, platform_id, now, by, "every difference is resolved")
    return find(connection, platform_id, difference_id)


def _settle(connection: Connection, row: RowMapping, to: str, amount: int, now: datetime) -> None:
    """Move what is unexplained from suspense, or correct what we say that the provider holds."""
    account = ("suspense" if row["suspended"] else "provider") + f":{row['provider']}"
    posting = Posting(
        f"resolved:{row['id']}",
        "resolution",
        (move(account, to, amount, row["unit"]),),
        f"difference:{row['id']}",
    )
    (result,) = post(connection, row["platform_id"], [posting], now)
    if result.status is Status.BREAKS_FLOOR:
        raise MemberHasLess(
            "The member's balance has less than that.", amount=-amount, unit=row["unit"]
        )
    if result.status is not Status.CREATED:
        raise BrokenReconciliation(f"posting {posting.key}: {result.status}")


_DIFFERENCES: Final = text(
    "SELECT * FROM service.reconciliation_difference WHERE platform_id = :platform_id "
    "AND (CAST(:after AS uuid) IS NULL OR id < :after) "
    "AND (CAST(:open AS boolean) IS NULL OR (resolved_at IS NULL) = :open) "
    "AND (CAST(:kind AS text) IS NULL OR kind = :kind) ORDER BY id DESC LIMIT :limit"
)


def page(
    connection: Connection,
    platform_id: UUID,
    *,
    limit: int,
    after: UUID | None = None,
    open_: bool | None = None,
    kind: str | None = None,
) -> list[RowMapping]:
    """Return up to ``limit`` differences, newest first, after the id ``after``."""
    values = {
        "platform_id": platform_id,
        "limit": limit,
        "after": after,
        "open": open_,
        "kind": kind,
    }
    return list(connection.execute(_DIFFERENCES, values).mappings())


_RUNS: Final = text(
    "SELECT * FROM service.reconciliation_run WHERE platform_id = :platform_id "
    "AND (CAST(:day AS date) IS NULL OR (day, provider) < (:day, :provider)) "
    "ORDER BY day DESC, provider DESC LIMIT :limit"
)


def runs(
    connection: Connection,
    platform_id: UUID,
    *,
    limit: int,
    after: tuple[date, str] | None = None,
) -> list[RowMapping]:
    """Return up to ``limit`` runs, newest day first, after that of a day and provider."""
    day, provider = after or (None, None)
    values = {"platform_id": platform_id, "limit": limit, "day": day, "provider": provider}
    return list(connection.execute(_RUNS, values).mappings())
