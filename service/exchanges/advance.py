"""Take steps on many exchanges in one transaction: lock, decide, post, write.

The callers are the HTTP edge, the timers and the provider's reports; all go through here, so that
a time-out gets the same checks as a click.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from ledger.posting import Posting, Status
from ledger.refusals import Refusal
from service.exchanges import casework, helping, store
from service.exchanges.commands import Command, Decision, PaymentDraft
from service.exchanges.decide import Rules, take
from service.exchanges.model import Exchange
from service.exchanges.refusals import BelowCreditLimit, ExchangeNotFound, TooManySteps
from service.operations.posted import post
from service.payments import payments
from service.payments.payments import NewPayment


@dataclass(frozen=True, slots=True)
class Done:
    """A step taken: the exchange after it and the payments that now want submitting.

    ``refusal`` is set when what was written is itself a refusal to report (a wrong code).
    """

    exchange: Exchange
    payments: tuple[PaymentDraft, ...] = ()
    refusal: Refusal | None = None


Outcome = Done | Refusal


class BrokenBooks(RuntimeError):
    """The ledger refused what can only be refused if a rule of ours is wrong. Never committed."""


def advance(
    connection: Connection, platform_id: UUID, commands: Sequence[Command], rules: Rules
) -> list[Outcome]:
    """Take each command; answer one outcome each, in order. One's refusal does not touch another.

    An exchange may be named once in a batch: what a second step meant depended on the first.

    Raises:
        BrokenBooks, store.LostWrite: a bug of ours; the caller's transaction must roll back.
    """
    before = store.load(
        connection, platform_id, [command.exchange_id for command in commands], lock=True
    )
    acting = [(before[one.exchange_id], one.who) for one in commands if one.exchange_id in before]
    known = helping.hands(connection, platform_id, acting, rules.now)
    outcomes: list[Outcome | Decision] = []
    seen: set[UUID] = set()
    for command in commands:
        exchange = before.get(command.exchange_id)
        if exchange is None:
            outcomes.append(ExchangeNotFound("No exchange with this id."))
        elif exchange.id in seen:
            outcomes.append(TooManySteps("This exchange is named twice in the batch."))
        else:
            seen.add(exchange.id)
            try:
                helping.check_command(known, exchange, command, rules.now)
                outcomes.append(helping.mark(take(exchange, command, rules), command))
            except Refusal as refusal:
                outcomes.append(refusal)
    return write(connection, platform_id, before, outcomes, rules.now)


def write(
    connection: Connection,
    platform_id: UUID,
    before: Mapping[UUID, Exchange],
    decided: Sequence[Refusal | Decision | Done],
    now: datetime,
) -> list[Outcome]:
    """Post and write decisions on exchanges that the caller has locked."""
    decisions = [one for one in decided if isinstance(one, Decision)]
    broke = post_all(connection, platform_id, decisions, now)
    kept = [decision for decision in decisions if decision.exchange.id not in broke]
    payments.create(
        connection, platform_id, [as_new(d.exchange, p) for d in kept for p in d.payments], now
    )
    payments.want_cancel(connection, platform_id, [one for d in kept for one in d.cancel], now)
    captures = {one: amount for d in kept for one, amount in d.capture.items()}
    payments.want_capture(connection, platform_id, captures, now)
    payments.release(connection, platform_id, [one for d in kept for one in d.release], now)
    casework.follow(connection, platform_id, before, kept, now)
    store.update(connection, before, kept, now)
    outcomes: list[Outcome] = []
    for one in decided:
        if not isinstance(one, Decision):
            outcomes.append(one)
        elif one.exchange.id in broke:
            outcomes.append(broke[one.exchange.id])
        else:
            outcomes.append(Done(one.exchange, tuple(one.payments), one.refusal))
    return outcomes


def _beyond(posting: Posting) -> BelowCreditLimit:
    """Return why a posting was not made: whoever gives has too little."""
    beside = posting.kind == "compensation"
    whose = "The account of who gives this beside the split" if beside else "The payer's account"
    return BelowCreditLimit(
        f"{whose} would pass its credit limit; a smaller amount, or giving some help first, "
        "would do.",
        pointer=None if beside else "/legs",
        units=sorted({transfer.unit for transfer in posting.transfers}),
    )


def post_all(
    connection: Connection, platform_id: UUID, decisions: Sequence[Decision], now: datetime
) -> dict[UUID, Refusal]:
    """Post everything that the decisions move; return which exchanges broke a credit limit.

    Only what leaves a member's community account can meet a floor. To fill a hold is the one
    posting of its step; what is given beside a settlement is not, and then the caller rolls back.
    """
    batch: list[tuple[Decision, Posting]] = [(d, p) for d in decisions for p in d.postings]
    if not batch:
        return {}
    broke: dict[UUID, Refusal] = {}
    results = post(connection, platform_id, [posting for _, posting in batch], now)
    for (decision, posting), result in zip(batch, results, strict=True):
        if result.status is Status.CREATED:
            continue
        if result.status is Status.BREAKS_FLOOR and posting.kind in {"hold", "compensation"}:
            broke[decision.exchange.id] = _beyond(posting)
            continue
        raise BrokenBooks(f"posting {posting.key}: {result.status} at {result.account}")
    return broke


def as_new(exchange: Exchange, draft: PaymentDraft) -> NewPayment:
    """Return the payment row that a decision's draft asks for."""
    return NewPayment(
        id=draft.id,
        kind=draft.kind,
        exchange_id=exchange.id,
        member_id=draft.member_id,
        provider=draft.provider,
        amount=draft.amount,
        unit=draft.unit,
        collect_id=draft.collect_id,
        method=draft.method,
        capture=draft.capture,
        hosted=draft.hosted,
        return_url=draft.return_url,
        save_method=draft.save_method,
        off_session=draft.off_session,
        replaces=draft.replaces,
        source_id=draft.source_id,
        payout_id=draft.payout_id,
        after_id=draft.after_id,
    )
