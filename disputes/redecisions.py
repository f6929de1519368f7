"""Decide a sample of cases again, blind: does the outcome depend on who decides?

Which decisions are in the sample follows from a random seed, not from who decided or how. Whoever
decides again may take the case by the same rules as the first, does not see the decision, and
moves nothing. What they say counts in statistics alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from disputes import draw
from disputes.commands import Command, effect_of, said
from disputes.model import Case, Stage
from disputes.outcomes import Line, Outcome
from disputes.recusal import Part
from disputes.refusals import CaseNotFound, NobodyEligible, NotNowInCase, ReasonsMissing
from disputes.rulings import LEAST_REASONS
from ledger.refusals import Refusal

#: How many decisions of a thousand are decided again.
SHARE: Final = 50
#: Two decisions agree when they give the payee of each line as much, to a tenth of the line.
TOLERANCE: Final = 10


class AlreadyRedecided(Refusal):
    """This has been answered, once and for all."""

    code = "already_redecided"


@dataclass(frozen=True, slots=True)
class Open:
    """A case to decide again. It does not say what was decided."""

    platform_id: UUID
    id: UUID
    case_id: UUID
    at: datetime


_ADD: Final = text(
    "INSERT INTO disputes.redecision (platform_id, case_id, ruling_id, first_id, first, "
    "mediator_id, seed, eligible, excluded, at) VALUES (:platform_id, :case_id, :ruling_id, "
    ":first_id, CAST(:first AS jsonb), :mediator_id, :seed, :eligible, "
    "CAST(:excluded AS jsonb), :now) ON CONFLICT (platform_id, ruling_id) DO NOTHING RETURNING id"
)
_OPEN: Final = text(
    "SELECT platform_id, id, case_id, at FROM disputes.redecision "
    "WHERE mediator_id = :mediator_id AND decided_at IS NULL ORDER BY at, id LIMIT :limit"
)
_ONE: Final = text(
    "SELECT platform_id, id, case_id, at FROM disputes.redecision "
    "WHERE id = :id AND mediator_id = :mediator_id"
)
_LOCK: Final = text(
    "SELECT case_id, first, decided_at FROM disputes.redecision WHERE platform_id = :platform_id "
    "AND id = :id AND mediator_id = :mediator_id FOR UPDATE"
)
_ANSWER: Final = text(
    "UPDATE disputes.redecision SET outcome = :outcome, to_payee = CAST(:to_payee AS jsonb), "
    "reasons = :reasons, agrees = :agrees, decided_at = :now "
    "WHERE platform_id = :platform_id AND id = :id"
)


def picked(seed: bytes, ruling_id: UUID, share: int = SHARE) -> bool:
    """Return whether the seed puts a decision in the sample. Pure.

    The first 8 bytes of SHA-256(seed || id), read as a number, are taken modulo 1000; below
    ``share`` it is in.
    """
    found = hashlib.sha256(seed + ruling_id.bytes).digest()[:8]
    return int.from_bytes(found, "big") % 1000 < share


def begin(
    connection: Connection, case: Case, seed: bytes, now: datetime, share: int = SHARE
) -> UUID | None:
    """Draw somebody to decide a case again if its decision is in the sample.

    Returns:
        The id of the new decision; None when it is not in the sample, is in it already, or
        nobody may take it: then it is left out, which depends on nothing that was decided.

    Raises:
        NotNowInCase: nothing was decided, or nobody has been told of it.
    """
    ruling = case.ruling
    if ruling is None or case.stage not in {Stage.APPEALABLE, Stage.CLOSED}:
        raise NotNowInCase("There is no decision to compare with.", stage=case.stage)
    if not picked(seed, ruling.id, share):
        return None
    try:
        (one,), found = draw.choose(connection, case, Part.MEDIATOR, seed, now)
    except NobodyEligible:
        return None
    first = {"outcome": ruling.outcome, "to_payee": said(ruling.to_payee)}
    values = {
        "platform_id": case.platform_id,
        "case_id": case.id,
        "ruling_id": ruling.id,
        "first_id": ruling.by[0],
        "first": orjson.dumps(first).decode(),
        "mediator_id": one,
        "seed": seed,
        "eligible": list(found.eligible),
        "excluded": orjson.dumps({str(id_): why for id_, why in found.excluded.items()}).decode(),
        "now": now,
    }
    made: UUID | None = connection.execute(_ADD, values).scalar_one_or_none()
    return made


def open_for(connection: Connection, mediator_id: UUID, limit: int) -> list[Open]:
    """Return what a mediator is to decide again, the oldest first."""
    rows = connection.execute(_OPEN, {"mediator_id": mediator_id, "limit": limit})
    return [Open(**row._asdict()) for row in rows]


def find(connection: Connection, id_: UUID, mediator_id: UUID) -> Open:
    """Return what a mediator is to decide again, or has decided (across platforms).

    Raises:
        CaseNotFound: nothing with this id is theirs to decide again.
    """
    row = connection.execute(_ONE, {"id": id_, "mediator_id": mediator_id}).one_or_none()
    if row is None:
        raise CaseNotFound("No decision with this id is yours to make again.")
    return Open(**row._asdict())


def answer(
    connection: Connection,
    case: Case,
    id_: UUID,
    mediator_id: UUID,
    outcome: Outcome,
    split: Mapping[UUID, int] | None,
    reasons: str,
    now: datetime,
) -> bool:
    """Record what somebody would have decided; return whether it agrees with what was.

    Raises:
        CaseNotFound: nothing of this case is theirs to decide again.
        AlreadyRedecided: they have said so before.
        ReasonsMissing: fewer characters than a decision has.
        OutcomeNotOpen, SplitInvalid: the case cannot end so.
    """
    key = {"platform_id": case.platform_id, "id": id_}
    row = connection.execute(_LOCK, {**key, "mediator_id": mediator_id}).one_or_none()
    if row is None or row.case_id != case.id:
        raise CaseNotFound("No decision with this id is yours to make again.")
    if row.decided_at is not None:
        raise AlreadyRedecided("You have decided this already.")
    if len(reasons.strip()) < LEAST_REASONS:
        raise ReasonsMissing(f"At least {LEAST_REASONS} characters.", pointer="/reasons")
    asked = Command("decide", id_, mediator_id=mediator_id, outcome=outcome, split=split)
    _, to_payee = effect_of(case, asked)
    agrees = agree(case.lines, _parts(row.first), to_payee)
    values: dict[str, Any] = {
        **key,
        "outcome": outcome,
        "to_payee": orjson.dumps(said(to_payee)).decode(),
        "reasons": reasons,
        "agrees": agrees,
        "now": now,
    }
    connection.execute(_ANSWER, values)
    return agrees


def _parts(first: Mapping[str, Any]) -> dict[UUID, int]:
    return {UUID(line): amount for line, amount in first["to_payee"].items()}


def agree(lines: tuple[Line, ...], one: Mapping[UUID, int], other: Mapping[UUID, int]) -> bool:
    """Return whether two decisions give about the same, whatever they are called. Pure."""
    return all(abs(one[line.id] - other[line.id]) * TOLERANCE <= line.amount for line in lines)
