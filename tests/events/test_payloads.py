"""What webhooks hold is what the contract says, for every type of event there is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import service
from service.events import payloads
from service.events.catalogue import TYPES
from tests.events.contract import DOCUMENT, validator


def message(type_: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the body of a webhook."""
    return {
        "id": "evt_0001j5x7v4e9tsmwd8w1c9xk5v",
        "type": type_,
        "version": TYPES[type_].version,
        "timestamp": "2027-03-01T09:00:00Z",
        "exchange": None,
        "member": None,
        "sequence": None,
        "data": data,
        **more,
    }


def test_the_contract_has_every_type_of_event_and_no_other() -> None:
    assert list(DOCUMENT["webhooks"]) == list(TYPES)
    names = [one["post"]["operationId"] for one in DOCUMENT["webhooks"].values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("type_", list(TYPES))
def test_each_says_what_it_means_which_headers_come_and_what_its_data_holds(type_: str) -> None:
    operation = DOCUMENT["webhooks"][type_]["post"]
    assert operation["summary"] == TYPES[type_].meaning
    named = [one["$ref"].rpartition("/")[2] for one in operation["parameters"]]
    headers = [DOCUMENT["components"]["parameters"][name]["name"] for name in named]
    assert headers == ["webhook-id", "webhook-timestamp", "webhook-signature"]
    check = validator(type_)
    assert not check.is_valid(message(type_, {"nothing": "that it has"}))
    assert not check.is_valid({**message(type_, {}), "data": "x"})
    assert not check.is_valid(message(type_, {}))
    # Only what is too large comes without its data, and says so.
    assert check.is_valid(message(type_, {}, data_left_out=True))
    other = next(name for name in TYPES if name != type_)
    assert not check.is_valid(message(other, {}))
    assert not check.is_valid(message(type_, {}, version=TYPES[type_].version + 1))


def test_nothing_is_said_of_types_and_families_that_do_not_exist() -> None:
    with pytest.raises(KeyError):
        payloads.data_schema("exchange.vanished")
    shared = set(payloads.shared_schemas()) - {"EventMessage", "NoEventData"}
    used = str(DOCUMENT["webhooks"])
    assert all(f"schemas/{name}'" in used for name in shared)
    assert set(payloads.TOLD) <= set(TYPES)


def test_what_breaks_a_reader_breaks_the_contract() -> None:
    check = validator("exchange.confirmed")
    data = {
        "exchange": "ex_0001j5x7v4e9tsmwd8w1c9xk5v",
        "external_id": None,
        "state": "active",
        "version": 3,
        "checkpoint": "handover",
        "by": "payer",
        "method": "word",
    }
    assert check.is_valid(message("exchange.confirmed", data))
    assert check.is_valid(message("exchange.confirmed", {**data, "new": "field"}))
    for name in data:
        less = {key: value for key, value in data.items() if key != name}
        assert not check.is_valid(message("exchange.confirmed", less)), name
        assert not check.is_valid(message("exchange.confirmed", {**data, name: [uuid4().hex]}))


def _notes() -> Iterator[tuple[str, set[str]]]:
    """Yield each event that an exchange's step tells by its name, with the fields it names."""
    for path in sorted(Path(service.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "note"
                and node.args
                and isinstance(node.args[0], ast.Constant)
            ):
                yield str(node.args[0].value), {one.arg for one in node.keywords if one.arg}


def test_every_field_that_the_code_tells_of_an_exchange_is_in_the_contract() -> None:
    told = list(_notes())
    assert len(told) > 30
    for type_, fields in told:
        assert fields <= payloads.fields_of(type_), type_
