"""Exchanges as SQLAlchemy sees them; ``migrations/sql/exchanges.v1.sql`` says what they mean."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Integer,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, TIMESTAMP

from service.db import metadata

_INSTANT: Final = TIMESTAMP(timezone=True)

exchange: Final = Table(
    "exchange",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("steps_version", Integer, nullable=False),
    Column("payer_id", Uuid, nullable=False),
    Column("payee_id", Uuid, nullable=False),
    Column("external_id", Text),
    Column("proposed_by", Text, nullable=False),
    Column("payer_agreed_at", _INSTANT),
    Column("payee_agreed_at", _INSTANT),
    Column("terms", JSONB, nullable=False),
    Column("terms_hash", Text, nullable=False),
    Column("provider", Text),
    Column("proposed_at", _INSTANT, nullable=False),
    Column("agreed_at", _INSTANT),
    Column("funded_at", _INSTANT),
    Column("review_at", _INSTANT),
    Column("closed_at", _INSTANT),
    Column("proposal", JSONB),
    Column("collect_id", Uuid),
    Column("deposit_id", Uuid),
    Column("deposit_until", _INSTANT),
    Column("deposit_renewal_id", Uuid),
    Column("frozen_at", _INSTANT),
    Column("reversible_until", _INSTANT),
    Column("contested_id", Uuid),
    Column("charged_back", BigInteger, nullable=False, server_default="0"),
    Column("fund_attempts", Integer, nullable=False, server_default="0"),
    Column("event_sequence", Integer, nullable=False, server_default="0"),
    Column("reminders", SmallInteger, nullable=False, server_default="0"),
    Column("reminded_at", _INSTANT),
    Column("resumed_at", _INSTANT),
    Column("case_id", Uuid),
    Column("case_told", Integer, nullable=False, server_default="0"),
    Column("award", JSONB(none_as_null=True)),
    Column("created_at", _INSTANT, nullable=False),
    # What service.ids.heard returns for the short number of an exchange.
    Column("ending", Text, Computed("right(id::text, 10)", persisted=True), nullable=False),
)

leg: Final = Table(
    "leg",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("exchange_id", Uuid, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("role", Text, nullable=False),
    Column("checkpoint", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    Column("sort", Text, nullable=False),
    Column("payer_fee", BigInteger, nullable=False),
    Column("payee_fee", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("to_payer", BigInteger),
    Column("to_payee", BigInteger),
    Column("to_fees", BigInteger),
    Column("collect_id", Uuid),
    Column("strategy", Text),
    Column("disputed", Boolean, nullable=False, server_default="false"),
)

checkpoint: Final = Table(
    "checkpoint",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("exchange_id", Uuid, primary_key=True),
    Column("position", SmallInteger, primary_key=True),
    Column("name", Text, nullable=False),
    Column("due_at", _INSTANT),
    Column("payer_at", _INSTANT),
    Column("payee_at", _INSTANT),
    Column("met_at", _INSTANT),
    Column("code_generation", SmallInteger),
    Column("code_digest", BYTEA),
    Column("code_tries", SmallInteger, nullable=False, server_default="0"),
    Column("code_locked_at", _INSTANT),
    Column("case_id", Uuid),
)

confirmation: Final = Table(
    "confirmation",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("exchange_id", Uuid, nullable=False),
    Column("checkpoint", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("member_id", Uuid, nullable=False),
    Column("word", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("at", _INSTANT, nullable=False),
    Column("helper_id", Uuid),
    Column("operator", Text),
)

timer: Final = Table(
    "timer",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("exchange_id", Uuid, primary_key=True),
    Column("step", Text, primary_key=True),
    Column("due_at", _INSTANT, nullable=False),
)
