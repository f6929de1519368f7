"""A member leaves: nothing of theirs is open or owed, and providers know them no more."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, select

from ledger import accounts
from ledger.refusals import Refusal
from service.exchanges import queries
from service.exchanges.model import TERMINAL, State
from service.exchanges.money import member_account
from service.exchanges.queries import Filters
from service.ids import encode
from service.payments import bank_payouts, customers, payees
from service.payments.tables import payment

_OPEN = [state for state in State if state not in TERMINAL]


class MemberBusy(Refusal):
    """The member has an open exchange or a balance; both want settling before they can go."""

    code = "member_busy"


def leave(connection: Connection, platform_id: UUID, member_id: UUID) -> None:
    """Let a member go: their kept payment methods are forgotten, their accounts followed no more.

    Of an account only its bare id stays, for the books name payouts to it.

    Raises:
        MemberBusy: see :func:`require_settled`.
    """
    require_settled(connection, platform_id, member_id)
    customers.forget_customer(connection, platform_id, member_id)
    payees.let_go(connection, platform_id, member_id)


def require_settled(connection: Connection, platform_id: UUID, member_id: UUID) -> None:
    """Refuse while somebody still depends on knowing who the member is (GDPR art. 17(3)(b), (e)).

    Raises:
        MemberBusy: with the exchange, the payment or the payout to a bank that is open, or with
            the units in which the balance is not zero.
    """
    filters = Filters(states=_OPEN, member_id=member_id)
    for exchange in queries.page(connection, platform_id, filters, limit=1):
        raise MemberBusy(
            "The member has an open exchange: end it first.",
            exchange=encode("exchange", exchange.id),
        )
    under_way = connection.scalar(
        select(payment.c.id)
        .where(
            payment.c.platform_id == platform_id,
            payment.c.member_id == member_id,
            payment.c.settled_at.is_(None),
        )
        .limit(1)
    )
    if under_way is not None:
        raise MemberBusy(
            "A payment of the member is under way: wait until it has settled.",
            payment=encode("payment", under_way),
        )
    to_bank = bank_payouts.under_way(connection, platform_id, member_id)
    if to_bank is not None:
        raise MemberBusy(
            "Money is on its way to the member's bank: wait until it has come.",
            bank_payout=to_bank,
        )
    found = accounts.balances(connection, platform_id, [member_account(member_id)])
    units = [line.unit for line in found if line.balance != 0]
    if units:
        raise MemberBusy(
            "The member's balance is not zero: settle it first. Money that waits for their account "
            "at the payment provider is paid as soon as that is ready.",
            units=units,
        )
