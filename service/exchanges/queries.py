"""Read exchanges: one, a page by filters, their confirmations and their payments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, and_, or_, select, text

from service import db
from service.exchanges import store, tables
from service.exchanges.codes import CodeBook
from service.exchanges.decide import open_steps
from service.exchanges.kinds import Role, shows_code
from service.exchanges.model import Exchange
from service.exchanges.refusals import CodeNotYours, ExchangeNotFound, StepNotAllowed
from service.exchanges.steps import Step
from service.payments.tables import payment


def find(
    connection: Connection, platform_id: UUID, exchange_id: UUID, member_id: UUID | None = None
) -> Exchange:
    """Return one exchange; with ``member_id``, only if that member is part of it.

    Raises:
        ExchangeNotFound: there is none, or it is none of this member's business.
    """
    found = store.load(connection, platform_id, [exchange_id], lock=False).get(exchange_id)
    if found is None or (member_id is not None and found.role_of(member_id) is None):
        raise not_found()
    return found


def not_found() -> ExchangeNotFound:
    """Return what is said of an exchange that is none, or none of the asker's business."""
    return ExchangeNotFound("No exchange with this id.")


def parties(
    connection: Connection, platform_id: UUID, ids: Sequence[UUID]
) -> dict[UUID, tuple[UUID, UUID]]:
    """Return payer and payee of the exchanges that exist among ``ids``."""
    if not ids:
        return {}
    table = tables.exchange
    rows = connection.execute(
        select(table.c.id, table.c.payer_id, table.c.payee_id).where(
            table.c.platform_id == platform_id, db.among(table.c.id, ids)
        )
    )
    return {row.id: (row.payer_id, row.payee_id) for row in rows}


#: Words are looked for in so many titles and no more: a search stays quick however many there are.
LOOKED_AT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Filters:
    """Which exchanges a page shows; every part that is None lets all through."""

    states: Sequence[str] | None = None
    kind: str | None = None
    member_id: UUID | None = None
    external_id: str | None = None
    created_from: datetime | None = None
    created_until: datetime | None = None
    exchange_id: UUID | None = None
    #: The last ten hexadecimal digits of the id: what service.ids.heard returns.
    ending: str | None = None
    #: Words of the title, looked for among the newest :data:`LOOKED_AT` exchanges.
    words: str | None = None

    def narrowed(self, **more: Any) -> Filters:
        """Return the same with more asked for."""
        return replace(self, **more)


def page(
    connection: Connection,
    platform_id: UUID,
    filters: Filters,
    *,
    limit: int,
    after: UUID | None = None,
) -> list[Exchange]:
    """Return up to ``limit`` exchanges, newest first, older than ``after``."""
    table = tables.exchange
    conditions = [table.c.platform_id == platform_id]
    if after is not None:
        conditions.append(table.c.id < after)
    if filters.states:
        conditions.append(table.c.state.in_(filters.states))
    if filters.kind is not None:
        conditions.append(table.c.kind == filters.kind)
    if filters.external_id is not None:
        conditions.append(table.c.external_id == filters.external_id)
    if filters.created_from is not None:
        conditions.append(table.c.created_at >= filters.created_from)
    if filters.created_until is not None:
        conditions.append(table.c.created_at < filters.created_until)
    if filters.exchange_id is not None:
        conditions.append(table.c.id == filters.exchange_id)
    if filters.ending is not None:
        conditions.append(table.c.ending == filters.ending)
    if filters.words is not None:
        conditions.append(table.c.id.in_(_titled(platform_id, filters.words)))
    if filters.member_id is not None:
        conditions.append(
            or_(table.c.payer_id == filters.member_id, table.c.payee_id == filters.member_id)
        )
    ids = connection.scalars(
        select(table.c.id).where(and_(*conditions)).order_by(table.c.id.desc()).limit(limit)
    ).all()
    found = store.load(connection, platform_id, ids, lock=False)
    return [found[exchange_id] for exchange_id in ids]


def _titled(platform_id: UUID, words: str) -> Any:
    """Return a query for the newest exchanges in whose title ``words`` stand, in any case."""
    table = tables.exchange
    newest = (
        select(table.c.id, table.c.terms)
        .where(table.c.platform_id == platform_id)
        .order_by(table.c.id.desc())
        .limit(LOOKED_AT)
        .subquery()
    )
    return select(newest.c.id).where(
        newest.c.terms["title"].astext.icontains(words, autoescape=True)
    )


def next_actions(exchange: Exchange, viewer: Role | None, now: datetime) -> list[tuple[Step, Role]]:
    """Return the steps that can be taken now, with the side that can take each.

    A member sees their own; the platform (``viewer`` None) sees both sides'.
    """
    return open_steps(exchange, (Role.PAYER, Role.PAYEE) if viewer is None else (viewer,), now)


_CONFIRMATIONS: Final = text(
    "SELECT id, checkpoint, role, member_id, word, method, via, at, helper_id, operator "
    "FROM service.confirmation "
    "WHERE platform_id = :platform_id AND exchange_id = :exchange_id ORDER BY id"
)


def confirmations(
    connection: Connection, platform_id: UUID, exchange_id: UUID
) -> Sequence[RowMapping]:
    """Return every word given on the exchange's checkpoints, in order."""
    values = {"platform_id": platform_id, "exchange_id": exchange_id}
    return connection.execute(_CONFIRMATIONS, values).mappings().all()


def payments(connection: Connection, platform_id: UUID, exchange_id: UUID) -> Sequence[RowMapping]:
    """Return the exchange's collections, refunds and payouts, oldest first."""
    query: Any = (
        select(payment)
        .where(payment.c.platform_id == platform_id, payment.c.exchange_id == exchange_id)
        .order_by(payment.c.id)
    )
    rows: Sequence[RowMapping] = connection.execute(query).mappings().all()
    return rows


def hand_over_code(exchange: Exchange, member_id: UUID, codes: CodeBook) -> tuple[str, str, bool]:
    """Return the current checkpoint, its code's digits for who holds it, and whether it is locked.

    Raises:
        CodeNotYours: the other side holds it; they will tell it in person.
        StepNotAllowed: no code is in use now.
    """
    point = exchange.current
    if exchange.closed_at is not None or point is None or point.code is None:
        raise StepNotAllowed(
            "There is no hand-over code now: it comes with the payment and ends with the exchange.",
            state=exchange.state,
        )
    if exchange.role_of(member_id) is not shows_code(exchange.kind, point.name):
        raise CodeNotYours("The other member holds this code and will tell it to you in person.")
    digits = codes.digits(exchange.id, point.name, point.code.generation)
    return point.name, digits, point.code.locked_at is not None
