"""Evidence whose date has come is deleted, and files that nothing names any more are removed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import islice
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Engine, text

from disputes import evidence_deletion
from service import db
from service.exchanges.case_evidence import lock_name
from service.files import Files
from service.platforms import clocks

_log = structlog.get_logger(__name__)

_BATCH: Final = 500
#: A file is stored before its row: one that has had no row for so long will have none.
UNNAMED: Final = timedelta(days=1)
#: How long somebody who is just naming a file is waited for.
_PATIENCE: Final = timedelta(seconds=10)

# Another cluster, or another database of this one, never has the same.
_WHO: Final = text(
    "SELECT (pg_control_system()).system_identifier || '/' || oid FROM pg_database "
    "WHERE datname = current_database()"
)
_DUE: Final = text(
    "SELECT DISTINCT platform_id FROM disputes.evidence "
    "WHERE deleted_at IS NULL AND delete_at <= service.platform_now(platform_id, :now)"
)


def run(engine: Engine, files: Files, now: datetime) -> None:
    """Delete what is due at ``now``, the real time; a platform's own clock may be ahead of it.

    A file goes after its last row has: what dies in between is found here the next day. Where the
    files are another database's (this is a copy, or was restored elsewhere), nothing is touched.
    """
    with db.transaction(engine, db.SYSTEM) as connection:
        owner = connection.execute(_WHO).scalar_one()
    if not files.is_of(owner):
        _log.error("files_of_another_database", owner=owner)
        return
    with db.transaction(engine, db.SYSTEM) as connection:
        platforms = list(connection.scalars(_DUE, {"now": now}))
    deleted = 0
    for platform_id in platforms:
        deleted += _delete(engine, files, platform_id, now)
    removed = 0
    old = files.older_than(now - UNNAMED)
    while some := list(islice(old, _BATCH)):
        removed += _remove_unused(engine, files, some)
    if deleted or removed:
        _log.info("evidence_deleted", pieces=deleted, files_without_a_row=removed)


def _delete(engine: Engine, files: Files, platform_id: UUID, now: datetime) -> int:
    deleted = 0
    while True:
        with db.transaction(engine, platform_id) as connection:
            own = clocks.now_at(connection, platform_id, now)
            gone = evidence_deletion.delete_due(connection, platform_id, own, _BATCH)
        _remove_unused(engine, files, {hash_ for hash_ in gone if hash_ is not None})
        deleted += len(gone)
        if len(gone) < _BATCH:
            return deleted


def _remove_unused(engine: Engine, files: Files, hashes: Iterable[str]) -> int:
    """Remove those of these files that no piece of any platform needs; return how many."""
    asked = set(hashes)
    with db.transaction(engine, db.SYSTEM) as connection:
        unused = asked - evidence_deletion.in_use(connection, asked)
    return sum(_remove(engine, files, hash_) for hash_ in sorted(unused))


def _remove(engine: Engine, files: Files, hash_: str) -> bool:
    """Remove one file, unless somebody has named it meanwhile or is about to."""
    with db.alone(engine, lock_name(hash_), _PATIENCE) as mine:
        if not mine:
            return False
        with db.transaction(engine, db.SYSTEM) as connection:
            if evidence_deletion.in_use(connection, [hash_]):
                return False
        return files.remove(hash_)
