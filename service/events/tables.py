"""The outbox and the webhook endpoints as SQLAlchemy sees them.

``migrations/sql/events.v1.sql`` and ``webhooks.v1.sql`` say what they mean.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, FetchedValue, Integer, LargeBinary, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP

from ledger.tables import SystemType
from service.db import metadata

_INSTANT: Final = TIMESTAMP(timezone=True)

event: Final = Table(
    "event",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("type", Text, nullable=False),
    Column("exchange_id", Uuid),
    Column("member_id", Uuid),
    Column("sequence", Integer),
    Column("data", JSONB, nullable=False),
    Column("at", _INSTANT, nullable=False),
    Column("tx", SystemType("xid8"), nullable=False, server_default=FetchedValue()),
)

webhook_endpoint: Final = Table(
    "webhook_endpoint",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("url", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("events", ARRAY(Text), nullable=False),
    Column("secrets_sealed", LargeBinary),
    Column("created_at", _INSTANT, nullable=False),
    Column("enabled_at", _INSTANT),
    Column("disabled_at", _INSTANT),
    Column("disabled_reason", Text),
    Column("deleted_at", _INSTANT),
    Column("failing_since", _INSTANT),
    Column("warned_at", _INSTANT),
    Column("held_until", _INSTANT),
)

webhook_delivery: Final = Table(
    "webhook_delivery",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("endpoint_id", Uuid, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("type", Text, nullable=False),
    Column("exchange_id", Uuid),
    Column("sequence", Integer),
    Column("state", Text, nullable=False),
    Column("next_at", _INSTANT),
    Column("taken", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("replays", Integer, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("ended_at", _INSTANT),
)

webhook_attempt: Final = Table(
    "webhook_attempt",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("endpoint_id", Uuid, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", _INSTANT, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("duration_ms", Integer, nullable=False),
    Column("answer", Text),
)
