"""Idempotency keys of API v1: the first answer is kept once work began, and said again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.stripe_server.errors import ApiError

KEPT_SECONDS = 24 * 3600
MAX_LENGTH = 255


@dataclass
class Kept:
    """One key: what was asked with it, and the answer once there is one."""

    path: str
    params: dict[str, Any]
    at: int
    status: int | None = None
    body: bytes = b""


class Keys:
    """All keys; the caller holds the server's lock."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Kept] = {}

    def claim(
        self, account: str, key: str, path: str, params: dict[str, Any], now: int
    ) -> Kept | None:
        """Return the answer to say again, or None after claiming the key for this request.

        Raises:
            ApiError: the key was used for something else, or is being used right now.
        """
        if len(key) > MAX_LENGTH:
            message = f"Idempotency keys must be at most {MAX_LENGTH} characters."
            raise ApiError(400, "idempotency_error", message)
        kept = self._kept.get((account, key))
        if kept is not None and kept.status is not None and kept.at + KEPT_SECONDS <= now:
            kept = None
        if kept is None:
            self._kept[account, key] = Kept(path, params, now)
            return None
        if (kept.path, kept.params) != (path, params):
            raise ApiError(
                400,
                "idempotency_error",
                f"Keys for idempotent requests can only be used with the same parameters they "
                f"were first used with. Try using a key other than '{key}' if you meant to "
                "execute a different request.",
            )
        if kept.status is None:
            raise ApiError(
                409,
                "idempotency_error",
                f"There is currently another in-progress request using this Idempotent Key "
                f"({key}). Please try again later.",
                code="idempotency_key_in_use",
            )
        return kept

    def keep(self, account: str, key: str, status: int, body: bytes) -> None:
        """Remember the answer."""
        kept = self._kept[account, key]
        kept.status, kept.body = status, body

    def drop(self, account: str, key: str) -> None:
        """Forget a claim: nothing was begun."""
        kept = self._kept.get((account, key))
        if kept is not None and kept.status is None:
            del self._kept[account, key]
