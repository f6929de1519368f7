"""Payouts to the bank: by the clock for connected accounts, by hand for the platform."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.stripe_server.errors import Obj, refused
from tests.stripe_server.events import emit
from tests.stripe_server.lists import listed, one
from tests.stripe_server.money import book, require_available
from tests.stripe_server.params import (
    PAGE,
    Need,
    Spec,
    boolean,
    choice,
    created,
    currency,
    integer,
    listing,
    mapping,
    metadata,
    positive,
    text,
)
from tests.stripe_server.params import merged as merged_metadata
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import Account, days, stamp

#: From its creation a payout is on its way after a day, and there after two.
LEAVES, ARRIVES = days(1), days(2)


def start_payouts(account: Account) -> None:
    """Pay out at midnight (UTC) what is available, as often as the schedule says."""
    world = account.world

    def daily() -> None:
        interval = account.obj["settings"]["payouts"]["schedule"]["interval"]
        today = {
            "daily": True,
            "weekly": world.now.weekday() == 0,
            "monthly": world.now.day == 1,
        }
        if today.get(interval) and account.obj["payouts_enabled"]:
            for money, funds in list(account.funds.items()):
                if funds.available > 0:
                    pay(account, funds.available, money, automatic=True)
        world.at(midnight(world.now), daily)

    world.at(midnight(world.now), daily)


def midnight(now: datetime) -> datetime:
    """The next midnight."""
    return now.replace(hour=0, minute=0, second=0) + timedelta(days=1)


def pay(account: Account, amount: int, money: str, *, automatic: bool) -> Obj:
    """Send money to the bank."""
    world = account.world
    ref = world.new_id("po")
    lines = list(account.table("balance_transaction").values())
    line = book(account, "payout", -amount, money, ref, description="STRIPE PAYOUT")
    payout: Obj = {
        "id": ref,
        "object": "payout",
        "amount": amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": stamp(world.now + ARRIVES),
        "automatic": automatic,
        "balance_transaction": line["id"],
        "created": world.ts,
        "currency": money,
        "description": "STRIPE PAYOUT" if automatic else None,
        "destination": None,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "completed" if automatic else "not_applicable",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "pending",
        "trace_id": None,
        "type": "bank_account",
    }
    account.add(payout)
    if automatic:
        for old in [*lines, line]:
            done = old["_payout"] is None and old["status"] == "available"
            if done and old["currency"] == money:
                old["_payout"] = ref
    world.at(world.now + LEAVES, lambda: _go(account, payout, "in_transit", "payout.updated"))
    world.at(world.now + ARRIVES, lambda: _go(account, payout, "paid", "payout.paid"))
    emit(account, "payout.created", payout)
    return payout


def _go(account: Account, payout: Obj, status: str, kind: str) -> None:
    if payout["status"] in {"pending", "in_transit"}:
        payout["status"] = status
        if status == "paid":
            payout["trace_id"] = {"status": "supported", "value": f"T{payout['created']}"}
        emit(account, kind, payout)


def fail(account: Account, payout: Obj, code: str) -> None:
    """The bank sent it back: the money is on the balance again."""
    if payout["status"] in {"failed", "canceled"}:
        raise ValueError(f"payout {payout['id']} is {payout['status']}")
    line = book(account, "payout_failure", payout["amount"], payout["currency"], payout["id"])
    payout |= {
        "status": "failed",
        "failure_balance_transaction": line["id"],
        "failure_code": code,
        "failure_message": f"The bank refused the payout ({code}).",
    }
    emit(account, "payout.failed", payout)


def create(call: Call) -> Obj:
    """Pay out by hand."""
    account, params = call.account, call.params
    if not account.obj["payouts_enabled"]:
        raise refused("Payouts are not enabled on this account.", "payouts_not_allowed")
    message = "You have insufficient funds in your Stripe account for this transfer."
    require_available(account, params["amount"], params["currency"], message)
    payout = pay(account, params["amount"], params["currency"], automatic=False)
    payout["metadata"] = merged_metadata({}, params.get("metadata"))
    payout["description"] = params.get("description")
    payout["statement_descriptor"] = params.get("statement_descriptor")
    return payout


def cancel(call: Call) -> Obj:
    """Call a payout back that has not left yet."""
    account = call.account
    payout = account.get("payout", call.ids["id"])
    if payout["status"] != "pending" or payout["automatic"]:
        raise refused("Payouts that are not pending, or automatic ones, cannot be canceled.")
    line = book(account, "payout_cancel", payout["amount"], payout["currency"], payout["id"])
    payout |= {"status": "canceled", "failure_balance_transaction": line["id"]}
    emit(account, "payout.canceled", payout)
    return payout


def list_payouts(call: Call) -> Obj:
    """List payouts, newest first."""
    return listed(call, "payout", equal=("status",))


def settings_of(account: Account) -> Obj:
    """Return the balance settings: the payout schedule, as the newer resource says it."""
    payouts = account.obj["settings"]["payouts"]
    schedule = payouts["schedule"]
    return {
        "object": "balance_settings",
        "payments": {
            "debit_negative_balances": payouts["debit_negative_balances"],
            "payouts": {
                "schedule": {"interval": schedule["interval"]},
                "statement_descriptor": payouts["statement_descriptor"],
                "status": "enabled" if account.obj["payouts_enabled"] else "disabled",
            },
            "settlement_timing": {"delay_days": schedule["delay_days"]},
        },
    }


def update_settings(call: Call) -> Obj:
    """Change the payout schedule."""
    account = call.account
    asked: dict[str, Any] = call.params.get("payments", {})
    own = account.obj["settings"]["payouts"]
    if "debit_negative_balances" in asked:
        own["debit_negative_balances"] = asked["debit_negative_balances"]
    schedule = asked.get("payouts", {}).get("schedule", {})
    if "interval" in schedule:
        own["schedule"]["interval"] = schedule["interval"]
    emit(account, "balance_settings.updated", settings_of(account))
    return settings_of(account)


_CREATE: Spec = {
    "amount": Need(positive),
    "currency": Need(currency),
    "description": text,
    "metadata": metadata,
    "statement_descriptor": text,
    "method": choice("standard"),
    "source_type": choice("card", "bank_account", "fpx"),
}
_DAYS = {"monthly_payout_days": listing(integer), "weekly_payout_days": listing(text)}
_SCHEDULE: Spec = {"interval": choice("daily", "manual", "monthly", "weekly"), **_DAYS}
_SETTINGS: Spec = {
    "payments": mapping(
        {
            "debit_negative_balances": boolean,
            "payouts": mapping({"schedule": mapping(_SCHEDULE), "statement_descriptor": text}),
        }
    )
}
_LIST: Spec = {**PAGE, "created": created, "status": text}

ROUTES = [
    Route("POST", "/v1/payouts", create, _CREATE),
    Route("GET", "/v1/payouts", list_payouts, _LIST),
    Route("GET", "/v1/payouts/{id}", one("payout"), {}),
    Route("POST", "/v1/payouts/{id}/cancel", cancel, {}),
    Route("GET", "/v1/balance_settings", lambda call: settings_of(call.account), {}),
    Route("POST", "/v1/balance_settings", update_settings, _SETTINGS),
]
