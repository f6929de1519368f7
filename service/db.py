"""Engines, the tenant's transaction and set-based writes. The only commit in the repository.

A transaction runs as the role ``tierce_runtime`` with ``tierce.platform_id`` set, so row-level
security keeps every statement inside one platform even where code forgets its ``WHERE``. Work that
spans platforms (sweeps, looking up an API key) asks for :data:`SYSTEM` and runs as
``tierce_system``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, Literal, TypeVar
from uuid import UUID

import orjson
from psycopg import OperationalError
from psycopg.errors import DeadlockDetected, LockNotAvailable, SerializationFailure, UniqueViolation
from sqlalchemy import (
    ARRAY,
    URL,
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    NullPool,
    Table,
    TextClause,
    any_,
    cast,
    text,
)
from sqlalchemy import create_engine as _create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.asyncio import create_async_engine as _create_async_engine

T = TypeVar("T")

#: Naming constraints lets a migration and an error handler speak of them.
metadata: Final = MetaData(
    schema="service",
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    },
)

#: The scope of work that spans platforms.
SYSTEM: Final = "system"
Scope = UUID | Literal["system"]

_OPTIONS: Final = (
    "-c timezone=UTC -c statement_timeout=30s -c lock_timeout=10s "
    "-c idle_in_transaction_session_timeout=60s -c application_name=tierce"
)
_ENTER: Final = text(
    "SELECT set_config('role', :role, true), set_config('tierce.platform_id', :platform_id, true)"
)
_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]


def create_engine(url: str, pool_size: int = 10) -> Engine:
    """Return an engine for synchronous callers: the worker, the command line, the tests."""
    return _create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        connect_args={"options": _OPTIONS},
        hide_parameters=True,
    )


def create_async_engine(url: str, pool_size: int = 10) -> AsyncEngine:
    """Return an engine for the HTTP edge, which runs the same functions by ``run_sync``."""
    return _create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        connect_args={"options": _OPTIONS},
        # An error is logged with its statement; what it was about may be somebody's address.
        hide_parameters=True,
    )


#: Whether this thread or task is inside a transaction; a provider must not be called there.
_inside: Final[ContextVar[bool]] = ContextVar("inside_transaction", default=False)

#: A pre-checked key lost a race, or two transactions met: the second attempt sees who won.
_PASSING: Final = (UniqueViolation, DeadlockDetected, SerializationFailure)
_ATTEMPTS: Final = 3


def is_away(error: Exception) -> bool:
    """Tell whether the database was away, so that nothing that was asked of it is to blame."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError | OSError)
    # Without a SQLSTATE the server never answered: it is down, or out of reach.
    unreachable = isinstance(error.orig, OperationalError) and error.orig.sqlstate is None
    return error.connection_invalidated or unreachable


def outside_transaction() -> None:
    """Stop a call to the outside that would hold row locks while a provider thinks.

    Raises:
        RuntimeError: the caller is inside a transaction; a bug of ours.
    """
    if _inside.get():
        raise RuntimeError("a provider was about to be called inside a transaction")


def _enter(connection: Connection, scope: Scope) -> None:
    role = "tierce_system" if scope == SYSTEM else "tierce_runtime"
    connection.execute(_ENTER, {"role": role, "platform_id": "" if scope == SYSTEM else str(scope)})


@contextmanager
def transaction(engine: Engine, scope: Scope) -> Iterator[Connection]:
    """Open a transaction inside one platform (or :data:`SYSTEM`) and commit it on leaving.

    Any exception rolls everything back and goes on to the caller.
    """
    with engine.connect() as connection, connection.begin():
        _enter(connection, scope)
        token = _inside.set(True)
        try:
            yield connection
        finally:
            _inside.reset(token)


@contextmanager
def beside(engine: Engine, connection: Connection, scope: Scope) -> Iterator[Connection]:
    """Open a second transaction that sees what ``connection``'s sees, for a thread of its own.

    ``connection`` reads as of one instant (REPEATABLE READ) and stays open as long as the other.
    """
    snapshot: str = connection.execute(text("SELECT pg_export_snapshot()")).scalar_one()
    still = _unpooled(engine.url).execution_options(isolation_level="REPEATABLE READ")
    with still.connect() as other, other.begin():
        other.execute(text(f"SET TRANSACTION SNAPSHOT '{snapshot}'"))
        _enter(other, scope)
        yield other


@lru_cache(maxsize=8)
def _unpooled(url: URL) -> Engine:
    """An engine for connections that are held for long: they take none from those who work."""
    return _create_engine(
        url, poolclass=NullPool, connect_args={"options": _OPTIONS}, hide_parameters=True
    )


@contextmanager
def alone(engine: Engine, name: str, patience: timedelta | None = None) -> Iterator[bool]:
    """Hold ``name`` so that nobody else does, in any process; yield False if somebody does.

    ``patience``: how long to wait for them. Nothing is read or written under it, so providers may
    be called. Whoever dies holds it no more.
    """
    with _unpooled(engine.url).connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        if patience is None:
            query = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
            yield connection.execute(query, {"name": name}).scalar_one()
            return
        limit = text("SELECT set_config('lock_timeout', :limit, true)")
        connection.execute(limit, {"limit": f"{patience / timedelta(milliseconds=1):.0f}ms"})
        query = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
        try:
            with connection.begin_nested():
                connection.execute(query, {"name": name})
        except DBAPIError as error:
            if not isinstance(error.orig, LockNotAvailable):
                raise
            yield False
            return
        yield True


async def run(engine: AsyncEngine, scope: Scope, work: Callable[[Connection], T]) -> T:
    """Run synchronous ``work`` in one committed transaction of ``scope`` and return its answer.

    The commit has happened when this returns: an HTTP response built from the answer tells the
    truth (design §5: commit before the response). ``work`` may run again from the start when the
    attempt before lost a race inside the database; nothing of that attempt is left then.
    """

    def in_scope(connection: Connection) -> T:
        _enter(connection, scope)
        token = _inside.set(True)
        try:
            return work(connection)
        finally:
            _inside.reset(token)

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with engine.connect() as connection, connection.begin():
                return await connection.run_sync(in_scope)
        except DBAPIError as error:
            if attempt == _ATTEMPTS or not isinstance(error.orig, _PASSING):
                raise
    raise AssertionError("the loop returns or raises")


def among(column: ColumnElement[Any], values: Collection[Any]) -> ColumnElement[bool]:
    """Return that ``column`` is one of ``values``: one text for any number, prepared once."""
    return column == any_(cast(list(values), ARRAY(column.type)))


@lru_cache(maxsize=256)
def _recordset(table: Table, columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}" {table.c[name].type.compile(dialect=_DIALECT)}' for name in columns)


def _as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    return orjson.dumps(rows, default=_plain, option=orjson.OPT_UTC_Z).decode()


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    raise TypeError(f"no JSON form for {type(value).__name__}")


@lru_cache(maxsize=256)
def _insert(table: Table, columns: tuple[str, ...]) -> TextClause:
    names = ", ".join(f'"{name}"' for name in columns)
    return text(
        f"INSERT INTO {table.fullname} ({names}) SELECT {names} "  # noqa: S608 - names of our own
        f"FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r({_recordset(table, columns)})"
    )


def insert_many(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert ``rows`` (all with the same columns) in one statement, however many there are.

    Bytes, instants and UUIDs are carried as JSON text and cast by the column's type.
    """
    if rows:
        connection.execute(_insert(table, tuple(rows[0])), {"rows": _as_json(rows)})


@lru_cache(maxsize=256)
def _update(table: Table, columns: tuple[str, ...], keys: tuple[str, ...]) -> TextClause:
    # Named expected_<key> where the guard and the new value are the same column (version).
    changed = ", ".join(f'"{name}" = r."{name}"' for name in columns if name not in keys)
    match = " AND ".join(f't."{name}" = r."{name}"' for name in keys)
    return text(
        f"UPDATE {table.fullname} AS t SET {changed} "  # noqa: S608 - names of our own
        f"FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r({_recordset(table, columns)}) "
        f"WHERE {match}"
    )


def update_many(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    keys: tuple[str, ...] = ("platform_id", "id"),
) -> int:
    """Update rows matched by ``keys`` in one statement; return how many matched.

    The caller compares the count with ``len(rows)`` where a missed row would be a lost write.
    """
    if not rows:
        return 0
    result = connection.execute(_update(table, tuple(rows[0]), keys), {"rows": _as_json(rows)})
    return result.rowcount
