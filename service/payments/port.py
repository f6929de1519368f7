"""The port to a payment provider: asynchronous like every real one, called outside transactions.

A call carries our row's id as its idempotency key, so that asking again after a lost answer changes
nothing. What a call returns is where the provider's object stands now; that it moved later is told
by an event, which only says "look again".

Every amount is in minor units of ISO 4217. A provider that counts in others (Stripe has no decimals
for MGA and two for UGX) converts in its adapter and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from ledger.refusals import Refusal


class Status(StrEnum):
    """Where a provider's object stands; the last three are final.

    ``authorised``: the amount is blocked at the payer's bank and not taken yet.
    """

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    AUTHORISED = "authorised"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: ``amount`` minor units of ``unit``, keyed by our payment's id.

    ``kind`` is ``collect`` (from the payer), ``refund`` (of a collection, back to the payer),
    ``payout`` (to the payee's own account) or ``reversal`` (of a payout, back from that account).
    """

    platform_id: UUID
    payment_id: UUID
    kind: str
    amount: int
    unit: str
    member_id: UUID
    exchange_id: UUID | None
    method: str | None = None
    #: Of a collection: ``manual`` blocks the amount and takes it when told so.
    capture: str = "automatic"
    #: Of a collection: the payer pays on the provider's own page and comes back to ``return_url``.
    hosted: bool = False
    return_url: str | None = None
    #: Of a collection: keep the method for later, on the payer's own customer ``customer_ref``.
    save_method: bool = False
    customer_ref: str | None = None
    #: Of a collection: the payer is not there; a saved method is charged by agreement.
    off_session: bool = False
    #: Of a refund: the collection given back. Of a payout: the collection it is paid from, if one.
    collect_ref: str | None = None
    #: Of a reversal: the payout that is called back.
    payout_ref: str | None = None
    #: Of a payout: the payee's account at the provider.
    account_ref: str | None = None


@dataclass(frozen=True, slots=True)
class Fee:
    """What the provider took for itself: booked once, under its own reference."""

    ref: str
    amount: int
    unit: str


@dataclass(frozen=True, slots=True)
class Object:
    """A provider's object as it is now. ``next_action``: what the payer has to do, if anything.

    ``amount`` is what was asked; of a collection that succeeded, ``captured`` is what was really
    taken (the two differ only when a part of an authorisation was captured).
    """

    ref: str
    kind: str
    status: Status
    amount: int
    unit: str
    failure: str | None = None
    next_action: Mapping[str, Any] | None = None
    captured: int | None = None
    #: Of an authorisation: when it ends by itself.
    capture_before: datetime | None = None
    #: A method and a customer that can be charged again, if the payer agreed to that.
    saved_method: str | None = None
    customer_ref: str | None = None
    #: Of a collection: ``card``, ``sepa_debit``, ... : how long the bank may still take it back.
    method_kind: str | None = None
    #: Of a collection: by what the provider tells the payer's card or account from others, the same
    #: whoever pays with it.
    instrument: str | None = None
    fees: tuple[Fee, ...] = ()


class Topic(StrEnum):
    """What an event is about, and so who follows it up."""

    PAYMENT = "payment"  # a collection, refund, payout (transfer) or reversal of ours
    DISPUTE = "dispute"  # a chargeback or an inquiry; object_ref is the dispute
    WARNING = "warning"  # an early fraud warning; object_ref is the warning
    ACCOUNT = "account"  # a payee's account changed; object_ref is the account
    BANK = "bank"  # a payee's money on its way to their bank; object_ref is the bank payout
    OTHER = "other"  # nothing that we keep books on


def own_payment(ref: str | None) -> UUID | None:
    """Return our payment's id if a reference names the row itself: ``payment:{uuid}``.

    A provider may know an object by a reference that came up after our row's (the payment made on a
    provider's own page, whose page is what our row has), and carry our payment's id on it. Wherever
    a reference to one of our rows is told (:class:`Event`, :class:`Movement`, :class:`Dispute`,
    :class:`Warned`), it is the row's ``provider_ref``, or this.
    """
    head, _, tail = (ref or "").partition(":")
    try:
        return UUID(tail) if head == "payment" else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Event:
    """A provider's word that an object changed. It is never believed, only followed up.

    ``account``: the payee's account where it happened, None on the platform's own. ``object_ref``
    of a payment may name the row itself: see :func:`own_payment`.
    """

    id: str
    kind: str
    object_ref: str
    topic: Topic = Topic.PAYMENT
    account: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """A payee's account at the provider. ``ready``: money can be sent to it now.

    ``due`` names what the provider still wants, ``due_by`` until when; both as the provider says.
    """

    ref: str
    ready: bool
    bank_ready: bool
    submitted: bool
    due: tuple[str, ...] = ()
    due_by: datetime | None = None
    disabled_reason: str | None = None


@dataclass(frozen=True, slots=True)
class BankPayout:
    """Money of a payee on its way from their account at the provider to their bank."""

    ref: str
    account_ref: str
    status: Status
    amount: int
    unit: str
    arrives_at: datetime | None = None
    failure: str | None = None


class DisputeStatus(StrEnum):
    """Where a chargeback stands. ``warning``: an inquiry, no money has moved yet."""

    WARNING = "warning"
    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    CLOSED = "closed"  # an inquiry that became nothing, or a dispute prevented


@dataclass(frozen=True, slots=True)
class Movement:
    """A change of what the provider holds for the platform: one line of its own books.

    ``amount`` is signed, before fees; ``fee`` what the provider took beside it (0 or more; negative
    when it gave a fee back). The balance moves by ``amount - fee``. ``object_ref`` is the reference
    as it stands on our rows (a collection, refund, payout, reversal or dispute) or names the row
    (:func:`own_payment`), None if unknown.
    ``kind``: collect, refund, refund_failure, payout, reversal, dispute, fee, other, or
    bank_payout: the platform's own money on its way to its bank (below zero) or from it.
    """

    ref: str
    kind: str
    object_ref: str | None
    amount: int
    fee: int
    unit: str
    at: datetime
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Dispute:
    """A chargeback as it is now. ``movements`` are its own lines in the provider's books.

    ``collect_ref`` is the collection's reference, or names its row (:func:`own_payment`).
    """

    ref: str
    collect_ref: str
    status: DisputeStatus
    amount: int
    unit: str
    reason: str
    due_by: datetime | None
    evidence_submitted: bool = False
    movements: tuple[Movement, ...] = ()


@dataclass(frozen=True, slots=True)
class Warned:
    """An early fraud warning on a collection: the last cheap moment to give it back.

    ``collect_ref`` is as of :class:`Dispute`.
    """

    ref: str
    collect_ref: str
    reason: str
    actionable: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """What we can show about an exchange, in plain text by the provider's own field names."""

    fields: Mapping[str, str] = field(default_factory=dict)


class ProviderUnavailable(Exception):
    """The provider could not be asked, or did not answer: nothing is known, ask again later.

    ``retry_after``: seconds that the provider asked us to wait, if it did.
    """

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class ProviderRefused(Exception):
    """The provider refused the request itself; asking again would be refused again.

    ``failure`` is a stable code for the member's page.
    """

    def __init__(self, failure: str, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure


class AmountDiffers(RuntimeError):
    """An object is not for the amount that was asked: never booked, always an alert."""


class ForgedEvent(Refusal):
    """The signature of a provider's event is missing, wrong or too old."""

    code = "forged_provider_event"


class NoProvider(Refusal):
    """Money legs need a payment provider, and this platform has none connected."""

    code = "no_payment_provider"


class Provider(Protocol):
    """What an adapter offers. Every method may raise :class:`ProviderUnavailable`."""

    name: str
    #: Whether a payee needs an account of their own before money can be sent to them.
    needs_account: bool

    def accepts_method(self, method: str | None) -> bool:
        """Tell whether ``method`` is a payment method that could be tried."""

    def submit(self, request: Request) -> Object:
        """Ask for what ``request.kind`` says; the same request again answers the same object.

        Raises:
            ProviderRefused: the request will never be taken.
        """

    def capture(self, platform_id: UUID, payment_id: UUID, ref: str, amount: int) -> Object:
        """Take ``amount`` of an authorisation; the rest is set free. Again changes nothing.

        If it is too late the object says so (canceled).
        """

    def cancel(self, platform_id: UUID, ref: str) -> Object:
        """Call back a collection in flight, or free an authorisation; if too late it says so."""

    def retrieve(self, platform_id: UUID, ref: str) -> Object:
        """Read a collection, refund, payout or reversal again.

        Raises:
            ProviderRefused: there is no such object.
        """

    def open_account(self, platform_id: UUID, member_id: UUID, facts: Mapping[str, str]) -> Account:
        """Open a payee's account, keyed by the member; again answers the same account.

        ``facts``: ``country`` (ISO 3166-1 alpha-2), and ``email`` if known.
        """

    def account_link(self, platform_id: UUID, ref: str, return_url: str, refresh_url: str) -> str:
        """Return the address of a page where the payee tells the provider what it wants."""

    def retrieve_account(self, platform_id: UUID, ref: str) -> Account:
        """Read a payee's account."""

    def retrieve_bank_payout(self, platform_id: UUID, account_ref: str, ref: str) -> BankPayout:
        """Read a payout from a payee's account to their bank."""

    def retrieve_dispute(self, platform_id: UUID, ref: str) -> Dispute:
        """Read a chargeback."""

    def retrieve_warning(self, platform_id: UUID, ref: str) -> Warned:
        """Read an early fraud warning."""

    def submit_evidence(self, platform_id: UUID, ref: str, evidence: Evidence) -> Dispute:
        """Answer a chargeback; only the first answer counts with most banks."""

    def movements(self, platform_id: UUID, since: datetime, until: datetime) -> Iterable[Movement]:
        """Read the provider's books: what moved in ``[since, until)``, oldest first."""

    def held(self, platform_id: UUID) -> Mapping[str, int]:
        """Return what the provider holds for the platform, in minor units by unit."""

    def events_since(self, platform_id: UUID, since: datetime) -> Iterable[Event]:
        """List the provider's events from ``since`` on: what a lost webhook would have told."""

    def read_event(self, platform_id: UUID, endpoint: str, body: bytes, signature: str) -> Event:
        """Verify and read an incoming event.

        ``endpoint``: ``platform`` (the platform's own account) or ``payees`` (their accounts).

        Raises:
            ForgedEvent: it was not signed by the provider for this platform and endpoint.
        """
