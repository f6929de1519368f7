"""Work that was given up: recorded with its error, shown, and taken up again when it is mended.

Who gives a row up writes its letter in the transaction that leaves the row alone, and says once, by
:func:`register`, how such a row is made due again. What the outside is to blame for (a provider or
a database that does not answer) is never given up: :func:`is_passing` tells it apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, get_args
from uuid import UUID

import structlog
from psycopg import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy import Connection, RowMapping, Select, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from ledger.refusals import Refusal
from service.ids import uuid7
from service.log import scrub_text
from service.operations import metrics
from service.operations.tables import dead_letter

_log = structlog.get_logger(__name__)

Work = Literal[
    "timer",
    "case",
    "payment",
    "provider_event",
    "payee_account",
    "bank_payout",
    "chargeback",
    "evidence",
    "webhook",
    "message",
    "script",
]
WORKS: Final[tuple[Work, ...]] = get_args(Work)

#: Makes the row that ``subject`` names due again; False when there is nothing left to do for it.
Rerun = Callable[[Connection, UUID, Mapping[str, Any], datetime], bool]

#: After so many failures in a row for no reason of the outside's, work is given up.
MOST_FAILURES: Final = 5
#: When a row is due that was given up. (PostgreSQL's infinity is no instant of Python's.)
NEVER: Final = datetime(9999, 12, 31, tzinfo=UTC)

_LONGEST_ERROR: Final = 500
_PASSING: Final = (OperationalError, InterfaceError, ProgrammingError)

_reruns: Final[dict[Work, Rerun]] = {}


class DeadLetterNotFound(Refusal):
    """No such dead letter on this platform."""

    code = "dead_letter_not_found"


class DeadLetterResolved(Refusal):
    """The dead letter's work was taken up again already."""

    code = "dead_letter_resolved"


def register(work: Work, rerun: Rerun) -> None:
    """Say how a row of ``work`` is made due again. Each kind of work says it once, when loaded."""
    assert work not in _reruns or _reruns[work] is rerun, f"{work} is taken up again in two ways"
    _reruns[work] = rerun


def registered() -> frozenset[Work]:
    """Return the kinds of work that this process can take up again."""
    return frozenset(_reruns)


def is_passing(error: BaseException) -> bool:
    """Tell whether the row itself is not to blame.

    The database was away, full or busy, or is at another revision than this process.
    """
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or isinstance(error.orig, _PASSING)
    return isinstance(error, PoolTimeoutError | OSError)


def loudly(log: Any, error: BaseException) -> Callable[..., Any]:
    """Return how ``log`` tells of an error: critical is what a person has to mend.

    A database that was away, and whatever else passes by itself, is a warning.
    """
    say: Callable[..., Any] = log.warning if is_passing(error) else log.critical
    return say


def again_after(failures: int) -> timedelta:
    """Return how long a row waits after its n-th failure: 1 minute, then 4, 16 and 64."""
    return timedelta(minutes=4 ** max(0, min(failures, MOST_FAILURES) - 1))


def words(error: str | BaseException) -> str:
    """Return one line about an error, without secrets and without the statement that failed."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
    lines = text.strip().splitlines() or [""]
    return scrub_text(lines[0])[:_LONGEST_ERROR]


def record(
    connection: Connection,
    platform_id: UUID,
    work: Work,
    subject: Mapping[str, Any],
    error: str | BaseException,
    now: datetime,
    attempts: int,
    first_failed_at: datetime | None = None,
) -> UUID:
    """Write a dead letter; return its id.

    While a letter about the same row is open it is that one, with the newest error.

    Args:
        subject: names the row, such as ``{"payment": "pay_…"}``; ``register`` reads it again.
        attempts: how often it was tried, this time included.
        first_failed_at: ``now`` when not given.
    """
    row = {
        "platform_id": platform_id,
        "id": uuid7(),
        "work": work,
        "subject": dict(subject),
        "error": words(error),
        "attempts": attempts,
        "first_failed_at": first_failed_at or now,
        "died_at": now,
    }
    written = insert(dead_letter).values(row)
    statement = written.on_conflict_do_update(
        index_elements=["platform_id", "work", "subject"],
        index_where=dead_letter.c.resolved_at.is_(None),
        set_={"error": written.excluded.error, "attempts": written.excluded.attempts},
    ).returning(dead_letter.c.id)
    letter: UUID = connection.execute(statement).scalar_one()
    metrics.dead_letters.labels(work).inc()
    _log.critical(
        "dead_letter",
        platform=str(platform_id),
        dead_letter=str(letter),
        work=work,
        subject=dict(subject),
        error=row["error"],
    )
    return letter


def find(connection: Connection, platform_id: UUID, letter_id: UUID) -> RowMapping:
    """Return a dead letter.

    Raises:
        DeadLetterNotFound: this platform has none with this id.
    """
    return _one(connection, _of(platform_id, letter_id))


def page(
    connection: Connection,
    platform_id: UUID | None,
    *,
    limit: int,
    after: UUID | None = None,
    open_: bool | None = None,
    work: str | None = None,
) -> Sequence[RowMapping]:
    """Return up to ``limit`` dead letters, newest first.

    ``platform_id`` None reads all platforms', in the system's scope. ``open_`` True keeps those
    that nobody took up again yet, False the others.
    """
    query = select(dead_letter).order_by(dead_letter.c.id.desc()).limit(limit)
    if platform_id is not None:
        query = query.where(dead_letter.c.platform_id == platform_id)
    if after is not None:
        query = query.where(dead_letter.c.id < after)
    if work is not None:
        query = query.where(dead_letter.c.work == work)
    if open_ is not None:
        is_open = dead_letter.c.resolved_at.is_(None)
        query = query.where(is_open if open_ else ~is_open)
    return connection.execute(query).mappings().all()


def platform_of(connection: Connection, letter_id: UUID) -> UUID:
    """Return whose a dead letter is, in the system's scope.

    Raises:
        DeadLetterNotFound: there is none with this id.
    """
    platform_id: UUID = _one(connection, _of(None, letter_id))["platform_id"]
    return platform_id


def retry(connection: Connection, platform_id: UUID, letter_id: UUID, now: datetime) -> RowMapping:
    """Make the row of a dead letter due again; return the letter, resolved.

    If the work fails again, it is a new letter.

    Raises:
        DeadLetterNotFound: this platform has none with this id.
        DeadLetterResolved: it was taken up again before.
    """
    row = _one(connection, _of(platform_id, letter_id).with_for_update())
    if row["resolved_at"] is not None:
        raise DeadLetterResolved("This work was taken up again already; see its resolved_at.")
    due = _reruns[row["work"]](connection, platform_id, row["subject"], now)
    resolved = (
        dead_letter.update()
        .where(dead_letter.c.platform_id == platform_id, dead_letter.c.id == letter_id)
        .values(resolved_at=now, resolution="retried" if due else "gone")
        .returning(dead_letter)
    )
    return connection.execute(resolved).mappings().one()


def _of(platform_id: UUID | None, letter_id: UUID) -> Select[Any]:
    query = select(dead_letter).where(dead_letter.c.id == letter_id)
    return query if platform_id is None else query.where(dead_letter.c.platform_id == platform_id)


def _one(connection: Connection, query: Select[Any]) -> RowMapping:
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise DeadLetterNotFound("No dead letter with this id.")
    return row
