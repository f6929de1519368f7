"""Payees' accounts, payers' customers and payouts to banks as SQLAlchemy sees them.

``migrations/sql/payees.v1.sql`` says what they mean and which constraints guard them.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP

from service.db import metadata

_INSTANT: Final = TIMESTAMP(timezone=True)

payee_account: Final = Table(
    "payee_account",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("member_id", Uuid, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("country", Text, nullable=False),
    Column("account_ref", Text),
    Column("failure", Text),
    Column("ready", Boolean, nullable=False, server_default="false"),
    Column("bank_ready", Boolean, nullable=False, server_default="false"),
    Column("submitted", Boolean, nullable=False, server_default="false"),
    Column("due", ARRAY(Text), nullable=False, server_default="{}"),
    Column("due_by", _INSTANT),
    Column("disabled_reason", Text),
    Column("opened_at", _INSTANT, nullable=False),
    Column("seen_at", _INSTANT),
    Column("version", Integer, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("look_again_at", _INSTANT),
    Column("failures", Integer, nullable=False, server_default="0"),
)

provider_customer: Final = Table(
    "provider_customer",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("member_id", Uuid, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("customer_ref", Text, nullable=False),
    Column("saved_method", Text),
    Column("agreed_at", _INSTANT, nullable=False),
    Column("seen_at", _INSTANT, nullable=False),
)

bank_payout: Final = Table(
    "bank_payout",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("provider", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("account_ref", Text, nullable=False),
    Column("member_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    Column("arrives_at", _INSTANT),
    Column("failure", Text),
    Column("seen_at", _INSTANT, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("look_again_at", _INSTANT),
    Column("failures", Integer, nullable=False, server_default="0"),
)
