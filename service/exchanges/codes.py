"""Hand-over codes: six digits told in person, derived from a secret and stored only as a hash.

The digits are an HMAC of the checkpoint and its generation, so that the holder can be shown them
again, or find them on a printed slip, without the database ever holding them. What is stored is a
second HMAC of the digits: useless without the instance's secret, unlike a plain hash of six digits.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final
from uuid import UUID

from service.exchanges.model import Code

DIGITS: Final = 6
MOST_WRONG_TRIES: Final = 5
#: With five tries each, 5 generations leave a guesser 25 chances in a million.
MOST_GENERATIONS: Final = 5


class CodeBook:
    """Derives and checks the codes of one instance from its secret."""

    def __init__(self, secret: str) -> None:
        """Take the instance's secret (32 characters or more).

        Raises:
            ValueError: the secret is too short to keep six digits from being guessed off line.
        """
        if len(secret) < 32:
            raise ValueError("TIERCE_CODE_KEY must be at least 32 characters of random text.")
        self._secret = secret.encode()

    def digits(self, exchange_id: UUID, checkpoint: str, generation: int) -> str:
        """Return the six digits for the member who holds the code."""
        mac = self._mac("digits", exchange_id, checkpoint, str(generation))
        return f"{int.from_bytes(mac[:8]) % 10**DIGITS:0{DIGITS}d}"

    def issue(self, exchange_id: UUID, checkpoint: str, generation: int = 1) -> Code:
        """Return the code of a checkpoint as it is stored."""
        digits = self.digits(exchange_id, checkpoint, generation)
        return Code(generation, self._mac("stored", exchange_id, checkpoint, digits))

    def matches(self, code: Code, exchange_id: UUID, checkpoint: str, entered: str) -> bool:
        """Tell whether ``entered`` is the code; spaces are ignored, time does not depend on it."""
        digits = "".join(entered.split())
        return hmac.compare_digest(
            code.digest, self._mac("stored", exchange_id, checkpoint, digits)
        )

    def _mac(self, purpose: str, exchange_id: UUID, checkpoint: str, value: str) -> bytes:
        message = "\x1f".join((purpose, str(exchange_id), checkpoint, value)).encode()
        return hmac.digest(self._secret, message, hashlib.sha256)
