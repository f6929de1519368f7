"""A payee's account as a value, whether they can be paid, and how both sides are told. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from ledger.refusals import Refusal
from service.payments import requirements


class PayeeNotReady(Refusal):
    """Money cannot be sent to this member yet: their account at the provider is not ready."""

    code = "payee_not_ready"


class PayoutAccountNotFound(Refusal):
    """The member has no account at the provider yet."""

    code = "payout_account_not_found"


class PayoutAccountElsewhere(Refusal):
    """The member's account is, or is being opened, in another country; that cannot be changed."""

    code = "payout_account_elsewhere"


class ProviderSilent(Refusal):
    """The payment provider does not answer; nothing was changed."""

    code = "provider_unavailable"


class ProviderDeclined(Refusal):
    """The payment provider will not do this; ``failure`` is its own reason."""

    code = "provider_declined"


class UnknownProviderObject(Refusal):
    """An event names an object that is not of this platform: nothing is booked for it."""

    code = "unknown_provider_object"


class State(StrEnum):
    """Where a payee's account stands."""

    OPENING = "opening"  # the provider has not answered yet
    REFUSED = "refused"  # the provider will not open it
    DUE = "requirements_due"  # the provider wants to know more first
    CHECKING = "checking"  # the provider has been told all, and checks it
    READY = "ready"
    DISABLED = "disabled"  # the provider has closed it, or holds it


@dataclass(frozen=True, slots=True)
class Payee:
    """A member's account at a provider, as we last heard. ``due``: the provider's own names."""

    platform_id: UUID
    member_id: UUID
    provider: str
    country: str
    account_ref: str | None
    failure: str | None
    ready: bool
    bank_ready: bool
    submitted: bool
    due: tuple[str, ...]
    due_by: datetime | None
    disabled_reason: str | None
    opened_at: datetime
    seen_at: datetime | None
    version: int

    @property
    def barred(self) -> bool:
        """Whether the provider stopped the account for more than something to be told."""
        reason = self.disabled_reason
        return reason is not None and not reason.startswith("requirements.")

    @property
    def state(self) -> State:
        """The one word for all of it."""
        if self.account_ref is None:
            return State.OPENING if self.failure is None else State.REFUSED
        if self.ready:
            return State.READY
        if self.barred:
            return State.DISABLED
        return State.DUE if self.due else State.CHECKING


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether money can be sent to a member now. ``reason``: ``no_account`` or a :class:`State`.

    A ready account may have something due as well: it stops at ``due_by`` if that is not told.
    """

    ready: bool
    due: tuple[str, ...] = ()
    due_by: datetime | None = None
    reason: str | None = None


def readiness_of(one: Payee) -> Readiness:
    """Return whether the account can be paid to, and why not."""
    return Readiness(one.ready, one.due, one.due_by, None if one.ready else one.state.value)


_NOTICES: Final = {
    "no_account": "They have no account at the payment provider yet.",
    State.OPENING: "Their account at the payment provider is being opened.",
    State.REFUSED: "The payment provider will not open an account for them.",
    State.CHECKING: "The payment provider is checking what they told it.",
    State.DISABLED: "The payment provider has stopped their account.",
}


def payout_notice(one: Readiness, zone: str = "UTC") -> dict[str, Any] | None:
    """Return what both sides should know before they agree: ``code``, ``words``, ``due_by``.

    None when the payee can be paid and nothing is due. ``zone`` is an IANA time zone for the day
    that the words name.
    """
    if one.ready and not one.due:
        return None
    wanted = ""
    if one.due:
        by = "" if one.due_by is None else f" by {requirements.day(one.due_by, zone)}"
        wanted = f"The payment provider still needs{by}: {requirements.listed(one.due)}."
    if one.ready:
        code, words = "payout_requirements_due_soon", f"{wanted} After that, payments stop."
        return {"code": code, "words": words, "due_by": one.due_by}
    reason = one.reason or State.DUE
    known = "" if reason == State.DUE else _NOTICES[reason]
    parts = ("The payee cannot be paid yet.", known, wanted, "Released money waits for them.")
    words = " ".join(part for part in parts if part)
    return {"code": f"payout_{reason}", "words": words, "due_by": one.due_by}


def payout_view(one: Readiness, zone: str = "UTC") -> dict[str, Any]:
    """Return the ``payout`` field of the API's views: ready, due, due_by and the notice's words."""
    notice = payout_notice(one, zone)
    return {
        "ready": one.ready,
        "due": [
            {"words": words, "names": names}
            for words, names in requirements.grouped(one.due).items()
        ],
        "due_by": one.due_by,
        "notice": None if notice is None else notice["words"],
    }
