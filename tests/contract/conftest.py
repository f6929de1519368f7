"""The application behind a real socket on loopback, for a client that knows only its contract."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from uuid import UUID

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr
from sqlalchemy import Engine

from service.app import create_app
from service.config import Settings
from service.db import SYSTEM, transaction
from service.platforms import keys
from service.platforms.scopes import SCOPES

OPERATOR = "the operator of a test instance"


@dataclass(frozen=True)
class Live:
    """A running server, a platform on it and its key."""

    url: str
    key: str
    settings: Settings


def _pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture(scope="session")
def live_settings(database_url: str, run_folder: Path, worker: int) -> Settings:
    """Settings of an instance without a broker: nothing here waits for the worker."""
    return Settings(
        database_url=database_url,
        signing_key=SecretStr(_pem()),
        code_key=SecretStr("the secret of a test instance, long enough"),
        operator_key=SecretStr(OPERATOR),
        log_level="critical",
        wrong_keys_per_minute=1_000_000,
        member_requests_per_minute=1_000_000,
        files_url=str(run_folder / f"files-{worker}"),
    )


@pytest.fixture(scope="session")
def live_url(live_settings: Settings) -> Iterator[str]:
    """Serve the application on a free port until the run of tests ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(live_settings), log_config=None))
    thread = Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for _ in range(200):
        if server.started:
            break
        time.sleep(0.05)
    assert httpx.get(f"{url}/readyz").status_code == 200
    yield url
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def live(live_url: str, live_settings: Settings, engine: Engine, platform_id: UUID) -> Live:
    """A fresh platform on the running server."""
    with transaction(engine, SYSTEM) as connection:
        _key, secret = keys.create(
            connection, platform_id, "sandbox", "contract", SCOPES, datetime.now(UTC)
        )
    return Live(live_url, secret, live_settings)
