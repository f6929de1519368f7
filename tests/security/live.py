"""The application behind a real socket of loopback, spoken to byte by byte."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import uvicorn

from service.app import create_app
from service.config import Settings
from service.http.serving import Patient, configuration


class Impatient(Patient):
    """Waits for a head no longer than a test wants to."""

    head_seconds = 0.5


@contextmanager
def serving(settings: Settings, **more: Any) -> Iterator[int]:
    """Serve the application as ``tierce up`` does; yield the port."""
    started = Event()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(configuration(create_app(settings), **more))

    async def serve() -> None:
        task = asyncio.create_task(server.serve([listener]))
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        started.set()
        await task

    thread = Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)


def talk(port: int, *pieces: bytes) -> bytes:
    """Send pieces and return everything that is said until the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), 20) as line:
        for piece in pieces:
            line.sendall(piece)
        said = b""
        try:
            while found := line.recv(65536):
                said += found
        except ConnectionError:
            pass
        return said
