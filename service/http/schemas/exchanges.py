"""What the API takes and gives about exchanges. Amounts are integers of minor units."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field

from service.exchanges.kinds import Kind, LegRole, Role
from service.exchanges.model import LegState, State
from service.exchanges.terms import MOST_AMOUNT, MOST_CHECKPOINTS, MOST_LEGS_IN_ALL
from service.http.schemas.base import (
    Amount,
    Answer,
    Body,
    CheckpointName,
    Instant,
    LongText,
    MemberId,
    ShortText,
)
from service.policies.windows import WINDOWS

MOST_IN_BATCH: Final = 500


class LegBody(Body):
    """A value flow: a price for the payee, or a deposit that comes back to the payer."""

    role: LegRole = LegRole.PRICE
    amount: Amount
    checkpoint: CheckpointName | None = Field(
        default=None, description="Needed where the kind leaves a choice (milestones)."
    )


class CheckpointBody(Body):
    """A moment both sides confirm: yours to name for a service, known by kind otherwise."""

    name: CheckpointName
    due_at: Instant | None = Field(default=None, description="When it is planned for.")


class FeeBody(Body):
    """The platform's fee on the money prices, frozen in the terms."""

    fixed: Annotated[int, Field(strict=True, ge=0, le=MOST_AMOUNT)] = Field(
        default=0, description="Minor units of the prices' currency."
    )
    basis_points: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 0
    borne_by: Literal["payer", "payee", "shared"] = "payee"
    on_refund: Literal["returned", "kept"] = Field(
        default="returned", description="What becomes of the payer's part when money goes back."
    )


def _hours(name: str, what: str) -> Any:
    window = WINDOWS[name]
    return Field(
        default=window.default, strict=True, ge=window.least, le=window.most, description=what
    )


class WindowsBody(Body):
    """How long each side has, in whole hours."""

    agree_hours: int = _hours("agree_hours", "To answer the proposal.")
    fund_hours: int = _hours("fund_hours", "To pay, once agreed.")
    confirm_hours: int = _hours("confirm_hours", "To confirm, before a neutral person looks.")


class TermsBody(Body):
    """What the two members agree on."""

    kind: Kind
    title: ShortText
    description: LongText | None = None
    meeting_point: ShortText | None = None
    legs: Annotated[list[LegBody], Field(max_length=MOST_LEGS_IN_ALL)] = Field(default_factory=list)
    checkpoints: Annotated[list[CheckpointBody], Field(max_length=MOST_CHECKPOINTS)] = Field(
        default_factory=list
    )
    fee: FeeBody | None = None
    windows: WindowsBody | None = Field(default=None, examples=[{"confirm_hours": 72}])
    deposit: Literal["automatic", "authorise", "reauthorise", "capture"] = Field(
        default="automatic",
        description="How a deposit in money is secured. authorise: blocked at the payer's bank for "
        "up to a week, and taken before the block ends; reauthorise: blocked anew as long as it "
        "lasts; capture: taken and given back. automatic chooses by the length of the loan.",
    )
    chargeback_borne_by: Literal["platform", "payee"] = Field(
        default="platform",
        description="Who bears it when the payer's bank takes a payment back after it was "
        "released. With payee, what was paid to them is called back.",
    )


SALE_EXAMPLE: Final[dict[str, Any]] = {
    "kind": "sale",
    "title": "A bicycle",
    "payer": "mb_0001j5x7v4e9tsmwd8w1c9xk5v",
    "payee": "mb_0001j5x7v4e9tsmwd8w1c9xk5w",
    "legs": [{"amount": {"amount": 6500, "unit": "EUR"}}],
    "fee": {"basis_points": 200, "borne_by": "payee"},
    "both_agreed": True,
}


class ProposeBody(TermsBody):
    """A new exchange between two members of the platform."""

    payer: MemberId
    payee: MemberId
    proposed_by: Role = Field(default=Role.PAYEE, description="Whose proposal it is.")
    both_agreed: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        description="Both members agreed to exactly these terms on your platform already.",
    )
    external_id: ShortText | None = Field(
        default=None, description="Your own reference, unique on your platform."
    )

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [SALE_EXAMPLE]})


class BatchBody(Body):
    """Many exchanges at once; each is decided for itself."""

    exchanges: Annotated[
        list[dict[str, Any]],
        Field(
            min_length=1,
            max_length=MOST_IN_BATCH,
            description="Each as the body of POST /v1/exchanges.",
            examples=[[SALE_EXAMPLE]],
        ),
    ]


class LegOut(Answer):
    """A leg and where its value is."""

    id: str
    role: LegRole
    checkpoint: str
    amount: int
    unit: str
    payer_fee: int
    payee_fee: int
    state: LegState
    strategy: Literal["authorise", "reauthorise", "capture"] | None = Field(
        description="Of a deposit in money: how it is secured."
    )
    to_payer: int | None = Field(description="Once settled: what went to the payer.")
    to_payee: int | None = Field(description="Once settled: what went to the payee.")
    to_fees: int | None = Field(description="Once settled: what the platform keeps.")
    disputed: bool = Field(description="A case is about it: it waits for that alone.")


class CheckpointOut(Answer):
    """A checkpoint and who has confirmed it."""

    name: str
    due_at: datetime | None
    payer_confirmed_at: datetime | None
    payee_confirmed_at: datetime | None
    met_at: datetime | None
    met_by_case: str | None = Field(
        description="The case whose outcome met it, where not both members' words did."
    )
    code: Literal["none", "active", "locked"]
    code_shown_to: Role


class ProposalOut(Answer):
    """The open offer."""

    id: str
    kind: Literal["settlement", "cancellation"]
    by: Role
    to_payee: dict[str, int] = Field(description="By leg.")
    expires_at: datetime


class NextAction(Answer):
    """Something that can be done now."""

    step: str
    by: Role
    method: Literal["POST"]
    path: str
    outcome: str


class DeadlineOut(Answer):
    """What time will do, and when."""

    name: str
    due_at: datetime
    outcome: str


class PayoutOut(Answer):
    """Whether the payee can be paid what is released to them."""

    ready: bool
    due: list[str] = Field(description="What the provider still wants of them, in its own names.")
    due_by: datetime | None
    notice: str | None = Field(description="The same in plain words; null when nothing is missing.")


class ExchangeOut(Answer):
    """An exchange as its viewer sees it."""

    id: str
    object: Literal["exchange"]
    kind: Kind
    state: State
    version: int
    external_id: str | None
    payer: str
    payee: str
    proposed_by: Role
    payer_agreed_at: datetime | None
    payee_agreed_at: datetime | None
    terms: dict[str, Any]
    terms_hash: str
    steps_version: int
    legs: list[LegOut]
    checkpoints: list[CheckpointOut]
    proposal: ProposalOut | None
    payment: str | None = Field(description="The collection under way or done.")
    deposit_payment: str | None = Field(
        description="The payment that blocks the deposit at the payer's bank, if one does."
    )
    deposit_blocked_until: datetime | None = Field(
        description="When the bank's block ends; null once the deposit is taken, or without one."
    )
    payout: PayoutOut | None = Field(description="Null where no money goes through a provider.")
    reversible_until: datetime | None = Field(
        description="Until then the payer's bank can still take the payment back, after it was "
        "released too. Null before it was paid, and without money."
    )
    frozen_at: datetime | None = Field(
        description="Since when the payer's bank contests the payment, or warns of it: nothing is "
        "released meanwhile. Null when it does not."
    )
    charged_back: int = Field(
        description="Minor units that the bank has given back to the payer and that count as the "
        "payer's in whatever the exchange comes to."
    )
    case: str | None = Field(
        description="The open case about it: GET /v1/cases/{case}. Closed ones: GET /v1/cases with "
        "this exchange."
    )
    proposed_at: datetime
    agreed_at: datetime | None
    funded_at: datetime | None
    in_review_since: datetime | None
    closed_at: datetime | None
    next_actions: list[NextAction]
    deadlines: list[DeadlineOut]


class ExchangePage(Answer):
    """A page of exchanges, newest first."""

    data: list[ExchangeOut]
    next_cursor: str | None


class BatchOutcome(Answer):
    """What became of one of many: an exchange, or a problem."""

    status: int
    exchange: ExchangeOut | None = None
    problem: dict[str, Any] | None = None


class BatchOut(Answer):
    """One outcome for each, in order."""

    outcomes: list[BatchOutcome]


class CodeOut(Answer):
    """The hand-over code, for the member who shows it."""

    checkpoint: str
    code: str
    locked: bool


class ConfirmationOut(Answer):
    """A word that was given on a checkpoint, for ever."""

    id: str
    checkpoint: str
    by: Role
    member: str
    word: Literal["confirmed", "withdrawn"]
    method: Literal["word", "code"]
    via: str = Field(
        description="Whose hand: member, platform, helper, or desk (the platform's, with the code)."
    )
    helper: str | None = Field(description="The helper who gave the word for the member.")
    operator: str | None = Field(description="Who served the member at the platform's desk.")
    at: datetime


class ConfirmationList(Answer):
    """Every word, in order."""

    data: list[ConfirmationOut]


class QuoteOut(Answer):
    """What the terms would come to; nothing is created."""

    terms: dict[str, Any]
    terms_hash: str
    payer_pays: list[Amount] = Field(description="Everything the payer pays in, by unit.")
    payee_gets: list[Amount] = Field(description="What the payee gets if all is confirmed.")
    fee: list[Amount]
