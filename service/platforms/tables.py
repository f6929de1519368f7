"""Platforms, keys, members and idempotency keys as SQLAlchemy sees them.

``migrations/sql/platforms.v1.sql`` says what they mean and which constraints guard them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, LargeBinary, SmallInteger, Table, Text, Uuid, false
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from service.db import metadata

_INSTANT: Final = TIMESTAMP(timezone=True)

platform: Final = Table(
    "platform",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("twin_id", Uuid, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("phone", Text),
)

api_key: Final = Table(
    "api_key",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("label", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("last_used_at", _INSTANT),
    Column("expires_at", _INSTANT),
    Column("revoked_at", _INSTANT),
    Column("rotated_to", Uuid),
)

member: Final = Table(
    "member",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("external_id", Text),
    Column("locale", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("country", Text, nullable=False),
    Column("assisted", Boolean, nullable=False, server_default=false()),
    Column("created_at", _INSTANT, nullable=False),
    Column("erased_at", _INSTANT),
)

member_person: Final = Table(
    "member_person",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("member_id", Uuid, primary_key=True),
    Column("name", Text),
    Column("email", Text),
    Column("phone", Text),
)

idempotency: Final = Table(
    "idempotency",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("actor", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", SmallInteger),
    Column("body", Text),
    Column("location", Text),
    Column("created_at", _INSTANT, nullable=False),
    Column("expires_at", _INSTANT, nullable=False),
)
