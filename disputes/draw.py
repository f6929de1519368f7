"""Draw by lot who takes a case, among all who may, so that anybody can draw the same again.

Whoever may take it is ranked by the SHA-256 of the seed followed by the 16 bytes of their id; the
first are drawn. The record keeps the seed, who could have been drawn, and who could not and why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, RowMapping, text

from disputes import assignments
from disputes.model import Case
from disputes.recusal import Candidate, Need, Part, Question, Tie, TieKind, reasons
from disputes.refusals import NobodyEligible

#: A seed has at least so many bytes, from the system's source of randomness.
LEAST_SEED: Final = 16

_SET_NEED: Final = text(
    "INSERT INTO disputes.case_need (platform_id, case_id, languages, skills, instruments) "
    "SELECT :platform_id, n.case_id, n.languages, n.skills, n.instruments "
    "FROM jsonb_to_recordset(CAST(:needs AS jsonb)) "
    "AS n(case_id uuid, languages text[], skills text[], instruments bytea[]) "
    "ON CONFLICT (platform_id, case_id) DO UPDATE SET languages = excluded.languages, "
    "skills = excluded.skills, instruments = excluded.instruments"
)
_NEED: Final = text(
    "SELECT languages, skills, instruments FROM disputes.case_need "
    "WHERE platform_id = :platform_id AND case_id = :case_id"
)
_CANDIDATES: Final = text(
    "SELECT * FROM disputes.candidates(:platform_id, :case_id, :payer_id, :payee_id, :now)"
)
_IS_TIED: Final = text(
    "SELECT EXISTS (SELECT FROM disputes.tied(:platform_id, :case_id) AS t "
    "WHERE t.mediator_id = :mediator_id)"
)
_HOLD: Final = text("SELECT disputes.hold_mediators(:ids)")


@dataclass(frozen=True, slots=True)
class Field:
    """Who may take a part of a case, and who may not and why."""

    eligible: tuple[UUID, ...]
    excluded: Mapping[UUID, list[str]]


def set_needs(connection: Connection, platform_id: UUID, needs: Mapping[UUID, Need]) -> None:
    """Record what cases ask of whoever takes them, in one statement; before their first draws.

    A case without it asks for nothing.
    """
    rows = [
        {
            "case_id": case_id,
            "languages": sorted(need.languages),
            "skills": sorted(need.skills),
            "instruments": ["\\x" + one.hex() for one in sorted(need.instruments)],
        }
        for case_id, need in needs.items()
    ]
    if rows:
        values = {"platform_id": platform_id, "needs": orjson.dumps(rows).decode()}
        connection.execute(_SET_NEED, values)


def need_of(connection: Connection, case: Case) -> Need:
    """Return what a case asks of whoever takes it."""
    values = {"platform_id": case.platform_id, "case_id": case.id}
    row = connection.execute(_NEED, values).one_or_none()
    if row is None:
        return Need()
    instruments = frozenset(bytes(one) for one in row.instruments)
    return Need(frozenset(row.languages), frozenset(row.skills), instruments)


def _candidate(row: RowMapping) -> Candidate:
    return Candidate(
        row["id"],
        frozenset(row["languages"]),
        frozenset(row["skills"]),
        frozenset(row["roles"]),
        row["caseload_cap"],
        row["caseload"],
        row["away_until"],
        tuple(_tie(said) for said in row["ties"]),
        row["met"],
        row["was_here"],
    )


def _tie(said: Mapping[str, Any]) -> Tie:
    platform_id, member_id, instrument = (
        said[name] for name in ("platform_id", "member_id", "instrument")
    )
    return Tie(
        TieKind(said["kind"]),
        None if platform_id is None else UUID(platform_id),
        None if member_id is None else UUID(member_id),
        None if instrument is None else bytes.fromhex(instrument),
    )


def field(
    connection: Connection,
    case: Case,
    part: Part,
    now: datetime,
    also_not: Collection[UUID] = (),
) -> Field:
    """Ask every rule of everybody who serves the case's platform.

    ``also_not``: people who are on the case in a way that it does not say.
    """
    need = need_of(connection, case)
    values = {
        "platform_id": case.platform_id,
        "case_id": case.id,
        "payer_id": case.payer_id,
        "payee_id": case.payee_id,
        "now": now,
    }
    eligible: list[UUID] = []
    excluded: dict[UUID, list[str]] = {}
    for row in connection.execute(_CANDIDATES, values).mappings():
        candidate = _candidate(row)
        why = reasons(Question(candidate, case, part, need, now))
        if candidate.id in also_not and "on_this_case" not in why:
            why.append("on_this_case")
        if why:
            excluded[candidate.id] = why
        else:
            eligible.append(candidate.id)
    return Field(tuple(sorted(eligible)), excluded)


def is_tied(connection: Connection, case: Case, mediator_id: UUID) -> bool:
    """Tell whether somebody who has a case is tied to it: declared since they were given it."""
    values = {"platform_id": case.platform_id, "case_id": case.id, "mediator_id": mediator_id}
    return bool(connection.execute(_IS_TIED, values).scalar_one())


def rank(seed: bytes, eligible: Collection[UUID]) -> list[UUID]:
    """Return the eligible in the order that the seed gives them. Pure."""
    return sorted(eligible, key=lambda one: (hashlib.sha256(seed + one.bytes).digest(), one))


def reproduces(
    seed: bytes, eligible: Collection[UUID], excluded: Collection[UUID], drawn: Sequence[UUID]
) -> bool:
    """Check a record: that its seed draws these people from those who were eligible. Pure."""
    if set(eligible) & set(excluded):
        return False
    return sorted(rank(seed, eligible)[: len(drawn)]) == sorted(drawn)


def hold(connection: Connection, people: Sequence[UUID]) -> None:
    """Hold mediators until the transaction ends, so that no two cases fill one's last place."""
    connection.execute(_HOLD, {"ids": list(people)})


def choose(
    connection: Connection,
    case: Case,
    part: Part,
    seed: bytes,
    now: datetime,
    how_many: int = 1,
    also_not: Collection[UUID] = (),
) -> tuple[tuple[UUID, ...], Field]:
    """Draw and hold ``how_many`` people without recording it; return them and all who were asked.

    Raises:
        NobodyEligible: fewer than ``how_many`` may take it; with each one's reasons.
        ValueError: the seed is too short to be a draw; a bug of the caller.
    """
    if len(seed) < LEAST_SEED or how_many < 1:
        raise ValueError(f"a draw takes {LEAST_SEED} random bytes and draws at least one")
    before = None
    while True:
        found = field(connection, case, part, now, also_not)
        if len(found.eligible) < how_many:
            raise NobodyEligible(
                f"{how_many} wanted, and {len(found.eligible)} of those who serve this platform "
                "may take the case.",
                eligible=len(found.eligible),
                excluded={str(one): codes for one, codes in found.excluded.items()},
            )
        drawn = tuple(rank(seed, found.eligible)[:how_many])
        if drawn == before:  # held since, and still free: nobody can fill their last place now
            return drawn, found
        hold(connection, drawn)
        before = drawn


def draw(
    connection: Connection, case: Case, part: str, seed: bytes, now: datetime, how_many: int = 1
) -> tuple[UUID, ...]:
    """Draw who takes a part of a case, and record it. The caller puts them on the case.

    Whoever is not on the case any more is let go first. Runs inside the case's platform or across
    platforms.

    Args:
        part: ``mediator``, ``second`` or ``panel``.
        seed: at least 16 bytes of ``os.urandom``, of this draw alone.

    Raises:
        NobodyEligible: fewer than ``how_many`` may take it; with each one's reasons. Nothing is
            recorded.
        ValueError: the seed is too short, or the part unknown; a bug of the caller.
    """
    wanted = Part(part)
    assignments.end_left(connection, case.platform_id, [case], now)
    drawn, found = choose(connection, case, wanted, seed, now, how_many)
    assignments.add(
        connection,
        case,
        wanted,
        drawn,
        now,
        seed=seed,
        eligible=found.eligible,
        excluded=found.excluded,
    )
    return drawn
