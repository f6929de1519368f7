"""Read messages, send one again, and forget what they said of somebody."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, select, text

from ledger.refusals import Refusal
from service.messages import addresses, links
from service.messages.tables import message, message_text


class MessageNotFound(Refusal):
    """No such message on this platform."""

    code = "message_not_found"


class MessageUnderWay(Refusal):
    """The message is being sent at this moment."""

    code = "message_under_way"


def page(
    connection: Connection,
    platform_id: UUID,
    *,
    limit: int,
    after: UUID | None = None,
    member_id: UUID | None = None,
    exchange_id: UUID | None = None,
    states: Sequence[str] | None = None,
) -> Sequence[RowMapping]:
    """Return up to ``limit`` messages, newest first, older than ``after``."""
    query = select(message).where(message.c.platform_id == platform_id)
    if after is not None:
        query = query.where(message.c.id < after)
    if member_id is not None:
        query = query.where(message.c.member_id == member_id)
    if exchange_id is not None:
        query = query.where(message.c.exchange_id == exchange_id)
    if states:
        query = query.where(message.c.state.in_(states))
    return connection.execute(query.order_by(message.c.id.desc()).limit(limit)).mappings().all()


def find(
    connection: Connection, platform_id: UUID, message_id: UUID
) -> tuple[RowMapping, RowMapping | None]:
    """Return a message, and what was written, unless it was not written yet or is forgotten.

    Raises:
        MessageNotFound: the platform has no such message.
    """
    row = (
        connection.execute(
            select(message).where(message.c.platform_id == platform_id, message.c.id == message_id)
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise MessageNotFound("No message with this id.")
    written = select(message_text).where(
        message_text.c.platform_id == platform_id, message_text.c.message_id == message_id
    )
    return row, connection.execute(written).mappings().one_or_none()


_MAILBOX: Final = text(
    """
    SELECT m.id, m.platform_id, m.sent_at, m.template, t.recipient, t.subject, t.plain, t.html
    FROM service.message AS m JOIN service.message_text AS t
        ON t.platform_id = m.platform_id AND t.message_id = m.id
    WHERE m.channel = 'mailbox' AND m.state = 'sent'
      AND (CAST(:id AS uuid) IS NULL OR m.id = :id)
    ORDER BY m.id DESC LIMIT :limit
    """
)


def mailbox(
    connection: Connection, limit: int, message_id: UUID | None = None
) -> Sequence[RowMapping]:
    """Return the newest messages of the local mailbox, of all platforms, in the system's scope."""
    return connection.execute(_MAILBOX, {"limit": limit, "id": message_id}).mappings().all()


_AGAIN: Final = text(
    "UPDATE service.message SET state = 'waiting', reason = NULL, channel = NULL, sent_at = NULL, "
    "due_at = :now, attempts = 0, resends = resends + 1 "
    "WHERE platform_id = :platform_id AND id = :id AND state <> 'sending' RETURNING *"
)
_UNWRITE: Final = text(
    "DELETE FROM service.message_text WHERE platform_id = :platform_id AND message_id = :id"
)


def resend(
    connection: Connection, platform_id: UUID, message_id: UUID, now: datetime
) -> RowMapping:
    """Send a message again, written anew with a new link, also to an address that bounced.

    ``now`` is the real time.

    Raises:
        MessageNotFound, MessageUnderWay
    """
    find(connection, platform_id, message_id)
    values = {"platform_id": platform_id, "id": message_id, "now": now}
    row = connection.execute(_AGAIN, values).mappings().one_or_none()
    if row is None:
        raise MessageUnderWay("The message is being sent right now; look again in a moment.")
    connection.execute(_UNWRITE, values)
    addresses.forgive(connection, platform_id, row["member_id"])
    return row


# What was written to the other side names the member too.
_FORGET: Final = (
    text(
        "DELETE FROM service.message_text AS t USING service.message AS m "
        "LEFT JOIN service.exchange AS e "
        "ON e.platform_id = m.platform_id AND e.id = m.exchange_id "
        "WHERE m.platform_id = :platform_id AND t.platform_id = m.platform_id "
        "AND t.message_id = m.id AND :member_id IN (m.member_id, e.payer_id, e.payee_id)"
    ),
    text(
        "UPDATE service.message SET state = 'suppressed', reason = 'erased', due_at = NULL "
        "WHERE platform_id = :platform_id AND member_id = :member_id "
        "AND state IN ('waiting', 'held')"
    ),
    # What a mail server said may name the address.
    text(
        "UPDATE service.message SET reason = 'erased' WHERE platform_id = :platform_id "
        "AND member_id = :member_id AND state IN ('failed', 'bounced')"
    ),
    text(
        "DELETE FROM service.message_preference "
        "WHERE platform_id = :platform_id AND member_id = :member_id"
    ),
)


def forget(connection: Connection, platform_id: UUID, member_id: UUID, now: datetime) -> None:
    """Destroy what messages said to and of a member, and end their links.

    That there was a message stays, with its template and what became of it.
    """
    for statement in _FORGET:
        connection.execute(statement, {"platform_id": platform_id, "member_id": member_id})
    addresses.forgive(connection, platform_id, member_id)
    links.revoke_all(connection, platform_id, member_id, now)
