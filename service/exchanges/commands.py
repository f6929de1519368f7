"""What callers ask of an exchange, and what a decision answers. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from disputes.model import Cause
from disputes.reasons import Reason
from ledger.posting import Posting
from ledger.refusals import Refusal
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, State
from service.exchanges.terms import Checked


@dataclass(frozen=True, slots=True)
class Who:
    """Who takes a step: a member, or (``member_id`` None) the clock or a payment provider.

    ``via`` says whose word it is on the record: ``member`` (their own token), ``platform`` (its
    API key acted for them), ``helper`` (somebody whom the member named, with ``helper_id``),
    ``desk`` (the platform's desk, where ``operator`` served them), ``clock`` or ``provider``.
    """

    member_id: UUID | None
    via: str
    helper_id: UUID | None = None
    operator: str | None = None


CLOCK = Who(None, "clock")
PROVIDER = Who(None, "provider")


@dataclass(frozen=True, slots=True)
class ClaimDraft:
    """Why somebody claims, and about what.

    ``legs``: the held legs concerned; empty takes those that the reason is usually about.
    ``amounts``: of which of them only a part is disputed, in minor units.
    ``answers`` by the reason's questions. ``gentle``: whoever claims needs more time.
    """

    reason: str
    legs: tuple[UUID, ...] = ()
    amounts: Mapping[UUID, int] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    gentle: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One step asked for on one exchange; the fields below ``who`` belong to some steps only."""

    exchange_id: UUID
    step: str
    who: Who
    expected_version: int | None = None
    terms_hash: str | None = None
    terms: Checked | None = None
    checkpoint: str | None = None
    code: str | None = None
    proposal_id: UUID | None = None
    to_payee: tuple[int, ...] | None = None  # of each held leg, in order of position
    payment_id: UUID | None = None
    payment_method: str | None = None
    #: How the payer pays: on the provider's own page, and whether the method may be kept.
    hosted: bool = False
    return_url: str | None = None
    save_method: bool = False
    #: What the provider told of a payment: why it failed, when an authorisation ends, what it was.
    failure: str | None = None
    capture_before: datetime | None = None
    method_kind: str | None = None
    #: Of a contested payment: minor units the bank took back, and whether more is contested.
    amount: int = 0
    keep_frozen: bool = False
    claim: ClaimDraft | None = None
    #: Of a case that ends: what the payee gets of each disputed leg, in minor units.
    settlement: Mapping[UUID, int] | None = None


@dataclass(frozen=True, slots=True)
class EventDraft:
    """Something that happened, for the outbox: a type and public JSON facts."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfirmationFact:
    """A member's word on a checkpoint, or its withdrawal; appended, never changed."""

    checkpoint: str
    role: Role
    member_id: UUID
    word: str  # "confirmed" or "withdrawn"
    method: str  # "word" or "code"
    via: str
    at: datetime
    helper_id: UUID | None = None
    operator: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentDraft:
    """A payment to be asked of a provider after the commit: collect, refund, payout or reversal."""

    id: UUID
    kind: str
    member_id: UUID
    amount: int
    unit: str
    provider: str
    collect_id: UUID | None = None  # the payment that a refund gives back
    method: str | None = None
    capture: str = "automatic"
    hosted: bool = False
    return_url: str | None = None
    save_method: bool = False
    off_session: bool = False
    replaces: UUID | None = None  # the authorisation that this one takes over from
    source_id: UUID | None = None  # the collection that a payout is paid from
    payout_id: UUID | None = None  # the payout that a reversal calls back
    after_id: UUID | None = None  # asked of the provider only when this other one allows it


@dataclass(frozen=True, slots=True)
class OpeningCase:
    """A case that a step opens on legs of its exchange; ``claimant`` None: nobody claims."""

    id: UUID
    cause: Cause
    reason: Reason
    claimant: Role | None
    legs: tuple[UUID, ...]
    decide_by: datetime
    answers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    gentle: bool = False
    helper_id: UUID | None = None  # who reported it for the claimant


@dataclass(slots=True)
class Decision:
    """What a step changes. Nothing of it is true before the transaction that writes it commits."""

    exchange: Exchange
    events: list[EventDraft] = field(default_factory=list)
    postings: list[Posting] = field(default_factory=list)
    payments: list[PaymentDraft] = field(default_factory=list)
    confirmations: list[ConfirmationFact] = field(default_factory=list)
    #: Collections in flight, or authorisations, that nobody wants any more.
    cancel: list[UUID] = field(default_factory=list)
    #: How much of an authorisation is to be taken, by its payment.
    capture: dict[UUID, int] = field(default_factory=dict)
    #: Payments whose followers (``after_id``) can now be asked of the provider.
    release: list[UUID] = field(default_factory=list)
    #: A refusal that is itself a fact to keep (a wrong code counts): told after the commit.
    refusal: Refusal | None = None
    #: The case that begins with this step.
    opens: OpeningCase | None = None

    def join(self, other: Decision) -> None:
        """Take over what another decision on the same exchange moves, asks for and tells."""
        self.events += other.events
        self.postings += other.postings
        self.payments += other.payments
        self.release += other.release

    def note(self, type_: str, **data: Any) -> None:
        """Add an event."""
        self.events.append(EventDraft(type_, data))

    def end(self, state: State, now: datetime, event: str, by: Role | None = None) -> None:
        """Bring the exchange to a final state."""
        self.exchange = replace(self.exchange, state=state, closed_at=now, review_at=None)
        self.note(event, **({"by": by} if by else {}))
