"""What webhooks lost: the provider's own list of events, read into the inbox.

A webhook is a courtesy. The list of events is complete for 30 days, so a platform whose endpoint
was down, or never told, misses nothing: the inbox takes each event once, however it came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Engine

from service import db
from service.payments import connections, inbox
from service.payments.port import Event, ProviderUnavailable
from service.payments.providers import Providers
from service.platforms import clocks

_log = structlog.get_logger(__name__)

#: A connection is asked this often.
EVERY: Final = timedelta(minutes=10)
#: Events are read again from this long before the mark: one that was made just before may have been
#: listed just after.
OVERLAP: Final = timedelta(hours=1)
#: Stripe lists events of 30 days; a day is left for clocks.
FURTHEST: Final = timedelta(days=29)
_BATCH: Final = 100


def poll(engine: Engine, providers: Providers, now: datetime) -> int:
    """Read the events of every connection that is due at ``now``; return how many were new.

    One connection that cannot be read keeps no other from being read.
    """
    with db.transaction(engine, db.SYSTEM) as connection:
        due = connections.unseen(connection, now - EVERY)
    return sum(_poll(engine, providers, platform_id, seen, now) for platform_id, seen in due)


def _poll(
    engine: Engine, providers: Providers, platform_id: UUID, seen: datetime, now: datetime
) -> int:
    since = max(seen - OVERLAP, now - FURTHEST)
    if since > seen:
        _log.critical("events_out_of_reach", platform=str(platform_id), since=seen, until=since)
    provider = providers[connections.STRIPE]
    new = 0
    try:
        db.outside_transaction()
        for events in _batches(provider.events_since(platform_id, since)):
            new += _store(engine, platform_id, provider.name, events, now)
        with db.transaction(engine, platform_id) as connection:
            connections.mark_events(connection, platform_id, now)
    except ProviderUnavailable as error:
        _log.warning("poll_put_off", platform=str(platform_id), error=str(error))
    except Exception as error:  # whatever it is, it must not keep the others waiting
        _log.error("poll_failed", platform=str(platform_id), exc_info=error)
    return new


def _batches(events: Iterable[Event]) -> Iterable[Sequence[Event]]:
    """Take events by the hundred: each is asked for outside, and stored inside, a transaction."""
    iterator = iter(events)
    while batch := list(islice(iterator, _BATCH)):
        yield batch


def _store(
    engine: Engine, platform_id: UUID, provider: str, events: Sequence[Event], now: datetime
) -> int:
    with db.transaction(engine, platform_id) as connection:
        at = clocks.now_at(connection, platform_id, now)
        return len(inbox.receive(connection, platform_id, [(provider, one) for one in events], at))
