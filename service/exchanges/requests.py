"""What is asked of a provider for a payment, with all that the call needs from other rows."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection, RowMapping

from service import db
from service.exchanges.desk import Desk
from service.payments import contests, customers, payees, payments, stops
from service.payments.port import Request
from service.payments.sandbox import Sandbox


class NotYet(Exception):
    """The payment cannot be asked for now; nothing is wrong with it, and it is tried again."""


def build(desk: Desk, row: RowMapping) -> Request:
    """Return the request of a payment's row.

    Raises:
        NotYet: something that it needs is not there yet; the message says what.
    """
    platform_id = row["platform_id"]
    with db.transaction(desk.engine, platform_id) as connection:
        if row["kind"] == "refund":
            _not_contested(connection, platform_id, row["collect_id"])
        if row["kind"] == "payout" and row["exchange_id"] is not None:
            _nothing_contested(connection, platform_id, row["exchange_id"])
        if row["kind"] == "payout" and stops.stopped(connection, platform_id):
            raise NotYet("payouts are stopped while the books and the provider's disagree")
        method, customer_ref = _method(connection, row)
        return Request(
            platform_id=platform_id,
            payment_id=row["id"],
            kind=row["kind"],
            amount=row["amount"],
            unit=row["unit"],
            member_id=row["member_id"],
            exchange_id=row["exchange_id"],
            method=method,
            capture=row["capture"],
            hosted=row["hosted"],
            return_url=row["return_url"],
            save_method=row["save_method"],
            customer_ref=customer_ref,
            off_session=row["off_session"],
            collect_ref=_ref(connection, platform_id, row["collect_id"] or row["source_id"]),
            payout_ref=_ref(connection, platform_id, row["payout_id"]),
            account_ref=_account(connection, row),
        )


def _method(connection: Connection, row: RowMapping) -> tuple[str | None, str | None]:
    """Return the method and the customer to charge: what was saved, when the payer is not there."""
    platform_id, before = row["platform_id"], None
    if row["off_session"]:
        before = _row(connection, platform_id, row["replaces"])
    known = customers.customer(connection, platform_id, row["member_id"], row["provider"])
    method = row["method"]
    if before is not None and before["saved_method"] is not None:
        method = before["saved_method"]
    return method, None if known is None else known.customer_ref


def _account(connection: Connection, row: RowMapping) -> str | None:
    """Return the account of the member that a payout goes to.

    Raises:
        NotYet: their provider pays to accounts, and they have none that takes money.
    """
    if row["kind"] != "payout":
        return None
    account = payees.find(connection, row["platform_id"], row["member_id"], row["provider"])
    if account is None and row["provider"] == Sandbox.name:
        return None  # the sandbox alone pays members who have opened no account
    if account is None or not account.ready:
        raise NotYet("the payee's account at the provider takes no money yet")
    return account.account_ref


def _not_contested(connection: Connection, platform_id: UUID, collect_id: UUID) -> None:
    if payments.find(connection, platform_id, collect_id)["disputed_at"] is not None:
        raise NotYet("the payer's bank contests the collection: a refund would pay it twice")


def _nothing_contested(connection: Connection, platform_id: UUID, exchange_id: UUID) -> None:
    if contests.is_contested(connection, platform_id, exchange_id):
        raise NotYet("the payer's bank contests a payment of the exchange: what is unpaid waits")


def _row(connection: Connection, platform_id: UUID, payment_id: UUID | None) -> RowMapping | None:
    return None if payment_id is None else payments.find(connection, platform_id, payment_id)


def _ref(connection: Connection, platform_id: UUID, payment_id: UUID | None) -> str | None:
    row = _row(connection, platform_id, payment_id)
    return None if row is None else row["provider_ref"]
