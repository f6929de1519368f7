"""Bodies and answers of a sandbox's clock and of its scripted members."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, Field, model_validator

from service.exchanges.kinds import Role
from service.http.schemas.base import Answer, Body, ExchangeId, Instant, MemberId, ShortText
from service.sandbox import durations
from service.sandbox.plans import DOABLE, PLANS


def _length(text: str) -> str:
    durations.read(text)
    return text


Duration = Annotated[
    str,
    Field(
        max_length=40,
        examples=["P2D", "PT6H"],
        json_schema_extra={"pattern": durations.PATTERN},
    ),
    AfterValidator(_length),
]
PlanName = Literal[
    "stays_silent",
    "agrees",
    "declines",
    "counter_offers",
    "cancels",
    "pays",
    "pays_late",
    "confirms_after",
    "enters_code",
    "offers_to_cancel",
    "offers_settlement",
    "accepts_offers",
    "rejects_offers",
    "claims",
    "disputes",
    "cooperates",
]
Doable = Literal[
    "agree",
    "decline",
    "counter_offer",
    "cancel",
    "fund",
    "confirm",
    "withdraw_confirmation",
    "enter_code",
    "propose_cancellation",
    "propose_settlement",
    "accept_proposal",
    "reject_proposal",
    "dispute",
]
assert set(get_args(PlanName)) == set(PLANS)
assert set(get_args(Doable)) == set(DOABLE)
#: No script needs more, and none fills a disk.
MOST_ACTS: Final = 40


class ClockOut(Answer):
    """What time it is on a sandbox."""

    object: Literal["clock"]
    now: datetime
    ahead: str = Field(description="How far it is ahead of real time.", examples=["P2DT6H"])


class AdvanceBody(Body):
    """Exactly one of the two."""

    by: Duration | None = Field(
        default=None, description="ISO 8601, in weeks, days, hours, minutes and seconds."
    )
    to: Instant | None = None

    @model_validator(mode="after")
    def _one(self) -> AdvanceBody:
        if (self.by is None) == (self.to is None):
            raise ValueError("say either 'by', such as P2D, or 'to', an instant")
        return self


class FiredOut(Answer):
    """An event that happened on the way."""

    id: str
    type: str
    exchange: str | None
    member: str | None
    sequence: int | None
    at: datetime


class AdvanceOut(Answer):
    """How far a clock was moved, and what happened on the way, in order."""

    object: Literal["clock_advance"]
    since: datetime
    target: datetime
    now: datetime = Field(description="Where the clock came to.")
    ahead: str
    stopped_at: datetime | None = Field(
        description="Not null if so much was due that the clock stopped before the target: move it "
        "again to go on."
    )
    fired: list[FiredOut] = Field(description="The first hundred; `events` lists them all.")
    has_more: bool
    events: str = Field(description="Where they all are, with their data.")


class ActBody(Body):
    """One thing that a member does once it can be done."""

    do: Doable = Field(
        description="A step, by its name in the API; `dispute`: the payer asks their bank for the "
        "money back."
    )
    after: Duration = Field(default="PT0S", description="How long after it can be done.")
    before_deadline: Duration | None = Field(
        default=None, description="Instead: so long before the next deadline."
    )
    method: ShortText | None = Field(
        default=None, description="How a payment is paid.", examples=["pm_sandbox_declined"]
    )
    percent: Annotated[int, Field(strict=True, ge=0, le=100)] | None = Field(
        default=None,
        description="Of the price: what a counter-offer keeps, what a settlement gives the payee.",
    )


Acts = Annotated[list[ActBody], Field(min_length=1, max_length=MOST_ACTS)]


class ScriptBody(Body):
    """Whom it follows (`exchange` and `side`, or `member`), and what they do."""

    exchange: ExchangeId | None = None
    member: MemberId | None = Field(
        default=None, description="On every exchange of theirs that is open or comes."
    )
    side: Role | None = Field(
        default=None, description="Of a member: only where they are on this side."
    )
    script: PlanName | Acts = Field(description="A name, or acts in order.")
    after: Duration = Field(
        default="PT1H", description="With a name: how long they wait each time they can act."
    )

    @model_validator(mode="after")
    def _whom(self) -> ScriptBody:
        if (self.exchange is None) == (self.member is None):
            raise ValueError("say either 'exchange' and 'side', or 'member'")
        if self.exchange is not None and self.side is None:
            raise ValueError("say which 'side' of the exchange: payer or payee")
        return self


class ActOut(Answer):
    """One thing that a script does."""

    do: str
    after: str | None
    before_deadline: str | None
    method: str | None
    percent: int | None


class RefusedOut(Answer):
    """Why what a scripted member did was refused, as the API would have told them."""

    code: str
    detail: str


class DoneOut(Answer):
    """What a scripted member did."""

    do: str
    at: datetime
    refusal: RefusedOut | None


class PartOut(Answer):
    """A script at work on one exchange."""

    exchange: str
    side: Role
    next: ActOut | None = Field(description="What comes next, once it can be done.")
    next_at: datetime | None = Field(description="When; null while it cannot be done.")
    waits: RefusedOut | None = Field(
        description="Why the script does not act, or did not take the rest of its acts: what "
        "stood in the way of the next one when this was read."
    )
    done: list[DoneOut]
    ended_at: datetime | None


class ScriptOut(Answer):
    """A script."""

    id: str
    object: Literal["script"]
    name: str | None
    exchange: str | None
    member: str | None
    side: Role | None
    script: list[ActOut]
    parts: list[PartOut] = Field(description="Of a member's, the hundred newest exchanges.")
    created_at: datetime
    ended_at: datetime | None


class ScriptSummary(Answer):
    """A script, without what it did."""

    id: str
    object: Literal["script"]
    name: str | None
    exchange: str | None
    member: str | None
    side: Role | None
    script: list[ActOut]
    created_at: datetime
    ended_at: datetime | None


class ScriptPage(Answer):
    """A page of scripts, newest first."""

    data: list[ScriptSummary]
    next_cursor: str | None
