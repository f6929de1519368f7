"""Ask the providers what is to be asked: submit, follow events up, look again, call back.

Row first, then the call outside of any transaction, then what it answered in a second one. A
process that dies anywhere between leaves a row that the next sweep finds, and the provider's
idempotency (our payment's id) makes asking again harmless.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Engine, RowMapping, select, text

from service import db
from service.exchanges import reports
from service.exchanges.codes import CodeBook
from service.exchanges.decide import Rules
from service.payments import inbox, payments
from service.payments.inbox import Received
from service.payments.payments import LEASE
from service.payments.port import Object, ProviderRefused, ProviderUnavailable, Request
from service.payments.providers import Providers
from service.payments.sandbox import Sandbox
from service.payments.tables import payment

_log = structlog.get_logger(__name__)

#: How many payments or events one round takes.
BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Desk:
    """What a sweep works with: the database, the providers and the instance's code book."""

    engine: Engine
    providers: Providers
    codes: CodeBook


def make_desk(engine: Engine, code_key: str, clock: Callable[[], datetime]) -> Desk:
    """Return the desk of a process: every provider that this version knows, built once."""
    sandbox = Sandbox(engine, f"sandbox:{code_key}", clock)
    return Desk(engine, Providers(sandbox), CodeBook(code_key))


def run(desk: Desk, now: datetime) -> int:
    """Do everything that is due at ``now``, until nothing is; return how much was done."""
    done = 0
    while True:
        before = done
        done += tell_sandbox(desk, now)
        done += apply_events(desk, now)
        done += ask_providers(desk, now)
        if done == before:
            return done


def tell_sandbox(desk: Desk, now: datetime) -> int:
    """Let the sandbox provider settle what is due and deliver its events to the inbox."""
    sandbox = desk.providers["sandbox"]
    assert isinstance(sandbox, Sandbox)

    def deliver(platform_id: UUID, body: bytes, signature: str) -> None:
        event = sandbox.read_event(body, signature)
        with db.transaction(desk.engine, platform_id) as connection:
            inbox.receive(connection, platform_id, sandbox.name, event, now)

    return sandbox.tick(deliver)


def apply_events(desk: Desk, now: datetime) -> int:
    """Follow up stored events by reading their objects again; return how many were applied."""
    return sum(_apply(desk, event, now) for event in inbox.claim(desk.engine, now, BATCH))


def _apply(desk: Desk, event: Received, now: datetime) -> int:
    with db.transaction(desk.engine, event.platform_id) as connection:
        payment_id = connection.execute(
            select(payment.c.id).where(
                payment.c.platform_id == event.platform_id,
                payment.c.provider == event.provider,
                payment.c.provider_ref == event.object_ref,
            )
        ).scalar_one_or_none()
    if payment_id is None:
        # The event overtook our own record of the call: it will be there the next time.
        inbox.put_off(desk.engine, event, "no payment of ours has this object yet", now)
        return 0
    try:
        db.outside_transaction()
        seen = desk.providers[event.provider].retrieve(event.platform_id, event.object_ref)
        with db.transaction(desk.engine, event.platform_id) as connection:
            reports.report(connection, event.platform_id, payment_id, seen, Rules(now, desk.codes))
            inbox.applied(connection, event, now)
    except Exception as error:  # whatever it is, it must not keep the others waiting
        _log.error("event_put_off", event=event.event_id, exc_info=error)
        inbox.put_off(desk.engine, event, str(error), now)
        return 0
    return 1


_CLAIM: Final = text(
    "UPDATE service.payment AS p SET look_again_at = :until FROM ("
    " SELECT platform_id, id FROM service.payment WHERE look_again_at <= :now"
    " ORDER BY look_again_at LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED) AS due "
    "WHERE p.platform_id = due.platform_id AND p.id = due.id RETURNING p.*"
)


def ask_providers(desk: Desk, now: datetime) -> int:
    """Submit what was never answered, look at what is pending, call back what nobody wants."""
    with db.transaction(desk.engine, db.SYSTEM) as connection:
        rows = (
            connection.execute(_CLAIM, {"now": now, "until": now + LEASE, "limit": BATCH})
            .mappings()
            .all()
        )
    return sum(_ask(desk, row, now) for row in rows)


def submit(desk: Desk, platform_id: UUID, payment_id: UUID, now: datetime) -> None:
    """Submit one payment right after the commit that wrote it, for the caller who waits.

    If the provider does not answer, the sweep goes on where this stopped.
    """
    with db.transaction(desk.engine, platform_id) as connection:
        row = payments.find(connection, platform_id, payment_id)
    if row["settled_at"] is None:  # a request that is sent again may come long after
        _ask(desk, row, now)


def _ask(desk: Desk, row: RowMapping, now: datetime) -> int:
    platform_id = row["platform_id"]
    try:
        seen = _call(desk, row)
        with db.transaction(desk.engine, platform_id) as connection:
            reports.report(connection, platform_id, row["id"], seen, Rules(now, desk.codes))
    except ProviderUnavailable as error:
        _log.warning("provider_unavailable", payment=str(row["id"]), error=str(error))
        _later(desk, row, now)
        return 0
    except Exception as error:  # whatever it is, it must not keep the others waiting
        _log.critical("payment_put_off", payment=str(row["id"]), exc_info=error)
        _later(desk, row, now)
        return 0
    return 1


def _call(desk: Desk, row: RowMapping) -> Object | str:
    """Ask the provider what is to be asked of this row; text is the code of a final refusal.

    Only a request that was never taken can be refused for good. A provider that refuses to cancel
    or to show what it took has told nothing about the money: it is asked again later.
    """
    provider = desk.providers[row["provider"]]
    platform_id, ref = row["platform_id"], row["provider_ref"]
    request = _request(desk, row)
    db.outside_transaction()
    if ref is None:
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
        return provider.retrieve(platform_id, ref)
    except ProviderRefused as refusal:
        raise ProviderUnavailable(str(refusal)) from refusal


def _request(desk: Desk, row: RowMapping) -> Request:
    collect_ref = None
    if row["collect_id"] is not None:
        with db.transaction(desk.engine, row["platform_id"]) as connection:
            collect = payments.find(connection, row["platform_id"], row["collect_id"])
        collect_ref = collect["provider_ref"]
    return Request(
        platform_id=row["platform_id"],
        payment_id=row["id"],
        kind=row["kind"],
        amount=row["amount"],
        unit=row["unit"],
        member_id=row["member_id"],
        exchange_id=row["exchange_id"],
        method=row["method"],
        collect_ref=collect_ref,
    )


def _later(desk: Desk, row: RowMapping, now: datetime) -> None:
    values: dict[str, Any] = {
        "attempts": row["attempts"] + 1,
        "look_again_at": payments.look_again(row["attempts"], now),
    }
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
