"""Dead letters, heartbeats and outages as SQLAlchemy sees them.

``migrations/sql/operations.v1.sql`` says what they mean.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from service.db import metadata

_INSTANT: Final = TIMESTAMP(timezone=True)

dead_letter: Final = Table(
    "dead_letter",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("work", Text, nullable=False),
    Column("subject", JSONB, nullable=False),
    Column("error", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_failed_at", _INSTANT, nullable=False),
    Column("died_at", _INSTANT, nullable=False),
    Column("resolved_at", _INSTANT),
    Column("resolution", Text),
)

heartbeat: Final = Table(
    "heartbeat",
    metadata,
    Column("process", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("seen_at", _INSTANT, nullable=False),
    Column("started_at", _INSTANT, nullable=False),
)

outage: Final = Table(
    "outage",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("began_at", _INSTANT, nullable=False),
    Column("ended_at", _INSTANT, nullable=False),
    Column("reason", Text, nullable=False),
    Column("recorded_at", _INSTANT, nullable=False),
)
