"""How long each side has, and how long money may be held: limits and defaults as data.

The hold clocks end inside the shortest provider limit that the service supports: Stripe must pay
out or refund within 90 days (docs.stripe.com/connect/manual-payouts), hence a person looks on day
60, must have decided by day 75, and what is still open goes back on day 85.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final


@dataclass(frozen=True, slots=True)
class Window:
    """A length of time in whole hours that the parties may choose within bounds."""

    default: int
    least: int
    most: int


#: Hours, by name as in the terms of an exchange.
WINDOWS: Final = {
    "agree_hours": Window(default=7 * 24, least=1, most=30 * 24),
    "fund_hours": Window(default=3 * 24, least=1, most=14 * 24),
    "confirm_hours": Window(default=7 * 24, least=24, most=30 * 24),
}

#: Once a payment was tried, it may still be answered, or tried again, this long after the time to
#: fund has ended.
PAYMENT_GRACE: Final = timedelta(days=7)
#: An unanswered offer to settle lapses after this long.
OFFER_LIFE: Final = timedelta(days=7)

#: How long the payer's bank can still take back what was paid, by the sort of method. Cards: 120
#: days for most reasons (chargeback rules of Visa and Mastercard); direct debits: 13 months where
#: the payer says that they never agreed (Directive (EU) 2015/2366, art. 71).
REVERSAL_TAIL: Final = {"card": timedelta(days=120), "sepa_debit": timedelta(days=396)}

ESCALATE_AFTER: Final = timedelta(days=60)
DECIDE_BY: Final = timedelta(days=75)
REFUND_AFTER: Final = timedelta(days=85)
#: A case that opens late still has this long; and an appeal, with the way to the bank, this long.
LEAST_CASE: Final = timedelta(days=3)
AFTER_CASE: Final = timedelta(days=4)
