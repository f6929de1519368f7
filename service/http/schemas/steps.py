"""What the steps of an exchange take. Amounts are integers of minor units."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from service.exchanges.terms import MOST_AMOUNT, MOST_LEGS_IN_ALL
from service.http.schemas.base import (
    Body,
    CheckpointName,
    MemberId,
    ProposalId,
    ReturnUrl,
    ShortText,
    Version,
)
from service.http.schemas.exchanges import TermsBody


class StepBody(Body):
    """What every step may say."""

    member: MemberId | None = Field(
        default=None,
        description="For whom the platform's key acts. Not needed with the member's own token.",
    )
    version: Version | None = Field(
        default=None, description="Refuse the step if the exchange has changed since this version."
    )


class AgreeBody(StepBody):
    """Agreement to the terms on the table."""

    terms_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(
        description="Of the terms that were read: to no others does this agree."
    )


class CounterOfferBody(StepBody):
    """Other terms for the same exchange."""

    terms: TermsBody


class FundBody(StepBody):
    """How the payer pays."""

    payment_method: ShortText | None = Field(
        default=None,
        description="The provider's payment method. Sandbox: pm_sandbox_ok (default), "
        "pm_sandbox_declined, pm_sandbox_slow, pm_sandbox_late_failure, "
        "pm_sandbox_duplicate_event, pm_sandbox_lost_event, pm_sandbox_requires_action.",
    )
    hosted: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        description="The payer pays on the provider's own page: the payment's next_action has its "
        "address. Needs return_url.",
    )
    return_url: ReturnUrl | None = Field(
        default=None, description="Where the payer comes back to from the provider's page."
    )
    save_method: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        description="The payer agrees that the method is kept for their next payment here.",
    )


class CheckpointStepBody(StepBody):
    """A word on a checkpoint."""

    checkpoint: CheckpointName


class EnterCodeBody(CheckpointStepBody):
    """The code that the other member told in person."""

    code: Annotated[str, Field(pattern=r"^[0-9 ]{6,12}$", examples=["492 031"])]
    operator: ShortText | None = Field(
        default=None,
        description="Who at your desk enters it for the member who brought the slip there: it "
        "stands on record as done at the desk, and the member is told. For the platform's key.",
    )


class LegSplitBody(Body):
    """The payee's part of one held leg; the payer gets the rest."""

    to_payee: Annotated[int, Field(strict=True, ge=0, le=MOST_AMOUNT)]


class ProposeSettlementBody(StepBody):
    """An exact split of everything held, leg by leg in their order."""

    legs: Annotated[list[LegSplitBody], Field(min_length=1, max_length=MOST_LEGS_IN_ALL)]


class ProposalStepBody(StepBody):
    """An answer to the open offer."""

    proposal: ProposalId
