"""Time-based one-time codes (RFC 6238): six digits, a new one every thirty seconds."""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Final
from uuid import UUID

from pyotp import TOTP, random_base32

ISSUER: Final = "Tierce"
#: How many steps a clock may be off, either way (RFC 6238 §5.2).
WINDOW: Final = 1
_SECONDS: Final = 30


def new_secret() -> str:
    """Return a secret of 160 random bits in base 32 (RFC 4226 §4)."""
    return random_base32()


def uri(secret: str, email: str) -> str:
    """Return the ``otpauth://`` address that an authenticator reads from a QR code."""
    return TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)


def step(now: datetime) -> int:
    """Return the number of the time step that ``now`` is in."""
    return int(now.timestamp()) // _SECONDS


def code(secret: str, at_step: int) -> str:
    """Return the code of a time step."""
    return TOTP(secret).generate_otp(at_step)


def matching(secret: str, given: str, now: datetime) -> int | None:
    """Return the time step whose code was given, or None. Whether it was used is not asked here."""
    middle, found = step(now), None
    for one in range(middle - WINDOW, middle + WINDOW + 1):
        if hmac.compare_digest(code(secret, one).encode(), given.encode()):
            found = one
    return found


def place(mediator_id: UUID) -> str:
    """Return the place for which a mediator's secret is sealed."""
    return f"tierce mediator totp 1\x1f{mediator_id}"
