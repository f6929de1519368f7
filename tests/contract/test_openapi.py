"""``openapi.yaml`` is the application's own contract, whole, and the application keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ledger.refusals import Refusal
from service.app import create_app
from service.http.openapi import as_yaml, document
from service.http.statuses import STATUS

FILE = Path(__file__).parents[2] / "openapi.yaml"
DOCUMENT: dict[str, Any] = document(create_app())
#: What they take in body or address is itself what opens.
OPEN = {"sign_in_mediator", "refresh_mediator_session", "take_up_invitation"}
#: Published for everybody.
OPEN |= {"list_precedents", "get_precedent", "get_dispute_statistics"}
OPERATIONS = [
    (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def test_the_file_is_the_applications_own_document() -> None:
    written = FILE.read_text(encoding="utf-8")
    assert written == as_yaml(create_app()), "run `tierce openapi --output openapi.yaml`"
    assert yaml.safe_load(written)["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=lambda value: str(value)[:60]
)
def test_every_operation_is_described_with_its_errors(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    assert operation["summary"]
    assert operation["description"]
    assert operation["operationId"]
    if path.startswith("/v1/"):
        assert {"401", "500", "503"} <= set(operation["responses"])
        assert bool(operation.get("security")) != (operation["operationId"] in OPEN)
    if "{" in path:
        assert "404" in operation["responses"], "an id can always be unknown"
    if "requestBody" in operation:
        assert {"400", "413", "415", "422"} <= set(operation["responses"])


def test_every_body_and_every_parameter_of_a_body_has_its_type() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        if name.endswith("Body"):
            assert schema["additionalProperties"] is False, name
            assert schema.get("description"), name


def _all_refusals() -> set[type[Refusal]]:
    """Return the product's own refusals: a test that ran before may have made some too."""
    found: set[type[Refusal]] = set()
    waiting = [Refusal]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            if kind not in found:
                found.add(kind)
                waiting.append(kind)
    return {kind for kind in found if not kind.__module__.startswith("tests.")}


def test_every_refusal_of_the_code_has_a_status_and_a_code_of_its_own() -> None:
    refusals = _all_refusals()
    assert refusals == set(STATUS)
    for kind in refusals:
        assert "code" in vars(kind), f"{kind.__name__} has no code of its own"
        assert kind.__doc__, kind.__name__
