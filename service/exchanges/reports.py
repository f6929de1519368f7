"""What providers told of payments, recorded and followed for many at a time.

One statement for each table, however many were told of. What is refused about one leaves no trace
and touches no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from ledger.posting import Posting, Status
from ledger.refusals import Refusal
from service.events import outbox
from service.exchanges import losses, money, provider_words, store
from service.exchanges.advance import BrokenBooks, Done, write
from service.exchanges.commands import Decision
from service.exchanges.decide import Rules
from service.exchanges.model import Exchange
from service.exchanges.provider_words import Word
from service.ids import encode
from service.operations.posted import post
from service.payments import customers, payments
from service.payments.answers import Answers
from service.payments.customers import Known
from service.payments.payments import PaymentNotFound
from service.payments.port import AmountDiffers, Object
from service.payments.port import Status as Seen

#: What a payment's ``failure`` says while the provider has another amount than was asked.
DIFFERS: Final = "amount_differs"


@dataclass(frozen=True, slots=True)
class Told:
    """What a provider told of a payment: where it stands, or the code of a final refusal."""

    payment_id: UUID
    seen: Object | str


@dataclass(slots=True)
class _Effects:
    """What is to be written for all of whom nothing was refused."""

    answers: Answers
    #: What is moved beside the exchanges' own decisions. A fee may be told of again.
    fees: dict[str, Posting] = field(default_factory=dict)
    alone: list[Posting] = field(default_factory=list)
    events: list[outbox.NewEvent] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    before: dict[UUID, Exchange] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    #: Exchanges for which a payee gave something back: the bank may have as well.
    given_back: list[UUID] = field(default_factory=list)

    def join(self, other: _Effects) -> None:
        self.answers.join(other.answers)
        self.fees |= other.fees
        self.alone += other.alone
        self.events += other.events
        self.known += other.known
        self.before |= other.before
        self.decisions += other.decisions
        self.given_back += other.given_back

    def decide(self, exchange: Exchange, decision: Decision) -> None:
        if decision.exchange.version == exchange.version:
            decision.exchange = replace(decision.exchange, version=exchange.version + 1)
        self.before[exchange.id] = exchange
        self.decisions.append(decision)


def report(
    connection: Connection, platform_id: UUID, told: Sequence[Told], rules: Rules
) -> list[Exception | None]:
    """Record where payments stand and act on it; answer each, in order, by None or what refused it.

    That is a :class:`Refusal` (no such payment, or a step that the exchange cannot take) or
    :class:`AmountDiffers`: the object speaks of another amount or unit; nothing of it is written.
    Two words on one exchange follow each other in the order in which they were told. Locks in the
    order of every use case: the exchanges, then the payments, then accounts.

    Raises:
        BrokenBooks, LostAnswer, store.LostWrite: a bug of ours; the transaction must roll back.
    """
    peeks = payments.find_all(connection, platform_id, {one.payment_id for one in told})
    outcomes: list[Exception | None] = [None] * len(told)
    for places in _rounds(told, peeks):
        together = [told[place] for place in places]
        refused = _together(connection, platform_id, together, peeks, rules)
        for place, outcome in zip(places, refused, strict=True):
            outcomes[place] = outcome
    return outcomes


def _rounds(told: Sequence[Told], peeks: Mapping[UUID, RowMapping]) -> list[list[int]]:
    """Return places of ``told`` so that no exchange is twice in one: what follows depends on it."""
    rounds: list[list[int]] = []
    seen: dict[UUID, int] = {}
    for place, one in enumerate(told):
        peek = peeks.get(one.payment_id)
        subject = one.payment_id if peek is None else peek["exchange_id"] or one.payment_id
        number = seen.get(subject, 0)
        seen[subject] = number + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(place)
    return rounds


def _together(
    connection: Connection,
    platform_id: UUID,
    told: Sequence[Told],
    peeks: Mapping[UUID, RowMapping],
    rules: Rules,
) -> list[Exception | None]:
    ids = [one.payment_id for one in told if one.payment_id in peeks]
    subjects = {one: peeks[one]["exchange_id"] for one in ids}
    of_exchanges = [one for one in subjects.values() if one is not None]
    exchanges = store.load(connection, platform_id, of_exchanges, lock=True) if of_exchanges else {}
    rows = payments.lock_all(connection, platform_id, ids) if ids else {}
    blocks = [row["id"] for row in rows.values() if row["capture"] == "manual"]
    waiting = payments.followers(connection, platform_id, blocks)
    effects, outcomes = _Effects(Answers(rules.now)), list[Exception | None]()
    for one in told:
        row = rows.get(one.payment_id)
        if row is None:
            outcomes.append(PaymentNotFound("No payment with this id."))
            continue
        exchange = exchanges.get(subjects[one.payment_id])
        try:
            effects.join(_follow(exchange, row, one.seen, waiting.get(row["id"], ()), rules))
        except (Refusal, AmountDiffers) as refused:
            outcomes.append(refused)
        else:
            outcomes.append(None)
    _write(connection, platform_id, effects, rules)
    return outcomes


def _follow(
    exchange: Exchange | None,
    row: RowMapping,
    seen: Object | str,
    waiting: Sequence[RowMapping],
    rules: Rules,
) -> _Effects:
    """Return what follows from a word on one payment. Pure."""
    effects = _Effects(Answers(rules.now))
    if isinstance(seen, str):
        word = Word(False, seen)
        changed = effects.answers.refused(row, seen)
    else:
        provider_words.check_amounts(row, seen)
        first_block = seen.status is Seen.AUTHORISED and row["authorised_at"] is None
        word = Word(
            seen.status is Seen.SUCCEEDED,
            seen.failure or seen.status,
            first_block,
            seen.captured,
            seen,
        )
        changed = effects.answers.answered(row, seen) or first_block
        of = provider_words.reference_of(row)
        fees = [
            provider_words.fee_posting(row["provider"], fee, of)
            for fee in seen.fees
            if fee.amount > 0
        ]
        effects.fees = {one.key: one for one in fees}
        if effects.answers.returned(row, seen):
            _returned(effects, exchange, row, word)
        if row["save_method"] and seen.customer_ref is not None:
            payer = (row["member_id"], row["provider"], seen.customer_ref, seen.saved_method)
            effects.known.append(Known(*payer))
    if not changed:
        return effects
    if exchange is None:
        _settle_alone(effects, row, word)
        return effects
    decision = provider_words.decide(exchange, row, word, waiting, effects.answers, rules)
    if decision is not None:
        effects.decide(exchange, decision)
    if row["kind"] == "reversal" and word.succeeded:
        effects.given_back.append(exchange.id)
    return effects


def _returned(effects: _Effects, exchange: Exchange | None, row: RowMapping, word: Word) -> None:
    """What had reached a member came back: they are owed it again, and are told."""
    member = money.member_account(row["member_id"])
    provider = f"provider:{row['provider']}"
    posting = provider_words.moved(row, f"returned:{row['id']}", provider, member)
    type_, facts = f"{row['kind']}.returned", provider_words.facts(row, word)
    if exchange is not None:
        decision = Decision(exchange)
        decision.postings.append(posting)
        decision.note(type_, **facts)
        effects.decide(exchange, decision)
        return
    effects.alone.append(posting)
    effects.events.append(outbox.NewEvent(type_, facts, member_id=row["member_id"]))


def _settle_alone(effects: _Effects, row: RowMapping, word: Word) -> None:
    """A payout that a member's balance asked for, outside of any exchange."""
    posting = provider_words.outcome_posting(row, word.succeeded)
    assert posting is not None
    effects.alone.append(posting)
    type_, facts = provider_words.told(row, word.succeeded), provider_words.facts(row, word)
    effects.events.append(outbox.NewEvent(type_, facts, member_id=row["member_id"]))


def _write(connection: Connection, platform_id: UUID, effects: _Effects, rules: Rules) -> None:
    effects.answers.write(connection, platform_id)
    postings = [*effects.fees.values(), *effects.alone]
    results = post(connection, platform_id, postings, rules.now) if postings else []
    for posting, result in zip(postings, results, strict=True):
        again = result.status is Status.EXISTS and posting.key in effects.fees
        if result.status is not Status.CREATED and not again:
            raise BrokenBooks(f"posting {posting.key}: {result.status}")
    customers.remember_customers(connection, platform_id, effects.known, rules.now)
    outbox.append(connection, platform_id, effects.events, rules.now)
    if effects.decisions:
        before, decisions = effects.before, effects.decisions
        for outcome in write(connection, platform_id, before, decisions, rules.now):
            if not isinstance(outcome, Done):
                raise BrokenBooks(f"a provider's word broke a limit: {outcome}")
    if effects.given_back:
        losses.share_surpluses(connection, platform_id, effects.given_back, rules)


def alert(
    connection: Connection, platform_id: UUID, reasons: Mapping[UUID, str], now: datetime
) -> None:
    """Tell the platform, once each, of payments of which the provider has another amount.

    ``reasons`` says by payment what differs. Nothing is booked and nothing follows; the provider's
    own books show it to reconciliation.
    """
    rows = payments.lock_all(connection, platform_id, list(reasons))
    new = [row for row in rows.values() if row["settled_at"] is None and row["failure"] != DIFFERS]
    if not new:
        return
    payments.mark_failure(connection, platform_id, [row["id"] for row in new], DIFFERS)
    events = [
        outbox.NewEvent(
            "payment.amount_differs",
            {"payment": encode("payment", row["id"]), "detail": reasons[row["id"]]},
            member_id=row["member_id"],
        )
        for row in new
    ]
    outbox.append(connection, platform_id, events, now)
