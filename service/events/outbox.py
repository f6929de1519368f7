"""The outbox: written with what happened, read by cursor without missing or repeating anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from ledger.refusals import Refusal
from service import db
from service.events import catalogue
from service.events.tables import event
from service.ids import uuid7


class EventNotFound(Refusal):
    """No such event on this platform."""

    code = "event_not_found"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to append. ``sequence`` counts the events of one exchange from 1."""

    type: str
    data: Mapping[str, Any]
    exchange_id: UUID | None = None
    sequence: int | None = None
    member_id: UUID | None = None


def append(
    connection: Connection, platform_id: UUID, events: Sequence[NewEvent], now: datetime
) -> None:
    """Write ``events`` into the outbox in one statement, in the caller's transaction.

    Raises:
        ValueError: a type that is not in the catalogue; a bug of ours.
    """
    catalogue.check_known([new.type for new in events])
    db.insert_many(
        connection,
        event,
        [
            {
                "platform_id": platform_id,
                "id": uuid7(),
                "type": new.type,
                "exchange_id": new.exchange_id,
                "member_id": new.member_id,
                "sequence": new.sequence,
                "data": new.data,
                "at": now,
            }
            for new in events
        ],
    )


#: An event that commits late has a transaction id at or above the oldest one still running, so a
#: reader who stops there never steps over it. The order is by e.tx, the number: a bare tx would be
#: the text that is given back, in which 1000 comes before 999.
_PAGE: Final = """
    SELECT id, type, exchange_id, member_id, sequence, data, at, tx::text AS tx
    FROM service.event AS e
    WHERE platform_id = :platform_id
      AND tx < pg_snapshot_xmin(pg_current_snapshot())
      AND (CAST(:exchange_id AS uuid) IS NULL OR exchange_id = :exchange_id)
      AND (CAST(:member_id AS uuid) IS NULL OR member_id = :member_id OR exchange_id IN (
           SELECT x.id FROM service.exchange x WHERE x.platform_id = :platform_id
             AND (x.payer_id = :member_id OR x.payee_id = :member_id)))
      AND (CAST(:types AS text[]) IS NULL OR type = ANY(:types))
      AND (CAST(:since AS timestamptz) IS NULL OR at >= :since)
      AND (CAST(:until AS timestamptz) IS NULL OR at < :until)
"""
_AFTER: Final = {
    "asc": text(
        _PAGE + " AND (tx, id) > (CAST(:after_tx AS xid8), CAST(:after_id AS uuid))"
        " ORDER BY e.tx, e.id LIMIT :limit"
    ),
    "desc": text(
        _PAGE + " AND (tx, id) < (CAST(:after_tx AS xid8), CAST(:after_id AS uuid))"
        " ORDER BY e.tx DESC, e.id DESC LIMIT :limit"
    ),
}
_FIRST: Final = {
    "asc": ("0", UUID(int=0)),
    "desc": (str(2**64 - 1), UUID(int=2**128 - 1)),
}


def page(
    connection: Connection,
    platform_id: UUID,
    *,
    limit: int,
    order: str = "desc",
    after: tuple[str, UUID] | None = None,
    exchange_id: UUID | None = None,
    member_id: UUID | None = None,
    types: Sequence[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Sequence[RowMapping]:
    """Return up to ``limit`` events after the position ``after`` (``tx`` and id of the last read).

    ``order`` is ``asc`` (a feed to follow) or ``desc`` (newest first).
    """
    after_tx, after_id = after or _FIRST[order]
    return (
        connection.execute(
            _AFTER[order],
            {
                "platform_id": platform_id,
                "exchange_id": exchange_id,
                "member_id": member_id,
                "types": list(types) if types else None,
                "since": since,
                "until": until,
                "after_tx": after_tx,
                "after_id": after_id,
                "limit": limit,
            },
        )
        .mappings()
        .all()
    )


def find(connection: Connection, platform_id: UUID, event_id: UUID) -> RowMapping:
    """Return one event.

    Raises:
        EventNotFound: the platform has no such event.
    """
    row = (
        connection.execute(
            text(
                "SELECT id, type, exchange_id, member_id, sequence, data, at, tx::text AS tx "
                "FROM service.event WHERE platform_id = :platform_id AND id = :id"
            ),
            {"platform_id": platform_id, "id": event_id},
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise EventNotFound("No event with this id.")
    return row
