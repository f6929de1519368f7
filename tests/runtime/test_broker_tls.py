"""A broker under TLS shows a certificate that is believed, and a worker prints no address of it."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import quote

import pytest
import redis
from kombu.exceptions import OperationalError

from service.broker import checked
from service.processes import free_port
from service.wake import broker, make_queue
from tests.messages.post import Tls

ROOT = Path(__file__).parents[2]


@contextmanager
def _listening(context: ssl.SSLContext) -> Iterator[tuple[int, list[bool]]]:
    """Take TLS connections, tell of each whether it came about, and say PONG to whoever asks."""
    shaken: list[bool] = []

    def serve() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(line, server_side=True) as secure:
                    secure.recv(4096)
                    shaken.append(True)
            except OSError:
                shaken.append(False)

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], shaken
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def _ping(connection: Any) -> None:
    with connection:
        connection.default_channel.client.ping()


def _try(url: str) -> str:
    """Connect as Celery does and as a mark is made; return what Celery's connection said."""
    with broker(url) as client, pytest.raises(redis.RedisError):
        client.ping()
    with pytest.raises((OperationalError, OSError, redis.RedisError)) as refused:
        _ping(make_queue(lambda: url).connection_for_write())
    return str(refused.value)


def test_a_certificate_that_nobody_believes_is_refused_by_both_clients(tmp_path: Path) -> None:
    shown = Tls(tmp_path).shown
    with _listening(shown) as (port, shaken):
        assert "CERTIFICATE_VERIFY_FAILED" in _try(f"rediss://:secret@127.0.0.1:{port}/0")
    assert shaken
    assert not any(shaken)


def test_an_authority_that_the_url_names_is_believed(tmp_path: Path) -> None:
    shown = Tls(tmp_path).shown
    trusted = quote(str(tmp_path / "server.pem"), safe="")
    with _listening(shown) as (port, shaken):
        said = _try(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={trusted}")
    assert "CERTIFICATE" not in said
    assert all(shaken)
    assert len(shaken) >= 2


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("rediss://u:p@h:1/0", "rediss://u:p@h:1/0?ssl_cert_reqs=required"),
        ("rediss://h/0?ssl_ca_certs=x", "rediss://h/0?ssl_ca_certs=x&ssl_cert_reqs=required"),
        ("rediss://h/0?ssl_cert_reqs=none", "rediss://h/0?ssl_cert_reqs=none"),
    ],
)
def test_certificates_are_looked_at_unless_the_url_says_otherwise(given: str, used: str) -> None:
    assert checked(given) == used


def test_a_worker_started_by_hand_prints_neither_banner_nor_secret(tmp_path: Path) -> None:
    port = free_port()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ},
        "PYTHONPATH": str(ROOT),
        "TIERCE_HOME": str(tmp_path),
        "TIERCE_REDIS_URL": f"redis://anna:the-password@127.0.0.1:{port}/0",
        "TIERCE_CODE_KEY": "the code key of a test, long enough",
    }
    command = [sys.executable, "-m", "celery", "-A", "worker", "worker", "--pool=solo"]
    out = b""
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            out += line
            if b"Cannot connect" in line:
                break
        worker.kill()
    assert b"Cannot connect" in out
    assert b"the-password" not in out
    assert b"the code key" not in out
    assert b"transport:" not in out
    assert b"[config]" not in out
