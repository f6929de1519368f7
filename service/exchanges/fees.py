"""The platform's fee: quoted, frozen in the terms, and shared out to the last minor unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ledger.shares import split
from service.exchanges.model import Leg, Share


@dataclass(frozen=True, slots=True)
class FeeRule:
    """A fee on the prices in one unit: ``fixed`` minor units plus basis points of the prices.

    ``borne_by`` is ``payer``, ``payee`` or ``shared`` (an odd minor unit falls to the payer);
    ``on_refund`` says whether the payer's part is ``returned`` or ``kept`` for what goes back.
    """

    fixed: int = 0
    basis_points: int = 0
    borne_by: str = "payee"
    on_refund: str = "returned"


def quote(rule: FeeRule, prices: Sequence[int]) -> list[tuple[int, int]]:
    """Return for each price the payer's and the payee's part of the fee, in minor units.

    The whole fee is ``fixed + basis_points`` of the sum, rounded half up once; it is shared over
    the prices by largest remainder, so that the parts sum to the whole.
    """
    total = sum(prices)
    if total == 0:
        return [(0, 0) for _ in prices]
    whole = rule.fixed + (total * rule.basis_points + 5_000) // 10_000
    sides = {"payer": (whole, 0), "payee": (0, whole), "shared": split(whole, (1, 1))}
    payer, payee = sides[rule.borne_by]
    # The sides first, then the prices: sharing price by price would give every odd unit to one.
    return list(zip(split(payer, prices), split(payee, prices), strict=True))


def share_out(leg: Leg, to_payee: int, on_refund: str) -> Share:
    """Share out a held leg of which the payee is due ``to_payee`` before fees.

    Fees follow the part that is released; roundings favour the members. Of the part that goes
    back, the payer's fee is returned or kept as the terms say. A deposit bears no fee.
    """
    assert 0 <= to_payee <= leg.amount
    payee_fee = leg.payee_fee * to_payee // leg.amount
    payer_fee = leg.payer_fee
    if on_refund == "returned":
        payer_fee = leg.payer_fee * to_payee // leg.amount
    share = Share(
        to_payer=leg.held - to_payee - payer_fee,
        to_payee=to_payee - payee_fee,
        to_fees=payee_fee + payer_fee,
    )
    assert share.to_payer + share.to_payee + share.to_fees == leg.held
    return share
