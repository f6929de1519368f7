"""Between pieces of evidence as values and the rows of ``disputes.evidence``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, RowMapping, text


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it is kept. ``hash`` is the SHA-256 of its bytes, ``original_hash`` as sent."""

    hash: str
    original_hash: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of evidence. Once ``deleted_at`` is set, only its hashes are left."""

    id: UUID
    case_id: UUID
    ordinal: int
    sort: str
    author: str
    via: str
    at: datetime
    late: bool
    request_id: UUID | None
    text: str | None
    data: Mapping[str, Any]
    hash: str
    file: StoredFile | None
    delete_at: datetime | None
    deleted_at: datetime | None


_INSERT: Final = text(
    "INSERT INTO disputes.evidence (platform_id, id, case_id, ordinal, sort, author, via, at, "
    "late, request_id, text, data, hash, original_hash, file_hash, media_type, size, keep_days) "
    "VALUES (:platform_id, :id, :case_id, :ordinal, :sort, :author, :via, :at, :late, "
    ":request_id, :text, CAST(:data AS jsonb), :hash, :original_hash, :file_hash, :media_type, "
    ":size, :keep_days)"
)


def insert(connection: Connection, platform_id: UUID, piece: Piece, keep_days: int) -> None:
    """Write a new piece, kept for so many days after its case has closed."""
    file = piece.file
    values = {
        "platform_id": platform_id,
        "id": piece.id,
        "case_id": piece.case_id,
        "ordinal": piece.ordinal,
        "sort": piece.sort,
        "author": piece.author,
        "via": piece.via,
        "at": piece.at,
        "late": piece.late,
        "request_id": piece.request_id,
        "text": piece.text,
        "data": orjson.dumps(piece.data).decode(),
        "hash": piece.hash,
        "original_hash": None if file is None else file.original_hash,
        "file_hash": None if file is None else file.hash,
        "media_type": None if file is None else file.media_type,
        "size": 0 if file is None else file.size,
        "keep_days": keep_days,
    }
    connection.execute(_INSERT, values)


def from_row(row: RowMapping) -> Piece:
    """Build the value from its row."""
    file = None
    if row["file_hash"] is not None:
        file = StoredFile(row["file_hash"], row["original_hash"], row["media_type"], row["size"])
    return Piece(
        id=row["id"],
        case_id=row["case_id"],
        ordinal=row["ordinal"],
        sort=row["sort"],
        author=row["author"],
        via=row["via"],
        at=row["at"],
        late=row["late"],
        request_id=row["request_id"],
        text=row["text"],
        data=row["data"],
        hash=row["hash"],
        file=file,
        delete_at=row["delete_at"],
        deleted_at=row["deleted_at"],
    )
