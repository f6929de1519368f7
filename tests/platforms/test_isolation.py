"""The database keeps platforms apart by itself: here nobody writes a WHERE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Engine, Row, text
from sqlalchemy.exc import DBAPIError

from service.db import SYSTEM, transaction
from service.platforms import keys, members, platforms

NOW = datetime(2027, 3, 1, 9, 0, tzinfo=UTC)

_TABLES = (
    "SELECT c.oid, c.oid::regclass::text AS name, c.relrowsecurity AS guarded, "
    "EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'platform_id') "
    "OR c.oid = 'service.platform'::regclass AS tenant, "
    "EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid "
    "AND 'tierce_runtime'::regrole::oid = ANY(p.polroles)) AS ruled, "
    "has_table_privilege('tierce_runtime', c.oid, 'SELECT') AS readable, "
    "has_table_privilege('tierce_runtime', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') "
    "OR has_any_column_privilege('tierce_runtime', c.oid, 'INSERT, UPDATE') AS writable "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname IN ('ledger', 'service', 'disputes') AND c.relkind IN ('r', 'p') ORDER BY 2"
)


def _tables(engine: Engine) -> Sequence[Row[Any]]:
    with transaction(engine, SYSTEM) as connection:
        return connection.execute(text(_TABLES)).all()


def _fill(engine: Engine, platform_id: UUID) -> None:
    with transaction(engine, platform_id) as connection:
        members.create(connection, platform_id, "anne", NOW, name="Anne")
        keys.create(connection, platform_id, "sandbox", "A key", ["members:read"], NOW)


def test_every_table_is_a_platform_s_behind_row_level_security_or_nobody_s_and_read_only(
    engine: Engine,
) -> None:
    tables = _tables(engine)
    assert sum(table.tenant for table in tables) >= 5
    for table in tables:
        if table.tenant:
            assert (table.guarded, table.ruled) == (True, True), table.name
        else:
            assert not table.writable, table.name


def test_no_policy_of_the_runtime_role_lets_everything_through(engine: Engine) -> None:
    with transaction(engine, SYSTEM) as connection:
        rules = connection.execute(
            text(
                "SELECT polrelid::regclass::text AS name, pg_get_expr(polqual, polrelid) AS rule "
                "FROM pg_policy WHERE 'tierce_runtime'::regrole::oid = ANY(polroles)"
            )
        ).all()
    assert rules
    for name, rule in rules:
        assert "current_platform()" in rule, name


def test_a_platform_reads_only_its_own_rows_though_nothing_filters_them(
    engine: Engine, platform_id: UUID, new_platform: Callable[[], UUID]
) -> None:
    other = new_platform()
    _fill(engine, platform_id)
    _fill(engine, other)
    seen = 0
    for table in _tables(engine):
        if not (table.tenant and table.readable):
            continue
        column = "id" if table.name == "service.platform" else "platform_id"
        with transaction(engine, platform_id) as connection:
            owners = connection.scalars(text(f"SELECT DISTINCT {column} FROM {table.name}")).all()
        assert set(owners) <= {platform_id}, table.name
        seen += len(owners)
    assert seen >= 4, "the platform saw nothing at all, so this proved nothing"


def test_a_platform_changes_and_deletes_nothing_of_another_s(
    engine: Engine, platform_id: UUID, new_platform: Callable[[], UUID]
) -> None:
    other = new_platform()
    _fill(engine, other)
    with transaction(engine, platform_id) as connection:
        assert connection.execute(text("UPDATE service.member SET locale = 'xx'")).rowcount == 0
        assert connection.execute(text("UPDATE service.api_key SET label = 'x'")).rowcount == 0
        assert connection.execute(text("DELETE FROM service.member_person")).rowcount == 0
        assert connection.execute(text("DELETE FROM service.idempotency")).rowcount == 0


def test_a_platform_writes_no_row_into_another(
    engine: Engine, platform_id: UUID, new_platform: Callable[[], UUID]
) -> None:
    other = new_platform()
    with pytest.raises(DBAPIError) as caught, transaction(engine, platform_id) as connection:
        members.create(connection, other, "planted", NOW)
    assert isinstance(caught.value.orig, InsufficientPrivilege)


def test_outside_of_any_platform_the_runtime_role_sees_nothing(
    engine: Engine, platform_id: UUID
) -> None:
    _fill(engine, platform_id)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL ROLE tierce_runtime"))
        assert connection.scalar(text("SELECT count(*) FROM service.member")) == 0
        assert connection.scalar(text("SELECT count(*) FROM service.platform")) == 0


def test_a_live_platform_and_its_sandbox_share_no_data(engine: Engine) -> None:
    with transaction(engine, SYSTEM) as connection:
        live, sandbox = platforms.create(connection, "A commune", NOW)
    assert (live.mode, sandbox.mode) == ("live", "sandbox")
    assert (live.twin_id, sandbox.twin_id) == (sandbox.id, live.id)
    _fill(engine, sandbox.id)
    with transaction(engine, live.id) as connection:
        assert members.page(connection, live.id, limit=10) == []
        assert keys.page(connection, live.id, limit=10) == []
        with pytest.raises(platforms.PlatformNotFound):
            platforms.find(connection, sandbox.id)
