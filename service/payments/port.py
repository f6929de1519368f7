"""The port to a payment provider: asynchronous like every real one, called outside transactions.

A call carries our payment's id as its idempotency key, so that asking again after a lost answer
changes nothing. What a call returns is where the provider's object stands now; that it moved later
is told by an event, which only says "look again".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from ledger.refusals import Refusal


class Status(StrEnum):
    """Where a provider's object stands; the last three are final."""

    PENDING = "pending"
    REQUIRES_ACTION = "requires_action"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: ``amount`` minor units of ``unit``, keyed by our payment's id."""

    platform_id: UUID
    payment_id: UUID
    kind: str  # "collect", "refund" or "payout"
    amount: int
    unit: str
    member_id: UUID
    exchange_id: UUID | None
    method: str | None = None
    collect_ref: str | None = None  # of a refund: the provider's object that is given back


@dataclass(frozen=True, slots=True)
class Object:
    """A provider's object as it is now. ``next_action``: what the payer has to do, if anything."""

    ref: str
    kind: str
    status: Status
    amount: int
    unit: str
    failure: str | None = None
    next_action: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A provider's word that an object changed. It is never believed, only followed up."""

    id: str
    kind: str
    object_ref: str


class ProviderUnavailable(Exception):
    """The provider could not be asked, or did not answer: nothing is known, ask again later."""


class ProviderRefused(Exception):
    """The provider refused the request itself; asking again would be refused again.

    ``failure`` is a stable code for the member's page.
    """

    def __init__(self, failure: str, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure


class ForgedEvent(Refusal):
    """The signature of a provider's event is missing, wrong or too old."""

    code = "forged_provider_event"


class NoProvider(Refusal):
    """Money legs need a payment provider, and this platform has none connected."""

    code = "no_payment_provider"


class Provider(Protocol):
    """What an adapter offers. Every method may raise :class:`ProviderUnavailable`."""

    name: str

    def accepts_method(self, method: str | None) -> bool:
        """Tell whether ``method`` is a payment method that could be tried."""

    def submit(self, request: Request) -> Object:
        """Ask for a collection, refund or payout; the same request again answers the same object.

        Raises:
            ProviderRefused: the request will never be taken.
        """

    def cancel(self, platform_id: UUID, ref: str) -> Object:
        """Call back a collection in flight; if it is too late the object says so."""

    def retrieve(self, platform_id: UUID, ref: str) -> Object:
        """Read an object again.

        Raises:
            ProviderRefused: there is no such object.
        """

    def read_event(self, body: bytes, signature: str) -> Event:
        """Verify and read an incoming event.

        Raises:
            ForgedEvent: it was not signed by the provider.
        """
