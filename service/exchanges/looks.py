"""What is looked at again and again, and fails for no reason of the outside's.

Accounts of payees, payouts to their banks, chargebacks and the answers to them: as with everything
else (:mod:`service.exchanges.poison`) a row is tried a few times, then left alone as a dead letter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Engine, RowMapping, text

from service import db
from service.ids import decode, encode
from service.operations import dead_letters
from service.operations.dead_letters import MOST_FAILURES, NEVER, Work, again_after, is_passing
from service.payments.port import ProviderRefused, ProviderUnavailable


@dataclass(frozen=True, slots=True)
class Look:
    """Rows of a table that wait for an instant in ``due`` and count their failures.

    ``key``: their columns, beside the platform's, and the kind of each one's public id (None: it is
    text as it stands).
    """

    work: Work
    table: str
    key: Mapping[str, str | None]
    due: str = "look_again_at"
    failures: str = "failures"

    @property
    def _of_row(self) -> str:
        same = " AND ".join(f"{column} = :{column}" for column in self.key)
        return f"platform_id = :platform_id AND {same} AND {self.due} IS NOT NULL"

    def read(self, connection: Connection, row: Mapping[str, Any]) -> int | None:
        """Return how often a row has failed, and lock it; None when it waits for nothing."""
        query = f"SELECT {self.failures} FROM {self.table} WHERE {self._of_row} FOR UPDATE"  # noqa: S608 - names of our own
        found: int | None = connection.execute(text(query), row).scalar_one_or_none()
        return found

    def write(
        self, connection: Connection, row: Mapping[str, Any], due: datetime | None, failures: int
    ) -> bool:
        """Write when a row is due (None: as it was) and its failures; False if it waits no more."""
        query = (
            f"UPDATE {self.table} SET {self.failures} = :failures, "  # noqa: S608 - as above
            f"{self.due} = coalesce(CAST(:due AS timestamptz), {self.due}) WHERE {self._of_row}"
        )
        values = {**row, "due": due, "failures": failures}
        return connection.execute(text(query), values).rowcount == 1

    def subject(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return what names a row in public."""
        return {
            kind or column: row[column] if kind is None else encode(kind, row[column])
            for column, kind in self.key.items()
        }

    def row(self, platform_id: UUID, subject: Mapping[str, Any]) -> dict[str, Any]:
        """Return what names a row in the database."""
        return {"platform_id": platform_id} | {
            column: subject[column] if kind is None else decode(kind, subject[kind])
            for column, kind in self.key.items()
        }


PAYEE: Final = Look(
    "payee_account", "service.payee_account", {"member_id": "member", "provider": None}
)
BANK_PAYOUT: Final = Look("bank_payout", "service.bank_payout", {"provider": None, "ref": None})
CHARGEBACK: Final = Look("chargeback", "service.chargeback", {"id": "chargeback"})
EVIDENCE: Final = Look(
    "evidence", "service.chargeback", {"id": "chargeback"}, "answer_at", "answer_failures"
)


def is_outside(error: BaseException) -> bool:
    """Tell whether a provider or the database is to blame: nothing is counted then."""
    return isinstance(error, ProviderUnavailable | ProviderRefused) or is_passing(error)


def failed(
    engine: Engine,
    look: Look,
    found: Mapping[str, Any] | RowMapping,
    error: Exception,
    now: datetime,
) -> None:
    """Put a row off that could not be dealt with, or give it up; ``found`` has its key."""
    row = {name: found[name] for name in ("platform_id", *look.key)}
    with db.transaction(engine, row["platform_id"]) as connection:
        before = look.read(connection, row)
        if before is None:
            return  # somebody else was done with it meanwhile
        failures = before + 1
        given_up = failures >= MOST_FAILURES
        look.write(connection, row, NEVER if given_up else now + again_after(failures), failures)
        if given_up:
            dead_letters.record(
                connection,
                row["platform_id"],
                look.work,
                look.subject(row),
                error,
                now,
                failures,
            )


def worked(engine: Engine, look: Look, found: Mapping[str, Any] | RowMapping) -> None:
    """Count from the start again, where a row had failed and does no more."""
    if not found[look.failures]:
        return
    row = {name: found[name] for name in ("platform_id", *look.key)}
    with db.transaction(engine, row["platform_id"]) as connection:
        look.write(connection, row, None, 0)


def take_up(look: Look) -> dead_letters.Rerun:
    """Return what makes a row of a dead letter due again."""

    def again(
        connection: Connection, platform_id: UUID, subject: Mapping[str, Any], now: datetime
    ) -> bool:
        return look.write(connection, look.row(platform_id, subject), now, 0)

    return again


for _look in (PAYEE, BANK_PAYOUT, EVIDENCE):
    dead_letters.register(_look.work, take_up(_look))
