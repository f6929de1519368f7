"""What the API takes and gives about pools, ties, and who was given which case."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from service.http.schemas.base import (
    Answer,
    Body,
    Instant,
    LongText,
    MediatorId,
    MemberId,
    PlatformId,
    ShortText,
)
from service.http.schemas.mediators import Language, Role, Word

CaseloadCap = Annotated[int, Field(strict=True, ge=0, le=1000)]
Roles = Annotated[list[Role], Field(min_length=1, max_length=3)]
Languages = Annotated[list[Language], Field(min_length=1, max_length=20)]
Skills = Annotated[list[Word], Field(max_length=50)]
TieKind = Literal["staff", "household", "helper", "instrument", "interest"]
Part = Literal["mediator", "second", "panel"]


class MediatorChanges(Body):
    """What to change; a field that is not sent stays. Null in ``away_until``: they are back."""

    name: ShortText = "Maud Le Goff"
    languages: Languages = Field(default_factory=lambda: ["fr"])
    skills: Skills = Field(default_factory=list)
    roles: Roles = Field(default_factory=list)
    caseload_cap: CaseloadCap = 10
    away_until: Instant | None = None


class PoolBody(Body):
    """A pool to be made."""

    name: ShortText


class PoolOut(Answer):
    """A pool: cases of the platforms that it serves are drawn among its mediators."""

    id: str
    object: Literal["mediator_pool"]
    name: str
    created_at: datetime
    mediators: list[str]
    platforms: list[str]


class PoolPage(Answer):
    """A page of pools, oldest first."""

    data: list[PoolOut]
    next_cursor: str | None


class TieBody(Body):
    """A tie of a mediator, as the operator knows it."""

    kind: TieKind = Field(
        description="`staff` names a platform; `household` and `helper` a member there; "
        "`interest` a platform or a member there; `instrument` a card or an account."
    )
    platform: PlatformId | None = None
    member: MemberId | None = None
    instrument: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None,
        description="How the payment provider knows a card or an account. Only its SHA-256 is "
        "kept.",
    )
    note: LongText = Field(default="-", description="How it is known; for the record.")


class InterestBody(Body):
    """A tie of one's own."""

    kind: Literal["staff", "household", "helper", "interest"] = "interest"
    platform: PlatformId
    member: MemberId | None = Field(default=None, description="Without: in the whole platform.")
    note: LongText = Field(default="-", description="For the record.")


class OwnTieBody(Body):
    """A tie of a mediator with the platform that tells of it, or with a member of it."""

    mediator: MediatorId
    kind: Literal["staff", "household", "helper"]
    member: MemberId | None = Field(default=None, description="Not for `staff`.")
    note: LongText = Field(default="-", description="How it is known; for the record.")


class TieOut(Answer):
    """A tie: it keeps its mediator off every case that it touches, until it ends."""

    id: str
    object: Literal["mediator_tie"]
    mediator: str
    kind: TieKind
    platform: str | None
    member: str | None
    instrument_sha256: str | None
    note: str
    declared_by: Literal["operator", "platform", "mediator"]
    declared_at: datetime
    ended_at: datetime | None


class TiePage(Answer):
    """A page of ties, oldest first, those that ended too."""

    data: list[TieOut]
    next_cursor: str | None


class NeutralOut(Answer):
    """Somebody who may be drawn."""

    id: str
    object: Literal["mediator"]
    name: str


class NeutralPage(Answer):
    """A page of those who may be drawn, oldest first."""

    data: list[NeutralOut]
    next_cursor: str | None


class GivenOut(Answer):
    """One who was given a part, and how that ended."""

    mediator: str
    ended_at: datetime | None
    ended_why: Literal["done", "declined", "left"] | None


class ExcludedOut(Answer):
    """One who could not be given it, with the rules that keep them off."""

    mediator: str
    reasons: list[str]


class AssignmentOut(Answer):
    """One draw, or one claim of the next in the queue."""

    part: Part
    how: Literal["draw", "claim"]
    at: datetime
    seed: str | None = Field(description="Hexadecimal; null where nothing was drawn.")
    eligible: list[str]
    excluded: list[ExcludedOut]
    given_to: list[GivenOut]
    reproduced: bool | None = Field(
        description="Whether ranking `eligible` by SHA-256 of seed and id gives the same people."
    )


class AssignmentsOut(Answer):
    """Everybody who was given a part of a case, in the order in which they were."""

    object: Literal["case_assignments"]
    case: str
    platform: str
    data: list[AssignmentOut]
