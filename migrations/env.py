"""Alembic's entry: migrate the database that the caller's configuration names."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text


def run() -> None:
    """Apply the migrations over one connection, all in one transaction, one runner at a time."""
    url = context.config.get_main_option("sqlalchemy.url")
    if url is None:
        raise RuntimeError("run migrations with `tierce migrate`, which names the database")
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection, connection.begin():
        # Of two instances starting at once the second waits, then finds the work done.
        connection.execute(text("SELECT pg_advisory_xact_lock(7313001)"))
        context.configure(connection=connection, version_table="tierce_migration")
        with context.begin_transaction():
            context.run_migrations()
            # Whether the schema is the one that a process needs is asked at run time (/readyz).
            connection.execute(text("GRANT SELECT ON tierce_migration TO tierce_system"))
    engine.dispose()


run()
