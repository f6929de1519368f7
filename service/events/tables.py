"""The outbox as SQLAlchemy sees it; ``migrations/sql/events.v1.sql`` says what it means."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, FetchedValue, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from ledger.tables import SystemType
from service.db import metadata

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
    Column("at", TIMESTAMP(timezone=True), nullable=False),
    Column("tx", SystemType("xid8"), nullable=False, server_default=FetchedValue()),
)
