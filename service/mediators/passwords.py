"""Passwords: argon2id (RFC 9106), long rather than odd (NIST SP 800-63B §3.1.1).

Hashing takes a good part of a second and 64 MiB, on purpose: call it outside of transactions and
off the event loop.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from passlib.context import CryptContext  # type: ignore[import-untyped]

from ledger.refusals import Refusal

SHORTEST: Final = 12
LONGEST: Final = 256
#: Fewer different characters than this are a pattern, whatever the length.
_DIFFERENT: Final = 5
#: Parts of a name or an address that are shorter than this stand in many words by chance.
_TELLING: Final = 4


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a hash costs: RFC 9106 §4, the second recommended choice."""

    #: Passes.
    time_cost: int = 3
    #: KiB.
    memory_cost: int = 65_536
    parallelism: int = 4
    #: Bytes.
    salt_size: int = 16
    hash_len: int = 32


PARAMETERS: Final = Parameters()


class WeakPassword(Refusal):
    """The password is too short, or can be guessed from what everybody knows."""

    code = "weak_password"


class _Hasher(Protocol):
    """What is used of the library, which tells no types."""

    def hash(self, secret: str) -> str: ...

    def verify_and_update(self, secret: str, hash: str) -> tuple[bool, str | None]: ...  # noqa: A002


def _hasher(parameters: Parameters) -> _Hasher:
    hasher: _Hasher = CryptContext(
        schemes=["argon2"],
        argon2__type="ID",
        argon2__time_cost=parameters.time_cost,
        argon2__memory_cost=parameters.memory_cost,
        argon2__parallelism=parameters.parallelism,
        argon2__salt_size=parameters.salt_size,
        argon2__digest_size=parameters.hash_len,
    )
    return hasher


_CONTEXT: Final = _hasher(PARAMETERS)


def check(password: str, name: str, email: str) -> None:
    """Refuse a password that is too easy. What kinds of characters it has is left to its owner.

    Raises:
        WeakPassword
    """
    plain = _plain(password)
    if not SHORTEST <= len(plain) <= LONGEST:
        raise WeakPassword(
            f"A password has {SHORTEST} to {LONGEST} characters; several words are good.",
            pointer="/password",
        )
    if len(set(plain)) < _DIFFERENT:
        raise WeakPassword("The same few characters again and again.", pointer="/password")
    known = {part for part in re.split(r"[\W_]+", f"{name} {email}".casefold()) if part}
    low = plain.casefold()
    if any(len(part) >= _TELLING and part in low for part in known | {"tierce"}):
        raise WeakPassword(
            "A password holds neither your name, nor your address, nor the name of this service.",
            pointer="/password",
        )


def hash_(password: str) -> str:
    """Return the hash of a password, in the PHC string format."""
    return _CONTEXT.hash(_plain(password))


def verify(password: str, hash_: str | None) -> tuple[bool, str | None]:
    """Tell whether a password is right; with a new hash where the old one's cost is not today's.

    Without a hash, as for an account that there is not, this takes as long and the answer is no.
    """
    is_right, fresh = _CONTEXT.verify_and_update(_plain(password), hash_ or _nobody_s())
    if hash_ is None or not is_right:
        return False, None
    return True, fresh


def _plain(password: str) -> str:
    """Return one form of what keyboards write in several (NIST SP 800-63B §3.1.1.2)."""
    return unicodedata.normalize("NFKC", password)


@lru_cache(maxsize=1)
def _nobody_s() -> str:
    return _CONTEXT.hash("the password of nobody")
