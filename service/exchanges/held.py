"""What is held, for whom, and what each open hold pays if nobody does anything more.

The statement by which a third party could pay everybody out: every account of the platform's books
whose balance is not zero, once. All lines of a unit therefore sum to zero, and what is owed to
members can be set against what the provider holds.

What a hold pays by default is not described anew here: it is the posting that the last step of the
clock would make (:func:`service.exchanges.money.settle`, as at the hold limit), read and thrown
away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, TextClause, text

from ledger import units
from service.exchanges import money, store
from service.exchanges.commands import Decision
from service.exchanges.deadlines import due
from service.exchanges.model import Exchange, Leg, State
from service.exchanges.steps import BY_NAME

#: How many accounts are in memory at a time, however many there are.
BATCH: Final = 500


class Section(StrEnum):
    """What a line is about, in the order of the statement."""

    HOLD = "hold"  # belongs to nobody yet
    MEMBER = "member"  # owed to a member; below zero, owed by one to their community
    TRANSIT = "transit"  # asked of the provider and not confirmed yet
    RECEIVABLE = "receivable"  # what banks took back and is to be accounted for
    PLATFORM = "platform"  # the platform's own: fees earned, what it paid out to its bank
    EXPENSE = "expense"  # what the provider and losses cost the platform
    SUSPENSE = "suspense"  # what reconciliation could not explain
    PROVIDER = "provider"  # below zero: the provider, or payers' banks, hold it for the platform


@dataclass(frozen=True, slots=True)
class Default:
    """What a hold pays by itself: minor units that sum to the hold's amount.

    ``with_bank`` has been given back to the payer by their bank already and pays nothing more.
    """

    step: str
    due_at: datetime
    outcome: str
    to_payer: int
    to_payee: int
    to_fees: int
    with_bank: int


@dataclass(frozen=True, slots=True)
class Party:
    """A member by ids alone: names and addresses are personal data and stay where they are."""

    id: UUID
    external_id: str | None


@dataclass(frozen=True, slots=True)
class About:
    """The exchange that a line is about; ``external_id`` is the platform's own name for it."""

    id: UUID
    external_id: str | None
    kind: str
    state: str


@dataclass(frozen=True, slots=True)
class Line:
    """An account: ``amount`` minor units of ``unit``, credits less debits.

    Above zero it is owed to somebody. What is None does not apply to the line's section.
    """

    section: Section
    account: str
    unit: str
    amount: int
    exchange: About | None = None
    leg: Leg | None = None
    payer: Party | None = None
    payee: Party | None = None
    member: Party | None = None
    payment_id: UUID | None = None
    payment_kind: str | None = None
    payment_state: str | None = None
    since: datetime | None = None
    #: The amount is only blocked at the payer's bank: paid out by setting it free.
    blocked: bool = False
    default: Default | None = None


@dataclass(slots=True)
class Total:
    """Sums of one unit by section, ``decimals`` as its minor units have; all sections sum to 0."""

    unit: str
    decimals: int
    sections: dict[Section, int] = field(default_factory=lambda: dict.fromkeys(Section, 0))
    default_to_payers: int = 0
    default_to_payees: int = 0
    default_to_fees: int = 0

    @property
    def total(self) -> int:
        """Zero, or the books are broken: ``tierce audit`` then says where."""
        return sum(self.sections.values())

    def add(self, line: Line) -> None:
        """Count a line in."""
        self.sections[line.section] += line.amount
        if line.default is not None:
            self.default_to_payers += line.default.to_payer
            self.default_to_payees += line.default.to_payee
            self.default_to_fees += line.default.to_fees


#: Only the accounts themselves are streamed; what they are about is looked up by its keys, a batch
#: at a time: a join over all of them would be planned by guess where the tables are young.
_ACCOUNTS: Final = text(
    """
    SELECT * FROM (
        SELECT a.id, a.path, a.unit, split_part(a.path, ':', 1) AS section,
            CASE WHEN a.floor IS NULL THEN ledger.unfloored_balance(a.platform_id, a.id)
                 ELSE a.balance END AS amount
        FROM ledger.account a WHERE a.platform_id = :platform_id) AS account
    WHERE amount <> 0
    ORDER BY array_position(CAST(:sections AS text[]), section), path, unit
    """
)
_SINCE: Final = text(
    "SELECT a.id, (SELECT max(b.recorded_at) FROM ledger.transfer t JOIN ledger.posting b "
    " ON b.platform_id = t.platform_id AND b.id = t.posting_id "
    " WHERE t.platform_id = :platform_id AND t.credit_account = a.id) AS since "
    "FROM unnest(CAST(:ids AS bigint[])) AS a(id)"
)
_LEGS: Final = text(
    "SELECT id, exchange_id FROM service.leg WHERE platform_id = :platform_id AND id = ANY(:ids)"
)
_PAYMENTS: Final = text(
    "SELECT id, kind, state, member_id, exchange_id, created_at FROM service.payment "
    "WHERE platform_id = :platform_id AND id = ANY(:ids)"
)
_MEMBERS: Final = text(
    "SELECT id, external_id FROM service.member WHERE platform_id = :platform_id AND id = ANY(:ids)"
)
_EXCHANGES: Final = text(
    "SELECT id, external_id, kind, state FROM service.exchange "
    "WHERE platform_id = :platform_id AND id = ANY(:ids)"
)


def statement(connection: Connection, platform_id: UUID) -> Iterator[Line]:
    """Yield every line, a batch at a time, in the order of :class:`Section`.

    The caller's transaction is to be REPEATABLE READ: all lines are then of one instant.
    """
    look = _Look(connection, platform_id)
    values = {"platform_id": platform_id, "sections": list(Section)}
    with connection.execute(_ACCOUNTS, values, execution_options={"yield_per": BATCH}) as rows:
        for batch in rows.partitions(BATCH):
            holds = [row for row in batch if row.section == Section.HOLD]
            yield from _holds(look, holds)
            yield from _others(look, batch[len(holds) :])


def _named(row: Row[Any]) -> UUID | None:
    """Return the id that an account is called by; the ledger itself lets any name be."""
    try:
        return UUID(row.path.partition(":")[2])
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class _Look:
    """Looks things up by their keys, as of the statement's one instant."""

    connection: Connection
    platform_id: UUID

    def up(self, query: TextClause, ids: Iterable[Any]) -> dict[Any, Row[Any]]:
        """Return the rows of these ids, by id; None is no id."""
        wanted = sorted({id_ for id_ in ids if id_ is not None})
        if not wanted:
            return {}
        values = {"platform_id": self.platform_id, "ids": wanted}
        return {row.id: row for row in self.connection.execute(query, values)}

    def members(self, ids: Iterable[UUID | None]) -> dict[UUID | None, Party]:
        """Return members by id."""
        return {id_: Party(id_, row.external_id) for id_, row in self.up(_MEMBERS, ids).items()}


def _about(of: Exchange | Row[Any]) -> About:
    return About(of.id, of.external_id, of.kind, of.state)


def _holds(look: _Look, rows: Sequence[Row[Any]]) -> Iterator[Line]:
    legs = look.up(_LEGS, map(_named, rows))
    ids = sorted({row.exchange_id for row in legs.values()})
    exchanges = store.load(look.connection, look.platform_id, ids, lock=False)
    paid = {one.id: defaults(one) for one in exchanges.values()}
    sides = {side for one in exchanges.values() for side in (one.payer_id, one.payee_id)}
    members = look.members(sides)
    since = look.up(_SINCE, (row.id for row in rows))
    for row in rows:
        found = legs.get(_named(row))
        line = Line(Section.HOLD, row.path, row.unit, row.amount, since=since[row.id].since)
        if found is None:
            yield line
            continue
        exchange = exchanges[found.exchange_id]
        leg = next(one for one in exchange.legs if one.id == found.id)
        yield replace(
            line,
            exchange=_about(exchange),
            leg=leg,
            payer=members.get(exchange.payer_id),
            payee=members.get(exchange.payee_id),
            blocked=exchange.is_blocked(leg),
            default=paid[exchange.id].get(leg.id),
        )


def _others(look: _Look, rows: Sequence[Row[Any]]) -> Iterator[Line]:
    def ids(section: Section) -> dict[int, UUID | None]:
        return {row.id: _named(row) for row in rows if row.section == section}

    of_member, of_payment = ids(Section.MEMBER), ids(Section.TRANSIT)
    payments = look.up(_PAYMENTS, of_payment.values())
    members = look.members(
        [*of_member.values(), *(payment.member_id for payment in payments.values())]
    )
    of_exchange = ids(Section.RECEIVABLE)
    exchanges = look.up(
        _EXCHANGES,
        [*of_exchange.values(), *(payment.exchange_id for payment in payments.values())],
    )
    for row in rows:
        payment = payments.get(of_payment.get(row.id))
        member_id = of_member.get(row.id) if payment is None else payment.member_id
        exchange_id = of_exchange.get(row.id) if payment is None else payment.exchange_id
        about = exchanges.get(exchange_id)
        yield Line(
            Section(row.section),
            row.path,
            row.unit,
            row.amount,
            exchange=None if about is None else _about(about),
            member=members.get(member_id),
            payment_id=None if payment is None else payment.id,
            payment_kind=None if payment is None else payment.kind,
            payment_state=None if payment is None else payment.state,
            since=None if payment is None else payment.created_at,
        )


def defaults(exchange: Exchange) -> dict[UUID, Default]:
    """Return what each held leg pays if nobody does anything more, by the leg's id.

    Only a step of the clock that runs now can be announced: where none does, nothing is.
    """
    held = exchange.held_legs
    # Community units that wait for the money beside them go back when that does not come.
    name = "expire_funding" if exchange.state is State.FUNDING else "reach_hold_limit"
    due_at = due(exchange, name)
    if due_at is None or not held:
        return {}
    decision = Decision(exchange)
    money.settle(decision, {leg.id: 0 for leg in held}, by_silence=True)
    posted = {posting.key: posting for posting in decision.postings}
    found = {}
    for leg in held:
        paid: dict[str, int] = {}
        for move in posted[f"outcome:{leg.id}"].transfers:
            paid[move.credit] = paid.get(move.credit, 0) + move.amount
        found[leg.id] = Default(
            name,
            due_at,
            BY_NAME[name].outcome,
            to_payer=paid.get(money.member_account(exchange.payer_id), 0),
            to_payee=paid.get(money.member_account(exchange.payee_id), 0),
            to_fees=paid.get("platform:fees", 0),
            with_bank=paid.get(money.receivable_account(exchange.id), 0),
        )
    return found


def totals_of(connection: Connection, platform_id: UUID) -> dict[str, Total]:
    """Return an empty total for each unit that the platform's books have ever been in."""
    codes = connection.scalars(
        text("SELECT DISTINCT unit FROM ledger.account WHERE platform_id = :platform_id"),
        {"platform_id": platform_id},
    ).all()
    found = units.find_many(connection, platform_id, codes)
    return {code: Total(code, found[code].exponent) for code in sorted(codes)}
