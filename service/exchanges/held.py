"""What is held, for whom, and what each open hold pays if nobody does anything more.

The statement by which a third party could pay everybody out: every account of the platform's books
whose balance is not zero, once. All lines of a unit therefore sum to zero, and what is owed to
members can be set against what the provider holds.

What a hold pays by default is not described anew here: it is the posting that the last step of the
clock would make (:func:`service.exchanges.money.settle`, as at the hold limit), read and thrown
away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
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


_BALANCE: Final = (
    "CASE WHEN a.floor IS NULL THEN ledger.unfloored_balance(a.platform_id, a.id) "
    "ELSE a.balance END"
)
_UUID: Final = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def _id(kind: str) -> str:
    """An account that is called by one of our ids; the ledger itself lets any name be."""
    return f"CASE WHEN a.path ~ '^{kind}:{_UUID}$' THEN split_part(a.path, ':', 2)::uuid END"


_HOLDS: Final = text(
    f"""
    SELECT a.path, a.unit, a.balance AS amount, l.id AS leg_id,
           e.id AS exchange_id, e.external_id, e.kind, e.state,
           p.id AS payer_id, p.external_id AS payer_name,
           q.id AS payee_id, q.external_id AS payee_name,
           (SELECT max(b.recorded_at) FROM ledger.transfer t JOIN ledger.posting b
              ON b.platform_id = t.platform_id AND b.id = t.posting_id
            WHERE t.platform_id = a.platform_id AND t.credit_account = a.id) AS since
    FROM ledger.account a
    LEFT JOIN service.leg l ON l.platform_id = a.platform_id AND l.id = {_id("hold")}
    LEFT JOIN service.exchange e ON e.platform_id = l.platform_id AND e.id = l.exchange_id
    LEFT JOIN service.member p ON p.platform_id = e.platform_id AND p.id = e.payer_id
    LEFT JOIN service.member q ON q.platform_id = e.platform_id AND q.id = e.payee_id
    WHERE a.platform_id = :platform_id AND split_part(a.path, ':', 1) = 'hold' AND a.balance <> 0
    ORDER BY l.exchange_id, l.position, a.path, a.unit
    """  # noqa: S608 - our own constants
)
_OTHERS: Final = text(
    f"""
    SELECT f.path, f.unit, f.amount, f.section, f.payment_id, m.id AS member_id,
           m.external_id AS member_name, y.kind AS payment_kind, y.state AS payment_state,
           y.created_at AS since, e.id AS exchange_id, e.external_id, e.kind, e.state
    FROM (SELECT a.platform_id, a.path, a.unit, {_BALANCE} AS amount,
              split_part(a.path, ':', 1) AS section, {_id("member")} AS member_id,
              {_id("transit")} AS payment_id, {_id("receivable")} AS exchange_id
          FROM ledger.account a WHERE a.platform_id = :platform_id) f
    LEFT JOIN service.payment y ON y.platform_id = f.platform_id AND y.id = f.payment_id
    LEFT JOIN service.exchange e ON e.platform_id = f.platform_id
        AND e.id = coalesce(f.exchange_id, y.exchange_id)
    LEFT JOIN service.member m ON m.platform_id = f.platform_id
        AND m.id = coalesce(f.member_id, y.member_id)
    WHERE f.section <> 'hold' AND f.amount <> 0
    ORDER BY array_position(CAST(:sections AS text[]), f.section), f.path, f.unit
    """  # noqa: S608 - our own constants
)


def statement(connection: Connection, platform_id: UUID) -> Iterator[Line]:
    """Yield every line, a batch at a time, in the order of :class:`Section`.

    The caller's transaction is to be REPEATABLE READ: all lines are then of one instant.
    """
    yield from _holds(connection, platform_id)
    for row in _stream(connection, _OTHERS, platform_id, sections=list(Section)):
        yield _other(row)


def _stream(
    connection: Connection, query: TextClause, platform_id: UUID, **values: Any
) -> Iterator[Row[Any]]:
    wanted = {"platform_id": platform_id, **values}
    with connection.execute(query, wanted, execution_options={"yield_per": BATCH}) as rows:
        yield from rows


def _holds(connection: Connection, platform_id: UUID) -> Iterator[Line]:
    batch: list[Row[Any]] = []
    for row in _stream(connection, _HOLDS, platform_id):
        batch.append(row)
        if len(batch) == BATCH:
            yield from _with_defaults(connection, platform_id, batch)
            batch = []
    yield from _with_defaults(connection, platform_id, batch)


def _with_defaults(
    connection: Connection, platform_id: UUID, rows: Sequence[Row[Any]]
) -> Iterator[Line]:
    ids = list({row.exchange_id for row in rows if row.exchange_id is not None})
    exchanges = store.load(connection, platform_id, ids, lock=False)
    paid = {one.id: defaults(one) for one in exchanges.values()}
    for row in rows:
        exchange = exchanges.get(row.exchange_id)
        leg = _leg(exchange, row.leg_id)
        yield Line(
            Section.HOLD,
            row.path,
            row.unit,
            row.amount,
            exchange=_about(row),
            leg=leg,
            payer=None if row.payer_id is None else Party(row.payer_id, row.payer_name),
            payee=None if row.payee_id is None else Party(row.payee_id, row.payee_name),
            since=row.since,
            blocked=exchange is not None and leg is not None and exchange.is_blocked(leg),
            default=paid.get(row.exchange_id, {}).get(row.leg_id),
        )


def _about(row: Row[Any]) -> About | None:
    if row.exchange_id is None:
        return None
    return About(row.exchange_id, row.external_id, row.kind, row.state)


def _leg(exchange: Exchange | None, leg_id: UUID) -> Leg | None:
    if exchange is None:
        return None
    return next(leg for leg in exchange.legs if leg.id == leg_id)


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


def _other(row: Row[Any]) -> Line:
    member_id = row.member_id
    return Line(
        Section(row.section),
        row.path,
        row.unit,
        row.amount,
        exchange=_about(row),
        member=None if member_id is None else Party(member_id, row.member_name),
        payment_id=row.payment_id,
        payment_kind=row.payment_kind,
        payment_state=row.payment_state,
        since=row.since,
    )


def totals_of(connection: Connection, platform_id: UUID) -> dict[str, Total]:
    """Return an empty total for each unit that the platform's books have ever been in."""
    codes = connection.scalars(
        text("SELECT DISTINCT unit FROM ledger.account WHERE platform_id = :platform_id"),
        {"platform_id": platform_id},
    ).all()
    found = units.find_many(connection, platform_id, codes)
    return {code: Total(code, found[code].exponent) for code in sorted(codes)}
