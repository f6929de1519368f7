"""Identifiers: UUIDv7 in the database, prefixed base-32 text at the edge.

A UUIDv7 (RFC 9562 §5.7) sorts by creation time, so that new rows land at the end of an index. The
public form, such as ``ex_06e2t0x4v8f3q5w1z9k7c2m4na``, names its kind, so that a mixed-up id is
refused by its prefix instead of being looked up in the wrong table.
"""

from __future__ import annotations

import secrets
import time
from datetime import datetime
from threading import Lock
from typing import Final
from uuid import UUID

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no i, l, o, u
_VALUES: Final = {letter: value for value, letter in enumerate(_ALPHABET)}
_LENGTH: Final = 26  # 26 letters of 5 bits hold 128 bits

#: Every kind of public identifier and its prefix.
PREFIXES: Final = {
    "platform": "pl",
    "api_key": "key",
    "member": "mb",
    "pause": "mp",
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

    def next(self) -> tuple[int, int]:
        """Return milliseconds and 74 random bits, together greater than ever before."""
        with self._lock:
            now = time.time_ns() // 1_000_000
            if now > self._millisecond:
                # The top bit is left clear, as room to count within the millisecond.
                self._millisecond, self._random = now, secrets.randbits(73)
            else:
                self._random += 1 + secrets.randbits(32)
                if self._random >> 74:
                    self._millisecond, self._random = self._millisecond + 1, secrets.randbits(73)
            return self._millisecond, self._random


_clock: Final = _Clock()


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
    number, letters = value.int, []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 32)
        letters.append(_ALPHABET[digit])
    return f"{PREFIXES[kind]}_{''.join(reversed(letters))}"


def decode(kind: str, text: str) -> UUID:
    """Return the UUID behind a public id of ``kind``.

    Raises:
        ValueError: the text is not such an id; the message says what one looks like.
    """
    prefix = f"{PREFIXES[kind]}_"
    body = text.removeprefix(prefix)
    wrong = (
        f"is not the id of a {kind.replace('_', ' ')}: expected '{prefix}' and {_LENGTH} letters"
    )
    if not text.startswith(prefix) or len(body) != _LENGTH:
        raise ValueError(wrong)
    number = 0
    for letter in body:
        digit = _VALUES.get(letter)
        if digit is None:
            raise ValueError(wrong)
        number = number * 32 + digit
    if number >> 128:
        raise ValueError(wrong)
    return UUID(int=number)
