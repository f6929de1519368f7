"""Around every round of the worker: its name in each line, its time and its outcome counted."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog
from celery import Celery

from service.app import create_app
from service.exchanges.desk import at_once
from service.log import configure
from service.operations import dead_letters, metrics
from service.operations.tasks import serve_metrics

app = Celery("a test")


@app.task(name="test.well")
def well() -> None:
    """Say something, also from the threads that ask providers."""
    structlog.get_logger("well").info("here")
    at_once(lambda one: structlog.get_logger("well").info("there", one=one) or 1, [1, 2])


@app.task(name="test.ill")
def ill() -> None:
    """Fail."""
    raise ValueError("boom")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure("info", as_json=True, stream=stream)
    yield stream
    configure("info")


def _runs(task: str, outcome: str) -> float:
    labels = {"task": task, "outcome": outcome}
    return metrics.registry.get_sample_value("tierce_task_runs_total", labels) or 0.0


def test_every_line_of_a_round_names_its_task(lines: io.StringIO) -> None:
    serve_metrics(lambda: None)
    well.apply()
    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    said = [line for line in found if line["event"] in {"here", "there"}]
    assert len(said) == 3
    assert {line["task"] for line in said} == {"test.well"}
    assert len({line["round"] for line in said}) == 1
    assert structlog.contextvars.get_contextvars() == {}


def test_rounds_are_counted_by_how_they_ended(lines: io.StringIO) -> None:
    done, failed = _runs("test.well", "done"), _runs("test.ill", "failed")
    well.apply()
    ill.apply()
    assert (_runs("test.well", "done"), _runs("test.ill", "failed")) == (done + 1, failed + 1)


def test_the_api_can_take_up_again_whatever_is_given_up() -> None:
    create_app()
    assert dead_letters.registered() == set(dead_letters.WORKS)
