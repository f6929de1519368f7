"""What mediators read of cases, and what they write. Amounts are integers of minor units."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from disputes.model import Cause, Stage
from disputes.outcomes import Outcome, Side
from disputes.recusal import Part
from disputes.rulings import LEAST_REASONS, REASON_CODES
from service.exchanges.kinds import Kind
from service.exchanges.terms import MOST_LEGS_IN_ALL
from service.http.schemas.base import Answer, Body, CaseId, LegId

MOST_TEXT: Final = 20_000
#: How many short reviews one request decides.
MOST_AT_ONCE: Final = 50

_SPLIT: Final[dict[str, Any]] = {
    "outcome": "split",
    "split": [{"leg": "leg_0001j5x7v4e9tsmwd8w1c9xk5v", "to_payee": 8000}],
}
_DECISION: Final[dict[str, Any]] = {
    **_SPLIT,
    "reason_code": "evidence",
    "reasons": "The photographs show an open parcel with the seller's own tape; the carrier's "
    "weight at hand-in was that of the goods. Each side bears what it could have prevented.",
}

Reasons = Annotated[
    str,
    Field(
        max_length=MOST_TEXT,
        description=f"At least {LEAST_REASONS} characters. Both sides read the same.",
    ),
]
ReasonCode = Annotated[
    str, Field(max_length=40, description=f"One of: {', '.join(sorted(REASON_CODES))}.")
]


class SplitLineBody(Body):
    """What the payee gets of one leg; the payer gets the rest."""

    leg: LegId
    to_payee: Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]


class EffectBody(Body):
    """An outcome, and with `split` what the payee gets of each leg."""

    outcome: Outcome
    split: Annotated[list[SplitLineBody], Field(max_length=MOST_LEGS_IN_ALL)] | None = None

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_SPLIT]})

    def parts(self) -> dict[UUID, int] | None:
        """Return what the payee gets by leg; a leg that is named twice is named wrongly."""
        if self.split is None:
            return None
        found = {line.leg: line.to_payee for line in self.split}
        return found if len(found) == len(self.split) else {}


class ProposeToBothBody(EffectBody):
    """How both could end it. It holds when both have accepted it."""

    text: Annotated[str, Field(min_length=1, max_length=MOST_TEXT)]

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{**_SPLIT, "text": "Half each?"}]}
    )


class DecideBody(EffectBody):
    """A reasoned decision."""

    reason_code: ReasonCode
    reasons: Reasons

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_DECISION]})


class LiftFlagBody(Body):
    """Why nothing is wrong with what was flagged."""

    reason_code: ReasonCode
    reasons: Reasons


class SayWhyBody(Body):
    """Why, in words that stand in the case's journal."""

    reason: Annotated[str, Field(min_length=1, max_length=MOST_TEXT)]


class ReviewDecisionBody(DecideBody):
    """The decision of one short review."""

    case: CaseId

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{**_DECISION, "case": "cs_0001j5x7v4e9tsmwd8w1c9xk5v"}]},
    )


class DecideReviewsBody(Body):
    """Decisions of short reviews, each with its own reasons."""

    decisions: Annotated[list[ReviewDecisionBody], Field(min_length=1, max_length=MOST_AT_ONCE)]


class TicketOut(Answer):
    """A case in a queue. `amount` is that of its biggest leg."""

    id: str
    object: Literal["case_ticket"]
    platform: str
    stage: Stage
    cause: Cause
    kind: Kind
    reason: str
    opened_at: datetime
    due_at: datetime
    decide_by: datetime
    gentle: bool = Field(description="Somebody on either side has more time.")
    amount: int
    unit: str
    part: Part | None = Field(description="Yours in it; null on what is not yours.")
    file: dict[str, Any] | None = Field(
        description="What was agreed, asked and done; null on what is not yours."
    )


class TicketPage(Answer):
    """A page of a queue."""

    data: list[TicketOut]
    next_cursor: str | None


class EffectLineOut(Answer):
    """How one leg is shared."""

    leg: str
    unit: str
    amount: int
    to_payer: int
    to_payee: int


class EffectTotalOut(Answer):
    """The sums of one unit; they are what is held of it, always."""

    unit: str
    amount: int
    to_payer: int
    to_payee: int


class EffectOut(Answer):
    """What an outcome would move. Nothing has moved."""

    object: Literal["case_effect"]
    outcome: Outcome
    moves: bool = Field(description="False where something else has to come first, or nothing.")
    lines: list[EffectLineOut]
    totals: list[EffectTotalOut]


class DeskLineOut(Answer):
    """One line of the case's journal. Of other neutrals it tells that there are some."""

    number: int
    at: datetime
    type: str
    by: str
    data: dict[str, Any]
    sha256: str


class DeskActionOut(Answer):
    """A step that you can take now."""

    step: str
    means: str


class DeskCaseOut(Answer):
    """A case as whoever decides it needs it: no names, no addresses."""

    id: str
    object: Literal["case"]
    platform: str
    exchange: str
    stage: Stage
    cause: Cause
    kind: Kind
    reason: str
    claimant: Side | None
    opened_at: datetime
    due_at: datetime | None
    decide_by: datetime
    gentle: bool
    part: Part | None
    file: dict[str, Any]
    file_sha256: str
    offer: dict[str, Any] | None
    proposal: dict[str, Any] | None
    ruling: dict[str, Any] | None
    appeal: dict[str, Any] | None
    outcome: Outcome | None
    settlement: dict[str, int] | None
    next_actions: list[DeskActionOut]
    journal: list[DeskLineOut]


class ReviewAnswerOut(Answer):
    """What came of one decision: the stage it brought the case to, or why it was refused."""

    case: str
    stage: Stage | None
    problem: dict[str, Any] | None


class ReviewAnswersOut(Answer):
    """One answer for each decision, in their order."""

    data: list[ReviewAnswerOut]
