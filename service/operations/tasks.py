"""What happens around every round of the worker: its name in each line, its time, its outcome."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import Lock
from time import perf_counter
from typing import Any, Final

import structlog
from celery.signals import task_postrun, task_prerun, worker_ready, worker_shutdown

from service.operations import metrics

_log = structlog.get_logger(__name__)

_began: Final[dict[str, float]] = {}
_stop: Final[list[Callable[[], None]]] = []


@task_prerun.connect
def _begin(task_id: str, task: Any, **_: Any) -> None:
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task=task.name, round=task_id)
    _began[task_id] = perf_counter()


@task_postrun.connect
def _end(task_id: str, task: Any, state: str | None = None, **_: Any) -> None:
    began = _began.pop(task_id, None)
    if began is not None:
        metrics.task_seconds.labels(task.name).observe(perf_counter() - began)
    outcome = "done" if state == "SUCCESS" else "failed"
    metrics.task_runs.labels(task.name, outcome).inc()
    structlog.contextvars.clear_contextvars()


def alone(work: Callable[[], None]) -> Callable[[], None]:
    """Let a round that finds another of its kind still running in this process end at once.

    The schedule begins a round every second or two. Without this, one that waits for a slow mail
    server or provider would soon have company of its own kind in every thread, and the deadlines
    would wait for the mail.
    """
    at_it = Lock()

    @wraps(work)
    def once() -> None:
        if at_it.acquire(blocking=False):
            try:
                work()
            finally:
                at_it.release()

    return once


def serve_metrics(port: Callable[[], int | None]) -> None:
    """Show this worker's metrics on loopback while it works, if a port is given for them."""

    def start(**_: Any) -> None:
        wanted = port()
        if wanted is None:
            return
        try:
            _stop.append(metrics.serve(wanted))
        except OSError as error:  # another worker of this machine has it: work goes before counting
            _log.error("metrics_not_served", port=wanted, error=str(error))

    def stop(**_: Any) -> None:
        while _stop:
            _stop.pop()()

    worker_ready.connect(start, weak=False)
    worker_shutdown.connect(stop, weak=False)
