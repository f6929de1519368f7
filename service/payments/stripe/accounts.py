"""Payees' accounts (Connect): opened, completed on Stripe's own pages, read; their bank payouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import stripe
from stripe.params import AccountCreateParams

from service.ids import uuid7
from service.payments.port import Account as Payee
from service.payments.port import BankPayout, ProviderRefused, Status
from service.payments.stripe.client import Account
from service.payments.stripe.errors import KeyReused
from service.payments.stripe.money import from_stripe, unit_of
from service.payments.stripe.objects import MEMBER, PLATFORM, fact, instant

#: Pages of the newest accounts that are looked through for a member's own.
_PAGES: Final = 3


def open_account(
    account: Account, platform_id: UUID, member_id: UUID, facts: Mapping[str, str]
) -> Payee:
    """Open a payee's account, or return the one that was opened for the member before.

    The platform pays Stripe's fees and bears losses; Stripe collects what the law wants to know and
    shows the payee an Express dashboard.
    """
    known = _known(account, platform_id, member_id)
    if known is not None:
        return of_account(known)
    params: AccountCreateParams = {
        "country": facts["country"],
        "business_type": "individual",
        "controller": {
            "fees": {"payer": "application"},
            "losses": {"payments": "application"},
            "requirement_collection": "stripe",
            "stripe_dashboard": {"type": "express"},
        },
        "capabilities": {"transfers": {"requested": True}},
        "metadata": {MEMBER: str(member_id), PLATFORM: str(platform_id)},
    }
    if "email" in facts:
        params["email"] = facts["email"]
    try:
        with account.asking():
            made = account.api.accounts.create(params, {"idempotency_key": f"{member_id}:account"})
    except KeyReused:
        # Asked a moment ago with another address, by somebody who is just now being answered.
        late = _known(account, platform_id, member_id)
        if late is None:
            raise
        return of_account(late)
    return of_account(made)


def _known(account: Account, platform_id: UUID, member_id: UUID) -> stripe.Account | None:
    """Find the member's account among the newest: a call's answer may have been lost long ago."""
    for found in account.pages(account.api.accounts.list, {}, _PAGES):
        if (fact(found, MEMBER), fact(found, PLATFORM)) == (str(member_id), str(platform_id)):
            assert isinstance(found, stripe.Account)
            return found
    return None


def account_link(account: Account, ref: str, return_url: str, refresh_url: str) -> str:
    """Return the address of Stripe's onboarding page. It works once: every call makes a new one."""
    with account.asking():
        link = account.api.account_links.create(
            {
                "account": ref,
                "type": "account_onboarding",
                "return_url": return_url,
                "refresh_url": refresh_url,
                "collection_options": {"fields": "eventually_due"},
            },
            {"idempotency_key": str(uuid7())},
        )
    return link.url


def retrieve_account(account: Account, platform_id: UUID, ref: str) -> Payee:
    """Read a payee's account."""
    with account.asking():
        found = account.api.accounts.retrieve(ref)
    owner = fact(found, PLATFORM)
    if owner is not None and owner != str(platform_id):
        raise ProviderRefused("unknown_object", "The account is another platform's.")
    return of_account(found)


def of_account(found: stripe.Account) -> Payee:
    """Return a connected account as a payee's. ``ready``: transfers to it are possible now."""
    wants = found.requirements
    capability = None if found.capabilities is None else _get(found.capabilities, "transfers")
    due: list[str] = []
    if wants is not None:
        due = [*(wants.past_due or ()), *(wants.currently_due or ())]
    return Payee(
        ref=found.id,
        ready=capability == "active",
        bank_ready=bool(found.payouts_enabled),
        submitted=bool(found.details_submitted),
        due=tuple(dict.fromkeys(due)),
        due_by=None if wants is None else instant(wants.current_deadline),
        disabled_reason=None if wants is None else wants.disabled_reason,
    )


def _get(source: Any, name: str) -> Any:
    """Return a field that Stripe leaves out when it has nothing to say."""
    return getattr(source, name, None)


def retrieve_bank_payout(account: Account, payee: str, ref: str) -> BankPayout:
    """Read a payout from a payee's account to their bank."""
    with account.asking():
        found = account.api.payouts.retrieve(ref, None, {"stripe_account": payee})
    return BankPayout(
        ref=found.id,
        account_ref=payee,
        status=_STATUS.get(found.status, Status.PENDING),
        amount=from_stripe(found.amount, found.currency),
        unit=unit_of(found.currency),
        arrives_at=instant(found.arrival_date),
        failure=found.failure_code,
    )


_STATUS: Final[Mapping[str, Status]] = {
    "pending": Status.PENDING,
    "in_transit": Status.PENDING,
    "paid": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.CANCELED,
}
