"""What a tortured instance must still be: everything answered once, nothing half, all told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Engine, RowMapping, text

from service import books, db
from service.ids import encode
from tests.chaos.aftermath import Aftermath
from tests.chaos.history import Arrival, Written, check_deliveries, check_numbers, check_timers
from tests.chaos.load import Told


def check(
    engine: Engine,
    platform_id: UUID,
    told: Told | None,
    arrivals: Sequence[Arrival] | None,
) -> list[str]:
    """Return all that is wrong with one platform after its load, a line each.

    ``told``: what its clients were answered, or None if they judge the answers themselves.
    ``arrivals``: what reached the platform's receiver, or None if it has none.
    """
    aftermath = Aftermath(engine, platform_id)
    written = aftermath.written()
    return [
        *([] if told is None else _told_otherwise(aftermath, told)),
        *check_numbers(written),
        *_untold(engine, platform_id, written),
        *check_timers(written),
        *aftermath.untold(),
        *([] if arrivals is None else check_deliveries(written, arrivals)),
        *(f"books: {problem}" for problem in books.prove(engine, platform_id).problems),
        *_differences_with_the_provider(engine, platform_id),
    ]


def _told_otherwise(aftermath: Aftermath, told: Told) -> list[str]:
    """Return what differs from what clients were answered.

    Who was refused broke a life off, so what it had begun says nothing more.
    """
    strangers = [] if told.failures else aftermath.strangers(told.lived)
    return [
        *(f"refused: {failure}" for failure in told.failures),
        *(f"told otherwise: {fault}" for fault in aftermath.check(told.lived)),
        *(f"asked for by nobody: {name}" for name in strangers),
    ]


def _untold(engine: Engine, platform_id: UUID, written: Sequence[Written]) -> list[str]:
    """Return the exchanges that count other events than the outbox holds: the last may be gone."""
    count: dict[str, int] = defaultdict(int)
    for event in written:
        if event.exchange is not None:
            count[event.exchange] += 1
    return [
        f"misnumbered: {name} counts {row['event_sequence']} events and {count[name]} are written"
        for row in _rows(engine, platform_id, _COUNTED)
        if count[name := encode("exchange", row["id"])] != row["event_sequence"]
    ]


def _differences_with_the_provider(engine: Engine, platform_id: UUID) -> list[str]:
    """Return where the sandbox provider and our payments say that different money has moved."""
    return [
        f"provider: {encode('payment', row['id'])} ({row['kind']}) is {row['status']} with us"
        f" and {row['theirs']} there"
        for row in _rows(engine, platform_id, _PAYMENTS)
    ] + [
        f"provider: {row['ref']} ({row['kind']} of {row['amount']}) is unknown to us"
        for row in _rows(engine, platform_id, _UNKNOWN)
    ]


def _rows(engine: Engine, platform_id: UUID, statement: str) -> Sequence[RowMapping]:
    with db.transaction(engine, platform_id) as connection:
        return connection.execute(text(statement)).mappings().all()


_COUNTED: Final = "SELECT id, event_sequence FROM service.exchange"

#: What both sides know of a payment; ours may have been tried again, so it is found by the ref.
_PAYMENTS: Final = """
    SELECT p.id, p.kind, p.state AS status, coalesce(o.status, 'unknown') AS theirs
    FROM service.payment p
    LEFT JOIN service.sandbox_object o ON o.platform_id = p.platform_id AND o.ref = p.provider_ref
    WHERE p.provider = 'sandbox'
      AND (p.state = 'succeeded') <> (coalesce(o.status, '') = 'succeeded')
"""
_UNKNOWN: Final = """
    SELECT o.ref, o.kind, o.amount
    FROM service.sandbox_object o
    WHERE o.status = 'succeeded' AND o.kind IN ('collect', 'refund', 'payout')
      AND NOT EXISTS (SELECT FROM service.payment p
                       WHERE p.platform_id = o.platform_id AND p.provider_ref = o.ref)
"""
