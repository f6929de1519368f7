"""Mediators, the pools that serve platforms, and what ties a mediator to somebody.

They belong to the instance, not to a platform: their work runs in the scope of the whole instance.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from disputes.recusal import Tie, TieKind
from ledger.refusals import Refusal

ROLES: Final = frozenset({"mediator", "supervisor", "operator"})
#: Who tells of a tie.
Teller = Literal["operator", "platform", "mediator"]


class MediatorNotFound(Refusal):
    """No such mediator."""

    code = "mediator_not_found"


class MediatorEmailTaken(Refusal):
    """Another mediator has this e-mail address."""

    code = "mediator_email_taken"


class MediatorInvalid(Refusal):
    """What was said of a mediator, a pool or a tie cannot be."""

    code = "mediator_invalid"


class PoolNotFound(Refusal):
    """No such pool."""

    code = "pool_not_found"


@dataclass(frozen=True, slots=True)
class Mediator:
    """A neutral. ``caseload_cap``: how many cases at once, over all platforms.

    ``caseload_wish``: how many of these they take themselves; None: all. The less of both holds.
    """

    id: UUID
    name: str
    email: str
    languages: frozenset[str]
    skills: frozenset[str]
    roles: frozenset[str]
    caseload_cap: int
    created_at: datetime
    away_until: datetime | None = None
    ended_at: datetime | None = None
    caseload_wish: int | None = None


_COLUMNS: Final = (
    "id, name, email, languages, skills, roles, caseload_cap, created_at, away_until, ended_at, "
    "caseload_wish"
)
_ADD: Final = text(
    f"INSERT INTO disputes.mediator ({_COLUMNS}) VALUES (:id, :name, :email, "  # noqa: S608
    ":languages, :skills, :roles, :caseload_cap, :created_at, :away_until, :ended_at, "
    ":caseload_wish) "
    "ON CONFLICT DO NOTHING"
)
_CHANGE: Final = text(
    "UPDATE disputes.mediator SET name = :name, languages = :languages, skills = :skills, "
    "roles = :roles, caseload_cap = :caseload_cap, away_until = :away_until, "
    "caseload_wish = :caseload_wish, ended_at = :ended_at WHERE id = :id"
)
_READ: Final = text(
    f"SELECT {_COLUMNS} FROM disputes.mediator WHERE id = :id FOR NO KEY UPDATE"  # noqa: S608
)
_ALL: Final = text(
    f"SELECT {_COLUMNS} FROM disputes.mediator "  # noqa: S608
    "WHERE CAST(:after AS uuid) IS NULL OR id > :after ORDER BY id LIMIT :limit"
)
#: What of a mediator may be changed; the address by which they sign in may not.
_CHANGEABLE: Final = frozenset(
    {
        "name",
        "languages",
        "skills",
        "roles",
        "caseload_cap",
        "caseload_wish",
        "away_until",
        "ended_at",
    }
)


def add(connection: Connection, mediator: Mediator) -> None:
    """Add a mediator.

    Raises:
        MediatorEmailTaken: whatever its capitals.
        MediatorInvalid: a role that there is not, no language, an odd cap.
    """
    _check(mediator)
    if connection.execute(_ADD, _row(mediator)).rowcount == 0:
        raise MediatorEmailTaken("Another mediator has this address.", pointer="/email")


def change(connection: Connection, mediator_id: UUID, **changes: Any) -> Mediator:
    """Change a mediator, and return them. ``ended_at`` ends their work: they are drawn no more.

    Cases that they have are for :func:`disputes.hand_over.leave`.

    Raises:
        MediatorNotFound: no such mediator.
        MediatorInvalid: something that cannot be, or cannot be changed.
    """
    if unknown := set(changes) - _CHANGEABLE:
        raise MediatorInvalid(f"Cannot be changed: {', '.join(sorted(unknown))}.")
    changed = replace(get(connection, mediator_id), **changes)
    _check(changed)
    connection.execute(_CHANGE, _row(changed))
    return changed


def away(connection: Connection, mediator_id: UUID, until: datetime | None) -> Mediator:
    """Say until when a mediator takes no new cases; None: they are back."""
    return change(connection, mediator_id, away_until=until)


def get(connection: Connection, mediator_id: UUID) -> Mediator:
    """Return a mediator, held until the transaction ends.

    Raises:
        MediatorNotFound: no such mediator.
    """
    row = connection.execute(_READ, {"id": mediator_id}).one_or_none()
    if row is None:
        raise MediatorNotFound("No mediator with this id.")
    return _mediator(row._asdict())


def page(connection: Connection, after: UUID | None, limit: int) -> list[Mediator]:
    """Return mediators by id, those who have ended too."""
    rows = connection.execute(_ALL, {"after": after, "limit": limit})
    return [_mediator(row._asdict()) for row in rows]


def _mediator(row: dict[str, Any]) -> Mediator:
    sets = {name: frozenset(row[name]) for name in ("languages", "skills", "roles")}
    return Mediator(**(row | sets))


def _row(mediator: Mediator) -> dict[str, Any]:
    return {
        "id": mediator.id,
        "name": mediator.name,
        "email": mediator.email,
        "languages": sorted(mediator.languages),
        "skills": sorted(mediator.skills),
        "roles": sorted(mediator.roles),
        "caseload_cap": mediator.caseload_cap,
        "created_at": mediator.created_at,
        "away_until": mediator.away_until,
        "ended_at": mediator.ended_at,
        "caseload_wish": mediator.caseload_wish,
    }


def _check(mediator: Mediator) -> None:
    roles = mediator.roles
    if not 0 < len(mediator.name.strip()) <= 200:
        raise MediatorInvalid("A name has 1 to 200 characters.", pointer="/name")
    if "@" not in mediator.email.strip("@"):
        raise MediatorInvalid("An e-mail address has a name and a domain.", pointer="/email")
    if not mediator.languages or not all(mediator.languages):
        raise MediatorInvalid("Name the languages that they speak.", pointer="/languages")
    if not roles or not roles <= ROLES:
        raise MediatorInvalid(f"Roles: {', '.join(sorted(ROLES))}.", pointer="/roles")
    if not 0 <= mediator.caseload_cap <= 1000:
        raise MediatorInvalid("0 to 1000 cases at once.", pointer="/caseload_cap")
    if not 0 <= (mediator.caseload_wish or 0) <= 1000:
        raise MediatorInvalid("0 to 1000 cases at once.", pointer="/caseload_wish")


def make_pool(connection: Connection, pool_id: UUID, name: str, now: datetime) -> None:
    """Make a pool of mediators.

    Raises:
        MediatorInvalid: another pool has the name, or it is no name.
    """
    query = text(
        "INSERT INTO disputes.pool (id, name, created_at) VALUES (:id, :name, :now) "
        "ON CONFLICT DO NOTHING"
    )
    values = {"id": pool_id, "name": name, "now": now}
    if not 0 < len(name) <= 200 or connection.execute(query, values).rowcount == 0:
        raise MediatorInvalid("A pool has a name of 1 to 200 characters, its own.", pointer="/name")


def put_in_pool(connection: Connection, pool_id: UUID, people: Collection[UUID]) -> None:
    """Put mediators in a pool; those who are in it stay.

    Raises:
        PoolNotFound, MediatorNotFound: one of them does not exist.
    """
    _check_pool(connection, pool_id)
    query = text("SELECT count(*) FROM disputes.mediator WHERE id = ANY(:people)")
    if connection.execute(query, {"people": list(people)}).scalar_one() != len(set(people)):
        raise MediatorNotFound("No mediator with one of these ids.")
    put = text(
        "INSERT INTO disputes.pool_member (pool_id, mediator_id) "
        "SELECT :pool_id, one FROM unnest(CAST(:people AS uuid[])) AS one ON CONFLICT DO NOTHING"
    )
    connection.execute(put, {"pool_id": pool_id, "people": list(people)})


def take_from_pool(connection: Connection, pool_id: UUID, mediator_id: UUID) -> None:
    """Take a mediator out of a pool; they keep the cases they have."""
    query = text(
        "DELETE FROM disputes.pool_member WHERE pool_id = :pool_id AND mediator_id = :mediator_id"
    )
    connection.execute(query, {"pool_id": pool_id, "mediator_id": mediator_id})


def serve(connection: Connection, pool_id: UUID, platform_id: UUID) -> None:
    """Let a pool serve a platform.

    Raises:
        PoolNotFound: no such pool.
    """
    _check_pool(connection, pool_id)
    query = text(
        "INSERT INTO disputes.pool_platform (pool_id, platform_id) "
        "VALUES (:pool_id, :platform_id) ON CONFLICT DO NOTHING"
    )
    connection.execute(query, {"pool_id": pool_id, "platform_id": platform_id})


def serve_no_more(connection: Connection, pool_id: UUID, platform_id: UUID) -> None:
    """Draw from a pool no more for a platform."""
    query = text(
        "DELETE FROM disputes.pool_platform WHERE pool_id = :pool_id AND platform_id = :platform_id"
    )
    connection.execute(query, {"pool_id": pool_id, "platform_id": platform_id})


def _check_pool(connection: Connection, pool_id: UUID) -> None:
    query = text("SELECT EXISTS (SELECT FROM disputes.pool WHERE id = :pool_id)")
    if not connection.execute(query, {"pool_id": pool_id}).scalar_one():
        raise PoolNotFound("No pool with this id.")


def instrument(identity: str) -> bytes:
    """Return what is kept of a payment instrument: the SHA-256 of how a provider knows it."""
    return hashlib.sha256(identity.encode()).digest()


def declare(
    connection: Connection,
    mediator_id: UUID,
    tie: Tie,
    note: str,
    now: datetime,
    by: Teller = "operator",
) -> UUID:
    """Record a tie, and return its id. It keeps the mediator off every case that it touches.

    A platform may tell ties of its own, in its own transaction.

    Raises:
        MediatorNotFound: no such mediator.
        MediatorInvalid: the tie does not name what its kind is about.
    """
    _check_exists(connection, mediator_id)
    names = (tie.platform_id is not None, tie.member_id is not None, tie.instrument is not None)
    fitting = {
        TieKind.STAFF: [(True, False, False)],
        TieKind.INSTRUMENT: [(False, False, True)],
        TieKind.INTEREST: [(True, False, False), (True, True, False)],
        TieKind.HOUSEHOLD: [(True, True, False)],
        TieKind.HELPER: [(True, True, False)],
    }[tie.kind]
    if names not in fitting:
        raise MediatorInvalid(
            "Staff names a platform, an instrument itself alone, an interest a platform or a "
            "member there, and every other tie a member on a platform.",
            pointer="/kind",
        )
    query = text(
        "INSERT INTO disputes.tie "
        "(mediator_id, kind, platform_id, member_id, instrument, note, declared_by, declared_at) "
        "VALUES (:mediator_id, :kind, :platform_id, :member_id, :instrument, :note, :by, :now) "
        "RETURNING id"
    )
    values = {
        "mediator_id": mediator_id,
        "kind": tie.kind,
        "platform_id": tie.platform_id,
        "member_id": tie.member_id,
        "instrument": tie.instrument,
        "note": note,
        "by": by,
        "now": now,
    }
    found: UUID = connection.execute(query, values).scalar_one()
    return found


def _check_exists(connection: Connection, mediator_id: UUID) -> None:
    query = text("SELECT EXISTS (SELECT id FROM disputes.mediator WHERE id = :id)")
    if not connection.execute(query, {"id": mediator_id}).scalar_one():
        raise MediatorNotFound("No mediator with this id.")


def end_tie(
    connection: Connection,
    mediator_id: UUID,
    tie_id: UUID,
    now: datetime,
    by: Teller | None = None,
) -> bool:
    """End a tie; return whether it was open. What it kept them off before stays on record.

    ``by``: only if it was told by such; None: whoever told it.
    """
    query = text(
        "UPDATE disputes.tie SET ended_at = :now WHERE id = :id AND mediator_id = :mediator_id "
        "AND ended_at IS NULL AND declared_by = coalesce(:by, declared_by)"
    )
    values = {"id": tie_id, "mediator_id": mediator_id, "now": now, "by": by}
    return connection.execute(query, values).rowcount == 1
