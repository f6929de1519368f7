"""Somebody says what a difference was: the amount goes where it belongs, and payouts resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from ledger.posting import Posting, Status
from ledger.refusals import Refusal
from service.events import outbox
from service.ids import encode
from service.operations.posted import post
from service.payments import differences
from service.payments.differences import BrokenReconciliation, facts, move
from service.payments.matching import Kind
from service.platforms import members


class Resolution(StrEnum):
    """What a difference was found to be."""

    HEALED = "healed"  # its other half came: nobody had to say anything
    PLATFORM_BEARS = "platform_bears"
    BELONGS_TO_MEMBER = "belongs_to_member"
    REVERSED_BY_PROVIDER = "reversed_by_provider"  # two lines of theirs undo each other
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


class NothingToMove(Refusal):
    """It is booked already: only a reason is missing."""

    code = "nothing_to_move"


class MemberUnclear(Refusal):
    """A member is named for what belongs to a member, and for nothing else."""

    code = "member_unclear"


class NotReversed(Refusal):
    """The other difference is not the opposite of this one."""

    code = "not_reversed"


class MemberHasLess(Refusal):
    """The member's balance does not have what would be taken from it."""

    code = "member_has_less"


def find(connection: Connection, platform_id: UUID, difference_id: UUID) -> RowMapping:
    """Return a difference.

    Raises:
        DifferenceNotFound
    """
    return _find(connection, platform_id, [difference_id])[difference_id]


def _find(
    connection: Connection, platform_id: UUID, ids: Sequence[UUID], lock: str = ""
) -> dict[UUID, RowMapping]:
    query = text(
        "SELECT * FROM service.reconciliation_difference "  # noqa: S608 - our own words
        f"WHERE platform_id = :platform_id AND id = ANY(:ids) ORDER BY id {lock}"
    )
    values = {"platform_id": platform_id, "ids": list(ids)}
    rows = {row["id"]: row for row in connection.execute(query, values).mappings()}
    if rows.keys() != set(ids):
        raise DifferenceNotFound("No difference with this id.")
    return rows


@dataclass(frozen=True, slots=True)
class _Said:
    resolution: Resolution
    reason: str
    by: str
    member_id: UUID | None
    other_id: UUID | None


def resolve(
    connection: Connection,
    platform_id: UUID,
    difference_id: UUID,
    resolution: Resolution,
    reason: str,
    by: str,
    now: datetime,
    member_id: UUID | None = None,
    other_id: UUID | None = None,
) -> RowMapping:
    """Resolve an open difference for good and return it; after the last, payouts leave again.

    ``platform_bears``: the amount is the platform's loss (or gain). ``belongs_to_member``: it is
    owed to ``member_id``, or was paid out to them already. ``reversed_by_provider``: the difference
    ``other_id`` took it back, and is resolved with it. ``explained``: nothing has to move.

    Raises:
        DifferenceNotFound, MemberNotFound
        DifferenceResolved, DifferenceInFlight: there is nothing to resolve.
        StillUnexplained: ``explained``, and an amount stands in suspense.
        NothingToMove: the platform took out more than its own; whose it is, is known.
        MemberUnclear: a member is missing, or named beside another resolution.
        NotReversed: the other difference is missing, or is not the opposite.
        MemberHasLess: what the member would give back is not on their balance.
    """
    said = _Said(resolution, reason, by, member_id, other_id)
    both = [difference_id, *([said.other_id] if said.other_id is not None else [])]
    rows = _find(connection, platform_id, both, "FOR UPDATE")
    for row in rows.values():
        _check_open(row)
    row = rows[difference_id]
    if (said.member_id is not None) != (said.resolution is Resolution.BELONGS_TO_MEMBER):
        raise MemberUnclear(
            "Name a member for belongs_to_member, and for nothing else.", pointer="/member"
        )
    _check_reversed(row, rows, said)
    if said.member_id is not None:
        members.find(connection, platform_id, said.member_id)
    amount = row["theirs"] - row["ours"]
    if said.resolution is Resolution.EXPLAINED and row["suspended"]:
        raise StillUnexplained(
            "An amount stands in suspense: say who bears it, or whom it belongs to.",
            pointer="/resolution",
            amount=amount,
            unit=row["unit"],
        )
    if said.resolution in _MOVING and row["kind"] == Kind.BANK_PAYOUT_EXCEEDS_OWN_MONEY:
        raise NothingToMove(
            "This is booked as it happened. It heals when the platform has put the amount back; or "
            "say why it is in order: explained.",
            pointer="/resolution",
            missing=-amount,
            unit=row["unit"],
        )
    if said.resolution in _MOVING and amount:
        to = "expense:losses" if said.member_id is None else f"member:{said.member_id}"
        _settle(connection, row, to, amount, now)
    for one in rows.values():
        other = next((id_ for id_ in rows if id_ != one["id"]), None)
        _close(connection, one, said, other, now)
    differences.resume(connection, platform_id, now, said.by, "every difference is resolved")
    return find(connection, platform_id, difference_id)


#: The resolutions that say where an amount goes. Two differences that undo each other leave
#: nothing in suspense as they are.
_MOVING: Final = frozenset({Resolution.PLATFORM_BEARS, Resolution.BELONGS_TO_MEMBER})


def _check_open(row: RowMapping) -> None:
    if row["resolved_at"] is not None:
        raise DifferenceResolved(f"It was resolved as {row['resolution']} already.")
    if row["kind"] == Kind.IN_FLIGHT:
        raise DifferenceInFlight("The provider has not finished this payment; wait for its end.")


def _check_reversed(row: RowMapping, rows: Mapping[UUID, RowMapping], said: _Said) -> None:
    if (said.other_id is not None) != (said.resolution is Resolution.REVERSED_BY_PROVIDER):
        raise NotReversed(
            "Name the opposite difference for reversed_by_provider, and for nothing else.",
            pointer="/reversed_by",
        )
    if said.other_id is None:
        return
    other = rows[said.other_id]
    same = (other["provider"], other["unit"]) == (row["provider"], row["unit"])
    left = row["theirs"] - row["ours"] + other["theirs"] - other["ours"]
    there = row["suspended"] and other["suspended"]
    if other["id"] == row["id"] or left or not (same and there):
        raise NotReversed(
            "The two must be lines of one provider and unit, both in suspense, that sum to zero.",
            pointer="/reversed_by",
            left=left,
        )


def _close(
    connection: Connection, row: RowMapping, said: _Said, other_id: UUID | None, now: datetime
) -> None:
    connection.execute(
        text(
            "UPDATE service.reconciliation_difference SET resolved_at = :now, "
            "resolution = :resolution, reason = :reason, resolved_by = :by, "
            "member_id = :member_id, reversed_by = :other_id "
            "WHERE platform_id = :platform_id AND id = :id"
        ),
        {
            "platform_id": row["platform_id"],
            "id": row["id"],
            "now": now,
            "resolution": said.resolution,
            "reason": said.reason,
            "by": said.by,
            "member_id": said.member_id,
            "other_id": other_id,
        },
    )
    told = {
        **facts(row),
        "resolution": said.resolution,
        "reason": said.reason,
        "member": None if said.member_id is None else encode("member", said.member_id),
    }
    event = outbox.NewEvent("reconciliation.resolved", told, member_id=said.member_id)
    outbox.append(connection, row["platform_id"], [event], now)


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


def count_open(connection: Connection, platform_id: UUID) -> int:
    """Return how many differences keep payouts from leaving."""
    query = text(
        "SELECT count(*) FROM service.reconciliation_difference "
        "WHERE platform_id = :platform_id AND resolved_at IS NULL AND kind <> 'in_flight'"
    )
    return int(connection.scalar(query, {"platform_id": platform_id}) or 0)


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
