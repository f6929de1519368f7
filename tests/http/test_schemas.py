"""No body bends a value into another: a number is a number, a yes is a yes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel

from service.app import create_app
from service.http.schemas.base import Body


def _bodies(kind: type[BaseModel] = Body) -> Iterator[type[BaseModel]]:
    for one in kind.__subclasses__():
        yield one
        yield from _bodies(one)


def _parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield every part of a validator's own description."""
    if isinstance(schema, dict):
        if isinstance(schema.get("type"), str):
            yield schema
        for value in schema.values():
            yield from _parts(value)
    elif isinstance(schema, list | tuple):
        for value in schema:
            yield from _parts(value)


@pytest.mark.parametrize("body", sorted(set(_bodies()), key=str))
def test_numbers_and_yes_or_no_are_taken_as_they_are_and_unknown_fields_refused(
    body: type[BaseModel],
) -> None:
    for part in _parts(body.__pydantic_core_schema__):
        if part["type"] in {"int", "bool", "float", "decimal"}:
            assert part["type"] in {"int", "bool"}, f"{body.__name__} takes a {part['type']}"
            assert part.get("strict"), f"{body.__name__} bends values into {part['type']}"
    assert body.model_config["extra"] == "forbid"


def test_every_body_of_the_application_is_one_of_these() -> None:
    ours = set(_bodies())
    found = 0
    for context in iter_route_contexts(create_app().routes):
        route = context.original_route
        if isinstance(route, APIRoute) and route.body_field is not None:
            assert route.body_field.field_info.annotation in ours, route.operation_id
            found += 1
    assert found >= 15
