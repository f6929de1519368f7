"""The ledger as SQLAlchemy sees it, to read; ``migrations/sql/ledger_*.sql`` says what it means."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    FetchedValue,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.types import UserDefinedType

metadata: Final = MetaData(schema="ledger")
_INSTANT: Final = TIMESTAMP(timezone=True)


class SystemType(UserDefinedType[str]):
    """A type of PostgreSQL's own that SQLAlchemy has no name for."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_kw: Any) -> str:
        """Return the type's name in DDL."""
        return self.name


unit: Final = Table(
    "unit",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("code", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("exponent", SmallInteger, nullable=False),
    Column("credit_limit", BigInteger, nullable=False),
    Column("created_at", _INSTANT, nullable=False, server_default=FetchedValue()),
)

account: Final = Table(
    "account",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", BigInteger, primary_key=True, server_default=FetchedValue()),
    Column("path", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("floor", BigInteger),
    Column("balance", BigInteger, nullable=False, server_default=FetchedValue()),
    Column("opened_at", _INSTANT, nullable=False),
)

posting: Final = Table(
    "posting",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("key", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("reference", Text),
    Column("reverses", Uuid),
    Column("recorded_at", _INSTANT, nullable=False),
)

transfer: Final = Table(
    "transfer",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("id", BigInteger, primary_key=True, server_default=FetchedValue()),
    Column("posting_id", Uuid, nullable=False),
    Column("debit_account", BigInteger, nullable=False),
    Column("credit_account", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    Column("tx", SystemType("xid8"), nullable=False, server_default=FetchedValue()),
)

cut: Final = Table(
    "cut",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("account_id", BigInteger, primary_key=True),
    Column("balance", BigInteger, nullable=False),
    Column("snapshot", SystemType("pg_snapshot"), nullable=False),
    Column("low_id", BigInteger, nullable=False),
)

mark: Final = Table(
    "mark",
    metadata,
    Column("platform_id", Uuid, primary_key=True),
    Column("last_id", BigInteger, primary_key=True),
    Column("tx", SystemType("xid8"), nullable=False),
)
