"""What claims take, and what the reasons to claim say. Amounts are integers of minor units."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from disputes.model import Stage
from disputes.outcomes import Outcome, Presumed, Side
from service.exchanges.claims import MOST_TEXT
from service.exchanges.kinds import Kind
from service.exchanges.terms import MOST_LEGS_IN_ALL
from service.http.schemas.base import Answer, Body, LegId, LongText, MinorUnits
from service.http.schemas.steps import StepBody

_CLAIM: Final[dict[str, Any]] = {
    "member": "mb_0001j5x7v4e9tsmwd8w1c9xk5v",
    "reason": "damaged",
    "answers": {"what_is_damaged": "The frame is cracked.", "when_noticed": "When I unpacked it."},
    "text": "I would keep it for half of the price.",
}


class ClaimLegBody(Body):
    """A held leg that is disputed, or a part of one."""

    leg: LegId
    amount: MinorUnits | None = Field(
        default=None,
        description="How much of it, in minor units; the rest is not disputed. Else all of it.",
    )


Legs = Annotated[
    list[ClaimLegBody],
    Field(
        max_length=MOST_LEGS_IN_ALL,
        description="What is disputed. Without it, what the reason is usually about.",
    ),
]


class ClaimBody(StepBody):
    """Why a member says that something is wrong. GET /v1/claim-reasons has the reasons."""

    reason: Annotated[str, Field(min_length=1, max_length=40, examples=["damaged"])]
    legs: Legs = Field(default_factory=list)
    answers: dict[
        Annotated[str, Field(max_length=40)], Annotated[str, Field(max_length=MOST_TEXT)]
    ] = Field(default_factory=dict, max_length=20, description="To each of the reason's questions.")
    text: Annotated[str, Field(max_length=MOST_TEXT)] = Field(
        default="", description="In the member's own words."
    )
    more_time: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="The member needs more time; both sides then have it."
    )

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_CLAIM]})


class FlagBody(Body):
    """What the platform saw that looks like fraud."""

    legs: Legs = Field(default_factory=list)
    text: LongText = Field(description="What it saw: both sides and the neutral read it.")


class Words(Answer):
    """The same said in the languages of members."""

    fr: str
    en: str
    br: str


class QuestionOut(Answer):
    """A question to a side."""

    code: str
    words: Words


class EvidenceSortOut(Answer):
    """A sort of evidence."""

    sort: str
    words: Words


class ReasonOutcomeOut(Answer):
    """How a case for this reason can end, and what comes of it."""

    outcome: Outcome
    words: Words
    effect: Words
    decided: bool = Field(description="A neutral may decide so.")
    agreed: bool = Field(description="The two sides may agree on it.")


class StageOut(Answer):
    """A stage that a case may pass through, how long it has, and what its end brings."""

    stage: Stage
    words: Words
    next: Words = Field(description="What happens in it, and when its time is over.")
    hours: int
    hours_with_more_time: int = Field(
        description="Where somebody on either side is assisted, or asked for more time."
    )


class ReasonOut(Answer):
    """A reason to claim, and everything that follows from giving it."""

    reason: str
    object: Literal["claim_reason"]
    words: Words
    kinds: list[Kind] = Field(description="Of exchanges.")
    by: list[Side] = Field(description="Who may give it.")
    questions: list[QuestionOut] = Field(description="The claimant answers each.")
    asked: list[QuestionOut] = Field(description="The other side is asked these.")
    evidence_needed: list[EvidenceSortOut]
    evidence_that_may_be_asked: list[EvidenceSortOut] = Field(
        description="Nothing else may be asked of a side."
    )
    outcomes: list[ReasonOutcomeOut]
    presumed: Presumed = Field(description="Who gets what is disputed when nobody can tell.")
    presumed_words: Words
    stages: list[StageOut] = Field(description="In their order, from the one that it begins with.")


class ReasonList(Answer):
    """Reasons to claim."""

    data: list[ReasonOut]
    notice: Words = Field(description="To be shown with everything about a case.")
