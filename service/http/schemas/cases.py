"""What the API takes and gives about cases. Amounts are integers of minor units."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from disputes.model import Cause, Stage
from disputes.outcomes import Outcome, Presumed, Side
from service.exchanges.kinds import Kind
from service.exchanges.terms import MOST_AMOUNT, MOST_LEGS_IN_ALL
from service.http.schemas.base import (
    Amount,
    Answer,
    Body,
    LegId,
    LongText,
    OfferId,
    ProposalId,
    Version,
)
from service.http.schemas.claims import EvidenceSortOut, QuestionOut, Words
from service.http.schemas.steps import StepBody

_OFFER: Final[dict[str, Any]] = {
    "member": "mb_0001j5x7v4e9tsmwd8w1c9xk5v",
    "outcome": "split",
    "split": [{"leg": "leg_0001j5x7v4e9tsmwd8w1c9xk5v", "to_payee": 3_250}],
    "text": "Half each?",
}
_APPEAL: Final[dict[str, Any]] = {
    "member": "mb_0001j5x7v4e9tsmwd8w1c9xk5v",
    "ground": "new_evidence",
    "text": "The carrier has found the first parcel; here is what they wrote.",
}
Text = Annotated[str, Field(max_length=5_000)]
Split = Annotated[int, Field(strict=True, ge=0, le=MOST_AMOUNT)]
Offered = Literal["to_payer", "to_payee", "split", "return_then_refund", "repair"]


class DisputedLegBody(Body):
    """The payee's part of one disputed leg, in minor units; the payer gets the rest."""

    leg: LegId
    to_payee: Split


class ExtraBody(Body):
    """What one side gives the other beside a split, such as hours."""

    by: Side = Field(description="Who gives it.")
    amount: Amount = Field(description="In a unit of the community.")


class CaseStepBody(StepBody):
    """What every step of a case may say."""

    version: Version | None = Field(
        default=None, description="Refuse the step if the case has changed since this version."
    )


class MakeOfferBody(CaseStepBody):
    """How a side offers to end the case."""

    outcome: Offered
    split: Annotated[list[DisputedLegBody], Field(max_length=MOST_LEGS_IN_ALL)] | None = Field(
        default=None, description="Of a split, and only of it: every disputed leg."
    )
    text: Text = ""
    extra: ExtraBody | None = None

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_OFFER]})


class AnswerOfferBody(CaseStepBody):
    """An answer to the open offer."""

    offer: OfferId = Field(description="The one that was read: no other is answered.")


class AnswerCaseProposalBody(CaseStepBody):
    """An answer to what the neutral proposes."""

    proposal: ProposalId = Field(description="The one that was read: no other is answered.")


class SayingBody(CaseStepBody):
    """A step with a word of the member's own."""

    text: Text = ""


class AppealBody(CaseStepBody):
    """Why other people are to look again."""

    ground: Literal["new_evidence", "procedure"]
    text: LongText = Field(description="What is new, or what went wrong.")

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_APPEAL]})


class DisputedOut(Answer):
    """A leg, or the part of one, that is disputed."""

    leg: str
    id: str = Field(description="As the file and the journal name it.")
    amount: int
    unit: str


class ShareOut(Answer):
    """What each side gets of a disputed leg; the two are all of it."""

    leg: str
    unit: str
    to_payer: int
    to_payee: int


class CaseOutcomeOut(Answer):
    """How the case can end, with the exact effect."""

    outcome: Outcome
    words: Words
    effect: Words
    shares: list[ShareOut] | None = Field(
        description="Null where the outcome names the amounts itself, or moves nothing."
    )
    decided: bool = Field(description="A neutral may decide so.")
    agreed: bool = Field(description="The two sides may agree on it.")


class AnswerOut(Answer):
    """What the claimant answered."""

    question: str
    words: Words
    answer: str


class AskedOut(Answer):
    """What the case is about: why, in the claimant's words, and what the other side is asked."""

    reason: str
    words: Words
    answers: list[AnswerOut]
    text: str
    asked: list[QuestionOut]
    evidence_needed: list[EvidenceSortOut]
    evidence_that_may_be_asked: list[EvidenceSortOut]


class NeutralOut(Answer):
    """A neutral person of the case: whoever knows one of them can ask for somebody else."""

    mediator: str
    name: str
    part: Literal["mediator", "second", "panel", "decided"]


class ExtraOut(Answer):
    """What is given beside a split."""

    by: Side
    amount: int
    unit: str


class OfferOut(Answer):
    """The open offer of a side."""

    id: str
    by: Side
    outcome: Outcome
    shares: list[ShareOut] | None
    text: str
    extra: ExtraOut | None
    expires_at: datetime


class CaseProposalOut(Answer):
    """The open proposal of the neutral."""

    id: str
    mediator: str
    outcome: Outcome
    shares: list[ShareOut] | None
    text: str
    accepted_by: list[Side]
    expires_at: datetime


class RulingOut(Answer):
    """The decision as both sides read it."""

    outcome: Outcome
    shares: list[ShareOut]
    reason_code: str
    reasons: str
    by: list[str]
    seconded_by: str | None
    made_at: datetime


class AppealOut(Answer):
    """A side's request for other people."""

    by: Side
    ground: str
    text: str
    made_at: datetime


class CaseNextAction(Answer):
    """Something that can be done now."""

    step: str
    by: Side
    method: Literal["POST"]
    path: str
    outcome: str
    words: Words


class CaseDeadlineOut(Answer):
    """What time will do, and when."""

    name: str
    due_at: datetime
    outcome: str
    words: Words


class CaseOut(Answer):
    """A case as its viewer sees it."""

    id: str
    object: Literal["case"]
    exchange: str
    kind: Kind
    cause: Cause
    claimant: Side | None = Field(description="Null where nobody claims.")
    payer: str
    payee: str
    stage: Stage
    stage_words: Words
    stage_since: datetime
    due_at: datetime | None = Field(description="When this stage is over; null once closed.")
    decide_by: datetime = Field(description="By then it has its outcome, whatever happens.")
    opened_at: datetime
    closed_at: datetime | None
    version: int
    more_time: bool
    question: AskedOut
    file: dict[str, Any] = Field(
        description="What was agreed, known and asked, frozen when the case was opened."
    )
    file_sha256: str = Field(
        description="Of the file as JSON with sorted keys and no spaces, in hexadecimal."
    )
    lines: list[DisputedOut]
    outcomes: list[CaseOutcomeOut]
    presumed: Presumed = Field(description="Who gets it when nobody can tell.")
    presumed_words: Words
    neutrals: list[NeutralOut]
    offer: OfferOut | None
    proposal: CaseProposalOut | None
    ruling: RulingOut | None = Field(description="Null until both sides are told.")
    appeal: AppealOut | None
    marked_at: datetime | None = Field(
        description="When a side said that it went back, or is mended."
    )
    outcome: Outcome | None = Field(
        description="How it ends: carried out, or once it went back or is mended."
    )
    settlement: list[ShareOut] | None = Field(description="What was carried out.")
    next_actions: list[CaseNextAction]
    deadlines: list[CaseDeadlineOut]
    notice: Words


class CasePage(Answer):
    """A page of cases, newest first."""

    data: list[CaseOut]
    next_cursor: str | None


class JournalLineOut(Answer):
    """A line of the journal, chained by hash to the one before.

    The hash is the SHA-256 of the 32 bytes of `previous` and of the JSON, with sorted keys and no
    spaces, of an object of `case` (this `case_id`), `sequence`, `type`, `at`, `actor` and `data`.
    """

    case_id: str
    sequence: int
    type: str | None
    at: str | None
    actor: str | None
    data: dict[str, Any] | None
    previous: str
    hash: str
    withheld: bool = Field(
        description="How those who decide come to it is theirs: of such a line there is no more "
        "than its place in the chain."
    )


class JournalPage(Answer):
    """A page of a journal, oldest line first."""

    data: list[JournalLineOut]
    next_cursor: str | None
    notice: Words
