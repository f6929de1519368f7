"""Refunds: money on its way back to the payer, and authorisations set free."""

from __future__ import annotations

from typing import Any

from tests.stripe_server.errors import Obj, invalid, refused
from tests.stripe_server.events import emit
from tests.stripe_server.lists import listed, one
from tests.stripe_server.money import book
from tests.stripe_server.params import PAGE, boolean, choice, created, metadata, positive, text
from tests.stripe_server.params import merged as merged_metadata
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import Account


def make(account: Account, charge: Obj, amount: int, reason: str | None = None) -> Obj:
    """Create a refund object and count it on its charge; nothing is booked here."""
    world = account.world
    refund: Obj = {
        "id": world.new_id("re" if charge["_fee_kind"] == "card" else "pyr"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": world.ts,
        "currency": charge["currency"],
        "destination_details": _destination(charge),
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    _count(charge, amount)
    return account.add(refund)


def _destination(charge: Obj) -> Obj:
    if charge["_fee_kind"] != "card":
        return {"type": "sepa_debit", "sepa_debit": {}}
    card = {"reference_status": "pending", "reference_type": "acquirer_reference_number"}
    return {"type": "card", "card": {**card, "type": "refund"}}


def _count(charge: Obj, amount: int) -> None:
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]


def release(account: Account, charge: Obj, amount: int, reason: str | None = None) -> None:
    """Set an authorised amount free: a refund that moves no balance."""
    if amount:
        make(account, charge, amount, reason)
        charge["payment_method_details"]["card"].pop("capture_before", None)


def create(call: Call) -> Obj:
    """Give a charge back, whole or in part, as far as it was taken and is not disputed."""
    account, params = call.account, call.params
    charge = _charge_of(call)
    _check_disputes(account, charge)
    left = charge["amount"] - charge["amount_refunded"]
    if left <= 0:
        raise refused(
            f"Charge {charge['id']} has already been refunded.", "charge_already_refunded"
        )
    left -= _lost(account, charge)
    amount = params.get("amount", left)
    if amount > left:
        raise refused(
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})",
            "amount_too_large",
            "amount",
        )
    refund = make(account, charge, amount, params.get("reason"))
    refund["metadata"] = merged_metadata({}, params.get("metadata"))
    short = account.fund(charge["currency"]).available < amount
    if not short:
        _pay(account, refund)
    elif charge["_fee_kind"] == "card":
        refund |= {"status": "pending", "pending_reason": "insufficient_funds"}
    else:
        refund |= {"status": "failed", "failure_reason": "insufficient_funds"}
        _count(charge, -amount)
    emit(account, "refund.created", refund)
    if refund["status"] == "failed":
        emit(account, "refund.failed", refund)
    else:
        emit(account, "charge.refunded", charge)
    return refund


def _charge_of(call: Call) -> Obj:
    account, params = call.account, call.params
    if ("charge" in params) == ("payment_intent" in params):
        message = "You must provide exactly one of `charge` and `payment_intent`."
        raise invalid(message, "parameter_missing", "payment_intent")
    if "charge" in params:
        charge = account.get("charge", params["charge"], "charge")
    else:
        intent = account.get("payment_intent", params["payment_intent"], "payment_intent")
        latest = intent["latest_charge"]
        charge = account.table("charge").get(latest or "", {"status": "none", "id": "none"})
    if charge["status"] != "succeeded" or not charge["captured"]:
        raise refused(
            "This PaymentIntent does not have a successful charge to refund."
            if "payment_intent" in params
            else f"Charge {charge['id']} is not refundable: nothing was captured.",
            "charge_not_refundable",
        )
    return charge


def _disputes(account: Account, charge: Obj) -> list[Obj]:
    disputes = account.table("dispute").values()
    return [dispute for dispute in disputes if dispute["charge"] == charge["id"]]


def _check_disputes(account: Account, charge: Obj) -> None:
    for dispute in _disputes(account, charge):
        whole = dispute["amount"] >= charge["amount_captured"]
        open_now = dispute["status"] in {"needs_response", "under_review"}
        if open_now or (dispute["status"] == "lost" and whole):
            message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
            raise refused(message, "charge_disputed")


def _lost(account: Account, charge: Obj) -> int:
    """What the bank already took back for the payer."""
    return sum(row["_taken"] for row in _disputes(account, charge))


def _pay(account: Account, refund: Obj) -> None:
    charge = account.table("charge")[refund["charge"]]
    kind = "refund" if charge["_fee_kind"] == "card" else "payment_refund"
    line = book(account, kind, -refund["amount"], refund["currency"], refund["id"])
    refund["balance_transaction"] = line["id"]
    refund["status"] = "succeeded"
    refund.pop("pending_reason", None)


def pay_waiting(account: Account, money: str) -> None:
    """Funds became available: pay the refunds that wait for them, oldest first."""
    for refund in account.table("refund").values():
        if refund["status"] != "pending" or refund["currency"] != money:
            continue
        if account.fund(money).available < refund["amount"]:
            return
        _pay(account, refund)
        emit(account, "refund.updated", refund)
        emit(account, "charge.refund.updated", refund)


def fail(account: Account, refund: Obj, reason: str) -> None:
    """The payer's bank sent a refund back, or a waiting one is given up."""
    moved = refund["status"] == "succeeded" and refund["balance_transaction"] is not None
    if not moved and refund["status"] != "pending":
        raise ValueError(f"refund {refund['id']} is {refund['status']}")
    charge = account.table("charge")[refund["charge"]]
    if moved:
        source = account.table("balance_transaction")[refund["balance_transaction"]]
        line = book(account, "refund_failure", -source["amount"], refund["currency"], refund["id"])
        refund["failure_balance_transaction"] = line["id"]
    refund.pop("pending_reason", None)
    refund |= {"status": "failed", "failure_reason": reason}
    _count(charge, -refund["amount"])
    emit(account, "refund.failed", refund)
    emit(account, "charge.refund.updated", refund)
    emit(account, "charge.updated", charge)


def update(call: Call) -> Obj:
    """Change the metadata."""
    refund = call.account.get("refund", call.ids["id"])
    refund["metadata"] = merged_metadata(refund["metadata"], call.params.get("metadata"))
    emit(call.account, "refund.updated", refund)
    return refund


_CREATE: dict[str, Any] = {
    "charge": text,
    "payment_intent": text,
    "amount": positive,
    "reason": choice("duplicate", "fraudulent", "requested_by_customer"),
    "metadata": metadata,
    "instructions_email": text,
    "refund_application_fee": boolean,
}
_LIST: dict[str, Any] = {**PAGE, "created": created, "charge": text, "payment_intent": text}


def list_refunds(call: Call) -> Obj:
    """List refunds, newest first."""
    return listed(call, "refund", equal=("charge", "payment_intent"))


ROUTES = [
    Route("POST", "/v1/refunds", create, _CREATE),
    Route("GET", "/v1/refunds", list_refunds, _LIST),
    Route("GET", "/v1/refunds/{id}", one("refund"), {}),
    Route("POST", "/v1/refunds/{id}", update, {"metadata": metadata}),
]
