"""Signed documents: canonical JSON in a compact JWS (RFC 7515), made once and answered for ever.

Canonical JSON is RFC 8785 for what is signed here: names of ASCII letters sorted, no spaces, whole
numbers alone, instants as RFC 3339 in UTC. The algorithm is pinned (RFC 8725 §3.1) and the type of
a document is in its header (§3.11), so that nothing else that a key signed passes for one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

import orjson
from jose import jws
from sqlalchemy import Connection, text

from service.ids import uuid7
from service.records import keys
from service.sealing import Sealer

Kind = Literal["decision", "extract", "receipt"]

#: The ``typ`` of each kind of document in the header of its JWS.
TYPES: Final[dict[str, str]] = {
    "decision": "tierce-decision+jws",
    "extract": "tierce-extract+jws",
    "receipt": "tierce-receipt+jws",
}

_STORED: Final = text(
    "SELECT jws FROM service.signed_document WHERE platform_id = :platform_id AND kind = :kind "
    "AND subject_id = :subject_id AND part = :part"
)
_INSERT: Final = text(
    "INSERT INTO service.signed_document "
    "(platform_id, id, kind, subject_id, part, sha256, jws, kid, signed_at) "
    "VALUES (:platform_id, :id, :kind, :subject_id, :part, :sha256, :jws, :kid, :now) "
    "ON CONFLICT (platform_id, kind, subject_id, part) DO NOTHING"
)


def instant(at: datetime) -> str:
    """Return an instant as documents write it, such as 2027-03-01T09:00:00.000000Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the bytes that are signed."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def stored(
    connection: Connection, platform_id: UUID, kind: Kind, subject_id: UUID, part: int = 0
) -> str | None:
    """Return what was signed of this part of a subject, or None."""
    values = {
        "platform_id": platform_id,
        "kind": kind,
        "subject_id": subject_id,
        "part": part,
    }
    found: str | None = connection.execute(_STORED, values).scalar_one_or_none()
    return found


def sign(
    connection: Connection,
    sealer: Sealer,
    platform_id: UUID,
    kind: Kind,
    subject_id: UUID,
    document: Mapping[str, Any],
    now: datetime,
    part: int = 0,
) -> str:
    """Return the compact JWS of a document: the stored one, if there is one already.

    Args:
        subject_id: the case or the exchange that it speaks of.
        document: made of what does not change any more; public ids, whole numbers, no floats.
        part: how much of a subject that goes on had happened; 0 where there is but one document.

    Raises:
        keys.SigningKeyUnreadable
    """
    found = stored(connection, platform_id, kind, subject_id, part)
    if found is not None:
        return found
    key = keys.current(connection, sealer, now)
    payload = canonical(document)
    headers = {"typ": TYPES[kind], "kid": key.kid}
    made: str = jws.sign(payload, key.pem, headers, keys.ALGORITHM)
    values = {
        "platform_id": platform_id,
        "id": uuid7(),
        "kind": kind,
        "subject_id": subject_id,
        "part": part,
        "sha256": hashlib.sha256(payload).digest(),
        "jws": made,
        "kid": key.kid,
        "now": now,
    }
    connection.execute(_INSERT, values)
    # A racer's, if it was first: whoever asks is given the same.
    found = stored(connection, platform_id, kind, subject_id, part)
    assert found is not None
    return found
