"""What is too large is not taken in: measured at the socket, where nothing can be pretended."""

from __future__ import annotations

import socket
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from service.ids import encode, uuid7
from tests.contract.conftest import Live

MEGABYTE = 1024 * 1024
WHOLE = 200 * MEGABYTE
#: What may wait in the buffers of both ends of a socket, beside what the server reads.
BUFFERS = 16 * MEGABYTE


def _sent(live: Live, path: str, *, chunked: bool, key: str | None) -> int:
    """Send 200 MB; return how many bytes were taken before the connection was closed."""
    parts = urlsplit(live.url)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {WHOLE}"
    lines = [f"POST {path} HTTP/1.1", f"Host: {parts.netloc}", length, "Idempotency-Key: a-key"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    piece = bytes(64 * 1024)
    if chunked:
        piece = b"%x\r\n%s\r\n" % (len(piece), piece)
    sent = 0
    with socket.create_connection((str(parts.hostname), int(str(parts.port))), 20) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        try:
            while sent < WHOLE:
                connection.sendall(piece)
                sent += len(piece)
        except (ConnectionError, BrokenPipeError):
            pass
    return sent


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    "path", ["/v1/cases/{case}/evidence/files?sort=photo", "/v1/members", "/v1/nothing/here"]
)
def test_two_hundred_megabytes_are_cut_off(live: Live, path: str, chunked: bool, own: bool) -> None:
    address = path.format(case=encode("case", uuid7()))
    taken = _sent(live, address, chunked=chunked, key=live.key if own else None)
    assert taken <= live.settings.max_file_bytes + BUFFERS


def test_a_connection_goes_on_after_what_was_read_whole(live: Live) -> None:
    parts = urlsplit(live.url)
    connection = HTTPConnection(str(parts.hostname), int(str(parts.port)), timeout=20)
    sockets = set()
    for body in (None, b"{}", b'{"external_id": "anne"}', b"x" * 9_999):
        headers = {"Authorization": f"Bearer {live.key}", "Content-Type": "application/json"}
        headers["Idempotency-Key"] = "a-key"
        connection.request("GET" if body is None else "POST", "/v1/members", body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.getheader("connection") != "close"
        assert connection.sock is not None
        sockets.add(connection.sock.getsockname())
    connection.close()
    assert len(sockets) == 1
