"""Idempotency keys: how long Stripe keeps one, and what is done when it does not tell any more."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from service.payments.port import ProviderUnavailable, Request
from service.payments.stripe.errors import is_kept_failure
from service.payments.stripe.objects import PAYMENT, fact

T = TypeVar("T")

#: Stripe keeps an idempotency key for 24 hours at least (docs.stripe.com, "Idempotent requests").
#: An older request is looked for before it is sent again; an hour is left for clocks.
KEY_HOLDS: Final = timedelta(hours=23)


def is_old(request: Request, now: datetime) -> bool:
    """Tell whether Stripe may have forgotten the request's key; the row's UUIDv7 has its age."""
    made = request.payment_id
    if made.version != 7:
        return True
    return now.timestamp() - (made.int >> 80) / 1000 > KEY_HOLDS.total_seconds()


def once(find: Callable[[], T | None], ask: Callable[[], T], old: bool) -> T:
    """Ask under the row's key; look first, or afterwards, where the key does not tell.

    An ``old`` key may be forgotten, and under a key that Stripe broke down with it never says
    anything else: then what was made is found among the objects.
    """
    if old and (made := find()) is not None:
        return made
    try:
        return ask()
    except ProviderUnavailable as error:
        if is_kept_failure(error.__cause__) and (made := find()) is not None:
            return made
        raise


def key_of(source: Any) -> str:
    """Return what the keys of calls about an object of ours begin with: its row's id."""
    return fact(source, PAYMENT) or str(source.id)
