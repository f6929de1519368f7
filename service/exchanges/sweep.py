"""Ask the providers what is to be asked: submit, follow events up, look again, call back.

Row first, then the call outside of any transaction, then what it answered in a second one. A
process that dies anywhere between leaves a row that the next sweep finds, and the provider's
idempotency (our payment's id) makes asking again harmless.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import RowMapping

from service import db
from service.exchanges import contested_looks, evidence, follow, payouts, poison, reports
from service.exchanges.decide import Rules
from service.exchanges.desk import Desk, at_once
from service.exchanges.requests import NotYet, build
from service.operations.dead_letters import is_passing
from service.payments import inbox, payments
from service.payments.port import (
    AmountDiffers,
    Object,
    ProviderRefused,
    ProviderUnavailable,
)
from service.payments.sandbox import Sandbox
from service.payments.tables import payment
from service.platforms.clocks import swept

_log = structlog.get_logger(__name__)

#: How many payments one round takes.
BATCH: Final = 20
#: A round's payments are left alone by other workers this long: five calls one after another.
ASK_LEASE: Final = timedelta(minutes=2)


def run(desk: Desk, now: datetime, only: UUID | None = None) -> int:
    """Do everything that is due at ``now``, until nothing is; return how much was done.

    ``only`` keeps to one platform, which may have a time of its own.
    """
    done = 0
    while True:
        before = done
        done += tell_sandbox(desk, now, only)
        done += follow.apply_events(desk, now, only)
        done += ask_providers(desk, now, only)
        done += payouts.follow_stale(desk.engine, desk.providers, now, only)
        done += contested_looks.look_again(desk, now, only)
        done += evidence.answer_due(desk, now, only)
        if done == before:
            return done


def tell_sandbox(desk: Desk, now: datetime, only: UUID | None = None) -> int:
    """Let the sandbox provider settle what is due and deliver its events to the inbox."""
    sandbox = desk.providers["sandbox"]
    assert isinstance(sandbox, Sandbox)

    def deliver(platform_id: UUID, body: bytes, signature: str) -> None:
        event = sandbox.read_event(platform_id, "platform", body, signature)
        with db.transaction(desk.engine, platform_id) as connection:
            inbox.receive(connection, platform_id, sandbox.name, event, now)

    return sandbox.tick(deliver, only)


_CLAIM: Final = swept(
    "payment.platform_id",
    # Counted before it is asked: what was never counted has never reached the provider.
    "UPDATE service.payment AS p SET look_again_at = :until, "
    "attempts = p.attempts + CASE WHEN p.provider_ref IS NULL THEN 1 ELSE 0 END FROM ("
    " SELECT platform_id, id FROM service.payment WHERE look_again_at <= :now"
    " AND {of_scope}"
    " ORDER BY look_again_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED) AS due "
    "WHERE p.platform_id = due.platform_id AND p.id = due.id RETURNING p.*",
)


def ask_providers(desk: Desk, now: datetime, only: UUID | None = None) -> int:
    """Submit what was never answered, look at what is pending, call back what nobody wants.

    A few at the same time: a provider that answers slowly does not hold the others up.
    """
    with db.transaction(desk.engine, db.SYSTEM) as connection:
        values = {"now": now, "until": now + ASK_LEASE, "limit": BATCH, "only": only}
        rows = connection.execute(_CLAIM, values).mappings().all()
    rows = sorted(rows, key=itemgetter("id"))
    return sum(at_once(partial(_ask, desk, now=now), rows, apart=only is None))


def submit(desk: Desk, platform_id: UUID, payment_id: UUID, now: datetime) -> None:
    """Submit one payment right after the commit that wrote it, for the caller who waits.

    A collection that it set free (a price whose deposit is now blocked) is submitted as well. If
    the provider does not answer, the sweep goes on where this stopped.
    """
    with db.transaction(desk.engine, platform_id) as connection:
        row = payments.find(connection, platform_id, payment_id)
    # A request that is sent again may come long after.
    if row["settled_at"] is not None or row["waiting"]:
        return
    _ask(desk, row, now)
    with db.transaction(desk.engine, platform_id) as connection:
        rows = payments.set_free(connection, platform_id, payment_id)
    for follower in rows:
        _ask(desk, follower, now)


def _ask(desk: Desk, row: RowMapping, now: datetime) -> int:
    platform_id = row["platform_id"]
    try:
        seen = _call(desk, row)
        with db.transaction(desk.engine, platform_id) as connection:
            reports.report(connection, platform_id, row["id"], seen, Rules(now, desk.codes))
    except NotYet as reason:
        _log.info("payment_waits", payment=str(row["id"]), reason=str(reason))
        _not_asked(desk, row, now)
        return 0
    except ProviderUnavailable as error:
        _log.warning("provider_unavailable", payment=str(row["id"]), error=str(error))
        _later(desk, row, now, error.retry_after)
        return 0
    except AmountDiffers as error:
        _log.critical("amount_differs", payment=str(row["id"]), error=str(error))
        with db.transaction(desk.engine, platform_id) as connection:
            reports.alert(connection, platform_id, row["id"], str(error), now)
        _later(desk, row, now)
        return 0
    except Exception as error:  # whatever it is, it must not keep the others waiting
        _log.critical("payment_put_off", payment=str(row["id"]), exc_info=error)
        _failed(desk, row, error, now)
        return 0
    if row["failures"]:
        _write(desk, row, failures=0)
    return 1


def _failed(desk: Desk, row: RowMapping, error: Exception, now: datetime) -> None:
    if is_passing(error):
        _later(desk, row, now)
        return
    with db.transaction(desk.engine, row["platform_id"]) as connection:
        poison.payment_failed(connection, row, error, now)


def _call(desk: Desk, row: RowMapping) -> Object | str:
    """Ask the provider what is to be asked of this row; text is the code of a final refusal.

    Only a request that was never taken can be refused for good. A provider that refuses to cancel
    or to show what it took has told nothing about the money: it is asked again later.
    """
    provider = desk.providers[row["provider"]]
    platform_id, ref = row["platform_id"], row["provider_ref"]
    request = build(desk, row) if ref is None else None
    db.outside_transaction()
    if request is not None:
        # Even a payment nobody wants any more is asked for: an earlier call may have reached the
        # provider, and only its answer tells what there is to call back.
        try:
            seen = provider.submit(request)
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


def _later(desk: Desk, row: RowMapping, now: datetime, seconds: float | None = None) -> None:
    at = payments.look_again(row["attempts"], now)
    if seconds is not None:  # the provider knows best when it can be asked
        at = now + timedelta(seconds=seconds)
    counted = row["provider_ref"] is None
    _write(desk, row, look_again_at=at, attempts=row["attempts"] + (0 if counted else 1))


def _not_asked(desk: Desk, row: RowMapping, now: datetime) -> None:
    """Leave a payment for later that was taken up and, in the end, not asked for."""
    attempts = max(0, row["attempts"] - 1)
    _write(desk, row, look_again_at=now + payments.WANTED_LOOK, attempts=attempts)


def _write(desk: Desk, row: RowMapping, **values: Any) -> None:
    with db.transaction(desk.engine, row["platform_id"]) as connection:
        connection.execute(
            payment.update()
            .where(
                payment.c.platform_id == row["platform_id"],
                payment.c.id == row["id"],
                payment.c.settled_at.is_(None),
            )
            .values(**values)
        )
