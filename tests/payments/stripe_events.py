"""Events as Stripe sends them: their bodies, and signatures made without Stripe's library."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from datetime import datetime
from typing import Any


def body(
    kind: str,
    of: dict[str, Any],
    at: datetime,
    *,
    live: bool = False,
    account: str | None = None,
    **more: Any,
) -> bytes:
    """Return the JSON of an event about the object ``of``."""
    event: dict[str, Any] = {
        "id": f"evt_{secrets.token_hex(12)}",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(at.timestamp()),
        "data": {"object": of},
        "livemode": live,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
        **more,
    }
    if account is not None:
        event["account"] = account
    return json.dumps(event, indent=2).encode()


def sign(content: bytes, at: datetime, *keys: str) -> str:
    """Return the ``Stripe-Signature`` header: one ``v1`` for each signing secret."""
    moment = int(at.timestamp())
    parts = [f"t={moment}"]
    for key in keys:
        mac = hmac.new(key.encode(), f"{moment}.".encode() + content, hashlib.sha256)
        parts.append(f"v1={mac.hexdigest()}")
    return ",".join(parts)
