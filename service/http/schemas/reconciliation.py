"""What the API takes and gives about reconciliation and about what is held."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from service.http.schemas.base import Answer, Body, DifferenceId, LongText, MemberId

DifferenceKind = Literal[
    "ours_only",
    "theirs_only",
    "amount_differs",
    "balance_differs",
    "in_flight",
    "bank_payout_exceeds_own_money",
]


class StateOut(Answer):
    """Whether payouts may leave, and how much is unexplained."""

    object: Literal["reconciliation"]
    payouts_stopped_since: datetime | None = Field(
        description="Since when no payout leaves; until every difference is resolved or healed."
    )
    payouts_stopped_because: str | None
    open_differences: int = Field(description="Without those in flight: nothing is wrong there.")


class RunTotal(Answer):
    """The sums of one unit, minor units."""

    amount: int = Field(description="What came in, less what went out, before fees.")
    fees: int


class RunOut(Answer):
    """A day of a provider's books compared with ours, as it came out the last time."""

    object: Literal["reconciliation_run"]
    provider: str
    day: date = Field(description="In UTC.")
    matched: int = Field(description="Lines of the provider's that our postings say as well.")
    ours_only: int = Field(description="Postings of ours that the provider knows nothing of.")
    theirs_only: int = Field(description="Lines of the provider's that we know nothing of.")
    amount_differs: int
    in_flight: int = Field(description="Lines of payments that the provider has not finished.")
    lines: int = Field(description="Lines of the provider's books.")
    totals: dict[str, RunTotal] = Field(description="What the lines sum to, by unit.")
    started_at: datetime
    finished_at: datetime | None = Field(description="null: it could not be read to the end.")


class RunPage(Answer):
    """A page of runs, newest day first."""

    data: list[RunOut]
    next_cursor: str | None


class DifferenceOut(Answer):
    """What one side's books say and the other's do not."""

    id: str
    object: Literal["difference"]
    provider: str
    day: date
    kind: DifferenceKind
    ours: int = Field(
        description="Minor units that our books added to what the provider holds; below zero, took."
    )
    theirs: int = Field(description="The same by the provider's books.")
    unit: str
    movement: str | None = Field(description="The provider's own reference of its line.")
    movement_kind: str | None
    description: str | None = Field(description="As the provider says.")
    payment: str | None
    posting: str | None = Field(description="The key of our posting that is meant or missing.")
    in_suspense: bool = Field(
        description="Whether theirs less ours stands in suspense until it is resolved."
    )
    found_at: datetime
    resolved_at: datetime | None
    resolution: (
        Literal[
            "healed", "platform_bears", "belongs_to_member", "reversed_by_provider", "explained"
        ]
        | None
    )
    reason: str | None
    resolved_by: str | None = Field(description="The API key that said so.")
    member: str | None
    reversed_by: str | None = Field(description="The difference that took this one back.")


class DifferencePage(Answer):
    """A page of differences, newest first."""

    data: list[DifferenceOut]
    next_cursor: str | None


class ResolveBody(Body):
    """What a difference was found to be."""

    resolution: Literal[
        "platform_bears", "belongs_to_member", "reversed_by_provider", "explained"
    ] = Field(
        description="platform_bears: the platform's loss, or gain. belongs_to_member: owed to "
        "`member`, or taken from their balance. reversed_by_provider: `reversed_by` took it back. "
        "explained: nothing has to move; only where nothing stands in suspense."
    )
    reason: LongText = Field(description="For the record.")
    member: MemberId | None = Field(
        default=None, description="Whose it is; for belongs_to_member alone."
    )
    reversed_by: DifferenceId | None = Field(
        default=None, description="The opposite difference; for reversed_by_provider alone."
    )


class HeldParty(Answer):
    """A member by ids alone; names and addresses are at GET /v1/members."""

    id: str
    external_id: str | None


class HeldExchange(Answer):
    """The exchange that a line is about."""

    id: str
    external_id: str | None
    kind: str
    state: str


class HeldLeg(Answer):
    """The leg that a hold is of."""

    id: str
    role: Literal["price", "deposit"]


class HeldPayment(Answer):
    """The payment that an amount is on its way by."""

    id: str
    kind: str | None
    state: str | None


class HeldDefault(Answer):
    """What a hold pays if nobody does anything more, in minor units that sum to it."""

    step: str
    at: datetime
    outcome: str
    to_payer: int
    to_payee: int
    to_fees: int
    with_bank: int = Field(description="The payer's bank has given it back already.")


class HeldLine(Answer):
    """An account of the books whose balance is not zero."""

    section: Literal[
        "hold", "member", "transit", "receivable", "platform", "expense", "suspense", "provider"
    ]
    account: str
    unit: str
    amount: int = Field(
        description="Credits less debits, minor units: above zero it is owed to somebody; below "
        "zero the provider holds it, or it is missing."
    )
    exchange: HeldExchange | None
    leg: HeldLeg | None
    payer: HeldParty | None
    payee: HeldParty | None
    member: HeldParty | None
    payment: HeldPayment | None
    since: datetime | None
    blocked_at_bank: bool | None = Field(
        description="Of a hold: only blocked at the payer's bank; paid back by setting it free."
    )
    default: HeldDefault | None


class HeldTotal(Answer):
    """The sums of one unit. `total` is zero, or the books are broken."""

    unit: str
    decimals: int = Field(description="One of the unit is 10^decimals minor units.")
    sections: dict[str, int]
    total: int
    default_to_payers: int
    default_to_payees: int
    default_to_fees: int


class HeldOut(Answer):
    """What is held, for whom, and what each open hold would pay; all of one instant."""

    object: Literal["held"]
    platform: str
    at: datetime
    lines: list[HeldLine]
    totals: list[HeldTotal]
