"""What is contested, looked at again by itself: open disputes, old warnings, and what is missing.

Events of the provider say most of it sooner; here is made good what they lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, RowMapping, text

from service import db
from service.exchanges import looks, losses
from service.exchanges.chargebacks import follow, lift_warning
from service.exchanges.decide import Rules
from service.exchanges.desk import Desk
from service.ids import decode, encode
from service.operations import dead_letters
from service.payments import contests
from service.platforms.clocks import swept

_log = structlog.get_logger(__name__)

#: How many one round takes.
BATCH: Final = 20


def look_again(desk: Desk, now: datetime, only: UUID | None = None) -> int:
    """Read open disputes again, lift warnings that nothing followed; return how many."""
    with db.transaction(desk.engine, db.SYSTEM) as connection:
        rows = contests.claim(connection, now, BATCH, only)
    done = 0
    for row in rows:
        try:
            _look(desk, row, now)
            looks.worked(desk.engine, looks.CHARGEBACK, row)
            done += 1
        except Exception as error:  # whatever it is, it must not keep the others waiting
            _log.error("chargeback_put_off", chargeback=str(row["id"]), exc_info=error)
            if not looks.is_outside(error):
                looks.failed(desk.engine, looks.CHARGEBACK, row, error, now)
    return done + _close_ended(desk, now, only)


def _look(desk: Desk, row: RowMapping, now: datetime) -> None:
    platform_id = row["platform_id"]
    if row["kind"] == "dispute":
        follow(desk, platform_id, row["provider"], row["ref"], now)
        return
    with db.transaction(desk.engine, platform_id) as connection:
        words = "nothing followed the warning"
        lift_warning(connection, platform_id, row["id"], words, Rules(now, desk.codes))


# Nothing waits for an instant here, so what was given up is told by its open letter.
_ENDED: Final = swept(
    "e.platform_id",
    "SELECT e.platform_id, e.id FROM service.exchange AS e "
    "WHERE e.charged_back > 0 AND e.closed_at IS NOT NULL "
    "AND {of_scope} AND e.id <> ALL(:given_up) AND NOT EXISTS ("
    " SELECT FROM service.chargeback AS c WHERE c.platform_id = e.platform_id "
    " AND c.exchange_id = e.id AND c.closed_at IS NULL) ORDER BY e.id LIMIT :limit",
)
_GIVEN_UP: Final = text(
    "SELECT subject ->> 'exchange' FROM service.dead_letter "
    "WHERE work = 'chargeback' AND resolved_at IS NULL AND subject ? 'exchange'"
)


def _close_ended(desk: Desk, now: datetime, only: UUID | None) -> int:
    """Account for what a bank took of exchanges that have ended since, and no outcome covered."""
    with db.transaction(desk.engine, db.SYSTEM) as connection:
        given_up = [decode("exchange", one) for one in connection.scalars(_GIVEN_UP)]
        values = {"only": only, "given_up": given_up, "limit": BATCH}
        ended = connection.execute(_ENDED, values).all()
    return sum(_close(desk, one.platform_id, one.id, now) for one in ended)


def _close(desk: Desk, platform_id: UUID, exchange_id: UUID, now: datetime) -> int:
    try:
        with db.transaction(desk.engine, platform_id) as connection:
            losses.close(connection, platform_id, exchange_id, Rules(now, desk.codes))
    except Exception as error:  # whatever it is, it must not keep the others waiting
        _log.error("loss_put_off", exchange=str(exchange_id), exc_info=error)
        if not looks.is_outside(error):  # only rows of ours are read: time heals nothing here
            with db.transaction(desk.engine, platform_id) as connection:
                subject = {"exchange": encode("exchange", exchange_id)}
                dead_letters.record(connection, platform_id, "chargeback", subject, error, now, 1)
        return 0
    return 1


_STILL_MISSING: Final = text(
    "SELECT EXISTS (SELECT FROM service.exchange WHERE platform_id = :platform_id AND id = :id "
    "AND charged_back > 0 AND closed_at IS NOT NULL)"
)
_again: Final = looks.take_up(looks.CHARGEBACK)


def _taken_up(
    connection: Connection, platform_id: UUID, subject: Mapping[str, Any], now: datetime
) -> bool:
    if "exchange" not in subject:
        return _again(connection, platform_id, subject, now)
    values = {"platform_id": platform_id, "id": decode("exchange", subject["exchange"])}
    return bool(connection.execute(_STILL_MISSING, values).scalar_one())


dead_letters.register("chargeback", _taken_up)
