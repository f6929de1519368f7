"""What follows from a provider's word on a payment: for the exchange, its holds and its members."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from ledger.posting import Posting, Status, Transfer
from service.events import outbox
from service.exchanges import authorisations, losses, money, store
from service.exchanges.advance import BrokenBooks, write
from service.exchanges.commands import PROVIDER, Command, Decision, PaymentDraft
from service.exchanges.decide import Rules, take
from service.exchanges.model import Exchange, State
from service.ids import encode, uuid7
from service.operations.posted import post
from service.payments import customers, payments
from service.payments.port import AmountDiffers, Fee, Object
from service.payments.port import Status as Seen

#: What a payment's ``failure`` says while the provider has another amount than was asked.
DIFFERS: Final = "amount_differs"


@dataclass(frozen=True, slots=True)
class Word:
    """A provider's word on a payment, in the terms of what follows from it."""

    succeeded: bool
    failure: str
    authorised: bool = False
    captured: int | None = None
    seen: Object | None = None


def report(
    connection: Connection,
    platform_id: UUID,
    payment_id: UUID,
    seen: Object | str,
    rules: Rules,
) -> None:
    """Record where a payment stands (an object, or the code of a final refusal) and act on it.

    Locks in the order of every use case: the exchange, then the payment, then accounts.

    Raises:
        PaymentNotFound: no such payment.
        AmountDiffers: the object speaks of another amount or unit.
    """
    peek = payments.find(connection, platform_id, payment_id)
    exchange = None
    if peek["exchange_id"] is not None:
        locked = store.load(connection, platform_id, [peek["exchange_id"]], lock=True)
        exchange = locked[peek["exchange_id"]]
    row = payments.lock(connection, platform_id, payment_id)
    if isinstance(seen, str):
        word = Word(False, seen)
        changed = payments.record_refusal(connection, row, seen, rules.now)
    else:
        _check_amounts(row, seen)
        first_block = seen.status is Seen.AUTHORISED and row["authorised_at"] is None
        word = Word(
            seen.status is Seen.SUCCEEDED,
            seen.failure or seen.status,
            first_block,
            seen.captured,
            seen,
        )
        changed = payments.record(connection, row, seen, rules.now) or first_block
        _book_fees(connection, row, seen.fees, rules.now)
        if payments.record_return(connection, row, seen, rules.now):
            _returned(connection, exchange, row, word, rules.now)
        _remember_customer(connection, row, seen, rules.now)
    if not changed:
        return
    if exchange is None:
        _settle_alone(connection, row, word, rules.now)
        return
    decision = _decide(connection, exchange, row, word, rules)
    if decision is not None:
        _write(connection, exchange, decision, rules.now)
    if row["kind"] == "reversal" and word.succeeded:
        losses.share_surplus(connection, platform_id, exchange.id, rules)


def _decide(
    connection: Connection, exchange: Exchange, row: RowMapping, word: Word, rules: Rules
) -> Decision | None:
    if row["kind"] != "collect":
        return _went(exchange, row, word)
    if row["capture"] == "manual":
        return _blocked(connection, exchange, row, word, rules)
    return _collected(exchange, row, word, rules)


def _check_amounts(row: RowMapping, seen: Object) -> None:
    """Refuse to believe an object that is not for what was asked: too little, too much, another."""
    wanted = row["capture_wanted"] if row["capture"] == "manual" else row["amount"]
    taken = seen.captured if seen.status is Seen.SUCCEEDED else None
    same = (seen.amount, seen.unit) == (row["amount"], row["unit"])
    if not same or (taken is not None and wanted is not None and taken != wanted):
        raise AmountDiffers(
            f"payment {row['id']}: asked {wanted or row['amount']} {row['unit']}, the provider has "
            f"{taken if taken is not None else seen.amount} {seen.unit}"
        )


def alert(
    connection: Connection, platform_id: UUID, payment_id: UUID, why: str, now: datetime
) -> None:
    """Tell the platform, once, that the provider speaks of another amount than was asked.

    Nothing is booked and nothing follows; the provider's own books show it to reconciliation.
    """
    row = payments.lock(connection, platform_id, payment_id)
    if row["settled_at"] is not None or row["failure"] == DIFFERS:
        return
    payments.mark_failure(connection, row, DIFFERS)
    facts = {"payment": encode("payment", payment_id), "detail": why}
    event = outbox.NewEvent("payment.amount_differs", facts, member_id=row["member_id"])
    outbox.append(connection, platform_id, [event], now)


def _write(connection: Connection, exchange: Exchange, decision: Decision, now: datetime) -> None:
    if decision.exchange.version == exchange.version:
        decision.exchange = replace(decision.exchange, version=exchange.version + 1)
    write(connection, exchange.platform_id, {exchange.id: exchange}, [decision], now)


def _book_fees(
    connection: Connection, row: RowMapping, fees: tuple[Fee, ...], now: datetime
) -> None:
    """Book what the provider took for itself; the same fee told again changes nothing."""
    of = _reference(row)
    postings = [fee_posting(row["provider"], fee, of) for fee in fees if fee.amount > 0]
    for result in post(connection, row["platform_id"], postings, now) if postings else ():
        if result.status not in {Status.CREATED, Status.EXISTS}:
            raise BrokenBooks(f"fee of payment {row['id']}: {result.status}")


def _remember_customer(
    connection: Connection, row: RowMapping, seen: Object, now: datetime
) -> None:
    """Keep who the payer is to the provider, and their method, when they agreed to that."""
    if row["save_method"] and seen.customer_ref is not None:
        customers.remember_customer(
            connection,
            row["platform_id"],
            row["member_id"],
            row["provider"],
            seen.customer_ref,
            seen.saved_method,
            now,
        )


def fee_posting(provider: str, fee: Fee, reference: str | None) -> Posting:
    """Return the posting of a provider's fee: from what it holds for us, to what it costs."""
    move = Transfer("expense:provider_fees", f"provider:{provider}", fee.amount, fee.unit)
    return Posting(f"fee:{fee.ref}", "fee", (move,), reference)


def _reference(row: RowMapping) -> str | None:
    exchange_id = row["exchange_id"]
    return None if exchange_id is None else money.reference(exchange_id)


def _blocked(
    connection: Connection, exchange: Exchange, row: RowMapping, word: Word, rules: Rules
) -> Decision | None:
    """Follow an authorisation: it stands, was taken, or is gone."""
    step = authorisations.step(exchange, row, word.authorised, word.succeeded)
    if step is not None:
        until = None if word.seen is None else word.seen.capture_before
        command = Command(
            exchange.id,
            step,
            PROVIDER,
            payment_id=row["id"],
            failure=word.failure,
            capture_before=until or authorisations.shortest(rules.now),
        )
        decision = take(exchange, command, rules)
        if step == "payment_failed" and (row["authorised_at"] is not None or word.succeeded):
            decision.join(authorisations.ended(exchange, row, word.captured, ()))
        return decision
    if word.authorised:
        return authorisations.unwanted(exchange, row)
    if row["authorised_at"] is None and not word.succeeded:
        return authorisations.not_renewed(exchange, row, word.failure)
    waiting = payments.followers(connection, exchange.platform_id, row["id"])
    taken = word.captured if word.succeeded else None
    decision = authorisations.ended(exchange, row, taken, waiting)
    for follower, outcome in authorisations.decided(row, taken, waiting):
        payments.end_waiting(connection, follower, outcome, None, rules.now)
    return decision


def _collected(exchange: Exchange, row: RowMapping, word: Word, rules: Rules) -> Decision | None:
    """Money came or did not. If nobody waits for it any more, it goes straight back."""
    waiting = exchange.state is State.FUNDING and exchange.collect_id == row["id"]
    if waiting:
        step = "payment_succeeded" if word.succeeded else "payment_failed"
        kind = None if word.seen is None else word.seen.method_kind
        command = Command(
            exchange.id,
            step,
            PROVIDER,
            payment_id=row["id"],
            failure=word.failure,
            method_kind=kind,
        )
        return take(exchange, command, rules)
    return _too_late(exchange, row) if word.succeeded else None


def _too_late(exchange: Exchange, row: RowMapping) -> Decision:
    decision = Decision(exchange)
    decision.postings.append(
        Posting(
            key=f"collect:{row['id']}",
            kind="collect",
            transfers=(
                Transfer(
                    f"provider:{row['provider']}",
                    money.member_account(row["member_id"]),
                    row["amount"],
                    row["unit"],
                ),
            ),
            reference=money.reference(exchange.id),
        )
    )
    refund = PaymentDraft(
        id=uuid7(),
        kind="refund",
        member_id=row["member_id"],
        amount=row["amount"],
        unit=row["unit"],
        provider=row["provider"],
        collect_id=row["id"],
    )
    money.send(decision, refund)
    decision.note(
        "payment.late",
        payment=encode("payment", row["id"]),
        refund=encode("payment", refund.id),
    )
    return decision


def _went(exchange: Exchange, row: RowMapping, word: Word) -> Decision:
    """A refund, payout or reversal has reached its end, one way or the other."""
    decision = Decision(exchange)
    posting = outcome_posting(row, word.succeeded)
    if posting is not None:
        decision.postings.append(posting)
    decision.note(_told(row, word.succeeded), **_facts(row, word))
    return decision


def outcome_posting(row: RowMapping, succeeded: bool) -> Posting | None:
    """Return what the end of a refund, payout or reversal moves, if anything."""
    provider, member = f"provider:{row['provider']}", money.member_account(row["member_id"])
    if row["kind"] == "reversal":
        # Nothing was on its way before the provider had taken it back.
        owed = money.receivable_account(row["exchange_id"])
        return _moved(row, f"reversed:{row['id']}", provider, owed) if succeeded else None
    transit = f"transit:{row['id']}"
    if succeeded:
        return _moved(row, f"sent:{row['id']}", transit, provider)
    return _moved(row, f"back:{row['id']}", transit, member)


def _moved(row: RowMapping, key: str, debit: str, credit: str) -> Posting:
    move = Transfer(debit, credit, row["amount"], row["unit"])
    return Posting(key=key, kind=row["kind"], transfers=(move,), reference=_reference(row))


def _told(row: RowMapping, succeeded: bool) -> str:
    return f"{row['kind']}.{'succeeded' if succeeded else 'failed'}"


def _returned(
    connection: Connection, exchange: Exchange | None, row: RowMapping, word: Word, now: datetime
) -> None:
    """What had reached a member came back: they are owed it again, and are told."""
    member = money.member_account(row["member_id"])
    posting = _moved(row, f"returned:{row['id']}", f"provider:{row['provider']}", member)
    if exchange is not None:
        decision = Decision(exchange)
        decision.postings.append(posting)
        decision.note(f"{row['kind']}.returned", **_facts(row, word))
        _write(connection, exchange, decision, now)
        return
    _post_one(connection, row, posting, now)
    event = outbox.NewEvent(
        f"{row['kind']}.returned", _facts(row, word), member_id=row["member_id"]
    )
    outbox.append(connection, row["platform_id"], [event], now)


def _post_one(connection: Connection, row: RowMapping, posting: Posting, now: datetime) -> None:
    (result,) = post(connection, row["platform_id"], [posting], now)
    if result.status is not Status.CREATED:
        raise BrokenBooks(f"posting {posting.key}: {result.status}")


def _facts(row: RowMapping, word: Word) -> dict[str, Any]:
    return {
        "payment": encode("payment", row["id"]),
        "member": encode("member", row["member_id"]),
        "amount": row["amount"],
        "unit": row["unit"],
        **({} if word.succeeded else {"failure": word.failure}),
    }


def _settle_alone(connection: Connection, row: RowMapping, word: Word, now: datetime) -> None:
    """A payout that a member's balance asked for, outside of any exchange."""
    posting = outcome_posting(row, word.succeeded)
    assert posting is not None
    _post_one(connection, row, posting, now)
    event = outbox.NewEvent(
        _told(row, word.succeeded), _facts(row, word), member_id=row["member_id"]
    )
    outbox.append(connection, row["platform_id"], [event], now)
