"""The outbox is read behind the oldest transaction that still runs, on the whole server."""

from __future__ import annotations

import time

from sqlalchemy import Engine, text


def wait_until_readable(engine: Engine) -> None:
    """Wait until what is committed by now can be read, whoever else uses the server."""
    with engine.begin() as connection:
        mine = connection.execute(text("SELECT pg_current_xact_id()::text")).scalar_one()
    passed = text("SELECT pg_snapshot_xmin(pg_current_snapshot()) > CAST(:mine AS xid8)")
    deadline = time.monotonic() + 30
    while True:
        with engine.connect() as connection:
            if connection.execute(passed, {"mine": mine}).scalar_one():
                return
        assert time.monotonic() < deadline, "a transaction stays open"
        time.sleep(0.02)
