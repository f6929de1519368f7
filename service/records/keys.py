"""The instance's signing keys: ES256, one in use at a time, retired and never deleted.

A key is named by its thumbprint (RFC 7638). Public halves are published for ever, as what was
signed is to be verified for ever; the private half is sealed at rest and opened to sign alone.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import Connection, text

from ledger.refusals import Refusal
from service.sealing import SealBroken, Sealer

ALGORITHM: Final = "ES256"


class SigningKeyUnreadable(Refusal):
    """The private key does not open: TIERCE_CODE_KEY is not the one it was sealed under."""

    code = "signing_key_unreadable"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key as it is published: ``kid`` and the public point, as of RFC 7517."""

    kid: str
    public: Mapping[str, str]
    created_at: datetime
    retired_at: datetime | None

    @property
    def jwk(self) -> dict[str, str]:
        """The public half as a JWK."""
        return {**self.public, "kid": self.kid, "use": "sig", "alg": ALGORITHM}


@dataclass(frozen=True, slots=True)
class Opened:
    """The key in use with its private half, for the moment of signing."""

    kid: str
    pem: str


_CURRENT: Final = text(
    "SELECT kid, public, sealed, created_at, retired_at FROM service.signing_key "
    "WHERE retired_at IS NULL"
)
_ALL: Final = text(
    "SELECT kid, public, created_at, retired_at FROM service.signing_key ORDER BY created_at, kid"
)
_ADD: Final = text(
    "SELECT service.add_signing_key(:kid, CAST(:public AS jsonb), CAST(:sealed AS bytea), :now)"
)
#: Two who rotate at once do so one after the other.
_ALONE: Final = text("SELECT pg_advisory_xact_lock(hashtextextended('signing_key', 0))")
_RETIRE: Final = text(
    "UPDATE service.signing_key SET retired_at = :now WHERE retired_at IS NULL RETURNING kid"
)


def current(connection: Connection, sealer: Sealer, now: datetime) -> Opened:
    """Return the key in use; the first one is made here.

    Raises:
        SigningKeyUnreadable: it was sealed under another secret. ``tierce keys rotate`` makes a new
            one; what was signed before stays genuine.
    """
    row = connection.execute(_CURRENT).one_or_none()
    if row is None:
        _make(connection, sealer, now)
        # A racer's, if it was first: there is one at a time.
        row = connection.execute(_CURRENT).one()
    try:
        return Opened(row.kid, sealer.open(_place(row.kid), bytes(row.sealed)))
    except SealBroken:
        raise SigningKeyUnreadable(
            "The signing key does not open under this instance's TIERCE_CODE_KEY. Set the one it "
            "was sealed under, or make a new key with `tierce keys rotate`.",
            kid=row.kid,
        ) from None


def rotate(connection: Connection, sealer: Sealer, now: datetime) -> tuple[str | None, str]:
    """Retire the key in use and make the next, in the system's scope; return both names.

    The first is None where there was none. What the retired one signed stays genuine.
    """
    connection.execute(_ALONE)
    retired = connection.execute(_RETIRE, {"now": now}).scalar_one_or_none()
    _make(connection, sealer, now)
    return retired, connection.execute(_CURRENT).one().kid


def published(connection: Connection) -> Sequence[SigningKey]:
    """Return every key there ever was, oldest first."""
    return [SigningKey(**row._asdict()) for row in connection.execute(_ALL)]


def thumbprint(public: Mapping[str, str]) -> str:
    """Return the name of an EC key (RFC 7638 §3.2): a hash of crv, kty, x and y alone."""
    point = {name: public[name] for name in ("crv", "kty", "x", "y")}
    digest = hashlib.sha256(orjson.dumps(point, option=orjson.OPT_SORT_KEYS)).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _place(kid: str) -> str:
    return f"tierce signing key 1\x1f{kid}"


def _make(connection: Connection, sealer: Sealer, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    public = {"crv": "P-256", "kty": "EC", "x": _b64(numbers.x), "y": _b64(numbers.y)}
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    kid = thumbprint(public)
    values: dict[str, Any] = {
        "kid": kid,
        "public": orjson.dumps(public).decode(),
        "sealed": sealer.seal(_place(kid), pem),
        "now": now,
    }
    connection.execute(_ADD, values)


def _b64(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32)).rstrip(b"=").decode()
