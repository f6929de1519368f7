"""A body says what its address asks for, and nothing more: no field of ours is set by asking."""

from __future__ import annotations

from typing import Any, Final

import pytest
from fastapi.routing import APIRoute, iter_route_contexts

from service.app import create_app
from service.http.openapi import document
from service.http.schemas.base import Body
from tests.http.client import Api, problem
from tests.http.desk import invite, take_up
from tests.http.test_isolation import MEDIATOR, OPERATOR, PUBLIC
from tests.security.test_roles import FILE, TABLE, Line, ask

#: What rows have and no caller sets: whose they are, how far they are, when, and what it costs.
OURS: Final = {
    "platform_id": "00000000-0000-0000-0000-000000000000",
    "platform": "pl_0001j5x7v4e9tsmwd8w1c9xk5v",
    "id": "ex_0001j5x7v4e9tsmwd8w1c9xk5v",
    "state": "released",
    "mode": "live",
    "version": 0,
    "fee_bps": 0,
    "balance": 1_000_000,
    "erased_at": None,
    "created_at": "2020-01-01T00:00:00Z",
    "is_admin": True,
    "__class__": "x",
    "__proto__": {"scopes": ["*"]},
}
_TAKE_BODY: Final = [
    line for line in TABLE if line[4] and line[0] != FILE and "StripeSignature" not in line[3]
]


_CONTRACT: Final = document(create_app())


def _named(line: Line) -> set[str]:
    """Return the fields that the contract gives a body."""
    operation = _CONTRACT["paths"][line[2]][line[1].lower()]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    while "$ref" in schema:
        schema = _CONTRACT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return set(schema.get("properties", {}))


@pytest.mark.parametrize("line", _TAKE_BODY, ids=lambda line: line[0])
def test_a_field_that_is_not_asked_for_is_refused_by_its_name(
    line: Line, request: pytest.FixtureRequest
) -> None:
    caller: Api = request.getfixturevalue("api")
    if "ApiKey" not in line[3]:
        if "OperatorKey" in line[3]:
            caller = request.getfixturevalue("operator")
        elif "MediatorToken" in line[3]:
            operator, desk = request.getfixturevalue("operator"), request.getfixturevalue("desk")
            lead = take_up(desk, invite(operator, roles=["mediator", "supervisor"]))
            caller = Api(caller.server, lead.sign_in()["token"])
    asked = _named(line)
    more = {name: value for name, value in OURS.items() if name not in asked}
    found = problem(ask(caller, line, more=more), 422, "invalid_request")
    told = {one["pointer"] for one in found["errors"]}
    assert {f"/{name}" for name in more} <= told


def _bodies(kind: type[Body] = Body) -> list[type[Body]]:
    found = []
    for one in kind.__subclasses__():
        found += [one, *_bodies(one)]
    return found


def test_every_body_of_the_code_forbids_what_it_does_not_name() -> None:
    assert len(_bodies()) > 40
    assert {one.model_config.get("extra") for one in _bodies()} == {"forbid"}


def test_every_operation_with_a_body_is_tried_above() -> None:
    app: Any = create_app()
    taking = {
        route.operation_id
        for context in iter_route_contexts(app.routes)
        if isinstance(route := context.original_route, APIRoute)
        and route.body_field is not None
        and not route.endpoint.__module__.startswith("service.web.")
    }
    tried = {line[0] for line in _TAKE_BODY}
    assert taking - tried <= PUBLIC
    assert (MEDIATOR | OPERATOR) & tried
