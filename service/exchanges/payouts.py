"""Pay a member what the platform owes them: after a failed refund or payout, on request."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from ledger import units
from ledger.posting import Posting, Status, Transfer, post
from ledger.refusals import InvalidUnit, Refusal
from service.events import outbox
from service.exchanges.advance import BrokenBooks
from service.exchanges.money import member_account
from service.ids import encode, uuid7
from service.payments import payments
from service.payments.payments import NewPayment
from service.payments.port import Provider
from service.platforms import members


class BalanceTooLow(Refusal):
    """The member's balance does not cover the payout."""

    code = "balance_too_low"


def pay_out(
    connection: Connection,
    platform_id: UUID,
    member_id: UUID,
    amount: int,
    unit: str,
    provider: Provider,
    now: datetime,
) -> UUID:
    """Send ``amount`` minor units of ``unit`` of a member's balance; return the payment's id.

    Raises:
        MemberNotFound: the platform has no such member.
        UnknownUnit, InvalidUnit: not a currency; community units leave by no provider.
        BalanceTooLow: nothing was changed.
    """
    members.find(connection, platform_id, member_id)
    if units.get(connection, platform_id, unit).community:
        raise InvalidUnit(
            f"{unit} lives in the community's books alone; only money can be paid out.",
            pointer="/amount/unit",
        )
    payment_id = uuid7()
    posting = Posting(
        key=f"ask:{payment_id}",
        kind="payout",
        transfers=(Transfer(member_account(member_id), f"transit:{payment_id}", amount, unit),),
        reference=f"member:{member_id}",
    )
    (result,) = post(connection, platform_id, [posting], now)
    if result.status is Status.BREAKS_FLOOR:
        raise BalanceTooLow(
            "The member's balance does not cover this amount.", pointer="/amount/amount"
        )
    if result.status is not Status.CREATED:
        raise BrokenBooks(f"posting {posting.key}: {result.status}")
    new = NewPayment(payment_id, "payout", None, member_id, provider.name, amount, unit)
    payments.create(connection, platform_id, [new], now)
    facts = {"payment": encode("payment", payment_id), "amount": amount, "unit": unit}
    event = outbox.NewEvent("payout.asked", facts, member_id=member_id)
    outbox.append(connection, platform_id, [event], now)
    return payment_id
