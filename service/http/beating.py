"""An API process says that it is alive, for as long as it serves."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from service import clock, db
from service.operations import outages

_log = structlog.get_logger(__name__)


def _beat(process: str, now: datetime, connection: Connection) -> bool:
    return outages.beat(connection, process, "api", now)


async def beat(engine: AsyncEngine, process: str) -> None:
    """Beat until cancelled. A database that is away is tried again at the next beat."""
    while True:
        try:
            if await db.run(engine, db.SYSTEM, partial(_beat, process, clock.now())):
                _log.warning("outage_over", process=process)
        except (SQLAlchemyError, OSError) as error:
            _log.warning("no_heartbeat", process=process, error=str(error))
        await asyncio.sleep(outages.BEAT.total_seconds())
