"""Every metric of a process, in Prometheus' terms. Labels are names from closed lists, never ids.

Each process counts for itself and is scraped by itself: the API at ``GET /metrics``, the worker on
a port of loopback. What stands in the database is the instance's and read when the API is scraped
(:mod:`service.operations.queues`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from time import perf_counter
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

#: Of this process alone; the client library's own default registry is left to others.
registry: Final = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=registry)
PlatformCollector(registry=registry)

_FAST: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SLOW: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
_LATE: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)

http_requests: Final = Counter(
    "tierce_http_requests_total",
    "Requests answered; status is its class, such as 2xx.",
    ("method", "route", "status"),
    registry=registry,
)
http_seconds: Final = Histogram(
    "tierce_http_request_seconds",
    "How long a request took, to the last byte.",
    ("method", "route"),
    buckets=_FAST,
    registry=registry,
)
lane_batch: Final = Histogram(
    "tierce_lane_batch_size",
    "Commands that went in one transaction, by lane.",
    ("lane",),
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
    registry=registry,
)
lane_halved: Final = Counter(
    "tierce_lane_halved_total",
    "Batches that failed as a whole and were halved.",
    ("lane",),
    registry=registry,
)
lane_refused: Final = Counter(
    "tierce_lane_refused_total",
    "Commands told to come again because too many waited.",
    ("lane",),
    registry=registry,
)
postings: Final = Counter(
    "tierce_postings_total", "Postings written to the ledger.", ("kind",), registry=registry
)
timers_fired: Final = Counter(
    "tierce_timers_fired_total", "Steps taken by the clock.", ("step",), registry=registry
)
timers_late: Final = Histogram(
    "tierce_timers_late_seconds",
    "How long after its instant a step of the clock was taken.",
    buckets=_LATE,
    registry=registry,
)
provider_calls: Final = Counter(
    "tierce_provider_calls_total",
    "Calls to payment providers; outcome: answered, refused, unavailable, failed.",
    ("provider", "call", "outcome"),
    registry=registry,
)
provider_seconds: Final = Histogram(
    "tierce_provider_call_seconds",
    "How long a provider took to answer.",
    ("provider", "call"),
    buckets=_SLOW,
    registry=registry,
)
webhook_deliveries: Final = Counter(
    "tierce_webhook_deliveries_total",
    "Attempts to deliver an event to an endpoint.",
    ("outcome",),
    registry=registry,
)
messages: Final = Counter(
    "tierce_messages_total", "Messages to members.", ("channel", "outcome"), registry=registry
)
dead_letters: Final = Counter(
    "tierce_dead_letters_total", "Work that was given up.", ("work",), registry=registry
)
task_runs: Final = Counter(
    "tierce_task_runs_total",
    "Rounds of the worker; outcome: done, failed.",
    ("task", "outcome"),
    registry=registry,
)
task_seconds: Final = Histogram(
    "tierce_task_seconds",
    "How long a round of the worker took.",
    ("task",),
    buckets=_SLOW,
    registry=registry,
)


@contextmanager
def timed(histogram: Histogram, *labels: str) -> Iterator[None]:
    """Observe how long the block took, also when it fails."""
    began = perf_counter()
    try:
        yield
    finally:
        histogram.labels(*labels).observe(perf_counter() - began)


def render(extra: CollectorRegistry | None = None) -> bytes:
    """Return the text of all metrics of this process, and of ``extra`` after them."""
    text: bytes = generate_latest(registry)
    return text if extra is None else text + generate_latest(extra)


def serve(port: int, host: str = "127.0.0.1") -> Callable[[], None]:
    """Serve this process's metrics on loopback, for a process without an API of its own.

    Returns:
        What stops it.

    Raises:
        OSError: the port is taken.
    """
    server: WSGIServer
    thread: Thread
    server, thread = start_http_server(port, addr=host, registry=registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop
