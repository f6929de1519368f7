"""What the API takes and gives about members' accounts at the payment provider."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from service.http.schemas.base import Amount, Answer, Body, Instant, ReturnUrl


class PayoutAccountBody(Body):
    """Where a member's account is to be opened."""

    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$", examples=["FR"])] = Field(
        description="ISO 3166-1 alpha-2: where the member lives. It cannot be changed later."
    )


class RequirementOut(Answer):
    """Something that the provider wants to know."""

    words: str = Field(description="In plain words, such as: the date of birth.")
    names: list[str] = Field(description="What it stands for, in the provider's own names.")


class PayoutAccountOut(Answer):
    """A member's account at the payment provider."""

    object: Literal["payout_account"]
    member: str
    provider: str
    state: Literal[
        "none", "opening", "refused", "requirements_due", "checking", "ready", "disabled"
    ] = Field(
        description="none: not asked for. opening: the provider has not answered yet. "
        "requirements_due: see due, and send the member to a link. checking: all is told."
    )
    country: str | None
    ready: bool = Field(description="Money can be sent to the member now.")
    bank_ready: bool = Field(description="The provider can send it on to their bank.")
    submitted: bool = Field(description="The member has been through the provider's pages once.")
    due: list[RequirementOut]
    due_by: datetime | None = Field(description="Until when; after it the account stops.")
    notice: str | None = Field(description="The same in one sentence; null: nothing is missing.")
    disabled_reason: str | None = Field(description="As the provider says.")
    failure: str | None = Field(description="Why the provider will not open it.")
    provider_ref: str | None
    opened_at: datetime | None
    seen_at: datetime | None = Field(description="When the provider last told us.")


class PayoutLinkBody(Body):
    """Where the member's browser goes after the provider's page."""

    return_url: ReturnUrl = Field(
        description="After it is done or left; coming back does not mean that all was told."
    )
    refresh_url: ReturnUrl = Field(
        description="When the link was used or is too old: make a new one there."
    )


class PayoutLinkOut(Answer):
    """The provider's page for one member."""

    url: str = Field(description="Works once and not for long: send the member there at once.")


class BankPayoutOut(Answer):
    """Money of a member on its way from their account at the provider to their bank."""

    object: Literal["bank_payout"]
    provider: str
    provider_ref: str
    status: Literal["pending", "succeeded", "failed", "canceled"]
    amount: int = Field(description="Minor units; below zero the bank pays what the account owes.")
    unit: str
    arrives_at: datetime | None
    failure: str | None
    seen_at: datetime


class BankPayoutPage(Answer):
    """A page of payouts to a bank, newest first."""

    data: list[BankPayoutOut]
    next_cursor: str | None


_Name = Annotated[str, Field(min_length=1, max_length=100)]


class AccountActBody(Body):
    """What happens to a sandbox account."""

    outcome: Literal["complete", "require", "disable"]
    due: Annotated[list[_Name], Field(min_length=1, max_length=50)] | None = Field(
        default=None,
        description="For require: what is wanted.",
        examples=[["individual.verification.document"]],
    )
    due_by: Instant | None = Field(
        default=None, description="For require: until when; without it, the account stops at once."
    )


class BankActBody(Body):
    """What the bank does with money of a sandbox account."""

    amount: Amount
    outcome: Literal["paid", "failed"]
