"""Balances: every movement is a balance transaction, and nothing else moves a balance."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.stripe_server.errors import Obj, refused
from tests.stripe_server.events import emit
from tests.stripe_server.lists import listed
from tests.stripe_server.params import PAGE, created, currency, text
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import Account, days, stamp

#: Card and debit funds can be used this many days after the payment succeeded.
SETTLE_DAYS = 2

#: Reporting category of a type, where the two differ.
_CATEGORY = {
    "payment": "charge",
    "payment_refund": "refund",
    "transfer_refund": "transfer_reversal",
    "payout_failure": "payout_reversal",
}


def book(
    account: Account,
    kind: str,
    amount: int,
    money: str,
    source: str | None,
    *,
    fee: int = 0,
    fee_text: str = "Stripe processing fees",
    category: str | None = None,
    description: str | None = None,
    available_at: datetime | None = None,
) -> Obj:
    """Move the balance by ``amount - fee`` minor units of currency ``money``; return the line.

    ``available_at``: when the funds can be used (or, of a debit, from which funds it is taken).
    """
    world = account.world
    at = max(available_at or world.now, world.now)
    waits = at > world.now
    detail = {
        "amount": fee,
        "application": None,
        "currency": money,
        "description": fee_text,
        "type": "stripe_fee",
    }
    line: Obj = {
        "id": world.new_id("txn"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": stamp(at),
        "balance_type": "payments",
        "created": world.ts,
        "currency": money,
        "description": description,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": [detail] if fee else [],
        "net": amount - fee,
        "reporting_category": category or _CATEGORY.get(kind, kind),
        "source": source,
        "status": "pending" if waits else "available",
        "type": kind,
        "_payout": None,
    }
    account.add(line)
    if not waits:
        account.fund(money).available += line["net"]
        return line
    account.fund(money).pending += line["net"]
    world.at(at, lambda: _settle(account, line))
    return line


def _settle(account: Account, line: Obj) -> None:
    world = account.world
    funds = account.fund(line["currency"])
    funds.pending -= line["net"]
    funds.available += line["net"]
    line["status"] = "available"
    world.on_available(account, line["currency"])
    if account.balance_event_due != world.now:
        account.balance_event_due = world.now
        world.at(
            world.now, lambda: emit(account, "balance.available", balance_of(account)) and None
        )


def require_available(account: Account, amount: int, money: str, message: str) -> None:
    """Refuse to spend what is not there yet.

    Raises:
        ApiError: ``balance_insufficient``.
    """
    if account.fund(money).available < amount:
        raise refused(message, "balance_insufficient")


def settle_at(account: Account, bypass: bool = False) -> datetime:
    """When funds that came in now can be used."""
    return account.world.now if bypass else account.world.now + days(SETTLE_DAYS)


def balance_of(account: Account) -> Obj:
    """Return the balance object; every currency that ever moved has a line, and the own one."""
    account.fund(account.currency)
    moneys = sorted(account.funds)

    def lines(name: str) -> list[Obj]:
        out: list[Obj] = []
        for money in moneys:
            amount = getattr(account.funds[money], name)
            out.append({"amount": amount, "currency": money, "source_types": {"card": amount}})
        return out

    obj: Obj = {
        "object": "balance",
        "available": lines("available"),
        "livemode": False,
        "pending": lines("pending"),
        "refund_and_dispute_prefunding": {"available": _zero(moneys), "pending": _zero(moneys)},
    }
    if account.platform is None:
        obj["connect_reserved"] = _zero(moneys)
    return obj


def _zero(moneys: list[str]) -> list[Obj]:
    return [{"amount": 0, "currency": money} for money in moneys]


def retrieve_balance(call: Call) -> Obj:
    """Return the balance of the account."""
    return balance_of(call.account)


def retrieve(call: Call) -> Obj:
    """Return one line."""
    return call.account.get("balance_transaction", call.ids["id"])


def list_lines(call: Call) -> Obj:
    """List lines, newest first."""
    payout = call.params.get("payout")
    if payout is not None:
        call.account.get("payout", payout, "payout", status=400)

    def wanted(line: Obj) -> bool:
        return payout is None or line["_payout"] == payout or line["source"] == payout

    return listed(call, "balance_transaction", wanted, ("type", "currency", "source"))


def unbalanced(account: Account) -> list[str]:
    """Name each currency whose lines do not add up to its balance: always none."""
    wrong = []
    lines = account.table("balance_transaction").values()
    for money, funds in account.funds.items():
        for status, held in (("available", funds.available), ("pending", funds.pending)):
            sums = sum(
                line["net"]
                for line in lines
                if (line["currency"], line["status"]) == (money, status)
            )
            if sums != held:
                wrong.append(f"{account.id} {money} {status}: lines {sums}, balance {held}")
    return wrong


_LIST: dict[str, Any] = {
    **PAGE,
    "created": created,
    "type": text,
    "payout": text,
    "source": text,
    "currency": currency,
}

ROUTES = [
    Route("GET", "/v1/balance", retrieve_balance, {}),
    Route("GET", "/v1/balance_transactions", list_lines, _LIST),
    Route("GET", "/v1/balance_transactions/{id}", retrieve, {}),
    Route("GET", "/v1/balance/history", list_lines, _LIST),
    Route("GET", "/v1/balance/history/{id}", retrieve, {}),
]
