"""A case as values: what the pure rules read and return. Nothing here touches a database.

A case knows its subject by an id alone, the two sides as members' ids, and what is disputed as
lines of an amount. What the subject is, and how value moves, is others' business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from disputes.outcomes import Line, Outcome, Side


class Stage(StrEnum):
    """Where a case stands. UNCITRAL's three (negotiation, facilitated settlement, decision)."""

    TALK = "talk"
    MEDIATION = "mediation"
    DECISION = "decision"
    #: A second mediator reads a decision before anybody is told of it.
    SECOND_LOOK = "second_look"
    #: Decided and told; each side may still ask for other people, on new facts or for an error.
    APPEALABLE = "appealable"
    APPEAL = "appeal"
    #: Settled so that the goods go back first.
    RETURNING = "returning"
    #: Settled so that the payee mends it first.
    REPAIRING = "repairing"
    CLOSED = "closed"


#: Stages in which somebody who is neither side has to act.
NEUTRAL_ACTS: Final = frozenset({Stage.MEDIATION, Stage.DECISION, Stage.SECOND_LOOK, Stage.APPEAL})


class Cause(StrEnum):
    """What began a case."""

    CLAIM = "claim"
    SILENCE = "silence"
    CHARGEBACK = "chargeback"
    FRAUD = "fraud"


@dataclass(frozen=True, slots=True)
class Extra:
    """What one side gives the other beside what is disputed, such as hours: the giver and how much.

    ``amount`` is in minor units of ``unit``.
    """

    by: Side
    unit: str
    amount: int


@dataclass(frozen=True, slots=True)
class Offer:
    """What one side offers the other: to end the case so. Accepting it carries it out at once."""

    id: UUID
    by: Side
    outcome: Outcome
    to_payee: Mapping[UUID, int]
    text: str
    expires_at: datetime
    extra: Extra | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a mediator proposes to both. It holds when both have accepted it."""

    id: UUID
    by: UUID
    outcome: Outcome
    to_payee: Mapping[UUID, int]
    text: str
    expires_at: datetime
    accepted_by: frozenset[Side] = frozenset()


@dataclass(frozen=True, slots=True)
class Ruling:
    """A reasoned decision. Both sides read the same reasons."""

    id: UUID
    by: tuple[UUID, ...]
    outcome: Outcome
    to_payee: Mapping[UUID, int]
    reason_code: str
    reasons: str
    made_at: datetime
    #: Who read it before it was told, where two had to agree.
    seconded_by: UUID | None = None


@dataclass(frozen=True, slots=True)
class Appeal:
    """One side's request for other people: new facts, or an error of procedure. Once a case."""

    by: Side
    ground: str  # "new_evidence" or "procedure"
    text: str
    made_at: datetime
    panel: tuple[UUID, ...] = ()
    #: What each member of the panel would decide.
    votes: Mapping[UUID, Ruling] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """A dispute and where it stands."""

    platform_id: UUID
    id: UUID
    subject_id: UUID
    kind: str
    cause: Cause
    reason: str
    claimant: Side | None
    payer_id: UUID
    payee_id: UUID
    lines: tuple[Line, ...]
    stage: Stage
    #: When this stage began, and when its clock ends it.
    stage_since: datetime
    due_at: datetime
    #: By when value must have its outcome, whatever happens: the provider's limit.
    decide_by: datetime
    opened_at: datetime
    version: int
    #: What was agreed and is asked, frozen when the case was opened, and its SHA-256.
    file: Mapping[str, Any]
    file_hash: str
    #: Somebody on either side is assisted, or has asked for more time.
    gentle: bool = False
    mediator_id: UUID | None = None
    second_id: UUID | None = None
    #: Mediators who were on the case: none of them comes back to it.
    left: frozenset[UUID] = frozenset()
    offer: Offer | None = None
    proposal: Proposal | None = None
    ruling: Ruling | None = None
    appeal: Appeal | None = None
    outcome: Outcome | None = None
    settlement: Mapping[UUID, int] | None = None
    closed_at: datetime | None = None
    #: How often each side has challenged a mediator; one is granted.
    challenges: Mapping[Side, int] = field(default_factory=dict)
    #: The payer says that the goods went back, or the payee that it is mended.
    returned_at: datetime | None = None
    entries: int = 0

    def side_of(self, member_id: UUID) -> Side | None:
        """Return the side that a member is on, or None for a stranger."""
        if member_id == self.payer_id:
            return Side.PAYER
        return Side.PAYEE if member_id == self.payee_id else None

    @property
    def total(self) -> int:
        """Minor units in dispute, for ranking alone: units are not comparable."""
        return max((line.amount for line in self.lines), default=0)
