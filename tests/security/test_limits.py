"""How often one may ask: wrong keys, members, platforms; with a store that counts, and without."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import Engine

from service.app import create_app
from service.clock import now
from service.config import Settings
from service.db import SYSTEM, transaction
from service.platforms import keys
from service.platforms.scopes import SCOPES
from service.processes import free_port
from tests.http.client import Server


class Caller:
    """Somebody at an address of the internet."""

    def __init__(self, server: Server, host: str) -> None:
        self._server = server
        transport = httpx.ASGITransport(server.app, client=(host, 1))
        self._http = httpx.AsyncClient(transport=transport, base_url="http://tierce.test")

    def get(self, path: str, secret: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {secret}"}
        return self._server.run(self._http.request("GET", path, headers=headers))

    def post(self, path: str, secret: str, body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": secrets.token_hex(8)}
        return self._server.run(self._http.request("POST", path, headers=headers, json=body))


def _anywhere() -> str:
    """Return an address in a network that no other test asks from."""
    return f"2001:{secrets.randbelow(0xFFFF):x}:{secrets.randbelow(0xFFFF):x}::1"


def _wrong() -> str:
    return "tk_sandbox_" + secrets.token_urlsafe(32)


@contextmanager
def _serving(chosen: Settings, **changes: Any) -> Iterator[Server]:
    server = Server(create_app(chosen.model_copy(update=changes)))
    try:
        yield server
    finally:
        server.close()


def _key(engine: Engine, platform_id: UUID) -> str:
    """Return the secret of a new key with every scope."""
    with transaction(engine, SYSTEM) as connection:
        return keys.create(connection, platform_id, "sandbox", "a key", SCOPES, now())[1]


@pytest.fixture
def secret(engine: Engine, platform_id: UUID) -> str:
    return _key(engine, platform_id)


@pytest.fixture(params=["counted together", "without a broker", "a broker that is away"])
def redis(request: pytest.FixtureRequest, redis_url: str) -> str | None:
    """Where requests are counted: the limits hold in each case."""
    away = f"redis://127.0.0.1:{free_port()}/0"
    found: dict[str, str | None] = {
        "counted together": redis_url,
        "without a broker": None,
        "a broker that is away": away,
    }
    return found[request.param]


def test_wrong_keys_are_refused_unseen_after_so_many(
    app_settings: Settings, redis: str | None, secret: str
) -> None:
    here, elsewhere = _anywhere(), _anywhere()
    with _serving(app_settings, redis_url=redis, wrong_keys_per_minute=5) as server:
        stranger = Caller(server, here)
        seen = [stranger.get("/v1/members", _wrong()) for _ in range(8)]
        assert [one.status_code for one in seen] == [401] * 5 + [429] * 3
        assert seen[-1].json()["code"] == "too_many_requests"
        assert 1 <= int(seen[-1].headers["retry-after"]) <= 60
        # Nobody else pays for it, and who guesses right learns nothing of it meanwhile.
        assert Caller(server, elsewhere).get("/v1/members", secret).status_code == 200
        assert Caller(server, _anywhere()).get("/v1/members", _wrong()).status_code == 401


def test_a_key_that_has_opened_is_not_held_up_by_wrong_ones_of_its_network(
    app_settings: Settings, redis: str | None, secret: str
) -> None:
    with _serving(app_settings, redis_url=redis, wrong_keys_per_minute=5) as server:
        network = Caller(server, _anywhere())
        assert network.get("/v1/members", secret).status_code == 200
        assert {network.get("/v1/members", _wrong()).status_code for _ in range(9)} == {401, 429}
        assert network.get("/v1/members", secret).status_code == 200


def test_the_operator_s_key_and_the_scraper_s_are_guarded_alike(
    app_settings: Settings, redis: str | None
) -> None:
    assert app_settings.operator_key is not None
    right = app_settings.operator_key.get_secret_value()
    with _serving(app_settings, redis_url=redis, wrong_keys_per_minute=4) as server:
        network = Caller(server, _anywhere())
        tried = [
            network.get(path, "tk_operator_" + secrets.token_hex(16)).status_code
            for path in ("/v1/platforms", "/metrics") * 3
        ]
        assert tried == [401] * 4 + [429] * 2
        assert network.get("/metrics", right).status_code == 200


def test_members_and_platforms_ask_so_often_each(
    app_settings: Settings, redis: str | None, new_platform: Callable[[], UUID], engine: Engine
) -> None:
    made = []
    for _ in range(2):
        platform = new_platform()
        with transaction(engine, SYSTEM) as connection:
            made.append(
                keys.create(connection, platform, "sandbox", "a key", sorted(SCOPES), now())[1]
            )
    limited = {"member_requests_per_minute": 3, "platform_requests_per_minute": 6}
    with _serving(app_settings, redis_url=redis, **limited) as server:
        caller = Caller(server, _anywhere())
        tokens = []
        for _ in range(2):
            member = caller.post(
                "/v1/members", made[0], {"external_id": secrets.token_hex(8)}
            ).json()["id"]
            token = caller.post(f"/v1/members/{member}/tokens", made[0], {}).json()["token"]
            tokens.append(token)
        assert [caller.get("/v1/exchanges", tokens[0]).status_code for _ in range(4)] == [
            *[200] * 3,
            429,
        ]
        assert caller.get("/v1/exchanges", tokens[1]).status_code == 200
        # Two of the platform's six are left; its neighbour has all of its own.
        assert [caller.get("/v1/members", made[0]).status_code for _ in range(3)] == [200, 200, 429]
        assert caller.get("/v1/members", made[1]).status_code == 200


def test_processes_count_together_where_there_is_a_store(
    app_settings: Settings, redis_url: str
) -> None:
    here = _anywhere()
    limited = {"redis_url": redis_url, "wrong_keys_per_minute": 4}
    with _serving(app_settings, **limited) as one, _serving(app_settings, **limited) as other:
        for server in (one, other, one, other):
            assert Caller(server, here).get("/v1/members", _wrong()).status_code == 401
        for server in (one, other):
            assert Caller(server, here).get("/v1/members", _wrong()).status_code == 429


def test_the_limits_are_settings(app_settings: Settings) -> None:
    assert Settings().wrong_keys_per_minute == 60
    assert Settings().member_requests_per_minute == 600
    assert Settings().platform_requests_per_minute is None
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        Settings(wrong_keys_per_minute=0)
