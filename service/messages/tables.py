"""Messages and links as SQLAlchemy sees them; ``migrations/sql/messages.v1.sql`` says the rest."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from service.db import metadata

_INSTANT: Final = TIMESTAMP(timezone=True)

message: Final = Table(
    "message",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("member_id", Uuid, nullable=False),
    Column("exchange_id", Uuid),
    Column("event_id", Uuid, nullable=False),
    Column("template", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("channel", Text),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("made_at", _INSTANT, nullable=False),
    Column("due_at", _INSTANT),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("resends", Integer, nullable=False, server_default="0"),
    Column("sent_at", _INSTANT),
    Column("helper_id", Uuid),
)

message_text: Final = Table(
    "message_text",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("message_id", Uuid, primary_key=True),
    Column("member_id", Uuid, nullable=False),
    Column("recipient", Text),
    Column("subject", Text, nullable=False),
    Column("plain", Text, nullable=False),
    Column("html", Text, nullable=False),
)

message_preference: Final = Table(
    "message_preference",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("member_id", Uuid, primary_key=True),
    Column("steps", Text, nullable=False),
    Column("news", Text, nullable=False),
    Column("changed_at", _INSTANT, nullable=False),
)

bounce: Final = Table(
    "bounce",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("member_id", Uuid, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("address", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("bounced_at", _INSTANT, nullable=False),
)

link: Final = Table(
    "link",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("member_id", Uuid, nullable=False),
    Column("exchange_id", Uuid),
    Column("purpose", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("expires_at", _INSTANT, nullable=False),
    Column("revoked_at", _INSTANT),
    Column("last_used_at", _INSTANT),
    Column("helper_id", Uuid),
)
