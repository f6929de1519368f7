"""What is sent to the socket itself: two requests in one, endless heads, and callers who dawdle."""

from __future__ import annotations

import gzip
import socket
import time
from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine

from service.clock import now
from service.config import Settings
from service.db import SYSTEM, transaction
from service.http.serving import HEAD_BYTES
from service.platforms import keys
from service.platforms.scopes import SCOPES
from tests.security.live import Impatient, serving, talk


@pytest.fixture(scope="module")
def port(app_settings: Settings) -> Iterator[int]:
    hurried = app_settings.model_copy(update={"body_seconds": 1.0, "file_seconds": 1.0})
    with serving(hurried, http=Impatient) as found:
        yield found


@pytest.fixture
def key(engine: Engine, platform_id: UUID) -> bytes:
    with transaction(engine, SYSTEM) as connection:
        made = keys.create(connection, platform_id, "sandbox", "a key", SCOPES, now())
    return made[1].encode()


def _head(key: bytes, *lines: bytes, path: bytes = b"/v1/members") -> bytes:
    """Return the head of a POST that closes its connection afterwards."""
    return b"\r\n".join(
        [
            b"POST " + path + b" HTTP/1.1",
            b"Host: tierce.test",
            b"Authorization: Bearer " + key,
            b"Idempotency-Key: " + str(time.monotonic_ns()).encode(),
            b"Content-Type: application/json",
            *lines,
            b"",
            b"",
        ]
    )


SMUGGLED = b"GET /livez HTTP/1.1\r\nHost: tierce.test\r\n\r\n"
_BODY = b'{"external_id": "a"}'


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 60"),
        (b"Content-Length: 5, 60",),
        (b"Content-Length: +5",),
        (b"Content-Length: -5",),
        (b"Content-Length: 0x5",),
        (b"Content-Length: 99999999999999999999999",),
        (b"Content-Length : 5",),
        (b"Transfer-Encoding: identity, chunked, identity",),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
        (b"Transfer-Encoding:\x0bchunked", b"Content-Length: 5"),
        (b" Content-Length: 5",),
        (b"X-Folded: a\r\n b", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    ],
    ids=lambda lines: b" | ".join(lines).decode("latin-1"),
)
def test_a_request_whose_length_can_be_read_in_two_ways_is_refused_and_nothing_follows(
    port: int, key: bytes, lines: tuple[bytes, ...]
) -> None:
    said = talk(port, _head(key, *lines), b"0\r\n\r\n" + SMUGGLED)
    assert said.startswith(b"HTTP/1.1 4"), said
    assert said.count(b"HTTP/1.1 ") == 1, said
    assert b'"status":"ok"' not in said


@pytest.mark.parametrize(
    "chunks", [b"-5\r\nhello\r\n", b"FFFFFFFFFFFFFFFFF\r\nx", b"5;\x00\r\nhello", b"g\r\n"]
)
def test_a_broken_chunk_ends_the_connection(port: int, key: bytes, chunks: bytes) -> None:
    head = _head(key, b"Transfer-Encoding: chunked")
    said = talk(port, head, chunks, SMUGGLED)
    assert b'"status":"ok"' not in said
    assert b"HTTP/1.1 2" not in said


def test_whole_requests_one_after_the_other_are_answered_each(port: int, key: bytes) -> None:
    length = b"Content-Length: %d" % len(_BODY)
    last = _head(key, length, b"Connection: close")
    other = _BODY.replace(b'"a"', b'"b"')
    said = talk(port, _head(key, length) + _BODY + SMUGGLED + last + other)
    assert said.count(b"HTTP/1.1 2") == 3, said
    assert b'"status":"ok"' in said


@pytest.mark.parametrize("piece", [b"X-Long: " + b"a" * 60_000, b"X-Many: a\r\n" * 6_000])
def test_a_head_without_end_is_cut_off(port: int, piece: bytes) -> None:
    began = b"GET /livez HTTP/1.1\r\nHost: tierce.test\r\n"
    with socket.create_connection(("127.0.0.1", port), 20) as line:
        line.sendall(began)
        sent = 0
        try:
            while sent < 64 * HEAD_BYTES:
                line.sendall(piece)
                sent += len(piece)
        except ConnectionError:
            pass
    assert sent < 64 * HEAD_BYTES


@pytest.mark.parametrize("said", [b"", b"GET /livez HTTP/1.1\r\nHost: tie", b"G"])
def test_who_does_not_come_to_the_end_of_a_head_is_cut_off(port: int, said: bytes) -> None:
    assert talk(port, said) == b""


def test_who_dawdles_over_a_body_is_told_and_cut_off(port: int, key: bytes) -> None:
    said = talk(port, _head(key, b"Content-Length: 20"), b'{"external')
    assert said.startswith(b"HTTP/1.1 408"), said
    assert b"body_too_slow" in said
    assert b"connection: close" in said.lower()


def test_drops_of_a_body_do_not_keep_it_going(port: int, key: bytes) -> None:
    head = _head(key, b"Content-Length: 1000")
    with socket.create_connection(("127.0.0.1", port), 20) as line:
        line.sendall(head)
        line.settimeout(0.1)
        said = b""
        for _ in range(200):
            try:
                line.sendall(b" ")
                said += line.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if said:
                break
    assert said.startswith(b"HTTP/1.1 408"), said


def test_a_compressed_body_is_not_blown_up(port: int, key: bytes) -> None:
    bomb = gzip.compress(b'{"external_id": "' + b"a" * 50_000_000 + b'"}')
    for encoding in (b"gzip", b"deflate", b"br"):
        lines = (b"Content-Encoding: " + encoding, b"Content-Length: %d" % len(bomb))
        said = talk(port, _head(key, *lines, b"Connection: close"), bomb)
        assert said.startswith(b"HTTP/1.1 4"), said[:200]


def test_nothing_is_upgraded_to_another_protocol(port: int) -> None:
    asked = (
        b"GET /livez HTTP/1.1\r\nHost: tierce.test\r\nConnection: Upgrade, close\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert b" 101 " not in talk(port, asked)
