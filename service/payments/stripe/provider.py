"""The Stripe provider: the port's methods, each on the platform's own account."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Engine

from service import db
from service.payments import connections
from service.payments.connected import Connected, NotConnected
from service.payments.measured import measured
from service.payments.port import Account as Payee
from service.payments.port import (
    AmountDiffers,
    BankPayout,
    Dispute,
    Event,
    Evidence,
    Movement,
    Object,
    ProviderUnavailable,
    Request,
    Warned,
)
from service.payments.stripe import accounts, books, collect, disputes, events, out
from service.payments.stripe.client import Account, Clients
from service.payments.stripe.objects import parse_ref
from service.payments.vault import SecretsUnreadable, Vault

_SUBMIT: Final[Mapping[str, Callable[[Account, Request, datetime], Object]]] = {
    "collect": collect.submit,
    "refund": out.refund,
    "payout": out.payout,
    "reversal": out.reversal,
}
#: Stripe's ids of payment methods.
_METHOD: Final = re.compile(r"(pm|card|src|ba)_[A-Za-z0-9_]{1,200}")


@measured
class Stripe:
    """A :class:`service.payments.port.Provider` over each platform's own Stripe account."""

    name = connections.STRIPE
    needs_account = True

    def __init__(
        self,
        engine: Engine,
        code_key: str,
        clock: Callable[[], datetime],
        api_base: str,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read connections in ``engine``'s database, open them with the instance's ``code_key``.

        ``clock`` judges the age of signatures and rows, ``ticks`` (seconds) the pace of calls.
        """
        self._engine = engine
        self.vault = Vault(code_key)
        self._clock = clock
        self._clients = Clients(api_base, ticks)

    def connected(self, platform_id: UUID) -> Connected:
        """Return the platform's connection as it is now.

        Raises:
            ProviderUnavailable: there is none any more, or its secrets do not open.
        """
        db.outside_transaction()
        with db.transaction(self._engine, platform_id) as connection:
            try:
                return connections.need(connection, self.vault, platform_id)
            except (NotConnected, SecretsUnreadable) as error:
                raise ProviderUnavailable(str(error)) from error

    def account(self, platform_id: UUID) -> Account:
        """Return the platform's account with its client, sure to be the one its money is on."""
        account = self._clients.of(self.connected(platform_id))
        account.verify()
        return account

    def look(self, connected: Connected) -> Account:
        """Return the account of a connection that is being checked, whosever it may be."""
        db.outside_transaction()
        return self._clients.of(connected)

    def close(self) -> None:
        """Let go of the connections to Stripe."""
        self._clients.close()

    def accepts_method(self, method: str | None) -> bool:
        """Tell whether ``method`` has the shape of a payment method's id."""
        return method is None or _METHOD.fullmatch(method) is not None

    def submit(self, request: Request) -> Object:
        """Ask for what the request's kind says, under its row's id as the key.

        Raises:
            KeyReused, AmountDiffers: the row asked for something else before; an alert.
        """
        seen = _SUBMIT[request.kind](self.account(request.platform_id), request, self._clock())
        if (seen.amount, seen.unit) != (request.amount, request.unit):
            raise AmountDiffers(
                f"{seen.ref} is for {seen.amount} {seen.unit}, payment {request.payment_id} asked "
                f"for {request.amount} {request.unit}"
            )
        return seen

    def capture(self, platform_id: UUID, payment_id: UUID, ref: str, amount: int) -> Object:
        """Take ``amount`` of an authorisation."""
        return collect.capture(self.account(platform_id), platform_id, payment_id, ref, amount)

    def cancel(self, platform_id: UUID, ref: str) -> Object:
        """Call a collection back; what has gone out cannot be, and tells where it stands."""
        if parse_ref(ref).kind in {"intent", "session"}:
            return collect.cancel(self.account(platform_id), platform_id, ref)
        return self.retrieve(platform_id, ref)

    def retrieve(self, platform_id: UUID, ref: str) -> Object:
        """Read what a reference of ours names."""
        found, account = parse_ref(ref), self.account(platform_id)
        if found.kind in {"intent", "session"}:
            return collect.retrieve(account, platform_id, ref)
        if found.kind == "refund":
            return out.retrieve_refund(account, platform_id, ref)
        if found.kind == "reversal":
            return out.retrieve_reversal(account, platform_id, found.parent, found.id)
        return out.retrieve_payout(account, platform_id, ref)

    def open_account(self, platform_id: UUID, member_id: UUID, facts: Mapping[str, str]) -> Payee:
        """Open a payee's account."""
        return accounts.open_account(self.account(platform_id), platform_id, member_id, facts)

    def account_link(self, platform_id: UUID, ref: str, return_url: str, refresh_url: str) -> str:
        """Return the address of Stripe's onboarding page, which works once and for minutes."""
        account = self.account(platform_id)
        accounts.retrieve_account(account, platform_id, ref)  # nobody else's
        return accounts.account_link(account, ref, return_url, refresh_url)

    def retrieve_account(self, platform_id: UUID, ref: str) -> Payee:
        """Read a payee's account."""
        return accounts.retrieve_account(self.account(platform_id), platform_id, ref)

    def retrieve_bank_payout(self, platform_id: UUID, account_ref: str, ref: str) -> BankPayout:
        """Read a payout from a payee's account to their bank."""
        return accounts.retrieve_bank_payout(self.account(platform_id), account_ref, ref)

    def retrieve_dispute(self, platform_id: UUID, ref: str) -> Dispute:
        """Read a chargeback."""
        return disputes.retrieve_dispute(self.account(platform_id), platform_id, ref)

    def retrieve_warning(self, platform_id: UUID, ref: str) -> Warned:
        """Read an early fraud warning."""
        return disputes.retrieve_warning(self.account(platform_id), platform_id, ref)

    def submit_evidence(self, platform_id: UUID, ref: str, evidence: Evidence) -> Dispute:
        """Answer a chargeback."""
        return disputes.submit_evidence(self.account(platform_id), platform_id, ref, evidence)

    def movements(self, platform_id: UUID, since: datetime, until: datetime) -> Iterable[Movement]:
        """Read Stripe's books."""
        return books.movements(self.account(platform_id), since, until)

    def held(self, platform_id: UUID) -> Mapping[str, int]:
        """Return the balance at Stripe, available and on its way."""
        return books.held(self.account(platform_id))

    def events_since(self, platform_id: UUID, since: datetime) -> Iterable[Event]:
        """List Stripe's events, of the platform's account and its payees'."""
        return events.since(self.account(platform_id), since)

    def read_event(self, platform_id: UUID, endpoint: str, body: bytes, signature: str) -> Event:
        """Verify and read what came to a webhook endpoint; nothing is asked of Stripe."""
        return events.read(self.connected(platform_id), endpoint, body, signature, self._clock())
