"""Charges: what happened at the payer's bank, and what came in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.stripe_server.errors import Obj
from tests.stripe_server.events import emit
from tests.stripe_server.lists import listed, one
from tests.stripe_server.methods import BILLING, Behaviour, behaviour
from tests.stripe_server.money import book, settle_at
from tests.stripe_server.params import PAGE, created, metadata, text, text_or_empty
from tests.stripe_server.params import merged as merged_metadata
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import Account, days, stamp

#: How long an authorisation holds: a merchant-initiated one on Visa is shorter.
WINDOW = days(7)
#: An asynchronous capture is in the books this long after the payment succeeded.
CAPTURED_WITHIN = timedelta(seconds=1)
VISA_OFF_SESSION = timedelta(days=4, hours=18)


def window(how: Behaviour, off_session: bool) -> timedelta:
    """Return how long the payer's bank keeps an authorisation."""
    return VISA_OFF_SESSION if off_session and how.brand == "visa" else WINDOW


def make(account: Account, intent: Obj, method: Obj, status: str, *, off_session: bool) -> Obj:
    """Create the charge of one attempt: ``succeeded``, ``pending`` or ``failed``."""
    world, how = account.world, behaviour(method)
    manual = intent["capture_method"] == "manual" and status == "succeeded"
    charge: Obj = {
        "id": world.new_id("ch" if how.kind == "card" else "py"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": {**BILLING, "address": dict(BILLING["address"])},
        "calculated_statement_descriptor": "TIERCE TEST" if how.kind == "card" else None,
        "captured": not manual and status != "failed",
        "created": world.ts,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": intent["on_behalf_of"],
        "outcome": _outcome(how, status),
        "paid": status == "succeeded",
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _details(intent, method, manual, off_session, world.now),
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": status,
        "transfer_data": None,
        "transfer_group": intent["transfer_group"],
        "_bypass": how.bypass,
        "_fee_kind": how.kind,
        "_later": how.later,
    }
    return account.add(charge)


def _outcome(how: Behaviour, status: str) -> Obj:
    bad = status == "failed"
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if bad else "approved_by_network",
        "reason": how.decline[1] if bad and how.decline else None,
        "risk_level": "normal" if how.kind == "card" else "not_assessed",
        "seller_message": "The bank declined the payment." if bad else "Payment complete.",
        "type": "issuer_declined" if bad else "authorized",
    }


def _details(intent: Obj, method: Obj, manual: bool, off_session: bool, now: datetime) -> Obj:
    how = behaviour(method)
    if how.kind == "sepa_debit":
        bank = method["sepa_debit"]
        own = {name: bank[name] for name in ("bank_code", "branch_code", "country", "last4")}
        own |= {"fingerprint": bank["fingerprint"], "mandate": f"mandate_{method['id'][3:]}"}
        return {"type": "sepa_debit", "sepa_debit": own}
    card: Obj = {
        "amount_authorized": intent["amount"],
        "authorization_code": "264215",
        "brand": how.brand,
        "checks": dict(method["card"]["checks"]),
        "country": "US",
        "exp_month": 12,
        "exp_year": 2034,
        "extended_authorization": {"status": "disabled"},
        "fingerprint": method["card"]["fingerprint"],
        "funding": "credit",
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": how.last4,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": how.brand,
        "network_token": {"used": False},
        "network_transaction_id": "582104620841028",
        "overcapture": {
            "maximum_amount_capturable": intent["amount"],
            "status": "unavailable",
        },
        "regulated_status": "unregulated",
        "three_d_secure": None,
        "wallet": None,
    }
    if manual:
        card["capture_before"] = stamp(now + window(how, off_session))
    return {"type": "card", "card": card}


def fail(account: Account, charge: Obj, code: str, message: str) -> None:
    """Tell that the payer's bank refused."""
    charge |= {"status": "failed", "paid": False, "captured": False}
    charge |= {"failure_code": code, "failure_message": message}
    emit(account, "charge.failed", charge)


def collect(account: Account, charge: Obj, amount: int, *, later: bool = False) -> None:
    """The money came in: book it and say so; some test methods are disputed afterwards.

    ``later``: the charge has no line in the books yet, as after an asynchronous capture.
    """
    charge |= {"status": "succeeded", "paid": True, "captured": True, "amount_captured": amount}
    world = account.world
    if not later:
        _enter(account, charge)
        return

    def soon() -> None:
        _enter(account, charge)
        emit(account, "charge.updated", charge)

    world.at(world.now + CAPTURED_WITHIN, soon)


def _enter(account: Account, charge: Obj) -> None:
    fees, amount = account.world.fees, charge["amount_captured"]
    card = charge["_fee_kind"] == "card"
    line = book(
        account,
        "charge" if card else "payment",
        amount,
        charge["currency"],
        charge["id"],
        fee=fees.of_card(amount) if card else fees.sepa,
        description=charge["description"],
        available_at=settle_at(account, charge["_bypass"]),
    )
    charge["balance_transaction"] = line["id"]
    account.world.on_paid(account, charge)


def update(call: Call) -> Obj:
    """Change what is only told."""
    charge = call.account.get("charge", call.ids["id"])
    params = dict(call.params)
    charge["metadata"] = merged_metadata(charge["metadata"], params.pop("metadata", None))
    charge |= params
    emit(call.account, "charge.updated", charge)
    return charge


def list_charges(call: Call) -> Obj:
    """List charges, newest first."""
    return listed(call, "charge", equal=("payment_intent", "customer", "transfer_group"))


_UPDATE: dict[str, Any] = {
    "metadata": metadata,
    "description": text_or_empty,
    "transfer_group": text,
    "receipt_email": text,
}
_LIST: dict[str, Any] = {
    **PAGE,
    "created": created,
    "payment_intent": text,
    "customer": text,
    "transfer_group": text,
}

ROUTES = [
    Route("GET", "/v1/charges", list_charges, _LIST),
    Route("GET", "/v1/charges/{id}", one("charge"), {}),
    Route("POST", "/v1/charges/{id}", update, _UPDATE),
]
