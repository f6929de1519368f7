"""Secrets are compared so that time tells nothing, and stand in no line of the log."""

from __future__ import annotations

import ast
import io
import logging
import re
import secrets as random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import structlog
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from service.log import configure
from tests.http.client import Api, Server
from tests.http.conftest import OPERATOR_KEY
from tests.http.deal import Deal
from tests.http.desk import PASSWORD, Desk, Person

ROOT: Final = Path(__file__).parents[2]
_SECRET: Final = re.compile(
    r"(secret|token|signature|mac|seal|password|pass_?code|credential|api_?key|_key|hmac)s?$", re.I
)
#: Compared plainly, for what they are about is no secret, or is given by whoever holds it already.
_PUBLIC: Final = {
    "old.publishable_key == publishable_key",
}


def _named(node: ast.expr) -> str:
    match node:
        case ast.Name():
            return node.id
        case ast.Attribute():
            return node.attr
        case ast.Call():
            return _named(node.func)
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
    return ""


def _comparisons() -> Iterator[tuple[Path, str]]:
    for room in ("service", "disputes", "ledger"):
        for file in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                    sides = [node.left, *node.comparators]
                    written = any(isinstance(one, ast.Constant) for one in sides)
                    if not written and any(_SECRET.search(_named(one)) for one in sides):
                        yield file.relative_to(ROOT), ast.unparse(node)


def test_no_secret_is_compared_letter_by_letter() -> None:
    """An ordinary comparison ends at the first letter that differs (hmac.compare_digest)."""
    found = [(str(file), said) for file, said in _comparisons() if said not in _PUBLIC]
    assert found == []


@pytest.fixture
def log(server: Server) -> Iterator[io.StringIO]:
    """Everything that the application writes, down to the least, once it has started."""
    del server
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    configure("debug", stream=out)
    yield out
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def _secrets_of_a_platform(api: Api) -> list[str]:
    made = api.made("/v1/api-keys", {"label": "x", "scopes": ["members:read"]})
    rotated = api.made(f"/v1/api-keys/{made['id']}/rotate", {"overlap_hours": 1})
    member = api.member()["id"]
    token = api.made(f"/v1/members/{member}/tokens", {})["token"]
    endpoint = api.made("/v1/webhook-endpoints", {"url": "https://93.184.215.14/tierce"})
    address = f"/v1/webhook-endpoints/{endpoint['id']}/rotate-secret"
    again = api.made(address, {"overlap_hours": 1})
    Api(api.server, token).get("/v1/exchanges")
    Api(api.server, rotated["secret"]).get("/v1/members")
    return [made["secret"], rotated["secret"], token, endpoint["secret"], again["secret"]]


def test_what_is_shown_once_is_in_no_line_of_the_log(
    log: io.StringIO, api: Api, maud: Person, proposed: Deal
) -> None:
    said = _secrets_of_a_platform(api)
    session = maud.sign_in()
    said += [session["token"], session["refresh_token"], PASSWORD, maud.secret]
    wrong = ["tk_live_" + random.token_urlsafe(32), "tk_operator_" + random.token_hex(20)]
    for one in wrong:
        api.send("GET", "/v1/members", headers={"Authorization": f"Bearer {one}"})
        api.send("GET", "/v1/platforms", headers={"Authorization": f"Bearer {one}"})
    Api(api.server, OPERATOR_KEY).get("/v1/platforms")
    proposed.tell()
    link = proposed.link(proposed.payer)
    Api(api.server, None).get(link)
    said += [*wrong, OPERATOR_KEY, link.rsplit("/", 1)[1], str(api.bearer)]
    written = log.getvalue()
    assert written.count('"event":"request"') > 10
    assert [one[:6] for one in said if one in written] == []


def test_no_address_that_holds_a_token_is_logged_with_it(
    log: io.StringIO, server: Server, anonymous: Api
) -> None:
    token, tried = random.token_urlsafe(32), 0
    for context in iter_route_contexts(server.app.routes):
        route: Any = context.original_route
        if isinstance(route, APIRoute) and "{token}" in str(context.path):
            path = str(context.path).replace("{token}", token).replace("{step}", "agree")
            for method in context.methods or ():
                anonymous.send(method, path)
                tried += 1
    assert tried >= 4
    assert log.getvalue().count('"event":"request"') >= tried
    assert token not in log.getvalue()


def test_an_error_of_the_database_is_told_without_what_it_was_about(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DBAPIError) as failed:
        connection.execute(text("SELECT 1 / 0 WHERE :address <> ''"), {"address": "anna@x.test"})
    assert "anna@x.test" not in str(failed.value)


def test_a_sign_in_that_fails_is_logged_without_what_was_typed(
    log: io.StringIO, desk: Desk, maud: Person
) -> None:
    typed = "the-wrong-password-" + random.token_hex(8)
    assert maud.try_in(desk, password=typed).status_code == 401
    assert typed not in log.getvalue()
    assert "/v1/mediation/sign-in" in log.getvalue()
