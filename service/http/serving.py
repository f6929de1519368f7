"""The server in front of the application: patient with slow callers, but not for ever.

Uvicorn waits for the head of a request as long as the caller likes, and takes one of any size; who
opens many connections and says nothing would have them all. Bodies are watched over by the
application's own edge (service/http/middleware.py).
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: From a connection, or the first byte of a request, to the end of the request's head.
HEAD_SECONDS: Final = 20.0
#: The longest head; the longest that browsers and proxies send is a fourth of it.
HEAD_BYTES: Final = 64 * 1024
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


class Patient(HttpToolsProtocol):
    """Uvicorn's protocol, with an end to how long and how large a head may be."""

    head_seconds: float = HEAD_SECONDS
    _waiting: asyncio.TimerHandle | None = None
    _in_head: bool = False
    _head: int = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._relax()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless the head it belongs to is too large."""
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self.transport.write(_TOO_LARGE)
                self.transport.close()

    def on_message_begin(self) -> None:
        """A head has begun."""
        self._in_head = True
        self._expect()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._relax()
        super().on_headers_complete()

    def _expect(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.head_seconds, self._give_up)

    def _relax(self) -> None:
        self._in_head, self._head = False, 0
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        self.transport.abort()


def configuration(app: Any, **more: Any) -> uvicorn.Config:
    """Return how the application is served; ``more`` as uvicorn has it."""
    chosen: dict[str, Any] = {
        "http": Patient,
        "ws": "none",
        "log_config": None,
        "access_log": False,  # the application writes its own line per request
        "server_header": False,
        "timeout_graceful_shutdown": 5,
        "timeout_keep_alive": 65,  # longer than a proxy's, which must be the one to hang up
    }
    return uvicorn.Config(app, **chosen | more)
