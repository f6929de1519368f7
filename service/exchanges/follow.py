"""Follow a provider's events up: read their objects again, whatever the events said.

An event that comes twice, late, early or out of order therefore changes nothing that the object
itself would not. One that speaks of nothing we know is tried again for a day, for it may have
overtaken our own record, and is then refused with its reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import structlog

from ledger.refusals import Refusal
from service import db
from service.exchanges import chargebacks, payouts, poison, reports
from service.exchanges.decide import Rules
from service.exchanges.desk import Desk, at_once
from service.operations.dead_letters import is_passing, words
from service.payments import bank_payouts, inbox, payments
from service.payments.inbox import Received
from service.payments.payee import UnknownProviderObject
from service.payments.port import AmountDiffers, ProviderRefused, ProviderUnavailable, Topic

_log = structlog.get_logger(__name__)

#: How many events one round takes.
BATCH: Final = 100
#: How long an event may speak of something unknown before it is refused.
PATIENCE: Final = timedelta(days=1)


def apply_events(desk: Desk, now: datetime, only: UUID | None = None) -> int:
    """Follow up stored events; return how many were applied.

    All that speak of one object are followed up by reading it once, after the last of them came.
    """
    about: dict[tuple[object, ...], list[Received]] = defaultdict(list)
    for event in inbox.claim(desk.engine, now, BATCH, only):
        key = (event.platform_id, event.provider, event.topic, event.object_ref, event.account)
        about[key].append(event)
    return sum(at_once(partial(_apply, desk, now), list(about.values()), apart=only is None))


def _apply(desk: Desk, now: datetime, events: Sequence[Received]) -> int:
    first = events[0]
    try:
        _FOLLOW[first.topic](desk, first, now)
        with db.transaction(desk.engine, first.platform_id) as connection:
            inbox.applied(connection, events, now)
    except AmountDiffers as error:
        _log.critical("amount_differs", provider_event=first.event_id, error=str(error))
        for event in events:
            inbox.refuse(desk.engine, event, str(error), now)
        return 0
    except (Refusal, ProviderRefused) as refusal:
        for event in events:
            _not_ours(desk, event, str(refusal), now)
        return 0
    except ProviderUnavailable as error:
        for event in events:
            inbox.put_off(desk.engine, event, str(error), now)
        return 0
    except Exception as error:  # whatever it is, it must not keep the others waiting
        _log.error("event_put_off", provider_event=first.event_id, exc_info=error)
        _failed(desk, events, error, now)
        return 0
    return len(events)


def _failed(desk: Desk, events: Sequence[Received], error: Exception, now: datetime) -> None:
    for event in events:
        if is_passing(error):
            inbox.put_off(desk.engine, event, words(error), now)
            continue
        with db.transaction(desk.engine, event.platform_id) as connection:
            poison.event_failed(connection, event, error, now)


def _not_ours(desk: Desk, event: Received, reason: str, now: datetime) -> None:
    if now - event.received_at < PATIENCE:
        inbox.put_off(desk.engine, event, reason, now)
        return
    _log.warning("event_refused", provider_event=event.event_id, reason=reason)
    inbox.refuse(desk.engine, event, reason, now)


def _payment(desk: Desk, event: Received, now: datetime) -> None:
    """A collection, refund, payout or reversal of ours moved.

    Raises:
        UnknownProviderObject: no payment of this platform has it.
    """
    with db.transaction(desk.engine, event.platform_id) as connection:
        row = payments.of_ref(connection, event.platform_id, event.provider, event.object_ref)
    if row is None or row["provider_ref"] is None:
        raise UnknownProviderObject(f"No payment of this platform has {event.object_ref}.")
    db.outside_transaction()
    try:
        seen = desk.providers[event.provider].retrieve(event.platform_id, row["provider_ref"])
        with db.transaction(desk.engine, event.platform_id) as connection:
            reports.report(connection, event.platform_id, row["id"], seen, Rules(now, desk.codes))
    except AmountDiffers as error:
        with db.transaction(desk.engine, event.platform_id) as connection:
            reports.alert(connection, event.platform_id, row["id"], str(error), now)
        raise


def _dispute(desk: Desk, event: Received, now: datetime) -> None:
    chargebacks.follow(desk, event.platform_id, event.provider, event.object_ref, now)


def _warning(desk: Desk, event: Received, now: datetime) -> None:
    chargebacks.follow_warning(desk, event.platform_id, event.provider, event.object_ref, now)


def _account(desk: Desk, event: Received, now: datetime) -> None:
    provider = desk.providers[event.provider]
    payouts.follow_account(desk.engine, provider, event.platform_id, event.object_ref, now)


def _bank(desk: Desk, event: Received, now: datetime) -> None:
    if event.account is None:
        return  # the platform's own earnings on their way to its bank: reconciliation books them
    provider = desk.providers[event.provider]
    bank_payouts.follow_bank_payout(
        desk.engine, provider, event.platform_id, event.account, event.object_ref, now
    )


def _nothing(_desk: Desk, _event: Received, _now: datetime) -> None:
    """Stored, and nothing to do: we keep no books on it."""


_FOLLOW: Final[dict[str, Callable[[Desk, Received, datetime], None]]] = {
    Topic.PAYMENT: _payment,
    Topic.DISPUTE: _dispute,
    Topic.WARNING: _warning,
    Topic.ACCOUNT: _account,
    Topic.BANK: _bank,
    Topic.OTHER: _nothing,
}
