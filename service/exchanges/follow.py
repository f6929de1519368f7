"""Follow a provider's events up: read their objects again, whatever the events said.

An event that comes twice, late, early or out of order therefore changes nothing that the object
itself would not. One that speaks of nothing we know is tried again for a day, for it may have
overtaken our own record, and is then refused with its reason.

Those about payments are what comes most: what providers say of them is recorded for as many
together as have been read, each table in one statement (:mod:`service.exchanges.reports`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, RowMapping

from ledger.refusals import Refusal
from service import db
from service.exchanges import chargebacks, payouts, poison, reports
from service.exchanges.decide import Rules
from service.exchanges.desk import Desk, at_once, in_waves
from service.exchanges.reports import Told
from service.exchanges.together import by_platform, together
from service.operations.dead_letters import is_passing, words
from service.payments import bank_payouts, inbox, payments
from service.payments.inbox import Received
from service.payments.payee import UnknownProviderObject
from service.payments.port import AmountDiffers, Object, ProviderRefused, ProviderUnavailable, Topic

_log = structlog.get_logger(__name__)

#: How many events one round takes.
BATCH: Final = 100
#: How long an event may speak of something unknown before it is refused.
PATIENCE: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Subject:
    """All stored events that speak of one object; ``row``: the payment that it is, if it is one."""

    events: tuple[Received, ...]
    row: RowMapping | None = None

    @property
    def first(self) -> Received:
        return self.events[0]

    @property
    def platform_id(self) -> UUID:
        return self.first.platform_id


#: What became of a subject: followed up (None), or why it was not.
_Outcome = tuple[_Subject, Exception | None]


def apply_events(desk: Desk, now: datetime, only: UUID | None = None) -> int:
    """Follow up stored events; return how many were applied.

    All that speak of one object are followed up by reading it once, after the last of them came.
    """
    about: dict[tuple[object, ...], list[Received]] = defaultdict(list)
    for event in inbox.claim(desk.engine, now, BATCH, only):
        key = (event.platform_id, event.provider, event.topic, event.object_ref, event.account)
        about[key].append(event)
    subjects = [_Subject(tuple(events)) for events in about.values()]
    of_payments = [one for one in subjects if one.first.topic == Topic.PAYMENT]
    others = [one for one in subjects if one.first.topic != Topic.PAYMENT]
    apart = only is None
    done = _follow_payments(desk, of_payments, now, apart=apart)
    outcomes = at_once(partial(_follow, desk, now), others, apart=apart)
    for platform_id, some in by_platform(outcomes, _platform).items():
        followed = [one for one, error in some if error is None]
        with db.transaction(desk.engine, platform_id) as connection:
            inbox.applied(connection, platform_id, _events(followed), now)
    return done + _conclude(desk, outcomes, now)


def _platform(outcome: _Outcome) -> UUID:
    return outcome[0].platform_id


def _events(subjects: Iterable[_Subject]) -> list[Received]:
    return list(chain.from_iterable(one.events for one in subjects))


def _follow_payments(
    desk: Desk, subjects: Sequence[_Subject], now: datetime, *, apart: bool
) -> int:
    """Collections, refunds, payouts or reversals of ours moved."""
    asked = _find(desk, subjects)
    known = [one for one in asked if one.row is not None]
    done = _conclude(desk, [(one, _unknown(one)) for one in asked if one.row is None], now)
    for wave in in_waves(partial(_retrieve, desk), known, apart=apart):
        outcomes: list[_Outcome] = [
            (one, said) for one, said in wave if isinstance(said, Exception)
        ]
        answered = [(one, said) for one, said in wave if isinstance(said, Object)]
        for platform_id, some in by_platform(answered, lambda pair: pair[0].platform_id).items():
            work = partial(_record, platform_id, Rules(now, desk.codes))
            recorded = together(desk.engine, platform_id, some, work)
            outcomes += zip([one for one, _ in some], recorded, strict=True)
        _alert(desk, outcomes, now)
        done += _conclude(desk, outcomes, now)
    return done


def _find(desk: Desk, subjects: Sequence[_Subject]) -> list[_Subject]:
    """Return the subjects with the payments that they are, of those that the provider knows."""
    found = []
    for platform_id, some in by_platform(subjects, lambda one: one.platform_id).items():
        refs: dict[str, set[str]] = defaultdict(set)
        for one in some:
            refs[one.first.provider].add(one.first.object_ref)
        with db.transaction(desk.engine, platform_id) as connection:
            rows = {
                (provider, ref): row
                for provider, asked in refs.items()
                for ref, row in payments.of_refs(connection, platform_id, provider, asked).items()
                if row["provider_ref"] is not None
            }
        found += [
            _Subject(one.events, rows.get((one.first.provider, one.first.object_ref)))
            for one in some
        ]
    return found


def _unknown(subject: _Subject) -> Exception:
    return UnknownProviderObject(f"No payment of this platform has {subject.first.object_ref}.")


def _retrieve(desk: Desk, subject: _Subject) -> Object | Exception:
    assert subject.row is not None
    db.outside_transaction()
    provider = desk.providers[subject.first.provider]
    try:
        return provider.retrieve(subject.platform_id, subject.row["provider_ref"])
    except Exception as error:  # whatever it is, it must not keep the others waiting
        return error


def _record(
    platform_id: UUID,
    rules: Rules,
    connection: Connection,
    answered: Sequence[tuple[_Subject, Object]],
) -> list[Exception | None]:
    told = [Told(one.row["id"], seen) for one, seen in answered if one.row is not None]
    outcomes = reports.report(connection, platform_id, told, rules)
    followed = [
        one for (one, _), refused in zip(answered, outcomes, strict=True) if refused is None
    ]
    inbox.applied(connection, platform_id, _events(followed), rules.now)
    return outcomes


def _alert(desk: Desk, outcomes: Sequence[_Outcome], now: datetime) -> None:
    differ = [one for one in outcomes if isinstance(one[1], AmountDiffers)]
    for platform_id, some in by_platform(differ, _platform).items():
        reasons = {one.row["id"]: str(error) for one, error in some if one.row is not None}
        with db.transaction(desk.engine, platform_id) as connection:
            reports.alert(connection, platform_id, reasons, now)


def _follow(desk: Desk, now: datetime, subject: _Subject) -> _Outcome:
    """Follow up what is not a payment: each has a reading and rules of its own."""
    try:
        _FOLLOW[subject.first.topic](desk, subject.first, now)
    except Exception as error:  # whatever it is, it must not keep the others waiting
        return subject, error
    return subject, None


def _conclude(desk: Desk, outcomes: Sequence[_Outcome], now: datetime) -> int:
    """Put off or refuse what was not followed up; return how many events were."""
    for platform_id, some in by_platform(outcomes, _platform).items():
        put_off: list[tuple[Received, str]] = []
        refuse: list[tuple[Received, str]] = []
        for subject, error in some:
            if error is None:
                continue
            for event in subject.events:
                if (note := _note(event, error)) is None:
                    with db.transaction(desk.engine, platform_id) as connection:
                        poison.event_failed(connection, event, error, now)
                else:
                    (refuse if _is_over(event, error, now) else put_off).append((event, note))
        if put_off or refuse:
            with db.transaction(desk.engine, platform_id) as connection:
                inbox.put_off(connection, platform_id, put_off, now)
                inbox.refuse(connection, platform_id, refuse, now)
    return len(_events(one for one, error in outcomes if error is None))


def _note(event: Received, error: Exception) -> str | None:
    """Return what is kept with an event that was not followed up; None if the fault is ours."""
    if isinstance(error, AmountDiffers):
        _log.critical("amount_differs", provider_event=event.event_id, error=str(error))
        return str(error)
    if isinstance(error, Refusal | ProviderRefused | ProviderUnavailable):
        return str(error)
    _log.error("event_put_off", provider_event=event.event_id, exc_info=error)
    return words(error) if is_passing(error) else None


def _is_over(event: Received, error: Exception, now: datetime) -> bool:
    """Tell whether an event is refused for good, not tried again."""
    if isinstance(error, AmountDiffers):
        return True
    too_late = now - event.received_at >= PATIENCE
    if not isinstance(error, Refusal | ProviderRefused) or not too_late:
        return False
    _log.warning("event_refused", provider_event=event.event_id, reason=str(error))
    return True


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
    Topic.DISPUTE: _dispute,
    Topic.WARNING: _warning,
    Topic.ACCOUNT: _account,
    Topic.BANK: _bank,
    Topic.OTHER: _nothing,
}
