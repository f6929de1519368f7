"""What providers answer, on the rows of payments: told in memory, written in one statement.

The caller holds the rows locked. A settled payment never moves again, so what is told late, twice
or out of order changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, RowMapping, text

from disputes.mediators import instrument
from service import db
from service.payments.payments import WANTED_LOOK, look_again
from service.payments.port import FINAL, Object, Status
from service.payments.tables import payment

#: All that an answer may change.
_CHANGED: Final = (
    "state",
    "provider_ref",
    "next_action",
    "failure",
    "settled_at",
    "attempts",
    "look_again_at",
    "authorised_at",
    "capture_before",
    "captured",
    "saved_method",
    "instrument",
    "waiting",
    "returned_at",
    "failures",
)
#: What of a payment counts what went back of it, and by which column a row says of which it is.
_COUNTED: Final = (("refund_asked", "collect_id"), ("reversal_asked", "payout_id"))


class LostAnswer(RuntimeError):
    """A row that was locked was not there to be written: a bug, never a refusal."""


class Answers:
    """What is to be written on locked rows, of which each is named as it was read."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._rows: dict[UUID, dict[str, Any]] = {}
        self._freed: list[RowMapping] = []

    def join(self, other: Answers) -> None:
        """Take over what another has gathered about other rows."""
        self._rows |= other._rows
        self._freed += other._freed

    def answered(self, row: RowMapping, seen: Object) -> bool:
        """Note what the provider answered; tell whether this settles the payment."""
        if row["settled_at"] is not None:
            return False
        settled = seen.status in FINAL
        manual = row["capture"] == "manual"
        values: dict[str, Any] = {
            "state": seen.status,
            "provider_ref": seen.ref,
            "next_action": dict(seen.next_action) if seen.next_action else None,
            "failure": seen.failure,
            "settled_at": self._now if settled else None,
            "attempts": row["attempts"] + 1,
            "failures": 0,
            "look_again_at": None if settled else _next_look(row, self._now),
        }
        stood = seen.status in {Status.AUTHORISED, Status.SUCCEEDED} and manual
        if stood and row["authorised_at"] is None:
            values["authorised_at"] = self._now
        if seen.capture_before is not None:
            values["capture_before"] = seen.capture_before
        if seen.status is Status.SUCCEEDED and manual:
            values["captured"] = seen.captured
        if seen.saved_method is not None:
            values["saved_method"] = seen.saved_method
        if seen.instrument is not None:
            values["instrument"] = instrument(seen.instrument)
        self._set(row, values)
        if settled and seen.status is not Status.SUCCEEDED:
            self._freed.append(row)
        return settled

    def refused(self, row: RowMapping, failure: str) -> bool:
        """Note that the provider will never take the request; tell whether this settles it."""
        if row["settled_at"] is not None:
            return False
        values = {
            "state": Status.FAILED,
            "failure": failure,
            "next_action": None,
            "settled_at": self._now,
            "attempts": row["attempts"] + 1,
            "failures": 0,
            "look_again_at": None,
        }
        self._set(row, values)
        self._freed.append(row)
        return True

    def returned(self, row: RowMapping, seen: Object) -> bool:
        """Note that what had gone out came back later; tell whether that is news.

        Banks return refunds days after they took them; the payment itself stays what it was.
        """
        went = row["state"] == Status.SUCCEEDED and row["kind"] in {"refund", "payout"}
        if not went or row["returned_at"] is not None or seen.status is not Status.FAILED:
            return False
        self._set(row, {"returned_at": self._now, "failure": seen.failure})
        self._freed.append(row)
        return True

    def ended(self, row: RowMapping, state: Status, failure: str | None) -> None:
        """Settle a payment that was never asked of the provider, by what became of another."""
        values = {
            "state": state,
            "failure": failure,
            "waiting": False,
            "look_again_at": None,
            "settled_at": self._now,
        }
        self._set(row, values)
        if state is not Status.SUCCEEDED:
            self._freed.append(row)

    def write(self, connection: Connection, platform_id: UUID) -> None:
        """Write all of it, one statement for the rows and one for what they were counted against.

        Raises:
            LostAnswer: fewer rows matched than were to change; the transaction must not commit.
        """
        rows = list(self._rows.values())
        if db.update_many(connection, payment, rows) != len(rows):
            raise LostAnswer(f"{len(rows)} payments were to change")
        for column, of in _COUNTED:
            back = [row for row in self._freed if row[of] is not None]
            if back:
                _uncount(connection, platform_id, back, column, of)

    def _set(self, row: RowMapping, values: dict[str, Any]) -> None:
        before = {name: row[name] for name in ("platform_id", "id", *_CHANGED)}
        self._rows[row["id"]] = self._rows.get(row["id"], before) | values


def _uncount(
    connection: Connection, platform_id: UUID, back: Sequence[RowMapping], column: str, of: str
) -> None:
    """A refund or reversal that failed, or came back, leaves room for another."""
    connection.execute(
        text(
            f"UPDATE service.payment AS p SET {column} = p.{column} - r.amount "  # noqa: S608 - ours
            "FROM (SELECT id, sum(amount)::bigint AS amount "
            "      FROM unnest(CAST(:ids AS uuid[]), CAST(:amounts AS bigint[])) "
            "      AS r(id, amount) GROUP BY id) AS r "
            "WHERE p.platform_id = :platform_id AND p.id = r.id"
        ),
        {
            "platform_id": platform_id,
            "ids": [row[of] for row in back],
            "amounts": [row["amount"] for row in back],
        },
    )


def _next_look(row: RowMapping, now: datetime) -> datetime:
    """When to ask again; at once for what was first answered after nobody wanted it any more."""
    if not row["cancel_wanted"] and row["capture_wanted"] is None:
        return look_again(row["attempts"], now)
    if row["provider_ref"] is None:
        return now
    return min(look_again(row["attempts"], now), now + WANTED_LOOK)
