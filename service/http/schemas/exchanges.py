"""What the API takes and gives about exchanges. Amounts are integers of minor units."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from service.exchanges.kinds import Kind, LegRole, Role
from service.exchanges.model import State
from service.exchanges.terms import MOST_AMOUNT, MOST_CHECKPOINTS, MOST_LEGS_IN_ALL
from service.http.schemas.base import Amount, Answer, Body, Id, Instant, Name, Text

ExchangeId = Id("exchange")
MemberId = Id("member")

MOST_IN_BATCH = 500


class LegBody(Body):
    """A value flow: a price for the payee, or a deposit that comes back to the payer."""

    role: LegRole = Field(default=LegRole.PRICE, description="price or deposit")
    amount: Amount
    checkpoint: Name | None = Field(
        default=None, description="Needed where the kind leaves a choice (milestones)."
    )


class CheckpointBody(Body):
    """A moment both sides confirm. Named by you for a service; known by kind otherwise."""

    name: Name
    due_at: Instant | None = Field(default=None, description="When it is planned for.")


class FeeBody(Body):
    """The platform's fee on the money prices."""

    fixed: Annotated[int, Field(strict=True, ge=0, le=MOST_AMOUNT)] = Field(
        default=0, description="Minor units of the prices' currency."
    )
    basis_points: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 0
    borne_by: Literal["payer", "payee", "shared"] = "payee"
    on_refund: Literal["returned", "kept"] = Field(
        default="returned", description="What becomes of the payer's part when money goes back."
    )


class TermsBody(Body):
    """What the two members agree on."""

    kind: Kind
    title: Annotated[str, Field(min_length=1, max_length=200)]
    description: Text | None = None
    meeting_point: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    legs: Annotated[list[LegBody], Field(max_length=MOST_LEGS_IN_ALL)] = Field(
        default_factory=list
    )
    checkpoints: Annotated[list[CheckpointBody], Field(max_length=MOST_CHECKPOINTS)] = Field(
        default_factory=list
    )
    fee: FeeBody | None = None
    windows: dict[str, Annotated[int, Field(strict=True)]] = Field(
        default_factory=dict,
        max_length=10,
        description="Hours to agree, fund and confirm: agree_hours, fund_hours, confirm_hours.",
    )


class ProposeBody(TermsBody):
    """A new exchange between two members of the platform."""

    payer: MemberId  # type: ignore[valid-type]
    payee: MemberId  # type: ignore[valid-type]
    proposed_by: Role = Field(default=Role.PAYEE, description="Whose proposal it is.")
    both_agreed: bool = Field(
        default=False,
        strict=True,
        description="Both members agreed to exactly these terms on your platform already.",
    )
    external_id: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Your own reference, unique on your platform."
    )
