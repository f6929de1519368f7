"""What goes out: refunds to payers, transfers to payees' accounts, and their reversals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

import stripe
from stripe.params import TransferCreateParams

from service.payments.port import Object, ProviderRefused, ProviderUnavailable, Request
from service.payments.stripe.client import Account
from service.payments.stripe.collect import charge_of, intent_of, is_old
from service.payments.stripe.errors import was_replayed
from service.payments.stripe.money import to_stripe
from service.payments.stripe.objects import (
    PAYMENT,
    fact,
    group,
    metadata,
    of_platform,
    of_refund,
    of_reversal,
    of_transfer,
    parse_ref,
)

T = TypeVar("T")

#: What a refund, transfer or reversal is read with.
_LINE: Final = ["balance_transaction"]
#: Pages that are looked through for what an old request made.
_PAGES: Final = 10
#: How often a transfer or refund for which the balance was too low is tried under a new key while
#: Stripe keeps the old ones: at our pace (1 minute, doubling to 6 hours) more than a day's worth.
_MOST_TRIES: Final = 24
#: Stripe's codes for "not enough on your balance now".
_POOR: Final = frozenset({"balance_insufficient", "insufficient_funds"})


def refund(account: Account, request: Request, now: datetime) -> Object:
    """Give a part of a collection back."""
    if request.collect_ref is None:
        raise ProviderRefused("not_refundable", "A refund is of a collection.")
    amount = to_stripe(request.amount, request.unit)
    intent = intent_of(account, request.collect_ref)
    if is_old(request, now):
        for found in account.pages(
            account.api.refunds.list,
            {"payment_intent": intent, "expand": [f"data.{path}" for path in _LINE]},
            _PAGES,
        ):
            if fact(found, PAYMENT) == str(request.payment_id):
                return of_refund(found)

    def ask(key: str) -> stripe.Refund:
        return account.api.refunds.create(
            {
                "payment_intent": intent,
                "amount": amount,
                "metadata": metadata(request),
                "expand": _LINE,
            },
            {"idempotency_key": key},
        )

    return of_refund(_when_funded(account, request, ask))


def payout(account: Account, request: Request, now: datetime) -> Object:
    """Send money to a payee's account: a transfer, done when it is made."""
    if request.account_ref is None:
        raise ProviderRefused("account_unusable", "The payee has no account at Stripe.")
    params: TransferCreateParams = {
        "amount": to_stripe(request.amount, request.unit),
        "currency": request.unit.lower(),
        "destination": request.account_ref,
        "transfer_group": group(request),
        "metadata": metadata(request),
    }
    if is_old(request, now):
        made = account.pages(account.api.transfers.list, {"transfer_group": group(request)}, _PAGES)
        for found in made:
            if fact(found, PAYMENT) == str(request.payment_id):
                return of_transfer(found)
    if request.collect_ref is not None:
        charge = charge_of(account, request.platform_id, request.collect_ref)
        if charge is not None:
            # The transfer is taken at once and waits at Stripe until the charge's funds are there.
            params["source_transaction"] = charge

    def ask(key: str) -> stripe.Transfer:
        return account.api.transfers.create(params, {"idempotency_key": key})

    return of_transfer(_when_funded(account, request, ask))


def _when_funded(account: Account, request: Request, ask: Callable[[str], T]) -> T:
    """Ask under the row's own key, or under the next one if the balance was too low before.

    Stripe keeps the refusal under the key. A key that was refused has made nothing and never will
    while Stripe keeps it, so the next key can be used without fear of paying twice: keys are tried
    in order until one is new, and the first that ever succeeds answers for all.

    Raises:
        ProviderUnavailable: the balance is too low now; it may be funded later.
    """
    key = str(request.payment_id)
    for attempt in range(_MOST_TRIES):
        with account.asking():
            try:
                return ask(key if attempt == 0 else f"{key}:{attempt}")
            except stripe.InvalidRequestError as error:
                if error.code not in _POOR:
                    raise
                if not was_replayed(error):
                    break
    raise ProviderUnavailable("Stripe: the platform's balance is too low now")


def reversal(account: Account, request: Request, now: datetime) -> Object:
    """Call a part of a payout back from the payee's account.

    Raises:
        ProviderRefused: ``balance_insufficient``, the account does not have it (any more).
    """
    if request.payout_ref is None or parse_ref(request.payout_ref).kind != "transfer":
        raise ProviderRefused("unknown_object", "A reversal is of a payout.")
    reversals = account.api.transfers.reversals
    if is_old(request, now):
        transfer = request.payout_ref
        for found in account.pages(lambda p: reversals.list(transfer, p), {}, _PAGES):
            if fact(found, PAYMENT) == str(request.payment_id):
                return of_reversal(found)
    with account.asking():
        made = reversals.create(
            request.payout_ref,
            {"amount": to_stripe(request.amount, request.unit), "metadata": metadata(request)},
            {"idempotency_key": str(request.payment_id)},
        )
    return of_reversal(made)


def retrieve_refund(account: Account, platform_id: UUID, ref: str) -> Object:
    """Read a refund."""
    with account.asking():
        found = account.api.refunds.retrieve(ref, {"expand": _LINE})
    of_platform(found, platform_id)
    return of_refund(found)


def retrieve_payout(account: Account, platform_id: UUID, ref: str) -> Object:
    """Read a payout."""
    with account.asking():
        found = account.api.transfers.retrieve(ref)
    of_platform(found, platform_id)
    return of_transfer(found)


def retrieve_reversal(account: Account, platform_id: UUID, transfer: str, ref: str) -> Object:
    """Read a reversal of a payout."""
    with account.asking():
        found = account.api.transfers.reversals.retrieve(transfer, ref)
    of_platform(found, platform_id)
    return of_reversal(found)
