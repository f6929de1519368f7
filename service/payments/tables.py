"""Payments, the inbox and the sandbox provider's memory as SQLAlchemy sees them.

``migrations/sql/payments.v1.sql`` says what they mean and which constraints guard them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Integer, SmallInteger, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, TIMESTAMP

from service.db import metadata

_INSTANT: Final = TIMESTAMP(timezone=True)

payment: Final = Table(
    "payment",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("exchange_id", Uuid),
    Column("member_id", Uuid, nullable=False),
    Column("provider", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    Column("collect_id", Uuid),
    Column("method", Text),
    Column("state", Text, nullable=False),
    Column("provider_ref", Text),
    Column("next_action", JSONB),
    Column("failure", Text),
    Column("cancel_wanted", Boolean, nullable=False, server_default="false"),
    Column("refund_asked", BigInteger, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("look_again_at", _INSTANT),
    Column("created_at", _INSTANT, nullable=False),
    Column("settled_at", _INSTANT),
    Column("capture", Text, nullable=False, server_default="automatic"),
    Column("hosted", Boolean, nullable=False, server_default="false"),
    Column("return_url", Text),
    Column("save_method", Boolean, nullable=False, server_default="false"),
    Column("off_session", Boolean, nullable=False, server_default="false"),
    Column("replaces", Uuid),
    Column("authorised_at", _INSTANT),
    Column("capture_before", _INSTANT),
    Column("capture_wanted", BigInteger),
    Column("captured", BigInteger),
    Column("saved_method", Text),
    Column("instrument", BYTEA),
    Column("source_id", Uuid),
    Column("payout_id", Uuid),
    Column("reversal_asked", BigInteger, nullable=False, server_default="0"),
    Column("after_id", Uuid),
    Column("waiting", Boolean, nullable=False, server_default="false"),
    Column("disputed_at", _INSTANT),
    Column("returned_at", _INSTANT),
    Column("failures", SmallInteger, nullable=False, server_default="0"),
)

provider_event: Final = Table(
    "provider_event",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("object_ref", Text, nullable=False),
    Column("received_at", _INSTANT, nullable=False),
    Column("applied_at", _INSTANT),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("try_at", _INSTANT),
    Column("note", Text),
    Column("topic", Text, nullable=False, server_default="payment"),
    Column("account", Text),
    Column("refused_at", _INSTANT),
    Column("failures", SmallInteger, nullable=False, server_default="0"),
)

sandbox_object: Final = Table(
    "sandbox_object",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("request_key", Text, nullable=False),
    Column("request", JSONB, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("becomes", Text),
    Column("becomes_at", _INSTANT),
    Column("failure", Text),
    Column("of_ref", Text),
    Column("capture", Text, nullable=False, server_default="automatic"),
    Column("captured", BigInteger),
    Column("capture_before", _INSTANT),
    Column("settled_at", _INSTANT),
)

sandbox_event: Final = Table(
    "sandbox_event",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("object_ref", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("deliver_at", _INSTANT),
)
