"""Stripe's own books: balance transactions and balances, in the port's terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import stripe

from service.payments.port import Movement
from service.payments.stripe.client import Account
from service.payments.stripe.money import from_stripe, unit_of
from service.payments.stripe.objects import collection_ref, id_of, reversal_ref

#: A day of a busy platform: 200,000 lines. What is longer is read in shorter spans.
_MOST_PAGES: Final = 2_000

#: What each of Stripe's types is (docs.stripe.com, "Balance transaction types").
_KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("charge", "payment"), "collect"),
    # A debit that the payer's bank returned long after it had succeeded.
    "payment_failure_refund": "collect",
    **dict.fromkeys(("refund", "payment_refund"), "refund"),
    "refund_failure": "refund_failure",
    "transfer": "payout",
    **dict.fromkeys(("transfer_refund", "transfer_cancel", "transfer_failure"), "reversal"),
    **dict.fromkeys(("stripe_fee", "stripe_fx_fee", "tax_fee", "network_cost"), "fee"),
    # The platform's own money, on its way to its bank or from it.
    **dict.fromkeys(("payout", "payout_cancel", "payout_failure"), "bank_payout"),
    **dict.fromkeys(("topup", "topup_reversal"), "bank_payout"),
}


def movements(account: Account, since: datetime, until: datetime) -> Iterable[Movement]:
    """Read what moved in ``[since, until)``, oldest first.

    Raises:
        UnreadableAmount: a line is not in whole minor units of ISO 4217.
    """
    window = {"gte": _whole(since), "lt": _whole(until)}
    lines = account.pages(
        account.api.balance_transactions.list,
        {"created": window, "expand": ["data.source"]},
        _MOST_PAGES,
    )
    found = [of_line(line) for line in lines if counts(line)]
    found.reverse()
    return found


def _whole(at: datetime) -> int:
    """Stripe counts whole seconds: the first one that is not before ``at``."""
    return -int(-at.timestamp() // 1)


def counts(line: stripe.BalanceTransaction) -> bool:
    """Tell whether a line moves the balance that payments are on, not a reserve beside it."""
    return getattr(line, "balance_type", None) in {None, "payments"}


def of_line(line: stripe.BalanceTransaction, of: str | None = None) -> Movement:
    """Return a balance transaction as a movement; ``of`` is its source where that is known."""
    kind = _KINDS.get(line.type, "other")
    source: Any = of or line.source
    if kind == "other" and (id_of(source) or "").startswith(("dp_", "du_")):
        kind = "dispute"  # Stripe calls it an adjustment
    return Movement(
        ref=line.id,
        kind=kind,
        object_ref=_object_ref(kind, source),
        amount=from_stripe(line.amount, line.currency),
        fee=from_stripe(line.fee, line.currency),
        unit=unit_of(line.currency),
        at=datetime.fromtimestamp(line.created, UTC),
        description=line.description,
    )


def _object_ref(kind: str, source: Any) -> str | None:
    if source is None or isinstance(source, str):
        return source
    if kind == "collect":
        # A charge carries its PaymentIntent's metadata, so nothing more has to be asked.
        return collection_ref(source, id_of(source.payment_intent) or source.id)
    if kind == "reversal" and str(source.id).startswith("trr_"):
        return reversal_ref(source)
    return id_of(source)


def held(account: Account) -> Mapping[str, int]:
    """Return the balance, available and on its way, in ISO's minor units by unit."""
    with account.asking():
        balance = account.api.balance.retrieve()
    found: dict[str, int] = {}
    parts = [(part.currency, part.amount) for part in balance.available]
    parts += [(part.currency, part.amount) for part in balance.pending]
    for currency, amount in parts:
        unit = unit_of(currency)
        found[unit] = found.get(unit, 0) + from_stripe(amount, currency)
    return found
