"""How a deposit is secured: blocked at the payer's bank, or taken and given back.

A bank blocks a card's amount for a few days only: 7 with Visa, Mastercard and American Express when
the customer is there, 4 days and 18 hours with Visa when not (docs.stripe.com/payments/
place-a-hold-on-a-payment-method). What lasts longer must be renewed, or taken before it ends.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

#: What the parties may choose; ``automatic`` is resolved when the terms are frozen.
STRATEGIES: Final = ("automatic", "authorise", "reauthorise", "capture")

#: How long a bank blocks an amount when the payer is there to agree.
NETWORK_WINDOW: Final = timedelta(days=7)
#: The shortest that a network knows; assumed where a provider does not say when the block ends.
SHORTEST_WINDOW: Final = timedelta(days=4, hours=18)
#: A block that may be renewed is renewed this long before it ends, ...
RENEW_BEFORE: Final = timedelta(hours=36)
#: ... and one that was not is taken this long before it ends: a deposit is never lost in silence.
TAKE_BEFORE: Final = timedelta(hours=12)


def choose(wanted: str, until: datetime | None, now: datetime) -> str:
    """Return the strategy for a deposit that must be secure ``until`` (None: nobody knows).

    ``automatic`` blocks the amount when one block lasts to the end, and otherwise takes it.
    """
    if wanted != "automatic":
        return wanted
    fits = until is not None and until - now <= NETWORK_WINDOW - TAKE_BEFORE
    return "authorise" if fits else "capture"
