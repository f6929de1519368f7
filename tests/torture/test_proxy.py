"""The proxy of the harness passes on what it is given, and harms it only when told to."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from threading import Thread

import pytest

from service.processes import HOST
from tests.torture.proxy import FAULTS, Proxy


class _Only(random.Random):
    """Draws one fault, whatever there is to choose from."""

    def __init__(self, fault: str) -> None:
        super().__init__(0)
        self._fault = fault

    def choice(self, _sequence: object) -> str:  # type: ignore[override]
        return self._fault


@pytest.fixture
def heard() -> list[bytes]:
    """What the server behind the proxy was told."""
    return []


@pytest.fixture
def echo(heard: list[bytes]) -> Iterator[int]:
    """The port of a server that says everything twice."""
    server = socket.create_server((HOST, 0))

    def serve(peer: socket.socket) -> None:
        with peer:
            try:
                while piece := peer.recv(1024):
                    heard.append(piece)
                    peer.sendall(piece * 2)
                peer.sendall(b"end")
            except OSError:
                pass  # the proxy has cut it

    def take() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            Thread(target=serve, args=(peer,), daemon=True).start()

    Thread(target=take, daemon=True).start()
    yield int(server.getsockname()[1])
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def _ask(port: int, said: bytes) -> bytes:
    """Say something and read to the end; nothing when the connection was cut or reset."""
    try:
        with closing(socket.create_connection((HOST, port), 10)) as end:
            end.settimeout(10)
            end.sendall(said)
            end.shutdown(socket.SHUT_WR)
            found = b""
            while piece := end.recv(1024):
                found += piece
            return found
    except ConnectionError:
        return b""


def _wait_until_heard(heard: list[bytes], told: bytes) -> None:
    """Let the server's thread come to what is on its way; the caller says what it must be."""
    deadline = time.monotonic() + 10
    while b"".join(heard) != told and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("fault", "answer", "told"),
    [
        ("cut", b"", b""),
        ("delay", b"kenavokenavoend", b"kenavo"),
        ("truncate", b"", b"ken"),
        ("lose answers", b"", b"kenavo"),
    ],
)
def test_a_fault_harms_what_passes_until_it_is_healed(
    echo: int, heard: list[bytes], fault: str, answer: bytes, told: bytes
) -> None:
    proxy = Proxy(lambda: echo, _Only(fault))
    try:
        assert _ask(proxy.port, b"demat") == b"dematdematend"
        proxy.kill()
        assert proxy.faults == {fault: 1}
        heard.clear()
        assert _ask(proxy.port, b"kenavo") == answer
        _wait_until_heard(heard, told)
        assert b"".join(heard) == told
        proxy.start()
        assert _ask(proxy.port, b"demat") == b"dematdematend"
    finally:
        proxy.stop()


def test_a_half_closed_connection_still_answers(echo: int) -> None:
    proxy = Proxy(lambda: echo, _Only("half-close"))
    try:
        with closing(socket.create_connection((HOST, proxy.port), 10)) as end:
            end.settimeout(10)
            end.sendall(b"demat")
            assert end.recv(1024) == b"dematdemat"
            proxy.kill()
            assert end.recv(1024) == b"end"
    finally:
        proxy.stop()


def test_every_fault_is_drawn_sooner_or_later(echo: int) -> None:
    proxy = Proxy(lambda: echo, random.Random(1))
    try:
        for _ in range(60):
            proxy.kill()
            proxy.start()
        assert set(proxy.faults) == set(FAULTS)
    finally:
        proxy.stop()
