"""Publish a decision as a precedent: what it was about and why, without whose it was."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes import precedents
from disputes.model import Case
from disputes.precedents import Precedent, percent
from disputes.refusals import CaseNotFound
from ledger.refusals import Refusal
from service.ids import uuid7
from service.platforms import members, platforms
from service.records import decisions
from service.records.decisions import Known, NotDecided

_PLATFORM_OF: Final = text("SELECT platform_id FROM disputes.case WHERE id = :id")
_MEDIATORS: Final = text(
    "SELECT DISTINCT m.name FROM disputes.assignment AS a "
    "JOIN disputes.mediator AS m ON m.id = a.mediator_id "
    "WHERE a.platform_id = :platform_id AND a.case_id = :case_id"
)


class NoDecisionToPublish(Refusal):
    """The case is not over, or ended without a decision that could be an example."""

    code = "no_decision_to_publish"


@dataclass(frozen=True, slots=True)
class Draft:
    """What a supervisor wrote of a case, in one language."""

    case_id: UUID
    language: str
    asked: str
    text: str


def publish(
    connection: Connection, draft: Draft, by: UUID, issuer: str, now: datetime
) -> Precedent:
    """Publish a precedent of a closed case, in the system's scope.

    Raises:
        CaseNotFound, NoDecisionToPublish, PrecedentRefused, PrecedentTaken
    """
    platform_id = connection.execute(_PLATFORM_OF, {"id": draft.case_id}).scalar_one_or_none()
    if platform_id is None:
        raise CaseNotFound("No case with this id.")
    known = decisions.read(connection, platform_id, draft.case_id, issuer)
    said = _decided(known)
    names, others = _people(connection, known.case)
    for field in ("asked", "text"):
        precedents.check_text(field, getattr(draft, field), names, others)
    case = known.case
    found = Precedent(
        id=uuid7(),
        of_case=hashlib.sha256(case.platform_id.bytes + case.id.bytes).digest(),
        mode=known.mode,
        language=draft.language,
        kind=case.kind,
        reason=case.reason,
        outcome=said["outcome"],
        reason_code=said["decision"]["reason_code"],
        to_payee=tuple(percent(line["to_payee"], line["amount"]) for line in said["lines"]),
        asked=draft.asked.strip(),
        text=draft.text.strip(),
        published_at=now,
        published_by=by,
    )
    precedents.publish(connection, found)
    return found


def _decided(known: Known) -> dict[str, Any]:
    """Return the decision of a case that is over and was decided for reasons."""
    try:
        said = decisions.document(known)
    except NotDecided:
        raise NoDecisionToPublish("The case is not decided yet.") from None
    shared = all(line["to_payee"] is not None for line in said["lines"])
    if not said["final"] or said["decision"] is None or not shared:
        raise NoDecisionToPublish(
            "Only a decision that was carried out is an example; what two sides agreed is theirs.",
            final=said["final"],
            ended_by=said["ended_by"],
        )
    return said


def _people(connection: Connection, case: Case) -> tuple[list[str], list[str]]:
    """Return the names that must not be in the text, and the addresses and numbers."""
    sides = members.find_many(connection, case.platform_id, [case.payer_id, case.payee_id])
    platform = platforms.find(connection, case.platform_id)
    values = {"platform_id": case.platform_id, "case_id": case.id}
    neutrals = connection.scalars(_MEDIATORS, values).all()
    names = [one.name for one in sides.values() if one.name]
    others = [
        value
        for one in sides.values()
        for value in (one.email, one.phone, one.external_id)
        if value
    ]
    return [*names, *neutrals], [*others, platform.name]
