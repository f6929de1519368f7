"""What waits in the database, since when, and what stands still: read when somebody asks.

One statement, whose parts each read the head of an index; nothing is counted beyond :data:`MOST`.
Lateness is in real time; a sandbox platform whose own clock is ahead is not late for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection, TextClause, text

from disputes.model import Stage
from disputes.queue import WAITS
from service.operations.dead_letters import WORKS

#: Where a case can stand while it is open.
_STAGES: Final = [stage for stage in Stage if stage is not Stage.CLOSED]
#: No queue is counted beyond this: more says nothing new, and would cost more.
MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Gauge:
    """A metric, and the query of its values: ``label, value``."""

    name: str
    words: str
    query: str
    label: str | None = None


def _queue(name: str, words: str, table: str, due: str) -> tuple[_Gauge, _Gauge]:
    """Return how many rows of a table are due, and for how long the first has been."""
    count = (
        f"SELECT NULL, count(*) FROM (SELECT FROM {table} "  # noqa: S608 - names of our own
        f"WHERE {due} <= :now LIMIT :most) AS due"
    )
    oldest = (
        "SELECT NULL, coalesce(extract(epoch FROM CAST(:now AS timestamptz) - "  # noqa: S608
        f"(SELECT min({due}) FROM {table} WHERE {due} <= :now)), 0)"
    )
    return (
        _Gauge(f"tierce_{name}_due", f"{words} that wait now, counted to {MOST}.", count),
        _Gauge(f"tierce_{name}_oldest_seconds", "How long the first of these waited.", oldest),
    )


_UNREAD: Final = "FROM service.event AS e WHERE (e.tx, e.id) > (f.tx, f.id)"

_GAUGES: Final = (
    *_queue("timers", "Steps of the clock", "service.timer", "due_at"),
    *_queue("payments", "Payments to ask a provider about", "service.payment", "look_again_at"),
    *_queue("provider_events", "Events of providers", "service.provider_event", "try_at"),
    *_queue("webhooks", "Deliveries to endpoints", "service.webhook_delivery", "next_at"),
    *_queue("messages", "Messages to members", "service.message", "due_at"),
    _Gauge(
        "tierce_feed_waiting",
        f"Events that a reader of the outbox has not read, counted to {MOST}.",
        f"SELECT f.consumer, (SELECT count(*) FROM (SELECT {_UNREAD} LIMIT :most) AS unread) "  # noqa: S608
        "FROM service.feed AS f",
        "consumer",
    ),
    _Gauge(
        "tierce_feed_lag_seconds",
        "Age of the first event that a reader of the outbox has not read.",
        "SELECT f.consumer, coalesce(greatest(0, extract(epoch FROM clock_timestamp() - "  # noqa: S608
        f"uuid_extract_timestamp((SELECT e.id {_UNREAD} ORDER BY e.tx, e.id LIMIT 1)))), 0) "
        "FROM service.feed AS f",
        "consumer",
    ),
    _Gauge(
        "tierce_dead_letters_open",
        "Work that was given up and not taken up again.",
        "SELECT w.work, count(d.id) FROM unnest(CAST(:works AS text[])) AS w(work) "
        "LEFT JOIN service.dead_letter AS d ON d.work = w.work AND d.resolved_at IS NULL "
        "GROUP BY w.work",
        "work",
    ),
    _Gauge(
        "tierce_payouts_stopped_platforms",
        "Platforms whose payouts are stopped.",
        "SELECT NULL, count(*) FROM service.payout_stop WHERE cleared_at IS NULL",
    ),
    _Gauge(
        "tierce_differences_open",
        "Differences between the books and a provider's that nobody explained.",
        "SELECT NULL, count(*) FROM service.reconciliation_difference WHERE resolved_at IS NULL "
        "AND kind <> 'in_flight'",
    ),
    _Gauge(
        "tierce_suspense_open",
        "Differences whose amount stands in suspense.",
        "SELECT NULL, count(*) FROM service.reconciliation_difference "
        "WHERE resolved_at IS NULL AND suspended",
    ),
    _Gauge(
        "tierce_books_problems",
        "Problems that the last audit of the books found.",
        "SELECT NULL, problems FROM service.proof WHERE what = 'books'",
    ),
    _Gauge(
        "tierce_books_proved_timestamp_seconds",
        "When the books were last audited, in Unix time; nothing before the first audit.",
        "SELECT NULL, extract(epoch FROM proved_at) FROM service.proof WHERE what = 'books'",
    ),
    _Gauge(
        "tierce_cases_open",
        f"Cases that are not closed, by stage, counted to {MOST}.",
        "SELECT s.stage, count(c.stage) FROM unnest(CAST(:stages AS text[])) AS s(stage) "
        "LEFT JOIN (SELECT stage FROM disputes.case WHERE closed_at IS NULL LIMIT :most) AS c "
        "ON c.stage = s.stage GROUP BY s.stage",
        "stage",
    ),
    _Gauge(
        "tierce_cases_waiting",
        f"Cases in which a neutral has to act and nobody is found, counted to {MOST}.",
        "SELECT NULL, count(*) FROM (SELECT FROM disputes.case AS c "  # noqa: S608 - our own words
        f"WHERE c.closed_at IS NULL AND {WAITS} LIMIT :most) AS waiting",
    ),
    _Gauge(
        "tierce_cases_waiting_seconds",
        "For how long the first of them has been in its stage.",
        "SELECT NULL, coalesce(greatest(0, extract(epoch FROM CAST(:now AS timestamptz) - "  # noqa: S608
        "min(c.stage_since))), 0) FROM disputes.case AS c "
        f"WHERE c.closed_at IS NULL AND {WAITS}",
    ),
    _Gauge(
        "tierce_processes_alive",
        "Processes seen within a minute.",
        "SELECT k.kind, count(h.process) FROM (VALUES ('api'), ('worker')) AS k(kind) "
        "LEFT JOIN service.heartbeat AS h ON h.kind = k.kind "
        "AND h.seen_at > CAST(:now AS timestamptz) - interval '1 minute' GROUP BY k.kind",
        "kind",
    ),
)


def _statement(gauges: Iterable[_Gauge]) -> TextClause:
    parts = (
        f"SELECT '{one.name}' AS name, CAST(q.label AS text) AS label, "  # noqa: S608
        f"CAST(q.value AS float8) AS value FROM ({one.query}) AS q(label, value)"
        for one in gauges
    )
    return text(" UNION ALL ".join(parts))


_READ: Final = _statement(_GAUGES)

Reading = Mapping[tuple[str, str | None], float]


def read(connection: Connection, now: datetime) -> Reading:
    """Return each gauge's value by name and label, in the system's scope."""
    rows = connection.execute(
        _READ, {"now": now, "most": MOST, "works": list(WORKS), "stages": _STAGES}
    )
    return {(row.name, row.label): row.value for row in rows}


class _Read(Collector):
    """What was read, in Prometheus' terms."""

    def __init__(self, reading: Reading, broker_up: bool) -> None:
        self._reading = reading
        self._broker_up = broker_up

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for one in _GAUGES:
            labels = [] if one.label is None else [one.label]
            family = GaugeMetricFamily(one.name, one.words, labels=labels)
            for (name, label), value in self._reading.items():
                if name == one.name:
                    family.add_metric([] if label is None else [label], value)
            yield family
        up = GaugeMetricFamily("tierce_broker_up", "Whether Redis answers: 1 or 0.")
        up.add_metric([], float(self._broker_up))
        yield up


def registry_of(reading: Reading, *, broker_up: bool) -> CollectorRegistry:
    """Return what was read as a registry to be rendered."""
    made = CollectorRegistry()
    made.register(_Read(reading, broker_up))
    return made
