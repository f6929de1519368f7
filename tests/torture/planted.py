"""Bugs that the harness plants in a database of its own, to show that the checker finds each.

They are functions and triggers of PostgreSQL's, put there by the server's superuser: the product
has no switch for any of them. Each is a mistake that somebody might make.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import psycopg

from service.local import EmbeddedPostgres
from service.processes import HOST


@dataclass(frozen=True, slots=True)
class Bug:
    """A mistake: the SQL that makes it, and the SQL that takes it back."""

    name: str
    plant: str
    pull: str


#: An event is not written in the transaction of what it tells of, now and then.
LOST_EVENT: Final = Bug(
    "a lost outbox insert",
    """
    CREATE FUNCTION service.planted_loss() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RETURN CASE WHEN random() < 0.3 THEN NULL ELSE NEW END;
    END
    $$;
    CREATE TRIGGER planted_loss BEFORE INSERT ON service.event
        FOR EACH ROW EXECUTE FUNCTION service.planted_loss();
    """,
    "DROP TRIGGER planted_loss ON service.event; DROP FUNCTION service.planted_loss()",
)

#: Balances are read without a lock and written from what was read: who comes between is undone.
#: It dawdles, so that somebody does come between.
DROPPED_LOCK: Final = Bug(
    "a dropped lock",
    """
    ALTER FUNCTION ledger.apply_transfers() RENAME TO planted_kept;
    CREATE FUNCTION ledger.apply_transfers() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE ledger.account AS a SET balance = n.was + n.amount
        FROM (
            SELECT b.platform_id, b.id, b.balance AS was, sum(m.amount)::bigint AS amount
            FROM ledger.account AS b
            JOIN (SELECT platform_id, credit_account AS id, amount FROM written
                  UNION ALL
                  SELECT platform_id, debit_account, -amount FROM written) AS m
                ON m.platform_id = b.platform_id AND m.id = b.id
            WHERE b.floor IS NOT NULL
            GROUP BY b.platform_id, b.id, b.balance
        ) AS n, pg_sleep(0.2)
        WHERE a.platform_id = n.platform_id AND a.id = n.id;
        RETURN NULL;
    END
    $$;
    ALTER FUNCTION ledger.apply_transfers() OWNER TO tierce_owner;
    DROP TRIGGER apply_transfers ON ledger.transfer;
    CREATE TRIGGER apply_transfers AFTER INSERT ON ledger.transfer
        REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION ledger.apply_transfers();
    """,
    """
    DROP TRIGGER apply_transfers ON ledger.transfer;
    DROP FUNCTION ledger.apply_transfers();
    ALTER FUNCTION ledger.planted_kept() RENAME TO apply_transfers;
    CREATE TRIGGER apply_transfers AFTER INSERT ON ledger.transfer
        REFERENCING NEW TABLE AS written
        FOR EACH STATEMENT EXECUTE FUNCTION ledger.apply_transfers();
    """,
)

#: No key is claimed for a request: one that comes again finds no answer and is done again.
SKIPPED_CLAIM: Final = Bug(
    "a skipped idempotency claim",
    """
    CREATE FUNCTION service.planted_oblivion() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM service.idempotency
        WHERE platform_id = NEW.platform_id AND actor = NEW.actor AND key = NEW.key;
        RETURN NULL;
    END
    $$;
    CREATE TRIGGER planted_oblivion AFTER INSERT ON service.idempotency
        FOR EACH ROW EXECUTE FUNCTION service.planted_oblivion();
    """,
    "DROP TRIGGER planted_oblivion ON service.idempotency;DROP FUNCTION service.planted_oblivion()",
)

BUGS: Final = {bug.name: bug for bug in (LOST_EVENT, DROPPED_LOCK, SKIPPED_CLAIM)}


def run_as_superuser(postgres: EmbeddedPostgres, statements: str) -> None:
    """Run ``statements`` in one transaction, as nobody in the product can."""
    with psycopg.connect(
        host=HOST,
        port=postgres.port,
        user="postgres",
        password=postgres._password("postgres"),
        dbname="tierce",
    ) as connection:
        connection.execute(statements.encode())
