"""Identifiers: UUIDv7 in the database, prefixed base-32 text at the edge.

A UUIDv7 (RFC 9562 §5.7) sorts by creation time, so that new rows land at the end of an index. The
public form, such as ``ex_06e2t0x4v8f3q5w1z9k7c2m4na``, names its kind, so that a mixed-up id is
refused by its prefix instead of being looked up in the wrong table.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from datetime import datetime
from threading import Lock
from typing import Final
from uuid import UUID

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u
_LENGTH: Final = 26  # 26 letters of 5 bits hold 128 bits
# Ids are read and written by the thousand: two letters at a time, and by Python's own base 32.
_PAIRS: Final = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_SHIFTS: Final = tuple(range(5 * (_LENGTH - 2), -1, -10))
_LETTERS: Final = re.compile(f"[{_ALPHABET}]+")
_DIGITS: Final = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
_SPOKEN: Final = 8  # letters of a short number: 40 of the 62 bits that are random
# What is heard or read in place of a letter that there is, as Crockford has it.
_MISREAD: Final = str.maketrans("oil", "011")

#: Every kind of public identifier and its prefix.
PREFIXES: Final = {
    "platform": "pl",
    "api_key": "key",
    "member": "mb",
    "pause": "mp",
    "helper": "hp",
    "exchange": "ex",
    "leg": "leg",
    "confirmation": "cf",
    "proposal": "sp",
    "payment": "pay",
    "chargeback": "cb",
    "difference": "rd",
    "event": "evt",
    "posting": "po",
    "request": "req",
    "delivery": "dlv",
    "webhook_endpoint": "we",
    "message": "msg",
    "link": "lk",
    "dead_letter": "dl",
    "outage": "out",
    "script": "sc",
    "mediator": "md",
    "pool": "mpl",
    "tie": "tie",
    "redecision": "rdn",
    "strike": "stk",
    "sign_in_session": "sis",
    "case": "cs",
    "offer": "of",
    "evidence": "ev",
    "evidence_request": "evr",
    "precedent": "pr",
    "template": "tp",
}


class _Clock:
    """The last UUIDv7 of this process, so that the next is greater (RFC 9562 §6.2, method 2)."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._millisecond = 0
        self._random = 0
        self._pool = b""

    def next(self) -> tuple[int, int]:
        """Return milliseconds and 74 random bits, together greater than ever before."""
        with self._lock:
            now = time.time_ns() // 1_000_000
            if now > self._millisecond:
                # The top bit is left clear, as room to count within the millisecond.
                self._millisecond, self._random = now, self._bits(73)
            else:
                self._random += 1 + self._bits(32)
                if self._random >> 74:
                    self._millisecond, self._random = self._millisecond + 1, self._bits(73)
            return self._millisecond, self._random

    def forget(self) -> None:
        """Throw the random bytes away that were fetched: a forked child has the same ones."""
        self._lock = Lock()
        self._pool = b""

    def _bits(self, count: int) -> int:
        """Return random bits of the system's, fetched many at a time: each fetch is a call to it.

        Ids are no secrets: that the next ones are in memory beforehand gives nothing away.
        """
        size = -(-count // 8)
        if len(self._pool) < size:
            self._pool = secrets.token_bytes(1024)
        taken, self._pool = self._pool[:size], self._pool[size:]
        return int.from_bytes(taken) >> (size * 8 - count)


_clock: Final = _Clock()
os.register_at_fork(after_in_child=_clock.forget)


def uuid7() -> UUID:
    """Return a new UUIDv7, greater than every one that this process made before.

    48 bits of Unix milliseconds, version, 12 random bits, variant, 62 random bits. Within one
    millisecond the random bits count on by random steps, so that events written together keep
    their order.
    """
    milliseconds, random = _clock.next()
    high, low = random >> 62, random & (1 << 62) - 1
    return UUID(int=(milliseconds << 80) | (0x7 << 76) | (high << 64) | (0x2 << 62) | low)


def least_uuid7(at: datetime) -> UUID:
    """Return what is below every UUIDv7 made at ``at`` or later, and above those made before."""
    return UUID(int=(int(at.timestamp() * 1000) << 80) | (0x7 << 76) | (0x2 << 62))


def encode(kind: str, value: UUID) -> str:
    """Return the public form of ``value``, such as ``ex_…``.

    Raises:
        KeyError: ``kind`` is not one of :data:`PREFIXES`.
    """
    number = value.int
    return PREFIXES[kind] + "_" + "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def decode(kind: str, text: str) -> UUID:
    """Return the UUID behind a public id of ``kind``.

    Raises:
        ValueError: the text is not such an id; the message says what one looks like.
    """
    prefix = f"{PREFIXES[kind]}_"
    if text.startswith(prefix) and len(text) == len(prefix) + _LENGTH:
        number = _number(text[len(prefix) :])
        if number is not None and not number >> 128:
            return UUID(int=number)
    raise ValueError(
        f"is not the id of a {kind.replace('_', ' ')}: expected '{prefix}' and {_LENGTH} letters"
    )


def _number(letters: str) -> int | None:
    if not _LETTERS.fullmatch(letters):
        return None
    return int(letters.translate(_DIGITS), 32)


def spoken(value: UUID) -> str:
    """Return the short number of ``value``: the last eight letters of its id, as ``4DKC EN3J``.

    It is for saying aloud. It finds, within one platform, and opens nothing.
    """
    tail = encode("exchange", value)[-_SPOKEN:].upper()
    return f"{tail[: _SPOKEN // 2]} {tail[_SPOKEN // 2 :]}"


def heard(text: str) -> str:
    """Return the last ten hexadecimal digits that :func:`spoken` was made of.

    Case, spaces, dots and dashes do not matter; o is read as 0, i and l as 1.

    Raises:
        ValueError: it is not such a number.
    """
    letters = "".join(one for one in text.lower() if one not in " -.\u00a0\u202f")
    number = _number(letters.translate(_MISREAD))
    if number is not None and len(letters) == _SPOKEN:
        return f"{number:010x}"
    raise ValueError(f"is not a short number: expected {_SPOKEN} letters and digits")
