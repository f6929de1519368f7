"""What the API takes and gives about payments that the payers' banks contest."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from service.http.schemas.base import Answer, Body, LongText, MinorUnits, ShortText

ChargebackState = Literal["warning", "needs_response", "under_review", "won", "lost", "closed"]


class ChargebackOut(Answer):
    """A payment that the payer's bank contests, or warns of."""

    id: str
    object: Literal["chargeback"]
    kind: Literal["dispute", "warning"] = Field(
        description="warning: the bank has been told of a fraud and has taken nothing yet."
    )
    status: ChargebackState = Field(
        description="warning: an inquiry or an early warning, no money has moved. needs_response: "
        "the bank has taken the money and waits for an answer. closed: it came to nothing."
    )
    exchange: str
    payment: str
    provider: str
    provider_ref: str
    amount: int = Field(description="Minor units that are contested.")
    unit: str
    withdrawn: int = Field(description="Minor units that the bank has taken and not given back.")
    reason: str = Field(description="As the provider says.")
    due_by: datetime | None = Field(description="Until when an answer is taken.")
    own_words: str | None = Field(description="What you tell the bank beside what is recorded.")
    answer_decided_at: datetime | None = Field(
        description="Since when an answer is on its way; it is sent until the provider takes it."
    )
    answered_at: datetime | None = Field(description="When the provider took the answer.")
    answer_failure: str | None = Field(description="Why the provider took no answer.")
    left_unanswered: str | None = Field(description="Why no answer was given, if none was.")
    opened_at: datetime
    closed_at: datetime | None
    closed_reason: str | None


class ChargebackPage(Answer):
    """A page of chargebacks, newest first."""

    data: list[ChargebackOut]
    next_cursor: str | None


class EvidenceOut(Answer):
    """What the bank is shown: what was sent, or what would be sent now."""

    object: Literal["evidence"]
    chargeback: str
    fields: dict[str, str] = Field(
        description="By Stripe's names of evidence that is text, each at most 20,000 characters."
    )
    payer_confirmed: bool = Field(
        description="Whether the payer has confirmed anything. If not, and you say nothing, no "
        "answer is given: by what is recorded the payer is right."
    )
    sent_at: datetime | None


class OwnWordsBody(Body):
    """What you know beside what is recorded."""

    own_words: Annotated[str, Field(min_length=1, max_length=15_000)] | None = Field(
        description="Plain text for the bank, put before everything else. null: nothing."
    )


class WhyBody(Body):
    """A reason, for the record."""

    reason: LongText


class WrittenOffOut(Answer):
    """What the platform bears."""

    object: Literal["write_off"]
    exchange: str
    amount: int
    unit: str


class ContestBody(Body):
    """What a payer's bank does."""

    kind: Literal["dispute", "inquiry", "warning"] = Field(
        default="dispute",
        description="dispute: takes the money at once. inquiry: asks first. warning: an early "
        "fraud warning.",
    )
    amount: MinorUnits | None = Field(
        default=None, description="Minor units; without it all that is left of the payment."
    )
    reason: ShortText = Field(default="general", examples=["product_not_received"])


class ContestOut(Answer):
    """What was opened at the sandbox provider. The chargeback comes by an event."""

    provider_ref: str


class DecideBody(Body):
    """What a bank decides."""

    outcome: Literal["won", "lost", "escalated"] = Field(
        description="won: you keep the money. lost: the payer does. escalated: an inquiry becomes "
        "a dispute."
    )
