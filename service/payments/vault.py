"""Seals secrets before they are stored, so that a database or its backup alone opens nothing.

Fernet (AES-128-CBC with HMAC-SHA256) under keys derived from the instance's secret by HKDF-SHA256
(RFC 5869): one for each platform, provider and kind of secret, so that a sealed secret copied into
another row does not open there.
"""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

import orjson
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ledger.refusals import Refusal


class SecretsUnreadable(Refusal):
    """A sealed secret does not open: TIERCE_CODE_KEY is not the one it was sealed under."""

    code = "provider_secrets_unreadable"


class Vault:
    """Seals and opens the secrets of one instance."""

    def __init__(self, secret: str) -> None:
        """Take the instance's secret, ``TIERCE_CODE_KEY``."""
        self._secret = secret.encode()

    def seal(self, platform_id: UUID, provider: str, kind: str, value: Any) -> bytes:
        """Return ``value`` (of JSON), sealed for one column of one row."""
        return self._fernet(platform_id, provider, kind).encrypt(orjson.dumps(value))

    def open(self, platform_id: UUID, provider: str, kind: str, sealed: bytes) -> Any:
        """Return what was sealed.

        Raises:
            SecretsUnreadable: it was sealed under another secret, for another row, or changed.
        """
        try:
            return orjson.loads(self._fernet(platform_id, provider, kind).decrypt(sealed))
        except InvalidToken:
            raise SecretsUnreadable(
                f"The stored {kind} of {provider} does not open under this instance's "
                "TIERCE_CODE_KEY. Set the one it was sealed under, or connect the account again, "
                "with both webhook secrets."
            ) from None

    def _fernet(self, platform_id: UUID, provider: str, kind: str) -> Fernet:
        info = f"tierce provider connection 1\x1f{platform_id}\x1f{provider}\x1f{kind}"
        key = HKDF(SHA256(), 32, salt=None, info=info.encode()).derive(self._secret)
        return Fernet(base64.urlsafe_b64encode(key))
