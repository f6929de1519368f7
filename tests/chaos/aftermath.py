"""What stands in the database after the run, and whether it is what the clients were told."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
from sqlalchemy import Engine, RowMapping, text
from sqlalchemy.exc import OperationalError

from service import db
from service.ids import decode, encode
from service.local import EmbeddedPostgres
from service.processes import HOST
from tests.chaos.history import Written
from tests.chaos.load import Lived

#: Older than every window of the load's exchanges; younger than what ends a life by itself, even
#: when it has to be done a few times.
_OLD: Final = timedelta(days=9)


class Elder:
    """Lets exchanges grow old, as if they had been proposed nine days before.

    Who was reminded late still has the time that the reminder announced, so a life may have to
    grow old again before it ends.
    """

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self._postgres = postgres

    def age(self, exchange: str) -> None:
        """Move every instant of the exchange and of its timers back.

        The guards of the tables forbid that to the application and to their owner, so it is the
        embedded server's superuser who does it, with the triggers of that session turned off.
        """
        with psycopg.connect(
            host=HOST,
            port=self._postgres.port,
            user="postgres",
            password=self._postgres._password("postgres"),
            dbname="tierce",
        ) as connection:
            connection.execute("SET LOCAL session_replication_role = replica")
            wanted = {"id": decode("exchange", exchange), "old": _OLD}
            for statement in _AGE:
                connection.execute(statement, wanted)


# The exchange first: its lock is the one that every step takes.
_AGE: Final = (
    "UPDATE service.exchange SET created_at = created_at - %(old)s,"
    " proposed_at = proposed_at - %(old)s, payer_agreed_at = payer_agreed_at - %(old)s,"
    " payee_agreed_at = payee_agreed_at - %(old)s, agreed_at = agreed_at - %(old)s,"
    " funded_at = funded_at - %(old)s, reminded_at = reminded_at - %(old)s WHERE id = %(id)s",
    "UPDATE service.timer SET due_at = due_at - %(old)s WHERE exchange_id = %(id)s",
)


class Aftermath:
    """Reads what one platform's life left behind."""

    def __init__(self, engine: Engine, platform_id: UUID) -> None:
        self._engine = engine
        self._platform_id = platform_id

    def _rows(self, statement: str) -> Sequence[RowMapping]:
        with db.transaction(self._engine, self._platform_id) as connection:
            return connection.execute(text(statement)).mappings().all()

    def written(self) -> list[Written]:
        """Return the outbox, in the order in which it was written."""
        return [
            Written(
                encode("event", row["id"]),
                row["type"],
                None if row["exchange_id"] is None else encode("exchange", row["exchange_id"]),
                row["sequence"],
                row["data"],
            )
            for row in self._rows("SELECT * FROM service.event ORDER BY tx, id")
        ]

    def unsettled(self) -> dict[str, int]:
        """Return how much of each sort of work is still to be done, without what is at rest."""
        with db.transaction(self._engine, db.SYSTEM) as connection:
            row = connection.execute(text(_UNSETTLED)).mappings().one()
        return {name: count for name, count in row.items() if count}

    def hurry(self) -> None:
        """Let whatever waits for another attempt be tried now.

        A worker takes many of the same rows in an order of its own: who loses tries again later.
        """
        for statement in _HURRY:
            with (
                suppress(OperationalError),
                db.transaction(self._engine, db.SYSTEM) as connection,
            ):
                connection.execute(text(statement))

    def unanswered(self, lived: Sequence[Lived]) -> list[str]:
        """Return the exchanges that were left alone and that the clock has not ended yet."""
        states = {row["external_id"]: row["state"] for row in self._rows(_LIVES)}
        return [
            one.id
            for one in lived
            if one.left_alone and states.get(one.external_id) in {"proposed", "agreed", "active"}
        ]

    def check(self, lived: Sequence[Lived]) -> list[str]:
        """Return where the database says otherwise than the clients were told, a line each."""
        found = {row["external_id"]: row for row in self._rows(_LIVES)}
        faults = [
            f"{one.id} was told to be made and is not there"
            for one in lived
            if one.external_id not in found
        ]
        for one in lived:
            if one.external_id in found:
                faults += _differences(one, found[one.external_id])
        return faults

    def untold(self) -> list[str]:
        """Return the reminders of which a member was made no message, or more than one."""
        rows = self._rows(_REMINDERS)
        return [
            f"{row['id']} made {row['made']} messages to the {row['role']}"
            for row in rows
            if row["made"] != 1
        ]

    def strangers(self, lived: Sequence[Lived]) -> list[str]:
        """Return exchanges that no client asked for. A life that was broken off is one as well."""
        known = {one.external_id for one in lived}
        return [row["external_id"] for row in self._rows(_LIVES) if row["external_id"] not in known]


def _differences(told: Lived, row: RowMapping) -> list[str]:
    wanted: dict[str, Any] = {
        "id": told.id,
        "state": told.ends,
        "words": told.words,
        "roles": told.words if told.roles is None else told.roles,
        "paid": told.paid,
    }
    there = {**row, "id": encode("exchange", row["id"])}
    return [
        f"{told.id} was told {name} {value} and has {there[name]}"
        for name, value in wanted.items()
        if there[name] != value
    ]


_UNSETTLED: Final = """
    SELECT (SELECT count(*) FROM service.payment WHERE settled_at IS NULL) AS payments,
           (SELECT count(*) FROM service.timer WHERE due_at <= now()) AS timers,
           (SELECT count(*) FROM service.event v JOIN service.feed f
                ON (v.tx, v.id) > (f.tx, f.id)) AS unread,
           (SELECT count(*) FROM service.webhook_delivery WHERE state = 'waiting') AS deliveries,
           (SELECT count(*) FROM service.message WHERE state = 'sending') AS messages
"""
#: The ladder's steps grow to hours, and what a dead worker had taken is due when its lease ends.
_HURRY: Final = (
    "UPDATE service.webhook_endpoint SET held_until = NULL WHERE held_until > now()",
    "UPDATE service.webhook_delivery SET next_at = now()"
    " WHERE state = 'waiting' AND next_at > now()",
    "UPDATE service.payment SET look_again_at = now()"
    " WHERE settled_at IS NULL AND look_again_at > now()",
    "UPDATE service.message SET due_at = now() WHERE state = 'sending' AND due_at > now()",
)
_LIVES: Final = """
    SELECT e.id, e.external_id, e.state,
           (SELECT count(*) FROM service.confirmation c
             WHERE c.platform_id = e.platform_id AND c.exchange_id = e.id) AS words,
           (SELECT count(DISTINCT c.role) FROM service.confirmation c
             WHERE c.platform_id = e.platform_id AND c.exchange_id = e.id) AS roles,
           (SELECT count(*) FROM service.payment p
             WHERE p.platform_id = e.platform_id AND p.exchange_id = e.id
               AND p.kind = 'collect') AS paid
    FROM service.exchange e
"""
_REMINDERS: Final = """
    SELECT v.id, r.role,
           (SELECT count(*) FROM service.message m
             WHERE m.platform_id = v.platform_id AND m.event_id = v.id AND m.member_id =
                   CASE r.role WHEN 'payer' THEN e.payer_id ELSE e.payee_id END) AS made
    FROM service.event v
    JOIN service.exchange e ON e.platform_id = v.platform_id AND e.id = v.exchange_id
    CROSS JOIN LATERAL jsonb_array_elements_text(v.data -> 'to') AS r(role)
    WHERE v.type = 'exchange.reminder'
"""
