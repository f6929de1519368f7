"""All that is between us and the providers: submit, follow events up, look again, call back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Final
from uuid import UUID

from service import db
from service.exchanges import asking, contested_looks, evidence, follow, payouts
from service.exchanges.desk import Desk
from service.exchanges.together import by_platform
from service.payments import inbox, payments
from service.payments.sandbox import Sandbox
from service.platforms.clocks import swept

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

    def deliver(told: Sequence[tuple[UUID, bytes, str]]) -> None:
        for platform_id, some in by_platform(told, itemgetter(0)).items():
            events = [
                (sandbox.name, sandbox.read_event(platform_id, "platform", body, signature))
                for _, body, signature in some
            ]
            with db.transaction(desk.engine, platform_id) as connection:
                inbox.receive(connection, platform_id, events, now)

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
    return asking.ask_all(desk, rows, now, apart=only is None)


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
        (ask,) = asking.prepare(connection, platform_id, [row])
    followers = asking.ask_one(desk, ask, now)
    if followers:
        asking.ask_all(desk, followers, now, apart=False)
