"""Every error is a problem with the request's id, and none shows the inside of the house."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest
from fastapi import FastAPI
from sqlalchemy import Engine, text

import disputes
import ledger
import service
from ledger.refusals import Refusal
from service.app import create_app
from service.config import Settings
from service.db import transaction
from service.http.statuses import STATUS
from tests.http.client import Api, Server, problem


def _modules(root: ModuleType) -> Iterator[str]:
    for found in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
        if not found.name.endswith("__main__"):
            yield found.name


def _refusals(kind: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for one in kind.__subclasses__():
        yield one
        yield from _refusals(one)


def test_every_refusal_of_the_code_base_has_its_status_and_its_own_code() -> None:
    for root in (ledger, disputes, service):
        for name in _modules(root):
            importlib.import_module(name)
    ours = {kind for kind in _refusals() if kind.__module__.split(".")[0] != "tests"}
    assert ours - set(STATUS) == set(), "add it to the table in service/http/statuses.py"
    assert set(STATUS) - ours == set()
    for kind in ours:
        assert "code" in vars(kind), kind
        assert kind.code.replace("_", "a").isalnum(), kind
        assert kind.code == kind.code.lower(), kind


def test_an_address_that_is_not_there_and_a_method_that_is_not_taken(api: Api) -> None:
    problem(api.get("/v1/nothing"), 404, "not_found")
    problem(api.get("/"), 404, "not_found")
    answer = api.send("DELETE", "/v1/members")
    problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) >= {"GET", "POST"}


@pytest.mark.parametrize(
    "id_", ["mb_1", "1", "mb_" + "z" * 26, "mb_" + "u" * 26, "é", "mb_" + "0" * 27]
)
def test_an_address_with_a_malformed_id_is_not_there(api: Api, id_: str) -> None:
    assert api.get(f"/v1/members/{id_}").status_code == 404


@pytest.mark.parametrize("given", ["order-2047", "a.b_c-d:1"[:7] + "0", "A" * 80])
def test_a_request_id_is_taken_over(api: Api, given: str) -> None:
    answer = api.send("GET", "/v1/nothing", headers={"X-Request-Id": given})
    assert problem(answer, 404, "not_found")["request_id"] == given or ":" in given


@pytest.mark.parametrize(
    "given", ["", "x", "a b c d e", "A" * 200, "<script>alert(1)</script>", "é" * 9]
)
def test_a_request_id_that_could_not_be_quoted_is_replaced(api: Api, given: str) -> None:
    answer = api.send("GET", "/v1/members", headers={"X-Request-Id": given.encode()})
    assert answer.headers["x-request-id"].startswith("req_")


def test_two_requests_have_two_ids(api: Api) -> None:
    ids = {api.get("/v1/members").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize("path", ["/v1/members", "/v1/nothing", "/livez", "/openapi.json"])
def test_every_answer_tells_browsers_to_run_frame_and_keep_nothing(api: Api, path: str) -> None:
    headers = api.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


@pytest.fixture
def broken(app_settings: Settings) -> Iterator[Server]:
    """An application with an address whose code fails, and a pool that is soon empty."""
    app: FastAPI = create_app(app_settings.model_copy(update={"pool_size": 1}))

    @app.get("/v1/broken")
    async def fail() -> None:
        raise RuntimeError("the secret plan is in /root/plan.txt")

    server = Server(app)
    yield server
    server.close()


def test_a_mistake_of_ours_is_told_without_its_inside(broken: Server, api: Api) -> None:
    answer = Api(broken, api.bearer).get("/v1/broken")
    problem(answer, 500, "internal_error")
    assert "plan" not in answer.text
    assert "RuntimeError" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_row_held_by_another_for_too_long_is_busy_and_says_when_to_come_back(
    api: Api, engine: Engine, platform_id: object
) -> None:
    member = api.member()["id"]
    with transaction(engine, "system") as connection:
        connection.execute(
            text("SELECT FROM service.member WHERE platform_id = :id FOR UPDATE"),
            {"id": platform_id},
        )
        answer = api.send("PATCH", f"/v1/members/{member}", {"locale": "br"})
        problem(answer, 503, "busy")
        assert answer.headers["retry-after"] == "1"
    assert api.send("PATCH", f"/v1/members/{member}", {"locale": "br"}).status_code == 200


def test_a_database_that_is_gone_is_busy_and_not_ready_but_the_process_lives(
    app_settings: Settings,
) -> None:
    gone = "postgresql+psycopg://tierce:none@127.0.0.1:9/nowhere"
    server = Server(create_app(app_settings.model_copy(update={"database_url": gone})))
    try:
        caller = Api(server, "tk_sandbox_" + "x" * 43)
        answer = caller.get("/v1/members")
        problem(answer, 503, "busy")
        assert answer.headers["retry-after"] == "1"
        assert "127.0.0.1" not in answer.text
        assert caller.get("/readyz").status_code == 503
        assert caller.get("/livez").status_code == 200
    finally:
        server.close()


def test_a_ready_instance_says_so(anonymous: Api) -> None:
    assert anonymous.read("/readyz")["status"] == "ready"
    assert anonymous.read("/livez") == {"status": "ok"}
