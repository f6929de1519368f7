"""Ask providers for payments and record what they answer, for as many together as there are.

Row first, then the call outside of any transaction, then what it answered in a second one. A
process that dies anywhere between leaves a row that the next sweep finds, and the provider's
idempotency (our payment's id) makes asking again harmless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, RowMapping, text

from service import db
from service.exchanges import poison, reports
from service.exchanges.decide import Rules
from service.exchanges.desk import Desk, in_waves
from service.exchanges.reports import Told
from service.exchanges.requests import NotYet, build
from service.exchanges.together import by_platform, together
from service.operations.dead_letters import is_passing, loudly
from service.payments import payments
from service.payments.port import (
    AmountDiffers,
    Object,
    ProviderRefused,
    ProviderUnavailable,
    Request,
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ask:
    """A payment's row and, if the provider has never answered for it, the request to make."""

    row: RowMapping
    request: Request | None = None
    #: Why nothing is asked after all.
    stopped: Exception | None = None

    @property
    def platform_id(self) -> UUID:
        """The platform whose payment it is."""
        found: UUID = self.row["platform_id"]
        return found


@dataclass(frozen=True, slots=True)
class Said:
    """What the provider answered: an object, the code of a final refusal, or why it did not."""

    ask: Ask
    answer: Object | str | Exception


def prepare(connection: Connection, platform_id: UUID, rows: Sequence[RowMapping]) -> list[Ask]:
    """Return what is to be asked for rows of one platform, in order."""
    new = [row for row in rows if row["provider_ref"] is None]
    requests = build(connection, platform_id, new) if new else {}
    asks = []
    for row in rows:
        request = requests.get(row["id"])
        if isinstance(request, NotYet):
            asks.append(Ask(row, stopped=request))
        else:
            asks.append(Ask(row, request))
    return asks


def ask_all(desk: Desk, rows: Sequence[RowMapping], now: datetime, *, apart: bool) -> int:
    """Ask for rows of any platforms and record the answers; return how many were recorded.

    ``apart``: as :func:`service.exchanges.desk.in_waves` says.
    """
    asks: list[Ask] = []
    for platform_id, some in by_platform(rows, lambda row: row["platform_id"]).items():
        try:
            with db.transaction(desk.engine, platform_id) as connection:
                asks += prepare(connection, platform_id, some)
        except Exception as error:  # whatever it is, it must not keep other platforms waiting
            asks += [Ask(row, stopped=error) for row in some]
    waves = in_waves(partial(call, desk), asks, apart=apart)
    return sum(_record(desk, [said for _, said in wave], now) for wave in waves)


def ask_one(desk: Desk, ask: Ask, now: datetime) -> Sequence[RowMapping]:
    """Ask for one payment and record the answer; return what it set free to be asked for next."""
    freed: list[RowMapping] = []
    _record(desk, [call(desk, ask)], now, freed)
    return freed


def call(desk: Desk, ask: Ask) -> Said:
    """Ask the provider, outside of any transaction; whatever it is, it is an answer."""
    try:
        return Said(ask, _said(desk, ask))
    except Exception as error:  # whatever it is, it must not keep the others waiting
        return Said(ask, error)


def _said(desk: Desk, ask: Ask) -> Object | str:
    """Ask the provider what is to be asked of this row; text is the code of a final refusal.

    Only a request that was never taken can be refused for good. A provider that refuses to cancel
    or to show what it took has told nothing about the money: it is asked again later.
    """
    if ask.stopped is not None:
        raise ask.stopped
    row = ask.row
    provider = desk.providers[row["provider"]]
    platform_id, ref = row["platform_id"], row["provider_ref"]
    db.outside_transaction()
    if ask.request is not None:
        # Even a payment nobody wants any more is asked for: an earlier call may have reached the
        # provider, and only its answer tells what there is to call back.
        try:
            seen = provider.submit(ask.request)
        except ProviderRefused as refusal:
            return refusal.failure
        if not row["cancel_wanted"]:
            return seen
        ref = seen.ref
    try:
        if row["cancel_wanted"]:
            return provider.cancel(platform_id, ref)
        if row["capture_wanted"] is not None:
            return provider.capture(platform_id, row["id"], ref, row["capture_wanted"])
        return provider.retrieve(platform_id, ref)
    except ProviderRefused as refusal:
        raise ProviderUnavailable(str(refusal)) from refusal


def record(connection: Connection, platform_id: UUID, said: Sequence[Said], rules: Rules) -> None:
    """Record, in the caller's transaction, what was answered, and put off what was not.

    Raises:
        Exception: as :func:`service.exchanges.reports.report` does; nothing is to be committed.
    """
    failed = _unanswered(said)
    told = _told(said)
    outcomes = reports.report(connection, platform_id, [one for _, one in told], rules)
    failed += [
        (row, error) for (row, _), error in zip(told, outcomes, strict=True) if error is not None
    ]
    _put_off(connection, platform_id, failed, rules.now)


def _record(
    desk: Desk, said: Sequence[Said], now: datetime, freed: list[RowMapping] | None = None
) -> int:
    """Record answers; return how many were. ``freed`` gets what they set free, if it is wanted."""
    done = 0
    for platform_id, some in by_platform(said, lambda one: one.ask.platform_id).items():
        failed, told = _unanswered(some), _told(some)
        if told:
            work = partial(_report, platform_id, Rules(now, desk.codes), freed)
            outcomes = together(desk.engine, platform_id, [one for _, one in told], work)
            done += outcomes.count(None)
            if freed is not None and None not in outcomes:
                freed.clear()  # what a transaction read that did not commit is not true
            failed += [
                (row, error)
                for (row, _), error in zip(told, outcomes, strict=True)
                if error is not None
            ]
        if failed:
            with db.transaction(desk.engine, platform_id) as connection:
                _put_off(connection, platform_id, failed, now)
    return done


def _unanswered(said: Sequence[Said]) -> list[tuple[RowMapping, Exception]]:
    return [(one.ask.row, one.answer) for one in said if isinstance(one.answer, Exception)]


def _told(said: Sequence[Said]) -> list[tuple[RowMapping, Told]]:
    return [
        (one.ask.row, Told(one.ask.row["id"], one.answer))
        for one in said
        if not isinstance(one.answer, Exception)
    ]


def _report(
    platform_id: UUID,
    rules: Rules,
    freed: list[RowMapping] | None,
    connection: Connection,
    told: Sequence[Told],
) -> list[Exception | None]:
    outcomes = reports.report(connection, platform_id, told, rules)
    if freed is not None:
        freed += payments.set_free(connection, platform_id, [one.payment_id for one in told])
    return outcomes


#: Told to be asked for again: when, and how often it has been tried.
_LATER: Final = text(
    "UPDATE service.payment AS p SET look_again_at = l.at, attempts = l.attempts "
    "FROM unnest(CAST(:ids AS uuid[]), CAST(:at AS timestamptz[]), CAST(:attempts AS integer[])) "
    "AS l(id, at, attempts) "
    "WHERE p.platform_id = :platform_id AND p.id = l.id AND p.settled_at IS NULL"
)


def _put_off(
    connection: Connection,
    platform_id: UUID,
    failed: Sequence[tuple[RowMapping, Exception]],
    now: datetime,
) -> None:
    later: list[tuple[UUID, datetime, int]] = []
    for row, error in failed:
        if (when := _later(row, error, now)) is None:
            poison.payment_failed(connection, row, error, now)
        else:
            later.append((row["id"], *when))
    differ = {row["id"]: str(error) for row, error in failed if isinstance(error, AmountDiffers)}
    if differ:
        reports.alert(connection, platform_id, differ, now)
    if later:
        values = {
            "ids": [one for one, _, _ in later],
            "at": [at for _, at, _ in later],
            "attempts": [attempts for _, _, attempts in later],
        }
        connection.execute(_LATER, {"platform_id": platform_id, **values})


def _later(row: RowMapping, error: Exception, now: datetime) -> tuple[datetime, int] | None:
    """Return when to ask again and how often it was tried; None if the fault is ours."""
    attempts = row["attempts"] + (0 if row["provider_ref"] is None else 1)
    at, payment = payments.look_again(row["attempts"], now), str(row["id"])
    if isinstance(error, NotYet):
        # Taken up and, in the end, not asked for.
        _log.info("payment_waits", payment=payment, reason=str(error))
        return now + payments.WANTED_LOOK, max(0, row["attempts"] - 1)
    if isinstance(error, ProviderUnavailable):
        _log.warning("provider_unavailable", payment=payment, error=str(error))
        if error.retry_after is not None:  # the provider knows best when it can be asked
            at = now + timedelta(seconds=error.retry_after)
        return at, attempts
    if isinstance(error, AmountDiffers):
        _log.critical("amount_differs", payment=payment, error=str(error))
        return at, attempts
    loudly(_log, error)("payment_put_off", payment=payment, exc_info=error)
    return (at, attempts) if is_passing(error) else None
