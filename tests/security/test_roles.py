"""Each credential opens what the contract gives it, on every address, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from service.app import create_app
from service.http.openapi import document
from service.ids import PREFIXES, encode, uuid7
from tests.http.client import Api
from tests.http.conftest import OPERATOR_KEY
from tests.http.desk import Person
from tests.http.test_isolation import BODIES, QUERIES

#: Its body is a file.
FILE: Final = "add_evidence_file"
_METHODS: Final = {"get", "post", "put", "patch", "delete"}
#: Who signs what they send is no role: those addresses have tests of their own.
_SIGNED: Final = "StripeSignature"


#: An operation: its id, method and path, whose credentials open it, and whether it takes a body.
Line = tuple[str, str, str, frozenset[str], bool]


def _operations() -> Iterator[Line]:
    """Yield each operation that asks for a credential: whose, and whether it takes a body."""
    for path, methods in document(create_app())["paths"].items():
        for method, operation in methods.items():
            if method in _METHODS and operation.get("security"):
                schemes = frozenset(name for one in operation["security"] for name in one)
                body = "requestBody" in operation
                yield operation["operationId"], method.upper(), path, schemes, body


TABLE: Final = sorted(_operations(), key=lambda line: line[0])


def _address(path: str) -> str:
    """Return an address with an id of the right form wherever one is named."""
    named = {kind: encode(kind, uuid7()) for kind in PREFIXES}
    found = path
    for name in set(_names(path)):
        found = found.replace(f"{{{name}}}", named.get(name, "EUR"))
    return found


def _names(path: str) -> Iterator[str]:
    for part in path.split("/"):
        if part.startswith("{"):
            yield part.strip("{}")


def body_of(operation: str, member: str) -> dict[str, Any]:
    """Return a body that passes every check of form; a step not listed takes the member alone."""
    made = BODIES.get(operation)
    found: dict[str, Any] = {"member": member} if made is None else made(member)
    return found


def ask(caller: Api, line: Line, more: dict[str, Any] | None = None) -> httpx.Response:
    """Send what an operation takes, with ids of nothing; ``more`` is put into its body."""
    operation, method, path, _schemes, takes_body = line
    member = encode("member", uuid7())
    body = body_of(operation, member) if takes_body and operation != FILE else None
    if body is not None and more is not None:
        body = {**body, **more}
    return caller.send(method, _address(path), body, params=QUERIES.get(operation))


@pytest.fixture
def callers(api: Api, maud: Person) -> dict[str, Api]:
    """Everybody who can sign in, by the name of their credential in the contract."""
    member = api.member()["id"]
    token = api.made(f"/v1/members/{member}/tokens", {})["token"]
    return {
        "ApiKey": api,
        "MemberToken": Api(api.server, token),
        "OperatorKey": Api(api.server, OPERATOR_KEY),
        "MediatorToken": Api(api.server, maud.sign_in()["token"]),
    }


@pytest.mark.parametrize("role", ["ApiKey", "MemberToken", "OperatorKey", "MediatorToken"])
def test_a_credential_is_refused_wherever_the_contract_does_not_name_it(
    callers: dict[str, Api], role: str
) -> None:
    closed = [line for line in TABLE if role not in line[3] and _SIGNED not in line[3]]
    assert len(closed) > 30
    for line in closed:
        answer = ask(callers[role], line)
        assert answer.status_code in {401, 403}, (line, answer.status_code, answer.text)


@pytest.mark.parametrize("role", ["ApiKey", "MemberToken", "OperatorKey", "MediatorToken"])
def test_a_credential_is_let_in_wherever_the_contract_names_it(
    callers: dict[str, Api], role: str
) -> None:
    """Else the test above would pass of a contract that says nothing true."""
    signs_out = {"sign_out_mediator"}
    opened = [line for line in TABLE if role in line[3] and line[0] not in signs_out]
    assert opened
    for line in opened:
        answer = ask(callers[role], line)
        assert answer.status_code != 401, (line, answer.text)


def test_what_opens_to_everybody_is_a_closed_list() -> None:
    public = {
        operation["operationId"]
        for methods in document(create_app())["paths"].values()
        for method, operation in methods.items()
        if method in _METHODS and not operation.get("security")
    }
    assert public == {
        "livez",
        "readyz",
        "jwks",
        "list_precedents",
        "get_precedent",
        "get_dispute_statistics",
        "sign_in_mediator",
        "refresh_mediator_session",
        "take_up_invitation",
    }
