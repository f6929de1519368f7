"""What mediators read and say about themselves, and about decisions made again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from disputes.model import Cause
from disputes.outcomes import Outcome
from disputes.rulings import LEAST_REASONS
from service.http.schemas.base import Answer, Body, Instant
from service.http.schemas.mediation_cases import MOST_TEXT, EffectBody
from service.http.schemas.mediator_desk import CaseloadCap, Languages, Skills


class OwnChanges(Body):
    """What to change; a field that is not sent stays."""

    languages: Languages = Field(default_factory=lambda: ["fr"])
    skills: Skills = Field(default_factory=list)
    caseload_wish: CaseloadCap | None = Field(
        default=None,
        description="How many cases you take at once. The operator's `caseload_cap` holds where it "
        "is less, or where this is null.",
    )
    away_until: Instant | None = Field(
        default=None, description="Until then you are given nothing new. Null: you are back."
    )


class OwnStatisticsOut(Answer):
    """What you were given from `since` to `until`, over all platforms."""

    object: Literal["mediator_statistics"]
    since: datetime
    until: datetime
    caseload: int = Field(description="Now.")
    caseload_cap: int
    given: int
    done: int
    declined: int
    left: int = Field(description="A clock was missed, or a side asked for somebody else.")
    median_seconds: int | None = Field(description="From being given a case to being done with it.")
    redecided: int = Field(description="Of your decisions, made again by others, blind.")
    agreed: int = Field(description="Of these, as you had decided.")


class RedecisionOut(Answer):
    """A case to decide again. What was decided is not told."""

    id: str
    object: Literal["redecision"]
    platform: str
    case: str
    created_at: datetime


class RedecisionPage(Answer):
    """What is open, oldest first."""

    data: list[RedecisionOut]


class RedecisionFileOut(RedecisionOut):
    """All there is to decide by; evidence is read at the case's own address."""

    kind: str
    cause: Cause
    reason: str
    claimant: Literal["payer", "payee"] | None
    opened_at: datetime
    gentle: bool
    file: dict[str, Any]
    file_sha256: str


class RedecideBody(EffectBody):
    """What you would have decided, and why."""

    reasons: Annotated[
        str, Field(max_length=MOST_TEXT, description=f"At least {LEAST_REASONS} characters.")
    ]

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"outcome": "to_payer", "reasons": "Nothing shows that it was sent. " * 4}]
        },
    )


class RedecidedOut(Answer):
    """That it is on record. Whether it agrees counts in statistics, and is told to nobody here."""

    id: str
    object: Literal["redecision"]
    outcome: Outcome


StrikeReason = Literal["forged_evidence", "untrue_facts", "same_claim_again", "extortion"]


class StrikeBody(Body):
    """What bad faith the claim was made in."""

    reason: StrikeReason


class StrikeOut(Answer):
    """A claim found to have been made in bad faith. It counts until `expires_at`, or lifted."""

    id: str
    object: Literal["strike"]
    member: str
    case: str
    reason: StrikeReason
    created_at: datetime
    expires_at: datetime
    lifted_at: datetime | None


class StrikesOut(Answer):
    """The strikes of whoever claimed, on every case of theirs, oldest first."""

    data: list[StrikeOut]
