"""A receiver of webhooks that is as bad as they come, and writes down everything that arrives."""

from __future__ import annotations

import json
import random
import socket
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, Final

from standardwebhooks import Webhook, WebhookVerificationError

from service.processes import HOST
from tests.chaos.history import Arrival

#: What it does, and how often, out of a hundred. Only the first two take the message.
HABITS: Final = {
    "answers": 66,
    "answers late": 4,
    "fails": 10,
    "hangs up": 8,
    "hangs up half way": 4,
    "takes it and hangs up": 4,
    "asks for a pause": 3,
    "says nothing": 1,
}
_LATE_SECONDS: Final = 1.0
#: Longer than anybody waits for an answer.
_SILENT_SECONDS: Final = 20.0


class Receiver:
    """An HTTP server on loopback. Once told to, it behaves."""

    def __init__(self, chance: random.Random) -> None:
        """Behave as ``chance`` has it; messages are to be signed with ``secret``, set later."""
        self._chance = chance
        self._lock = Lock()
        self._arrivals: list[Arrival] = []
        self._well_behaved = False
        self.secret = ""
        self.habits: Counter[str] = Counter()
        self.forged: list[str] = []
        receiver = self

        class Handler(_Handler):
            owner = receiver

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self._server.daemon_threads = True
        self.url: Final = f"http://{HOST}:{self._server.server_port}/hooks"
        self._thread = Thread(target=self._server.serve_forever, name="receiver", daemon=True)
        self._thread.start()

    def behave(self) -> None:
        """Answer everything from now on."""
        self._well_behaved = True

    def arrivals(self) -> list[Arrival]:
        """Return what has arrived, in order."""
        with self._lock:
            return list(self._arrivals)

    def close(self) -> None:
        """Take nothing more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, headers: dict[str, str], body: bytes) -> str:
        """Write a message down and return what is done about it."""
        try:
            Webhook(self.secret).verify(body, headers)
        except WebhookVerificationError as error:
            self.forged.append(str(error))
            return "fails"
        told: dict[str, Any] = json.loads(body)
        with self._lock:
            habit = "answers"
            if not self._well_behaved:
                (habit,) = self._chance.choices(list(HABITS), list(HABITS.values()))
            self.habits[habit] += 1
            kept = habit in {"answers", "answers late"}
            self._arrivals.append(
                Arrival(headers["webhook-id"], told["exchange"], told["sequence"], kept)
            )
        return habit


class _Handler(BaseHTTPRequestHandler):
    owner: Receiver
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_POST(self) -> None:
        """Take a message, and do as the receiver does."""
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        habit = self.owner.take(headers, body)
        if habit == "answers late":
            time.sleep(_LATE_SECONDS)
        if habit == "says nothing":
            time.sleep(_SILENT_SECONDS)
        if habit in {"answers", "answers late"}:
            self._answer(200)
        elif habit == "fails":
            self._answer(500)
        elif habit == "asks for a pause":
            self._answer(429, ("retry-after", "1"))
        else:
            if habit == "hangs up half way":
                self.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-le")
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""
