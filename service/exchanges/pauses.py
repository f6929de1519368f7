"""Times in which a member could not act, as the platform vouches: their deadlines stand still.

Nothing is kept on why: that is often a matter of health (GDPR art. 9), and no deadline needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from ledger.refusals import Refusal
from service.events import outbox
from service.ids import encode, uuid7
from service.operations.dead_letters import NEVER
from service.platforms import members

#: The longest pause, and how long ago or ahead one may begin. What is told later than that has had
#: its outcome; who is away for longer needs a helper.
MOST: Final = timedelta(days=30)


class PauseNotFound(Refusal):
    """No such pause of this member."""

    code = "pause_not_found"


class InvalidPause(Refusal):
    """A pause that ends before it begins, is too long, or too far from now."""

    code = "invalid_pause"


class PauseOver(Refusal):
    """The pause has ended already."""

    code = "pause_over"


@dataclass(frozen=True, slots=True)
class MemberPause:
    """From and until when a member's deadlines stand still."""

    id: UUID
    member_id: UUID
    began_at: datetime
    ended_at: datetime
    recorded_at: datetime


_INSERT: Final = text(
    "INSERT INTO service.member_pause "
    "(platform_id, id, member_id, began_at, ended_at, recorded_at) "
    "VALUES (:platform_id, :id, :member_id, :began_at, :ended_at, :now)"
)
_OF_MEMBER: Final = text(
    "SELECT id, member_id, began_at, ended_at, recorded_at FROM service.member_pause "
    "WHERE platform_id = :platform_id AND member_id = :member_id "
    "AND (CAST(:after AS uuid) IS NULL OR id < :after) ORDER BY id DESC LIMIT :limit"
)
_LOCK: Final = text(
    "SELECT id, member_id, began_at, ended_at, recorded_at FROM service.member_pause "
    "WHERE platform_id = :platform_id AND member_id = :member_id AND id = :id FOR UPDATE"
)
# In two parts, so that each side is found by its index; what was given up stays so.
_LOOK: Final = text(
    "UPDATE service.timer AS t SET due_at = :now FROM ("
    " SELECT id FROM service.exchange WHERE platform_id = :platform_id"
    " AND payer_id = :member_id AND closed_at IS NULL UNION "
    " SELECT id FROM service.exchange WHERE platform_id = :platform_id"
    " AND payee_id = :member_id AND closed_at IS NULL) AS e "
    "WHERE t.platform_id = :platform_id AND t.exchange_id = e.id "
    "AND t.due_at > :now AND t.due_at < :never"
)
_END: Final = text(
    "UPDATE service.member_pause SET ended_at = :ended_at "
    "WHERE platform_id = :platform_id AND id = :id"
)


def record(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    began_at: datetime,
    ended_at: datetime,
    now: datetime,
) -> MemberPause:
    """Let a member's deadlines stand still from ``began_at`` until ``ended_at``.

    What has had its outcome already stays as it is.

    Raises:
        MemberNotFound, MemberErased, InvalidPause
    """
    if members.find(connection, platform_id, member_id).erased_at is not None:
        raise members.MemberErased("This member's personal data was erased.")
    if not timedelta() < ended_at - began_at <= MOST:
        raise InvalidPause(
            f"A pause ends after it begins, and lasts {MOST.days} days at most.", pointer="/until"
        )
    if abs(began_at - now) > MOST:
        raise InvalidPause(
            f"A pause begins at most {MOST.days} days from now, before or after.", pointer="/from"
        )
    pause = MemberPause(uuid7(), member_id, began_at, ended_at, now)
    connection.execute(
        _INSERT,
        {
            "platform_id": platform_id,
            "id": pause.id,
            "member_id": member_id,
            "began_at": began_at,
            "ended_at": ended_at,
            "now": now,
        },
    )
    _tell(connection, platform_id, "member.paused", pause, now)
    return pause


def end(
    connection: Connection, platform_id: UUID, member_id: UUID, pause_id: UUID, now: datetime
) -> MemberPause:
    """End a pause now, because the member is back; one that has not begun is as if never made.

    Raises:
        PauseNotFound, PauseOver
    """
    values = {"platform_id": platform_id, "member_id": member_id, "id": pause_id}
    row = connection.execute(_LOCK, values).mappings().one_or_none()
    if row is None:
        raise PauseNotFound("No pause of this member with this id.")
    old = MemberPause(**row)
    if old.ended_at <= now:
        raise PauseOver("The pause has ended already.")
    ended_at = max(now, old.began_at)
    connection.execute(_END, {"platform_id": platform_id, "id": pause_id, "ended_at": ended_at})
    look_again(connection, platform_id, member_id, now)
    pause = MemberPause(old.id, member_id, old.began_at, ended_at, old.recorded_at)
    _tell(connection, platform_id, "member.resumed", pause, now)
    return pause


def look_again(connection: Connection, platform_id: UUID, member_id: UUID, now: datetime) -> None:
    """Let the clock look at a member's open exchanges: deadlines may fall due sooner than it knows.

    A look that comes too early is put right and changes nothing else.
    """
    connection.execute(
        _LOOK, {"platform_id": platform_id, "member_id": member_id, "now": now, "never": NEVER}
    )


def page(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    *,
    limit: int,
    after: UUID | None = None,
) -> list[MemberPause]:
    """Return up to ``limit`` pauses of a member, newest first.

    Raises:
        MemberNotFound
    """
    members.find(connection, platform_id, member_id)
    values = {"platform_id": platform_id, "member_id": member_id, "after": after, "limit": limit}
    rows: Sequence[RowMapping] = connection.execute(_OF_MEMBER, values).mappings().all()
    return [MemberPause(**row) for row in rows]


def _tell(
    connection: Connection, platform_id: UUID, type_: str, pause: MemberPause, now: datetime
) -> None:
    facts = {
        "member": encode("member", pause.member_id),
        "pause": encode("pause", pause.id),
        "from": pause.began_at,
        "until": pause.ended_at,
    }
    event = outbox.NewEvent(type_, facts, member_id=pause.member_id)
    outbox.append(connection, platform_id, [event], now)
