"""What follows when a block at the payer's bank stands, is taken, or is gone. Pure.

The ledger mirrors what banks block on ``provider:<name>:authorised``. A block's worth is on its
legs' holds, or, while no leg stands on it, in ``transit:<payment>``: before the price is paid, and
after another block took its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import RowMapping

from ledger.posting import Posting, Transfer
from service.exchanges import money
from service.exchanges.commands import Decision, PaymentDraft
from service.exchanges.deposits import waits_for
from service.exchanges.model import Exchange, LegState
from service.ids import encode, uuid7
from service.payments.port import Status
from service.policies.deposits import SHORTEST_WINDOW


def shortest(now: datetime) -> datetime:
    """Return when a block may end at the earliest, if the provider does not say."""
    return now + SHORTEST_WINDOW


def step(exchange: Exchange, row: RowMapping, stands: bool, taken: bool) -> str | None:
    """Return the provider's step that this word on an authorisation is, or None."""
    waited = waits_for(exchange, row["id"])
    if stands:
        return waited
    if waited == "deposit_authorised":
        return "payment_failed"  # taken by somebody else's hand: it goes back, and anew
    if _legs_on(exchange, row["id"]) and not taken:
        return "deposit_lapsed"
    return None


def _legs_on(exchange: Exchange, payment_id: UUID) -> bool:
    return any(leg.collect_id == payment_id and leg.state is LegState.HELD for leg in exchange.legs)


def unwanted(exchange: Exchange, row: RowMapping) -> Decision:
    """A block that nobody waits for any more: shown in the books, and set free."""
    decision = Decision(exchange)
    decision.postings.append(_stands(exchange, row))
    decision.cancel.append(row["id"])
    decision.note("deposit.unwanted", payment=encode("payment", row["id"]))
    return decision


def _stands(exchange: Exchange, row: RowMapping) -> Posting:
    return _posting(exchange, row, f"authorise:{row['id']}", _blocked(row), _transit(row))


def not_renewed(exchange: Exchange, row: RowMapping, failure: str) -> Decision | None:
    """The bank would not block anew without the payer: they are asked, before it is taken."""
    if exchange.deposit_renewal_id != row["id"]:
        return None
    decision = Decision(exchange)
    decision.note(
        "deposit.action_needed",
        payment=encode("payment", row["id"]),
        member=encode("member", row["member_id"]),
        failure=failure,
    )
    return decision


def ended(
    exchange: Exchange, row: RowMapping, taken: int | None, waiting: Sequence[RowMapping]
) -> Decision:
    """A block that stood is over: ``taken`` minor units were taken, the rest is free."""
    decision = Decision(exchange)
    if row["authorised_at"] is None:  # it was taken before we ever saw it stand
        decision.postings.append(_stands(exchange, row))
    if taken is not None:
        move = Transfer(f"provider:{row['provider']}", _blocked(row), taken, row["unit"])
        key = f"captured:{row['id']}"
        decision.postings.append(Posting(key, "capture", (move,), money.reference(exchange.id)))
        decision.note("deposit.taken", payment=encode("payment", row["id"]), amount=taken)
    if not _legs_on(exchange, row["id"]) and not waiting:
        _out_of_transit(decision, row, taken)
    left = row["amount"] - (taken or 0)
    for follower in waiting:
        _follow(decision, row, follower, taken, left)
    if taken is not None:
        decision.release.append(row["id"])
    return decision


def _out_of_transit(decision: Decision, row: RowMapping, taken: int | None) -> None:
    """A block that no leg stands on: what was taken of it all the same goes back to the payer."""
    exchange = decision.exchange
    left = row["amount"] - (taken or 0)
    if left:
        move = Transfer(_transit(row), _blocked(row), left, row["unit"])
        decision.postings.append(
            Posting(f"freed:{row['id']}", "freed", (move,), money.reference(exchange.id))
        )
    if taken:
        payer = money.member_account(row["member_id"])
        move = Transfer(_transit(row), payer, taken, row["unit"])
        decision.postings.append(
            Posting(f"late:{row['id']}", "late", (move,), money.reference(exchange.id))
        )
        refund = PaymentDraft(
            id=uuid7(),
            kind="refund",
            member_id=row["member_id"],
            amount=taken,
            unit=row["unit"],
            provider=row["provider"],
            collect_id=row["id"],
        )
        money.send(decision, refund)
        decision.note("payment.late", payment=encode("payment", row["id"]))


def _follow(
    decision: Decision, row: RowMapping, follower: RowMapping, taken: int | None, left: int
) -> None:
    """Say what becomes of a member's payment that waited for the block to end."""
    if _is_set_free(follower, taken, left):
        # It never left the payer's bank: setting it free is the refund.
        decision.postings.append(_gone(decision.exchange, row, follower, "sent"))
        decision.note("refund.succeeded", **_facts(follower))
    elif taken is None:
        # The bank let the block go before it could be taken: there is nothing to pay from.
        decision.postings.append(_gone(decision.exchange, row, follower, "lost"))
        decision.note("deposit.lost", **_facts(follower))


def _is_set_free(follower: RowMapping, taken: int | None, left: int) -> bool:
    return follower["kind"] == "refund" and (taken is None or left == follower["amount"])


def decided(
    row: RowMapping, taken: int | None, waiting: Sequence[RowMapping]
) -> Iterator[tuple[RowMapping, Status]]:
    """Yield the waiting payments that need no provider any more, with how they ended."""
    left = row["amount"] - (taken or 0)
    for follower in waiting:
        if _is_set_free(follower, taken, left):
            yield follower, Status.SUCCEEDED
        elif taken is None:
            yield follower, Status.CANCELED


def _gone(exchange: Exchange, row: RowMapping, follower: RowMapping, key: str) -> Posting:
    move = Transfer(
        f"transit:{follower['id']}", _blocked(row), follower["amount"], follower["unit"]
    )
    return Posting(
        f"{key}:{follower['id']}", follower["kind"], (move,), money.reference(exchange.id)
    )


def _facts(row: RowMapping) -> dict[str, object]:
    return {
        "payment": encode("payment", row["id"]),
        "member": encode("member", row["member_id"]),
        "amount": row["amount"],
        "unit": row["unit"],
    }


def _posting(exchange: Exchange, row: RowMapping, key: str, debit: str, credit: str) -> Posting:
    move = Transfer(debit, credit, row["amount"], row["unit"])
    return Posting(key, key.partition(":")[0], (move,), money.reference(exchange.id))


def _blocked(row: RowMapping) -> str:
    return f"provider:{row['provider']}:authorised"


def _transit(row: RowMapping) -> str:
    return f"transit:{row['id']}"
