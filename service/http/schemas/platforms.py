"""What the API takes and gives about platforms, keys, members, books, payments and events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from babel import Locale as BabelLocale
from pydantic import AfterValidator, Field

from service.http.schemas.base import Amount, Answer, Body, ShortText
from service.platforms.scopes import SCOPES

_ZONES = available_timezones()


def _zone(name: str) -> str:
    if name not in _ZONES:
        raise ValueError("is not a time zone of the IANA database, such as Europe/Paris")
    return name


TimeZone = Annotated[str, Field(max_length=60, examples=["Europe/Paris"]), AfterValidator(_zone)]
_COUNTRIES = frozenset(
    code
    for code in map(str, BabelLocale("en").territories)
    if len(code) == 2 and code not in {"EU", "ZZ"}
)


def _country(code: str) -> str:
    if code not in _COUNTRIES:
        raise ValueError("is not a country's code of two capital letters (ISO 3166-1), such as FR")
    return code


Country = Annotated[
    str,
    Field(max_length=2, examples=["FR"], description="Whose public holidays the member has."),
    AfterValidator(_country),
]
Locale = Literal["fr", "en", "br"]
Email = Annotated[
    str, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$", examples=["rozenn@example.org"])
]
Phone = Annotated[str, Field(pattern=r"^\+[0-9]{6,15}$", examples=["+33298000000"])]
Assisted = Annotated[
    bool,
    Field(
        strict=True,
        description="Somebody helps the member, or they need more time: in a case about an "
        "exchange of theirs both sides have longer to answer.",
    ),
]


class PlatformBody(Body):
    """A new platform."""

    name: ShortText


class PlatformChanges(Body):
    """What a platform says of itself to its members."""

    phone: Phone | None = Field(
        description="Where they can talk to somebody: it stands on their pages and paper slips. "
        "null takes it away."
    )


class PlatformOut(Answer):
    """A tenant: the live one or its sandbox."""

    id: str
    object: Literal["platform"]
    name: str
    mode: Literal["live", "sandbox"]
    twin: str = Field(description="The same platform in the other mode.")
    phone: str | None = Field(description="Where its members can talk to somebody.")
    created_at: datetime


class KeyOut(Answer):
    """An API key."""

    id: str
    object: Literal["api_key"]
    label: str
    hint: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    rotated_to: str | None
    secret: str | None = Field(description="Shown once, when the key is made.")


class PlatformCreated(Answer):
    """Both tenants of a new platform, and a key with every scope for each."""

    live: PlatformOut
    sandbox: PlatformOut
    live_key: KeyOut
    sandbox_key: KeyOut


class PlatformPage(Answer):
    """A page of platforms, newest first."""

    data: list[PlatformOut]
    next_cursor: str | None


class KeyBody(Body):
    """A new key."""

    label: ShortText
    scopes: Annotated[list[str], Field(min_length=1, max_length=len(SCOPES))] = Field(
        examples=[["exchanges:read", "exchanges:write"]], description=", ".join(SCOPES)
    )


class RotateBody(Body):
    """How a key is replaced."""

    overlap_hours: Annotated[int, Field(strict=True, ge=0, le=168)] = Field(
        default=24, description="How long the old key still works."
    )


class KeyPage(Answer):
    """A page of keys, newest first."""

    data: list[KeyOut]
    next_cursor: str | None


class MemberBody(Body):
    """A new member."""

    external_id: ShortText = Field(description="Your own id of the person.")
    locale: Locale = "fr"
    time_zone: TimeZone = "Europe/Paris"
    country: Country = "FR"
    name: ShortText | None = None
    email: Email | None = None
    phone: Phone | None = None
    assisted: Assisted = False


class MemberChanges(Body):
    """What to change; a field that is not sent stays, null takes it away."""

    locale: Locale = "fr"
    time_zone: TimeZone = "Europe/Paris"
    country: Country = "FR"
    name: ShortText | None = None
    email: Email | None = None
    phone: Phone | None = None
    assisted: Assisted = False


class MemberOut(Answer):
    """A member; the personal fields are null once erased."""

    id: str
    object: Literal["member"]
    external_id: str | None
    locale: str
    time_zone: str
    country: str
    name: str | None
    email: str | None
    phone: str | None
    assisted: bool
    created_at: datetime
    erased_at: datetime | None


class MemberPage(Answer):
    """A page of members, newest first."""

    data: list[MemberOut]
    next_cursor: str | None


class TokenBody(Body):
    """How long a member's token lives."""

    ttl_seconds: Annotated[int, Field(strict=True, ge=60, le=3600)] = 900


class TokenOut(Answer):
    """A member's token."""

    token: str
    expires_at: datetime


class CreditLimitBody(Body):
    """How far a member may go below zero in a community unit."""

    limit: Annotated[int, Field(strict=True, ge=0, le=10**15)] = Field(description="Minor units.")


class CreditLimitOut(Answer):
    """The member's own credit limit."""

    member: str
    unit: str
    limit: int


class PayoutBody(Body):
    """Money of a member's balance, to be sent to them."""

    amount: Amount


class UnitBody(Body):
    """A unit of the platform's community."""

    code: Annotated[str, Field(max_length=12, examples=["HOURS"])]
    name: ShortText
    exponent: Annotated[int, Field(strict=True, ge=0, le=4)] = Field(
        default=2, description="Decimals: with 2, an amount of 250 is 2.50."
    )
    credit_limit: Annotated[int, Field(strict=True, ge=0, le=10**15)] = Field(
        default=0, description="How far a member may go below zero, in minor units."
    )


class UnitOut(Answer):
    """A unit: one of it is 10^exponent minor units."""

    code: str
    object: Literal["unit"]
    name: str
    exponent: int
    community: bool
    credit_limit: int | None


class UnitList(Answer):
    """Units."""

    data: list[UnitOut]


class BalanceOut(Answer):
    """An account's balance: credits less debits, in minor units."""

    account: str
    unit: str
    balance: int
    floor: int | None = Field(description="How low the balance can go; null: no limit.")


class BalanceList(Answer):
    """Balances at one instant."""

    data: list[BalanceOut]
    at: datetime | None = Field(description="The instant asked for; null: now.")


class LineOut(Answer):
    """A movement of an account and the balance after it."""

    posting: str
    kind: str
    reference: str | None
    at: datetime
    other_account: str
    amount: int
    balance: int


class StatementPage(Answer):
    """A page of a statement, newest first."""

    data: list[LineOut]
    next_cursor: str | None


class TransferOut(Answer):
    """From one account to another."""

    debit: str
    credit: str
    amount: int
    unit: str


class PostingOut(Answer):
    """A balanced ledger transaction."""

    id: str
    object: Literal["posting"]
    key: str
    kind: str
    reference: str | None
    at: datetime
    reverses: str | None
    transfers: list[TransferOut]


class PostingList(Answer):
    """Everything an exchange moved, oldest first."""

    data: list[PostingOut]


class PaymentOut(Answer):
    """A collection, refund, payout or reversal at the provider."""

    id: str
    object: Literal["payment"]
    kind: Literal["collect", "refund", "payout", "reversal"]
    state: Literal[
        "submitting",
        "pending",
        "requires_action",
        "authorised",
        "succeeded",
        "failed",
        "canceled",
    ]
    amount: int
    unit: str
    exchange: str | None
    member: str
    provider: str
    provider_ref: str | None
    refund_of: str | None
    reversal_of: str | None
    waits_for: str | None = Field(description="The payment that comes first, while it does.")
    capture: Literal["automatic", "manual"] = Field(
        description="manual: the amount is blocked at the payer's bank until it is taken or freed."
    )
    captured: int | None = Field(description="How much of a block was taken.")
    capture_before: datetime | None = Field(description="When the block ends by itself.")
    saved_method: str | None = Field(
        description="The method that the payer agreed to keep: the payment_method of a later fund."
    )
    next_action: dict[str, Any] | None = Field(description="What the payer has to do, if anything.")
    failure: str | None
    created_at: datetime
    settled_at: datetime | None


class PaymentList(Answer):
    """Payments, oldest first."""

    data: list[PaymentOut]


class ActBody(Body):
    """What the payer does on the sandbox provider's page."""

    outcome: Literal["succeed", "fail"]


class EventOut(Answer):
    """Something that happened."""

    id: str
    object: Literal["event"]
    type: str
    exchange: str | None
    member: str | None
    sequence: int | None = Field(description="Counts the events of one exchange from 1.")
    data: dict[str, Any]
    at: datetime


class EventPage(Answer):
    """A page of events."""

    data: list[EventOut]
    next_cursor: str | None
    feed_cursor: str | None = Field(
        description="With order=asc: where to go on from later, also at the end of the feed."
    )
