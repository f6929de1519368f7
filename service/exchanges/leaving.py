"""Whether a member may leave: nothing of theirs is open, and nothing is owed either way."""

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
from service.payments.tables import payment

_OPEN = [state for state in State if state not in TERMINAL]


class MemberBusy(Refusal):
    """The member has an open exchange or a balance; both want settling before they can go."""

    code = "member_busy"


def require_settled(connection: Connection, platform_id: UUID, member_id: UUID) -> None:
    """Refuse while somebody still depends on knowing who the member is (GDPR art. 17(3)(b), (e)).

    Raises:
        MemberBusy: with the exchange, or with the units in which the balance is not zero.
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
    found = accounts.balances(connection, platform_id, [member_account(member_id)])
    units = [line.unit for line in found if line.balance != 0]
    if units:
        raise MemberBusy("The member's balance is not zero: settle it first.", units=units)
