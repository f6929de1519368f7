"""What follows from a provider's word on a payment, for its exchange. Pure.

Nothing here reads or writes: what waits for a payment is read before, by whoever asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping

from ledger.posting import Posting, Transfer
from service.exchanges import authorisations, money
from service.exchanges.commands import PROVIDER, Command, Decision, PaymentDraft
from service.exchanges.decide import Rules, take
from service.exchanges.model import Exchange, State
from service.ids import encode, uuid7
from service.payments.answers import Answers
from service.payments.port import AmountDiffers, Fee, Object
from service.payments.port import Status as Seen


@dataclass(frozen=True, slots=True)
class Word:
    """A provider's word on a payment, in the terms of what follows from it."""

    succeeded: bool
    failure: str
    authorised: bool = False
    captured: int | None = None
    seen: Object | None = None


def decide(
    exchange: Exchange,
    row: RowMapping,
    word: Word,
    waiting: Sequence[RowMapping],
    answers: Answers,
    rules: Rules,
) -> Decision | None:
    """Return what a word on a payment means for its exchange, if anything.

    ``waiting``: the payments that wait for this one; those that end with it are noted in
    ``answers``.

    Raises:
        Refusal: the exchange cannot take the step.
    """
    if row["kind"] != "collect":
        return _went(exchange, row, word)
    if row["capture"] == "manual":
        return _blocked(exchange, row, word, waiting, answers, rules)
    return _collected(exchange, row, word, rules)


def check_amounts(row: RowMapping, seen: Object) -> None:
    """Refuse to believe an object that is not for what was asked: too little, too much, another.

    Raises:
        AmountDiffers
    """
    wanted = row["capture_wanted"] if row["capture"] == "manual" else row["amount"]
    taken = seen.captured if seen.status is Seen.SUCCEEDED else None
    same = (seen.amount, seen.unit) == (row["amount"], row["unit"])
    if not same or (taken is not None and wanted is not None and taken != wanted):
        raise AmountDiffers(
            f"payment {row['id']}: asked {wanted or row['amount']} {row['unit']}, the provider has "
            f"{taken if taken is not None else seen.amount} {seen.unit}"
        )


def fee_posting(provider: str, fee: Fee, reference: str | None) -> Posting:
    """Return the posting of a provider's fee: from what it holds for us, to what it costs."""
    move = Transfer("expense:provider_fees", f"provider:{provider}", fee.amount, fee.unit)
    return Posting(f"fee:{fee.ref}", "fee", (move,), reference)


def reference_of(row: RowMapping) -> str | None:
    exchange_id = row["exchange_id"]
    return None if exchange_id is None else money.reference(exchange_id)


def _blocked(
    exchange: Exchange,
    row: RowMapping,
    word: Word,
    waiting: Sequence[RowMapping],
    answers: Answers,
    rules: Rules,
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
    taken = word.captured if word.succeeded else None
    decision = authorisations.ended(exchange, row, taken, waiting)
    for follower, outcome in authorisations.decided(row, taken, waiting):
        answers.ended(follower, outcome, None)
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
    decision.note(told(row, word.succeeded), **facts(row, word))
    return decision


def outcome_posting(row: RowMapping, succeeded: bool) -> Posting | None:
    """Return what the end of a refund, payout or reversal moves, if anything."""
    provider, member = f"provider:{row['provider']}", money.member_account(row["member_id"])
    if row["kind"] == "reversal":
        # Nothing was on its way before the provider had taken it back.
        owed = money.receivable_account(row["exchange_id"])
        return moved(row, f"reversed:{row['id']}", provider, owed) if succeeded else None
    transit = f"transit:{row['id']}"
    if succeeded:
        return moved(row, f"sent:{row['id']}", transit, provider)
    return moved(row, f"back:{row['id']}", transit, member)


def moved(row: RowMapping, key: str, debit: str, credit: str) -> Posting:
    move = Transfer(debit, credit, row["amount"], row["unit"])
    return Posting(key=key, kind=row["kind"], transfers=(move,), reference=reference_of(row))


def told(row: RowMapping, succeeded: bool) -> str:
    return f"{row['kind']}.{'succeeded' if succeeded else 'failed'}"


def facts(row: RowMapping, word: Word) -> dict[str, Any]:
    return {
        "payment": encode("payment", row["id"]),
        "member": encode("member", row["member_id"]),
        "amount": row["amount"],
        "unit": row["unit"],
        **({} if word.succeeded else {"failure": word.failure}),
    }
