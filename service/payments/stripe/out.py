"""What goes out: refunds to payers, transfers to payees' accounts, and their reversals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

import stripe
from stripe.params import TransferCreateParams

from service.payments.port import Object, ProviderRefused, ProviderUnavailable, Request
from service.payments.stripe.client import Account
from service.payments.stripe.collect import charge_of, intent_of
from service.payments.stripe.errors import was_replayed
from service.payments.stripe.keys import is_old, once
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

    def made() -> stripe.Refund | None:
        found = account.pages(
            account.api.refunds.list,
            {"payment_intent": intent, "expand": [f"data.{path}" for path in _LINE]},
            _PAGES,
        )
        return _own(found, request)

    return of_refund(
        once(
            made,
            lambda: _when_funded(account, request, ask, "over_refund"),
            is_old(request, now),
        )
    )


def _own(found: Iterable[T], request: Request) -> T | None:
    """Return the object that a request made before, if it is among these."""
    wanted = str(request.payment_id)
    return next((one for one in found if fact(one, PAYMENT) == wanted), None)


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
    if request.collect_ref is not None:
        charge = charge_of(account, request.platform_id, request.collect_ref)
        if charge is not None:
            # The transfer is taken at once and waits at Stripe until the charge's funds are there.
            params["source_transaction"] = charge

    def ask(key: str) -> stripe.Transfer:
        return account.api.transfers.create(params, {"idempotency_key": key})

    def made() -> stripe.Transfer | None:
        asked = {"transfer_group": group(request)}
        return _own(account.pages(account.api.transfers.list, asked, _PAGES), request)

    return of_transfer(
        once(
            made,
            lambda: _when_funded(account, request, ask, "amount_not_supported"),
            is_old(request, now),
        )
    )


def _when_funded(account: Account, request: Request, ask: Callable[[str], T], too_much: str) -> T:
    """Ask under the row's own key, or under the next one if the balance was too low before.

    Stripe keeps the refusal under the key. A key that was refused has made nothing and never will
    while Stripe keeps it, so the next key can be used without fear of paying twice: keys are tried
    in order until one is new, and the first that ever succeeds answers for all.

    Raises:
        ProviderUnavailable: the balance is too low now; it may be funded later.
        ProviderRefused: ``too_much``, the amount is more than there ever was.
    """
    key = str(request.payment_id)
    for attempt in range(_MOST_TRIES):
        with account.asking():
            try:
                return ask(key if attempt == 0 else f"{key}:{attempt}")
            except stripe.InvalidRequestError as error:
                if error.code not in _POOR:
                    _check_amount(error, too_much)
                    raise
                if not was_replayed(error.headers):
                    break
    raise ProviderUnavailable("Stripe: the platform's balance is too low now")


def _check_amount(error: stripe.InvalidRequestError, too_much: str) -> None:
    """Tell what an amount is too large for; Stripe has one code, or none, for all."""
    if error.param == "amount":
        raise ProviderRefused(too_much, str(error.user_message)) from error


def reversal(account: Account, request: Request, now: datetime) -> Object:
    """Call a part of a payout back from the payee's account.

    Raises:
        ProviderRefused: ``balance_insufficient``, the account does not have it (any more).
    """
    transfer = request.payout_ref
    if transfer is None or parse_ref(transfer).kind != "transfer":
        raise ProviderRefused("unknown_object", "A reversal is of a payout.")
    amount = to_stripe(request.amount, request.unit)
    reversals = account.api.transfers.reversals

    def ask() -> stripe.TransferReversal:
        with account.asking():
            try:
                return reversals.create(
                    transfer,
                    {"amount": amount, "metadata": metadata(request)},
                    {"idempotency_key": str(request.payment_id)},
                )
            except stripe.InvalidRequestError as error:
                _check_amount(error, "over_reversal")
                raise

    def made() -> stripe.TransferReversal | None:
        found = account.pages(lambda asked: reversals.list(transfer, asked), {}, _PAGES)
        return _own(found, request)

    return of_reversal(once(made, ask, is_old(request, now)))


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
