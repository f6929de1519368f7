"""Helpers: people whom a member named to act for them, with limits and an end.

What identifies the person (name, e-mail, phone) is kept apart and can be erased. What was allowed
is never widened: it ends, and somebody is named anew.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from ledger.refusals import Refusal

#: The longest for which somebody is named; after it they can be named anew.
MOST: Final = timedelta(days=365)
#: How many helpers of a member can be at work at once.
MOST_AT_ONCE: Final = 10


class May(StrEnum):
    """What a helper may be allowed to do: a closed list. To look is part of all the others."""

    LOOK = "look"
    CONFIRM = "confirm"
    REPORT_PROBLEM = "report_problem"
    PAY = "pay"
    ACCEPT_OFFERS = "accept_offers"


class HelperNotFound(Refusal):
    """The member has no such helper."""

    code = "helper_not_found"


@dataclass(frozen=True, slots=True)
class Helper:
    """A helper of a member. ``name``, ``email`` and ``phone`` are None once erased.

    ``exchange_id`` None: all exchanges of the member. ``limit_amount`` is in minor units of
    ``limit_unit``, what an exchange may be worth; None: as much as it is.
    """

    platform_id: UUID
    id: UUID
    member_id: UUID
    exchange_id: UUID | None
    may: frozenset[May]
    limit_amount: int | None
    limit_unit: str | None
    named_by: str
    consent: str | None
    named_at: datetime
    ends_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    name: str | None
    email: str | None
    phone: str | None
    locale: str

    def works(self, now: datetime) -> bool:
        """Tell whether the helper can act at ``now``."""
        return self.ended_at is None and now < self.ends_at

    def covers(self, exchange_id: UUID) -> bool:
        """Tell whether the helper was named for an exchange."""
        return self.exchange_id in {None, exchange_id}

    @property
    def listed(self) -> list[May]:
        """What they may do, in the order of the list."""
        return [one for one in May if one in self.may]


_INSERT: Final = text(
    "INSERT INTO service.helper (platform_id, id, member_id, exchange_id, may, limit_amount, "
    "limit_unit, named_by, consent, named_at, ends_at) VALUES (:platform_id, :id, :member_id, "
    ":exchange_id, :may, :limit_amount, :limit_unit, :named_by, :consent, :named_at, :ends_at)"
)
_INSERT_PERSON: Final = text(
    "INSERT INTO service.helper_person (platform_id, helper_id, name, email, phone, locale) "
    "VALUES (:platform_id, :id, :name, :email, :phone, :locale)"
)
_SELECT: Final = (
    "SELECT h.*, p.name, p.email, p.phone, coalesce(p.locale, 'fr') AS locale "
    "FROM service.helper AS h LEFT JOIN service.helper_person AS p "
    "ON p.platform_id = h.platform_id AND p.helper_id = h.id WHERE h.platform_id = :platform_id "
)
_MANY: Final = text(f"{_SELECT} AND h.id = ANY(:ids)")
# Held until the commit: whoever ends a helper waits for what the helper is doing, or comes first.
_HELD: Final = text(f"{_SELECT} AND h.id = ANY(:ids) ORDER BY h.id FOR SHARE OF h")
_PAGE: Final = text(
    f"{_SELECT} AND h.member_id = :member_id "
    "AND (CAST(:after AS uuid) IS NULL OR h.id < :after) ORDER BY h.id DESC LIMIT :limit"
)
_AT_WORK: Final = text(
    f"{_SELECT} AND h.member_id = ANY(:members) AND h.ended_at IS NULL AND h.ends_at > :now "
    "ORDER BY h.id"
)
_END: Final = text(
    "UPDATE service.helper SET ended_at = :now, ended_by = :by WHERE platform_id = :platform_id "
    "AND member_id = :member_id AND (CAST(:id AS uuid) IS NULL OR id = :id) AND ended_at IS NULL"
)
_ERASE: Final = text(
    "DELETE FROM service.helper_person AS p USING service.helper AS h "
    "WHERE h.platform_id = p.platform_id AND h.id = p.helper_id "
    "AND p.platform_id = :platform_id AND h.member_id = :member_id"
)


def insert(connection: Connection, one: Helper) -> None:
    """Write a new helper."""
    values = {
        name: getattr(one, name)
        for name in (
            "platform_id", "id", "member_id", "exchange_id", "limit_amount", "limit_unit",
            "named_by", "consent", "named_at", "ends_at", "name", "email", "phone", "locale",
        )
    }  # fmt: skip
    connection.execute(_INSERT, {**values, "may": [str(may) for may in one.listed]})
    connection.execute(_INSERT_PERSON, values)


def find_many(
    connection: Connection, platform_id: UUID, ids: Collection[UUID], *, hold: bool = False
) -> dict[UUID, Helper]:
    """Return the helpers that exist among ``ids``; with ``hold``, none ends before the commit."""
    if not ids:
        return {}
    values = {"platform_id": platform_id, "ids": list(ids)}
    rows = connection.execute(_HELD if hold else _MANY, values).mappings()
    return {row["id"]: _helper(row) for row in rows}


def find(connection: Connection, platform_id: UUID, helper_id: UUID) -> Helper:
    """Return one helper.

    Raises:
        HelperNotFound: the platform has none with this id.
    """
    found = find_many(connection, platform_id, [helper_id]).get(helper_id)
    if found is None:
        raise HelperNotFound("No helper with this id.")
    return found


def page(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    *,
    limit: int,
    after: UUID | None = None,
) -> list[Helper]:
    """Return up to ``limit`` helpers of a member, at work or not, newest first."""
    values = {"platform_id": platform_id, "member_id": member_id, "after": after, "limit": limit}
    return [_helper(row) for row in connection.execute(_PAGE, values).mappings()]


def at_work(
    connection: Connection, platform_id: UUID, members: Sequence[UUID], now: datetime
) -> list[Helper]:
    """Return the helpers of members who can act at ``now``, in one exchange or in any."""
    values = {"platform_id": platform_id, "members": list(members), "now": now}
    return [_helper(row) for row in connection.execute(_AT_WORK, values).mappings()]


def end(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    helper_id: UUID | None,
    by: str,
    now: datetime,
) -> int:
    """End a helper, or (None) all of a member; return how many were at work until now."""
    values = {
        "platform_id": platform_id,
        "member_id": member_id,
        "id": helper_id,
        "by": by,
        "now": now,
    }
    return connection.execute(_END, values).rowcount


def forget(connection: Connection, platform_id: UUID, member_id: UUID, now: datetime) -> None:
    """End every helper of a member who is erased, and forget who they are."""
    end(connection, platform_id, member_id, None, "erased", now)
    connection.execute(_ERASE, {"platform_id": platform_id, "member_id": member_id})


def contacts(email: str | None, phone: str | None) -> set[str]:
    """Return what tells a person by their address: as it is written, two may be one.

    A telephone is told by its last nine digits: ``06 12 …`` and ``+33 6 12 …`` are one.
    """
    found = set()
    if email and email.strip():
        found.add(email.strip().casefold())
    digits = re.sub(r"\D", "", phone or "")
    if digits:
        found.add(digits[-9:])
    return found


def _helper(row: RowMapping) -> Helper:
    return Helper(**{**row, "may": frozenset(May(one) for one in row["may"])})
