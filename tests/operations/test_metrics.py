"""What the counters count: steps of the clock, postings, calls to providers."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from service.operations import metrics
from service.processes import free_port
from tests.exchanges.world import World


@pytest.fixture
def world(engine: Engine, platform_id: UUID) -> Iterator[World]:
    made = World(engine, platform_id)
    yield made
    made.check()


def _value(name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def test_postings_and_calls_to_providers_are_counted(world: World) -> None:
    calls = {"provider": "sandbox", "call": "submit", "outcome": "answered"}
    asked, posted = _value("tierce_provider_calls_total", **calls), _sum("tierce_postings_total")
    world.funded(world.sale())
    assert _value("tierce_provider_calls_total", **calls) == asked + 1
    assert _value("tierce_provider_call_seconds_count", provider="sandbox", call="submit") >= 1
    assert _sum("tierce_postings_total") > posted


def _sum(name: str) -> float:
    families = metrics.registry.collect()
    return sum(one.value for each in families for one in each.samples if one.name == name)


def test_steps_of_the_clock_are_counted_with_how_late_they_were(world: World) -> None:
    exchange = world.sale()
    fired = _value("tierce_timers_fired_total", step="remind")
    late = _value("tierce_timers_late_seconds_sum")
    assert world.sleep(days=2, hours=23) == 1, world.read(exchange).state
    assert _value("tierce_timers_fired_total", step="remind") == fired + 1
    assert _value("tierce_timers_late_seconds_sum") > late


def test_a_worker_shows_its_metrics_on_loopback_until_it_stops() -> None:
    port = free_port()
    stop = metrics.serve(port)
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    finally:
        stop()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"tierce_postings", "tierce_timers_late_seconds", "tierce_task_runs"} <= names
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False)
