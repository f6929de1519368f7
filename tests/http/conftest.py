"""The application, a platform with a key, and its neighbour."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr
from sqlalchemy import Engine

from service.app import create_app
from service.config import Settings
from service.db import SYSTEM, transaction
from service.platforms import keys
from service.platforms.scopes import SCOPES
from tests.http.client import Api, Server
from tests.http.deal import paid, proposed
from tests.http.desk import Desk, Person, invite, take_up

__all__ = ["paid", "proposed"]

OPERATOR_KEY: Final = "tk_operator_of-a-test-instance"


def new_signing_key() -> str:
    """Return the PEM of a new P-256 private key."""
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


@pytest.fixture(scope="session")
def app_settings(database_url: str, redis_url: str, run_folder: Path, worker: int) -> Settings:
    """Return the settings of the application under test."""
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        public_url="http://tierce.test",
        operator_key=SecretStr(OPERATOR_KEY),
        signing_key=SecretStr(new_signing_key()),
        code_key=SecretStr("the secret of a test instance, long enough"),
        files_url=str(run_folder / f"files-{worker}"),  # a database has its own
        # Many tests send wrong keys, all from the same machine; tests/security tries the limit.
        wrong_keys_per_minute=1_000_000,
        member_requests_per_minute=1_000_000,
    )


@pytest.fixture(scope="session")
def server(app_settings: Settings) -> Iterator[Server]:
    """Return the running application."""
    server = Server(create_app(app_settings))
    yield server
    server.close()


@pytest.fixture
def anonymous(server: Server) -> Api:
    """Return a caller without a credential."""
    return Api(server, None)


@pytest.fixture
def operator(server: Server) -> Api:
    """Return the instance's operator."""
    return Api(server, OPERATOR_KEY)


@pytest.fixture
def new_api(server: Server, engine: Engine, new_platform: Callable[[], UUID]) -> Callable[..., Api]:
    """Return a maker of platforms, each with a key of the scopes asked for (by default all)."""

    def make(*scopes: str, platform_id: UUID | None = None) -> Api:
        owner = platform_id or new_platform()
        with transaction(engine, SYSTEM) as connection:
            _key, secret = keys.create(
                connection, owner, "sandbox", "A test", scopes or SCOPES, datetime.now(UTC)
            )
        return Api(server, secret)

    return make


@pytest.fixture
def api(new_api: Callable[..., Api], platform_id: UUID) -> Api:
    """Return the caller of a platform that no other test knows, by a key with every scope."""
    return new_api(platform_id=platform_id)


@pytest.fixture
def neighbour(new_api: Callable[..., Api]) -> Api:
    """Return the caller of another platform."""
    return new_api()


@pytest.fixture
def new_desk(server: Server) -> Callable[[], Desk]:
    """Return a maker of browsers, each in a network that no other test comes from."""

    def make() -> Desk:
        first, second, third = secrets.token_bytes(3)
        return Desk(server, f"{100 + first % 100}.{second}.{third}")

    return make


@pytest.fixture
def desk(new_desk: Callable[[], Desk]) -> Desk:
    """Return a browser at the dispute desk."""
    return new_desk()


@pytest.fixture
def maud(operator: Api, desk: Desk) -> Person:
    """Return a mediator with an account."""
    return take_up(desk, invite(operator))
