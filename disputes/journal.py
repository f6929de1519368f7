"""The journal of a case: each line chained to the one before, so that none can be changed unseen.

The hash of a line is the SHA-256 of the hash before it and of the line's canonical JSON (keys
sorted, no spaces, instants as RFC 3339 in UTC with Z and microseconds). The first line follows
32 zero bytes. Whoever has the lines can prove them with nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from disputes.commands import Entry

#: What the first line of every journal follows.
BEGINNING: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it was written. ``previous`` and ``hash`` have 32 bytes."""

    case_id: UUID
    sequence: int
    at: datetime
    type: str
    actor: str
    data: Mapping[str, Any]
    previous: bytes
    hash: bytes


def hash_of(
    previous: bytes,
    case_id: UUID,
    sequence: int,
    at: datetime,
    type_: str,
    actor: str,
    data: Mapping[str, Any],
) -> bytes:
    """Return the hash of a line that follows ``previous``."""
    said = {
        "case": str(case_id),
        "sequence": sequence,
        "at": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": type_,
        "actor": actor,
        "data": data,
    }
    return hashlib.sha256(previous + orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()


def chain(
    case_id: UUID, entries: Sequence[Entry], after: int, previous: bytes, now: datetime
) -> list[Line]:
    """Return the lines that ``entries`` make after line number ``after`` with hash ``previous``."""
    lines = []
    for sequence, entry in enumerate(entries, start=after + 1):
        # As it will be read again: what JSON cannot say must not be in the hash.
        data = orjson.loads(orjson.dumps(dict(entry.data)))
        found = hash_of(previous, case_id, sequence, now, entry.type, entry.actor, data)
        lines.append(Line(case_id, sequence, now, entry.type, entry.actor, data, previous, found))
        previous = found
    return lines


def first_broken(lines: Iterable[Line]) -> int | None:
    """Return the number of the first line that does not follow from those before it, or None."""
    previous, expected = BEGINNING, 1
    for line in lines:
        said = (line.case_id, line.sequence, line.at, line.type, line.actor, line.data)
        if (
            line.sequence != expected
            or line.previous != previous
            or line.hash != hash_of(previous, *said)
        ):
            return expected
        previous, expected = line.hash, expected + 1
    return None


_INSERT: Final = text(
    "INSERT INTO disputes.entry "
    "(platform_id, case_id, sequence, at, type, actor, data, previous, hash) "
    "SELECT :platform_id, case_id, sequence, at, type, actor, data, "
    "decode(previous, 'hex'), decode(hash, 'hex') "
    "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(case_id uuid, sequence integer, "
    "at timestamptz, type text, actor text, data jsonb, previous text, hash text)"
)
_OF_CASE: Final = text(
    "SELECT case_id, sequence, at, type, actor, data, previous, hash FROM disputes.entry "
    "WHERE platform_id = :platform_id AND case_id = :case_id ORDER BY sequence"
)
_LAST: Final = text(
    "SELECT DISTINCT ON (case_id) case_id, hash FROM disputes.entry "
    "WHERE platform_id = :platform_id AND case_id = ANY(:ids) ORDER BY case_id, sequence DESC"
)


def append(connection: Connection, platform_id: UUID, lines: Sequence[Line]) -> None:
    """Write lines of any number of cases in one statement."""
    if not lines:
        return
    rows = [
        {
            "case_id": line.case_id,
            "sequence": line.sequence,
            "at": line.at,
            "type": line.type,
            "actor": line.actor,
            "data": line.data,
            "previous": line.previous.hex(),
            "hash": line.hash.hex(),
        }
        for line in lines
    ]
    values = {"platform_id": platform_id, "rows": orjson.dumps(rows).decode()}
    connection.execute(_INSERT, values)


def last_hashes(
    connection: Connection, platform_id: UUID, case_ids: Sequence[UUID]
) -> dict[UUID, bytes]:
    """Return the hash of the last line of each of these cases that has one."""
    rows = connection.execute(_LAST, {"platform_id": platform_id, "ids": list(case_ids)})
    return {row.case_id: bytes(row.hash) for row in rows}


def read(connection: Connection, platform_id: UUID, case_id: UUID) -> list[Line]:
    """Return the whole journal of a case, oldest line first."""
    rows = connection.execute(_OF_CASE, {"platform_id": platform_id, "case_id": case_id})
    return [
        Line(
            row.case_id,
            row.sequence,
            row.at,
            row.type,
            row.actor,
            row.data,
            bytes(row.previous),
            bytes(row.hash),
        )
        for row in rows
    ]
