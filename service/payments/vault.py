"""Seals providers' secrets before they are stored (:mod:`service.sealing`).

One key for each platform, provider and kind of secret, so that a sealed secret copied into another
row does not open there.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ledger.refusals import Refusal
from service.sealing import SealBroken, Sealer


class SecretsUnreadable(Refusal):
    """A sealed secret does not open: TIERCE_CODE_KEY is not the one it was sealed under."""

    code = "provider_secrets_unreadable"


class Vault:
    """Seals and opens the secrets of one instance."""

    def __init__(self, secret: str) -> None:
        """Take the instance's secret, ``TIERCE_CODE_KEY``."""
        self._sealer = Sealer(secret)

    def seal(self, platform_id: UUID, provider: str, kind: str, value: Any) -> bytes:
        """Return ``value`` (of JSON), sealed for one column of one row."""
        return self._sealer.seal(_place(platform_id, provider, kind), value)

    def open(self, platform_id: UUID, provider: str, kind: str, sealed: bytes) -> Any:
        """Return what was sealed.

        Raises:
            SecretsUnreadable: it was sealed under another secret, for another row, or changed.
        """
        try:
            return self._sealer.open(_place(platform_id, provider, kind), sealed)
        except SealBroken:
            raise SecretsUnreadable(
                f"The stored {kind} of {provider} does not open under this instance's "
                "TIERCE_CODE_KEY. Set the one it was sealed under, or connect the account again, "
                "with both webhook secrets."
            ) from None


def _place(platform_id: UUID, provider: str, kind: str) -> str:
    return f"tierce provider connection 1\x1f{platform_id}\x1f{provider}\x1f{kind}"
