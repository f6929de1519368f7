"""Who was given which case: the record, written once, that ends once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from disputes.model import Case, Stage
from disputes.recusal import Part


@dataclass(frozen=True, slots=True)
class Given:
    """Somebody was given a part of a case. ``seed`` is None where nothing was drawn."""

    id: UUID
    mediator_id: UUID
    part: Part
    how: str
    seed: bytes | None
    eligible: list[UUID]
    excluded: dict[str, list[str]]
    at: datetime
    ended_at: datetime | None
    ended_why: str | None


_ADD: Final = text(
    "INSERT INTO disputes.assignment "
    "(platform_id, case_id, mediator_id, part, how, seed, eligible, excluded, at) "
    "SELECT :platform_id, :case_id, one, :part, :how, :seed, :eligible, "
    "CAST(:excluded AS jsonb), :now FROM unnest(CAST(:people AS uuid[])) AS one"
)
_END_LEFT: Final = text(
    "UPDATE disputes.assignment AS a SET ended_at = :now, "
    "ended_why = CASE WHEN a.mediator_id = ANY (r.left_ids) THEN 'left' ELSE 'done' END "
    "FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(id uuid, on_it uuid[], left_ids uuid[]) "
    "WHERE a.platform_id = :platform_id AND a.case_id = r.id AND a.ended_at IS NULL "
    "AND NOT a.mediator_id = ANY (r.on_it)"
)
_END: Final = text(
    "UPDATE disputes.assignment SET ended_at = :now, ended_why = :why "
    "WHERE platform_id = :platform_id AND case_id = :case_id AND mediator_id = :mediator_id "
    "AND ended_at IS NULL"
)


def people_on(case: Case) -> frozenset[UUID]:
    """Return who has something to do in a case at its stage."""
    by_stage: dict[Stage, tuple[UUID | None, ...]] = {
        Stage.MEDIATION: (case.mediator_id,),
        Stage.DECISION: (case.mediator_id,),
        Stage.RETURNING: (case.mediator_id,),
        Stage.REPAIRING: (case.mediator_id,),
        Stage.SECOND_LOOK: (case.mediator_id, case.second_id),
        Stage.APPEAL: () if case.appeal is None else case.appeal.panel,
    }
    return frozenset(one for one in by_stage.get(case.stage, ()) if one is not None)


def add(
    connection: Connection,
    case: Case,
    part: Part,
    people: Sequence[UUID],
    now: datetime,
    *,
    seed: bytes | None,
    eligible: Sequence[UUID],
    excluded: Mapping[UUID, Sequence[str]],
) -> None:
    """Record that people were given a part of a case; ``seed`` is None where nothing was drawn."""
    reasons = {str(one): list(codes) for one, codes in excluded.items()}
    values = {
        "platform_id": case.platform_id,
        "case_id": case.id,
        "part": part,
        "how": "claim" if seed is None else "draw",
        "seed": seed,
        "eligible": list(eligible),
        "excluded": orjson.dumps(reasons).decode(),
        "people": list(people),
        "now": now,
    }
    connection.execute(_ADD, values)


def end_left(
    connection: Connection, platform_id: UUID, cases: Sequence[Case], now: datetime
) -> int:
    """End what nobody has to do any more in these cases; return how many assignments ended.

    For cases as a step left them, of one platform; whoever is still on a case stays.
    """
    if not cases:
        return 0
    rows = [
        {"id": case.id, "on_it": sorted(people_on(case)), "left_ids": sorted(case.left)}
        for case in cases
    ]
    values = {"platform_id": platform_id, "rows": orjson.dumps(rows).decode(), "now": now}
    return connection.execute(_END_LEFT, values).rowcount


def end(
    connection: Connection,
    case: Case,
    mediator_id: UUID,
    why: Literal["done", "declined", "left"],
    now: datetime,
) -> bool:
    """End one person's assignment to a case; return whether there was one."""
    values = {
        "platform_id": case.platform_id,
        "case_id": case.id,
        "mediator_id": mediator_id,
        "why": why,
        "now": now,
    }
    return connection.execute(_END, values).rowcount == 1


def of_case(connection: Connection, platform_id: UUID, case_id: UUID) -> list[Given]:
    """Return who was given a part of a case, in the order in which they were."""
    query = text(
        "SELECT id, mediator_id, part, how, seed, eligible, excluded, at, ended_at, ended_why "
        "FROM disputes.assignment WHERE platform_id = :platform_id AND case_id = :case_id "
        "ORDER BY at, id"
    )
    values = {"platform_id": platform_id, "case_id": case_id}
    return [
        Given(
            **row._asdict()
            | {"part": Part(row.part), "seed": None if row.seed is None else bytes(row.seed)}
        )
        for row in connection.execute(query, values)
    ]


def open_of(connection: Connection, mediator_id: UUID) -> list[tuple[UUID, UUID]]:
    """Return platform and case of everything that a mediator has now, the oldest first."""
    query = text(
        "SELECT platform_id, case_id FROM disputes.assignment "
        "WHERE mediator_id = :mediator_id AND ended_at IS NULL ORDER BY at, id"
    )
    rows = connection.execute(query, {"mediator_id": mediator_id})
    return [(row.platform_id, row.case_id) for row in rows]
