"""Rows of payments that banks contest: opened, answered, closed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    Result,
    RowMapping,
    Table,
    Text,
    Uuid,
    null,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from ledger.refusals import Refusal
from service import db
from service.db import metadata
from service.platforms.clocks import swept

_INSTANT: Final = TIMESTAMP(timezone=True)

chargeback: Final = Table(
    "chargeback",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("payment_id", Uuid, nullable=False),
    Column("exchange_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("due_by", _INSTANT),
    Column("withdrawn", BigInteger, nullable=False, server_default="0"),
    Column("lines", Integer, nullable=False, server_default="0"),
    Column("own_words", Text),
    Column("evidence", JSONB),
    Column("evidence_asked_at", _INSTANT),
    Column("evidence_sent_at", _INSTANT),
    Column("evidence_refused", Text),
    Column("answered_as", Text),
    Column("left_reason", Text),
    Column("answer_at", _INSTANT),
    Column("opened_at", _INSTANT, nullable=False),
    Column("closed_at", _INSTANT),
    Column("closed_reason", Text),
    Column("look_again_at", _INSTANT),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("answer_failures", Integer, nullable=False, server_default="0"),
)

#: An open chargeback is read again this often, should its event be lost.
LOOK: Final = timedelta(hours=6)
#: Banks take no answer after ``due_by``: ours goes out this long before, if nobody sent one.
ANSWER_AHEAD: Final = timedelta(days=1)
#: An answer that the provider did not take for want of time or network is tried again after this.
ANSWER_AGAIN: Final = timedelta(minutes=10)


class ChargebackNotFound(Refusal):
    """No such chargeback on this platform."""

    code = "chargeback_not_found"


class ChargebackOver(Refusal):
    """The chargeback is closed, or was answered: banks take one answer."""

    code = "chargeback_over"


def find(connection: Connection, platform_id: UUID, chargeback_id: UUID) -> RowMapping:
    """Return one chargeback.

    Raises:
        ChargebackNotFound
    """
    return _one(connection, _where(platform_id).where(chargeback.c.id == chargeback_id))


def lock(connection: Connection, platform_id: UUID, chargeback_id: UUID) -> RowMapping:
    """Return one chargeback, locked.

    Raises:
        ChargebackNotFound
    """
    query = _where(platform_id).where(chargeback.c.id == chargeback_id).with_for_update()
    return _one(connection, query)


def of_ref(connection: Connection, platform_id: UUID, provider: str, ref: str) -> RowMapping | None:
    """Return the chargeback that the provider calls ``ref``, locked, if we know it."""
    query = _where(platform_id).where(chargeback.c.provider == provider, chargeback.c.ref == ref)
    return connection.execute(query.with_for_update()).mappings().one_or_none()


def insert(connection: Connection, values: dict[str, Any]) -> None:
    """Write a new chargeback."""
    connection.execute(chargeback.insert().values(**values))


def update(connection: Connection, row: RowMapping | dict[str, Any], **values: Any) -> None:
    """Change a chargeback that is locked."""
    connection.execute(
        chargeback.update()
        .where(chargeback.c.platform_id == row["platform_id"], chargeback.c.id == row["id"])
        .values(**values)
    )


def ask_anew(connection: Connection, row: RowMapping | dict[str, Any]) -> None:
    """An inquiry became a dispute, which wants an answer of its own.

    That none was given before, or it came too late, says nothing about the dispute; an answer that
    was decided and has not arrived is made anew.
    """
    values: dict[str, Any] = {"evidence_refused": None, "left_reason": None, "answer_at": None}
    if row["evidence_sent_at"] is None:
        values |= {"evidence": null(), "evidence_asked_at": None}
    update(connection, row, **values)


def others_open(connection: Connection, row: RowMapping | dict[str, Any]) -> list[RowMapping]:
    """Return the other chargebacks of the same exchange that are not closed."""
    query = _where(row["platform_id"]).where(
        chargeback.c.exchange_id == row["exchange_id"],
        chargeback.c.id != row["id"],
        chargeback.c.closed_at.is_(None),
    )
    return list(connection.execute(query).mappings())


def is_contested(connection: Connection, platform_id: UUID, exchange_id: UUID) -> bool:
    """Tell whether a bank contests a payment of the exchange now."""
    return bool(contested(connection, platform_id, [exchange_id]))


def contested(
    connection: Connection, platform_id: UUID, exchange_ids: Collection[UUID]
) -> set[UUID]:
    """Return those exchanges of which a bank contests a payment now."""
    if not exchange_ids:
        return set()
    query = select(chargeback.c.exchange_id).where(
        chargeback.c.platform_id == platform_id,
        db.among(chargeback.c.exchange_id, exchange_ids),
        chargeback.c.closed_at.is_(None),
    )
    return set(connection.scalars(query))


def taken(connection: Connection, platform_id: UUID, exchange_id: UUID) -> dict[UUID, int]:
    """Return what banks have taken and not given back, in minor units, by collection."""
    query = text(
        "SELECT payment_id, sum(withdrawn)::bigint AS amount FROM service.chargeback "
        "WHERE platform_id = :platform_id AND exchange_id = :exchange_id GROUP BY payment_id"
    )
    values = {"platform_id": platform_id, "exchange_id": exchange_id}
    return {row.payment_id: row.amount for row in connection.execute(query, values)}


def page(
    connection: Connection,
    platform_id: UUID,
    *,
    limit: int,
    after: UUID | None = None,
    status: str | None = None,
    exchange_id: UUID | None = None,
) -> Sequence[RowMapping]:
    """Return up to ``limit`` chargebacks, newest first, older than ``after``."""
    query = _where(platform_id).order_by(chargeback.c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(chargeback.c.id < after)
    if status is not None:
        query = query.where(chargeback.c.status == status)
    if exchange_id is not None:
        query = query.where(chargeback.c.exchange_id == exchange_id)
    return connection.execute(query).mappings().all()


_CLAIM: Final = swept(
    "chargeback.platform_id",
    "UPDATE service.chargeback AS c SET look_again_at = :later FROM ("
    " SELECT platform_id, id FROM service.chargeback WHERE look_again_at <= :now"
    " AND {of_scope}"
    " ORDER BY look_again_at LIMIT :limit FOR UPDATE SKIP LOCKED) AS due "
    "WHERE c.platform_id = due.platform_id AND c.id = due.id RETURNING c.*",
)


def claim(
    connection: Connection, now: datetime, limit: int, only: UUID | None = None
) -> Sequence[RowMapping]:
    """Take open chargebacks that are due for a look, or for an answer to the bank."""
    values = {"now": now, "later": now + LOOK, "limit": limit, "only": only}
    return _by_id(connection.execute(_CLAIM, values))


_CLAIM_ANSWERS: Final = swept(
    "chargeback.platform_id",
    "UPDATE service.chargeback AS c SET answer_at = :later FROM ("
    " SELECT platform_id, id FROM service.chargeback"
    " WHERE {of_scope}"
    "  AND evidence_refused IS NULL AND (answer_at <= :now"
    "   OR answer_at IS NULL AND due_by <= :ahead AND left_reason IS NULL AND kind = 'dispute'"
    "    AND status IN ('warning', 'needs_response') AND answered_as IS DISTINCT FROM status)"
    " ORDER BY due_by LIMIT :limit FOR UPDATE SKIP LOCKED) AS due "
    "WHERE c.platform_id = due.platform_id AND c.id = due.id RETURNING c.*",
)


def claim_answers(
    connection: Connection, now: datetime, limit: int, only: UUID | None = None
) -> Sequence[RowMapping]:
    """Take chargebacks to answer: what was decided and not taken yet, or what is due in a day."""
    values = {
        "now": now,
        "ahead": now + ANSWER_AHEAD,
        "later": now + ANSWER_AGAIN,
        "limit": limit,
        "only": only,
    }
    return _by_id(connection.execute(_CLAIM_ANSWERS, values))


def _by_id(found: Result[Any]) -> Sequence[RowMapping]:
    return sorted(found.mappings(), key=itemgetter("id"))


def _where(platform_id: UUID) -> Any:
    return select(chargeback).where(chargeback.c.platform_id == platform_id)


def _one(connection: Connection, query: Any) -> RowMapping:
    row: RowMapping | None = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise ChargebackNotFound("No chargeback with this id.")
    return row
