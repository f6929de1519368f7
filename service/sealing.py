"""Seals what must be stored and not be read from a database or its backup alone.

Fernet (AES-128-CBC with HMAC-SHA256) under keys derived from the instance's secret by HKDF-SHA256
(RFC 5869): one for each place, so that what is sealed for one row does not open in another.
"""

from __future__ import annotations

import base64
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class SealBroken(ValueError):
    """It was sealed under another secret, for another place, or changed."""


class Sealer:
    """Seals and opens under one instance's secret."""

    def __init__(self, secret: str) -> None:
        """Take the instance's secret, ``TIERCE_CODE_KEY``."""
        self._secret = secret.encode()

    def seal(self, place: str, value: Any) -> bytes:
        """Return ``value`` (of JSON), sealed for ``place``: one column of one row."""
        return self._fernet(place).encrypt(orjson.dumps(value))

    def open(self, place: str, sealed: bytes) -> Any:
        """Return what was sealed for ``place``.

        Raises:
            SealBroken
        """
        try:
            return orjson.loads(self._fernet(place).decrypt(sealed))
        except InvalidToken:
            raise SealBroken("it does not open under this instance's TIERCE_CODE_KEY") from None

    def _fernet(self, place: str) -> Fernet:
        key = HKDF(SHA256(), 32, salt=None, info=place.encode()).derive(self._secret)
        return Fernet(base64.urlsafe_b64encode(key))
