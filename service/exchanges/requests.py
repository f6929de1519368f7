"""What is asked of a provider for a payment, with all that the call needs from other rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from service.payments import contests, customers, payees, payments, stops
from service.payments.customers import Customer
from service.payments.payee import Payee
from service.payments.port import Request
from service.payments.sandbox import Sandbox


class NotYet(Exception):
    """The payment cannot be asked for now; nothing is wrong with it, and it is tried again."""


@dataclass(frozen=True, slots=True)
class _Around:
    """What the requests of one platform need from other rows, read once for all of them."""

    payments: Mapping[UUID, RowMapping]
    contested: Collection[UUID]
    stopped: bool
    customers: Mapping[tuple[UUID, str], Customer]
    accounts: Mapping[tuple[UUID, str], Payee]

    def ref(self, payment_id: UUID | None) -> str | None:
        """Return the provider's reference of another payment, if there is one."""
        found: str | None = (
            None if payment_id is None else self.payments[payment_id]["provider_ref"]
        )
        return found


def build(
    connection: Connection, platform_id: UUID, rows: Sequence[RowMapping]
) -> dict[UUID, Request | NotYet]:
    """Return the request of each payment by its id, or why it cannot be asked for yet."""
    around = _read(connection, platform_id, rows)
    return {row["id"]: _stopped(row, around) or _request(row, around) for row in rows}


def _read(connection: Connection, platform_id: UUID, rows: Sequence[RowMapping]) -> _Around:
    named = ("collect_id", "source_id", "payout_id", "replaces")
    others = {row[name] for row in rows for name in named if row[name] is not None}
    payouts = [row for row in rows if row["kind"] == "payout"]
    of_exchanges = {row["exchange_id"] for row in payouts if row["exchange_id"] is not None}
    paid = {row["member_id"] for row in payouts}
    return _Around(
        payments=payments.find_all(connection, platform_id, others),
        contested=contests.contested(connection, platform_id, of_exchanges),
        stopped=bool(payouts) and stops.stopped(connection, platform_id),
        customers=customers.customers(
            connection, platform_id, {row["member_id"] for row in rows if row["kind"] == "collect"}
        ),
        accounts=payees.find_all(connection, platform_id, paid),
    )


def _stopped(row: RowMapping, around: _Around) -> NotYet | None:
    if row["kind"] == "refund" and around.payments[row["collect_id"]]["disputed_at"] is not None:
        return NotYet("the payer's bank contests the collection: a refund would pay it twice")
    if row["kind"] != "payout":
        return None
    if row["exchange_id"] in around.contested:
        return NotYet("the payer's bank contests a payment of the exchange: what is unpaid waits")
    if around.stopped:
        return NotYet("payouts are stopped while the books and the provider's disagree")
    account = around.accounts.get((row["member_id"], row["provider"]))
    if account is None and row["provider"] == Sandbox.name:
        return None  # the sandbox alone pays members who have opened no account
    if account is None or not account.ready:
        return NotYet("the payee's account at the provider takes no money yet")
    return None


def _request(row: RowMapping, around: _Around) -> Request:
    known = around.customers.get((row["member_id"], row["provider"]))
    account = around.accounts.get((row["member_id"], row["provider"]))
    return Request(
        platform_id=row["platform_id"],
        payment_id=row["id"],
        kind=row["kind"],
        amount=row["amount"],
        unit=row["unit"],
        member_id=row["member_id"],
        exchange_id=row["exchange_id"],
        method=_method(row, around),
        capture=row["capture"],
        hosted=row["hosted"],
        return_url=row["return_url"],
        save_method=row["save_method"],
        customer_ref=None if known is None else known.customer_ref,
        off_session=row["off_session"],
        collect_ref=around.ref(row["collect_id"] or row["source_id"]),
        payout_ref=around.ref(row["payout_id"]),
        account_ref=None if account is None or row["kind"] != "payout" else account.account_ref,
    )


def _method(row: RowMapping, around: _Around) -> str | None:
    """Return the method to charge: what was saved, when the payer is not there."""
    if row["off_session"] and row["replaces"] is not None:
        saved: str | None = around.payments[row["replaces"]]["saved_method"]
        if saved is not None:
            return saved
    method: str | None = row["method"]
    return method
