"""What is sent to a webhook endpoint, signed as Standard Webhooks asks.

``webhook-signature`` holds one signature for each secret that is valid, parted by spaces: while a
secret is rotated, receivers that know either take the message.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson
from pydantic import SecretStr
from standardwebhooks import Webhook

from ledger.refusals import Refusal
from service.events.catalogue import TYPES
from service.ids import encode
from service.sealing import Sealer

PREFIX: Final = "whsec_"
SHORTEST: Final = 24
LONGEST: Final = 64
_MADE: Final = 32
#: A message is smaller than this; one that is not comes without its data, which GET has.
MOST_BYTES: Final = 20_000


class InvalidSecret(Refusal):
    """A signing secret that is not ``whsec_`` and the base64 of 24 to 64 bytes."""

    code = "invalid_webhook_secret"


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret, and until when it is used; None: no end is set."""

    value: str
    until: datetime | None = None


def new_secret() -> str:
    """Return a new secret of 32 random bytes."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_MADE)).decode()


def check_secret(given: SecretStr) -> str:
    """Return a secret that a platform chose itself.

    Raises:
        InvalidSecret: it does not have the form or the length; it is never repeated.
    """
    value = given.get_secret_value()
    try:
        if not value.startswith(PREFIX):
            raise ValueError
        size = len(base64.b64decode(value.removeprefix(PREFIX), validate=True))
    except (ValueError, binascii.Error):
        raise InvalidSecret(
            f"A signing secret is {PREFIX} and the base64 of {SHORTEST} to {LONGEST} random bytes.",
            pointer="/secret",
        ) from None
    if not SHORTEST <= size <= LONGEST:
        raise InvalidSecret(
            f"A signing secret has {SHORTEST} to {LONGEST} bytes; this one has {size}.",
            pointer="/secret",
            bytes=size,
        )
    return value


def seal(sealer: Sealer, platform_id: UUID, endpoint_id: UUID, kept: Sequence[Secret]) -> bytes:
    """Return an endpoint's secrets, sealed for its row."""
    values = [{"value": one.value, "until": one.until} for one in kept]
    return sealer.seal(_place(platform_id, endpoint_id), values)


def unseal(sealer: Sealer, platform_id: UUID, endpoint_id: UUID, sealed: bytes) -> list[Secret]:
    """Return an endpoint's secrets, the newest first.

    Raises:
        SealBroken: they were sealed under another TIERCE_CODE_KEY.
    """
    found = sealer.open(_place(platform_id, endpoint_id), sealed)
    return [
        Secret(one["value"], one["until"] and datetime.fromisoformat(one["until"])) for one in found
    ]


def _place(platform_id: UUID, endpoint_id: UUID) -> str:
    return f"tierce webhook endpoint 1\x1f{platform_id}\x1f{endpoint_id}"


def payload(event: Mapping[str, Any]) -> bytes:
    """Return the body of a message about an event of the outbox."""
    exchange_id, member_id = event["exchange_id"], event["member_id"]
    body = {
        "id": encode("event", event["id"]),
        "type": event["type"],
        "version": TYPES[event["type"]].version,
        "timestamp": event["at"],
        "exchange": None if exchange_id is None else encode("exchange", exchange_id),
        "member": None if member_id is None else encode("member", member_id),
        "sequence": event["sequence"],
        "data": event["data"],
    }
    sent = orjson.dumps(body, option=orjson.OPT_UTC_Z)
    if len(sent) < MOST_BYTES:
        return sent
    return orjson.dumps({**body, "data": {}, "data_left_out": True}, option=orjson.OPT_UTC_Z)


def headers(
    message_id: str, body: bytes, kept: Sequence[Secret], now: datetime
) -> list[tuple[str, str]]:
    """Return the headers that a message is known and proved by."""
    at = now.astimezone(UTC)
    valid = [one for one in kept if one.until is None or now < one.until]
    signatures = [Webhook(one.value).sign(message_id, at, body.decode()) for one in valid]
    return [
        ("webhook-id", message_id),
        ("webhook-timestamp", str(int(at.timestamp()))),
        ("webhook-signature", " ".join(signatures)),
    ]
