"""The HTTP door: one thread per connection, every answer a whole one or none."""

from __future__ import annotations

import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.stripe_server import forms
from tests.stripe_server.engine import Engine

_REASON = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 402: "Request Failed"}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Door

    def setup(self) -> None:
        """Remember the connection, so that the server can close it when it stops."""
        super().setup()
        self.server.open_connections.add(self.connection)

    def finish(self) -> None:
        """Forget it."""
        self.server.open_connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        """Serve until the other side hangs up."""
        with contextlib.suppress(ConnectionError, ValueError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing: a test reads `server.requests`."""

    def do_GET(self) -> None:
        """Answer a reading request."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Answer a writing request."""
        self._answer("POST")

    def do_DELETE(self) -> None:
        """Answer a removing request."""
        self._answer("DELETE")

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        params = forms.parse(parts.query)
        kind = self.headers.get("Content-Type") or ""
        if kind.startswith("multipart/form-data"):
            params |= forms.multipart(body, kind)
        elif body:
            params |= forms.parse(body.decode())
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.engine.answer(method, parts.path, params, headers)
        if answer.status is None:
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(answer.status, _REASON.get(answer.status))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer.body)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)


class Door(ThreadingHTTPServer):
    """The listening socket on a free port of this machine only."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, engine: Engine) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.engine = engine
        self.open_connections: set[socket.socket] = set()
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error of ours."""

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and hang up on everybody."""
        self.shutdown()
        self._thread.join()
        for connection in list(self.open_connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
