"""Cases from and to the database, many at a time, one statement a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, TextClause, text

from disputes import journal
from disputes.commands import Move
from disputes.model import Case
from disputes.rows import changing, from_row, whole

_LOCK: Final = text(
    "SELECT * FROM disputes.case WHERE platform_id = :platform_id AND id = ANY(:ids) "
    "ORDER BY id FOR NO KEY UPDATE"
)
_READ: Final = text(
    "SELECT * FROM disputes.case WHERE platform_id = :platform_id AND id = ANY(:ids)"
)
_CHANGING: Final = {
    "stage": "text",
    "stage_since": "timestamptz",
    "due_at": "timestamptz",
    "version": "integer",
    "gentle": "boolean",
    "mediator_id": "uuid",
    "second_id": "uuid",
    "left_ids": "uuid[]",
    "offer": "jsonb",
    "proposal": "jsonb",
    "ruling": "jsonb",
    "appeal": "jsonb",
    "outcome": "text",
    "settlement": "jsonb",
    "closed_at": "timestamptz",
    "challenges": "jsonb",
    "returned_at": "timestamptz",
    "entries": "integer",
}
_FIXED: Final = {
    "subject_id": "uuid",
    "kind": "text",
    "cause": "text",
    "reason": "text",
    "claimant": "text",
    "payer_id": "uuid",
    "payee_id": "uuid",
    "lines": "jsonb",
    "decide_by": "timestamptz",
    "opened_at": "timestamptz",
    "file": "jsonb",
    "file_hash": "text",
}


def _records(columns: Mapping[str, str]) -> str:
    said = ", ".join(f"{name} {type_}" for name, type_ in columns.items())
    return f"jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, {said})"


def _insert() -> TextClause:
    columns = _CHANGING | _FIXED
    names = ", ".join(columns)
    return text(
        f"INSERT INTO disputes.case (platform_id, id, {names}) "  # noqa: S608 - our own names
        f"SELECT :platform_id, id, {names} FROM {_records(columns)}"
    )


def _update() -> TextClause:
    changed = ", ".join(f"{name} = r.{name}" for name in _CHANGING)
    return text(
        f"UPDATE disputes.case AS c SET {changed} FROM {_records(_CHANGING)} "  # noqa: S608
        "WHERE c.platform_id = :platform_id AND c.id = r.id AND c.version = r.version - 1"
    )


_INSERT: Final = _insert()
_UPDATE: Final = _update()


class LostWrite(RuntimeError):
    """A case that was locked and read was not there to be written: a bug, never a refusal."""


def load(
    connection: Connection, platform_id: UUID, ids: Sequence[UUID], *, lock: bool
) -> dict[UUID, Case]:
    """Return the cases that exist among ``ids``; with ``lock``, held in id order."""
    values = {"platform_id": platform_id, "ids": list(ids)}
    rows = connection.execute(_LOCK if lock else _READ, values).mappings()
    return {row["id"]: from_row(row) for row in rows}


def insert(connection: Connection, platform_id: UUID, moves: Sequence[Move], now: datetime) -> None:
    """Write new cases with the first lines of their journals.

    Raises:
        IntegrityError: a subject has an open case already (``uq_case_open``).
    """
    _write(connection, platform_id, _INSERT, moves, {}, now, whole)


def update(connection: Connection, platform_id: UUID, moves: Sequence[Move], now: datetime) -> None:
    """Write what steps changed on locked cases, with the lines of their journals.

    Raises:
        LostWrite: fewer rows matched than were to change; the transaction must not commit.
    """
    last = journal.last_hashes(connection, platform_id, [move.case.id for move in moves])
    _write(connection, platform_id, _UPDATE, moves, last, now, changing)


def _write(
    connection: Connection,
    platform_id: UUID,
    statement: TextClause,
    moves: Sequence[Move],
    last: Mapping[UUID, bytes],
    now: datetime,
    row_of: Any,
) -> None:
    if not moves:
        return
    lines = []
    for move in moves:
        case = move.case
        previous = last.get(case.id, journal.BEGINNING)
        lines += journal.chain(case.id, move.entries, case.entries, previous, now)
        move.case = replace(case, entries=case.entries + len(move.entries))
    rows = orjson.dumps([row_of(move.case) for move in moves]).decode()
    changed = connection.execute(statement, {"platform_id": platform_id, "rows": rows}).rowcount
    if changed != len(moves):
        raise LostWrite(f"{len(moves)} cases were to change, {changed} did")
    journal.append(connection, platform_id, lines)


def platform_of(connection: Connection, case_id: UUID) -> UUID | None:
    """Return the platform of a case, or None: there is none, or not in this transaction."""
    query = text("SELECT platform_id FROM disputes.case WHERE id = :id")
    found: UUID | None = connection.execute(query, {"id": case_id}).scalar_one_or_none()
    return found
