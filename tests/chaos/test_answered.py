"""What was answered survives PostgreSQL's being killed with -9 in the middle of the load."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Lock
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from migrations.run import upgrade
from service import db
from service.app import create_app
from service.cli import seed
from service.cli.home import Home
from service.config import Settings
from service.local import EmbeddedPostgres
from tests.http.client import Api, Server

_CALLERS = 8
_BEFORE_THE_KILL = 40


def _kill(server: EmbeddedPostgres) -> None:
    """Kill the server and every process of it, at once and without a word."""
    assert server.pid is not None
    postmaster = psutil.Process(server.pid)
    family = [postmaster, *postmaster.children(recursive=True)]
    for process in family:
        process.kill()
    psutil.wait_procs(family, 10)


def _load(api: Api, postgres: EmbeddedPostgres, body: dict[str, Any]) -> dict[str, bytes]:
    """Propose from several threads, kill the database meanwhile; return what was answered."""
    answered: dict[str, bytes] = {}
    enough, gone, lock = Event(), Event(), Lock()

    def call() -> None:
        while not gone.is_set():
            key = secrets.token_hex(16)
            answer = api.post("/v1/exchanges", body, key=key)
            if answer.status_code == 201:
                with lock:
                    answered[key] = answer.content
                    if len(answered) >= _BEFORE_THE_KILL:
                        enough.set()
            else:
                gone.set()

    with ThreadPoolExecutor(_CALLERS) as pool:
        callers = [pool.submit(call) for _ in range(_CALLERS)]
        assert enough.wait(60)
        _kill(postgres)
        for caller in callers:
            caller.result(60)
    return answered


@pytest.mark.timeout(240)
def test_every_answer_stands_after_the_database_was_killed(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "postgres")
    home = Home(tmp_path)
    home.prepare()
    made = home.secrets()
    try:
        postgres.start()
        upgrade(postgres.url)
        engine = db.create_engine(postgres.url, 1)
        opened = seed.open_platform(engine, "Killed", datetime.now(UTC))
        engine.dispose()

        def serve() -> Server:
            return Server(
                create_app(
                    Settings(
                        database_url=postgres.url,
                        signing_key=SecretStr(made.signing_key),
                        code_key=SecretStr(made.code_key),
                    )
                )
            )

        server = serve()
        api = Api(server, opened.sandbox_key)
        body = {
            "kind": "sale",
            "title": "A bicycle",
            "payer": api.member()["id"],
            "payee": api.member()["id"],
            "legs": [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}],
        }
        answered = _load(api, postgres, body)
        server.close()
        postgres.start()
        server = serve()
        api = Api(server, opened.sandbox_key)
        assert len(answered) >= _BEFORE_THE_KILL
        for key, first in answered.items():
            again = api.post("/v1/exchanges", body, key=key)
            assert again.headers["idempotent-replayed"] == "true"
            assert again.content == first
            assert api.read(again.headers["location"])["id"] == again.json()["id"]
        server.close()
    finally:
        postgres.stop()
