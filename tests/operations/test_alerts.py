"""The alert rules speak of metrics that are there, and say what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

from service.clock import now
from service.db import SYSTEM, transaction
from service.operations import metrics, proofs, queues

_FILE: Final = Path(__file__).parents[2] / "docs" / "alerts.yml"
_RULES: Final[list[dict[str, Any]]] = [
    rule for group in yaml.safe_load(_FILE.read_text())["groups"] for rule in group["rules"]
]
_NAME: Final = re.compile(r"\btierce_[a-z_]+")


@pytest.fixture
def names(engine: Engine) -> set[str]:
    """Every name that the exposition has, and those of its counters before their first count."""
    with transaction(engine, SYSTEM) as connection:
        proofs.record(connection, "books", 0, now())
        reading = queues.read(connection, now())
    text = metrics.render(queues.registry_of(reading, broker_up=True)).decode()
    found: set[str] = set()
    for family in text_string_to_metric_families(text):
        found |= {family.name} | {sample.name for sample in family.samples}
        if family.type == "counter":
            found.add(f"{family.name}_total")
        if family.type == "histogram":
            found |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
    return found


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_speaks_of_metrics_that_are_there_and_says_what_to_do(
    rule: dict[str, Any], names: set[str]
) -> None:
    wanted = set(_NAME.findall(rule["expr"]))
    assert wanted
    assert wanted <= names
    assert rule["labels"]["severity"] in {"page", "warn"}
    assert rule["annotations"]["summary"].endswith(".")
    assert len(rule["annotations"]["action"]) > 20
    assert re.fullmatch(r"\d+[smhd]", rule.get("for", "0m"))
    assert rule["expr"].count("(") == rule["expr"].count(")")


def test_every_alert_has_a_name_of_its_own_and_every_queue_has_an_alert() -> None:
    assert len({rule["alert"] for rule in _RULES}) == len(_RULES) >= 15
    said = " ".join(rule["expr"] for rule in _RULES)
    for gauge in queues._GAUGES:
        if gauge.name.endswith(("_oldest_seconds", "_lag_seconds", "_open")):
            assert gauge.name in said
