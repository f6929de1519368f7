"""The application behind a real socket of this machine, for real browsers."""

from __future__ import annotations

import socket
import threading
import time

import uvicorn
from fastapi import FastAPI

from service.http.serving import configuration


class Live:
    """Serves an application on a port that was free."""

    def __init__(self, app: FastAPI) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        # Served as in life: with another patience than the product's, connections that a browser
        # still counts on are hung up in the middle of a test.
        self._server = uvicorn.Server(configuration(app, lifespan="on"))
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.05)

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        """Stop it."""
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()
