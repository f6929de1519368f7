"""Transfers to connected accounts, and reversals that call them back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.stripe_server.errors import Obj, missing, refused
from tests.stripe_server.events import emit
from tests.stripe_server.lists import listed
from tests.stripe_server.methods import BILLING
from tests.stripe_server.money import book, require_available, settle_at
from tests.stripe_server.params import (
    PAGE,
    Need,
    Spec,
    boolean,
    choice,
    created,
    currency,
    metadata,
    positive,
    text,
    text_or_empty,
)
from tests.stripe_server.params import merged as merged_metadata
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import Account, instant, region

_SHORT = (
    "You have insufficient available funds in your Stripe account. Try adding funds directly to "
    "your available balance."
)


def create(call: Call) -> Obj:
    """Move money to a connected account: from the balance, or from one charge."""
    account, params = call.account, call.params
    world = call.world
    target = _destination(account, params["destination"])
    money = params["currency"]
    source = params.get("source_transaction")
    at: datetime | None = None
    if source is not None:
        charge = account.get("charge", source, "source_transaction", status=400)
        at = _check_source(account, charge, params)
    else:
        if "amount" not in params:
            raise refused("Missing required param: amount.", "parameter_missing", "amount")
        require_available(account, params["amount"], money, _SHORT)
    amount: int = params["amount"] if "amount" in params else charge["amount_captured"]
    ref = world.new_id("tr")
    group = params.get("transfer_group")
    if group is None and source is not None:
        group = charge["transfer_group"] or f"group_{charge['payment_intent']}"
        charge["transfer_group"] = group
    line = book(
        account,
        "transfer",
        -amount,
        money,
        ref,
        description=params.get("description"),
        available_at=at,
    )
    transfer: Obj = {
        "id": ref,
        "object": "transfer",
        "amount": amount,
        "amount_reversed": 0,
        "balance_transaction": line["id"],
        "created": world.ts,
        "currency": money,
        "description": params.get("description"),
        "destination": target.id,
        "destination_payment": _arrive(target, ref, amount, money, at),
        "livemode": False,
        "metadata": merged_metadata({}, params.get("metadata")),
        "reversals": None,
        "reversed": False,
        "source_transaction": source,
        "source_type": params.get("source_type", "card"),
        "transfer_group": group,
        "_reversals": [],
    }
    account.add(transfer)
    emit(account, "transfer.created", transfer)
    return transfer


def _destination(account: Account, ref: str) -> Account:
    target = account.world.accounts.get(ref)
    if target is None or target.platform is not account:
        raise missing("destination", ref, "destination", status=400)
    if target.obj["capabilities"].get("transfers") != "active":
        raise refused(
            "Your destination account needs to have at least one of the following capabilities "
            "enabled: transfers, crypto_transfers, legacy_payments",
            "insufficient_capabilities_for_transfer",
            "destination",
        )
    if region(target.country) != region(account.country):
        message = "Funds can't be sent to accounts located outside of your region."
        raise refused(message, "transfers_not_allowed", "destination")
    return target


def _check_source(account: Account, charge: Obj, params: dict[str, Any]) -> datetime:
    """Refuse more than the charge brought; return when its funds can be used."""
    if not (charge["paid"] and charge["captured"]):
        message = "`source_transaction` must be a charge that succeeded and was captured."
        raise refused(message, None, "source_transaction")
    if charge["currency"] != params["currency"]:
        message = "The currency of source_transaction's balance transaction must be the transfer's."
        raise refused(message, None, "currency")
    transfers = account.table("transfer").values()
    used = sum(
        row["amount"] - row["amount_reversed"]
        for row in transfers
        if row["source_transaction"] == charge["id"]
    )
    room = charge["amount_captured"] - used
    if params.get("amount", charge["amount_captured"]) > room:
        raise refused(
            "Transfers using this transaction as a source must not exceed the source amount of "
            f"{charge['amount_captured']}. (Transfers in the amount of {used} already use it.)",
            None,
            "amount",
        )
    line = account.table("balance_transaction").get(charge["balance_transaction"] or "")
    return settle_at(account) if line is None else instant(line["available_on"])


def _arrive(target: Account, ref: str, amount: int, money: str, at: datetime | None) -> str:
    """The connected account sees a payment; return its id."""
    world = target.world
    payment = world.new_id("py")
    line = book(target, "payment", amount, money, payment, available_at=at)
    target.add(
        {
            "id": payment,
            "object": "charge",
            "amount": amount,
            "amount_captured": amount,
            "amount_refunded": 0,
            "application": None,
            "application_fee": None,
            "application_fee_amount": None,
            "balance_transaction": line["id"],
            "billing_details": {**BILLING, "address": dict(BILLING["address"])},
            "calculated_statement_descriptor": None,
            "captured": True,
            "created": world.ts,
            "currency": money,
            "customer": None,
            "description": None,
            "disputed": False,
            "failure_balance_transaction": None,
            "failure_code": None,
            "failure_message": None,
            "fraud_details": {},
            "livemode": False,
            "metadata": {},
            "on_behalf_of": None,
            "outcome": None,
            "paid": True,
            "payment_intent": None,
            "payment_method": None,
            "payment_method_details": {"stripe_account": {}, "type": "stripe_account"},
            "receipt_email": None,
            "receipt_number": None,
            "receipt_url": None,
            "refunded": False,
            "review": None,
            "shipping": None,
            "source": None,
            "source_transfer": ref,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": "succeeded",
            "transfer_data": None,
            "transfer_group": None,
            "_fee_kind": "stripe_account",
        }
    )
    return payment


def reverse(call: Call) -> Obj:
    """Call a transfer back, whole or in part, as far as the connected account can pay."""
    account, params, world = call.account, call.params, call.world
    transfer = account.get("transfer", call.ids["transfer"])
    left = transfer["amount"] - transfer["amount_reversed"]
    amount = params.get("amount", left)
    if left == 0:
        raise refused(f"Transfer {transfer['id']} is already fully reversed.")
    if amount > left:
        raise refused(
            f"Reversal amount ({amount}) is greater than unreversed amount on transfer ({left})",
            None,
            "amount",
        )
    target, money = world.accounts[transfer["destination"]], transfer["currency"]
    require_available(
        target,
        amount,
        money,
        "The connected account does not have enough available funds to reverse this transfer.",
    )
    ref = world.new_id("trr")
    line = book(account, "transfer_refund", amount, money, ref)
    reversal: Obj = {
        "id": ref,
        "object": "transfer_reversal",
        "amount": amount,
        "balance_transaction": line["id"],
        "created": world.ts,
        "currency": money,
        "destination_payment_refund": _leave(target, transfer, ref, amount),
        "metadata": merged_metadata({}, params.get("metadata")),
        "source_refund": None,
        "transfer": transfer["id"],
    }
    account.add(reversal)
    transfer["_reversals"].append(ref)
    transfer["amount_reversed"] += amount
    transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
    emit(account, "transfer.reversed", transfer)
    return reversal


def _leave(target: Account, transfer: Obj, reversal: str, amount: int) -> str:
    """The connected account sees a refund of its payment; return its id."""
    world, money = target.world, transfer["currency"]
    ref = world.new_id("pyr")
    line = book(target, "payment_refund", -amount, money, ref)
    payment = target.table("charge")[transfer["destination_payment"]]
    payment["amount_refunded"] += amount
    payment["refunded"] = payment["amount_refunded"] == payment["amount"]
    target.add(
        {
            "id": ref,
            "object": "refund",
            "amount": amount,
            "balance_transaction": line["id"],
            "charge": payment["id"],
            "created": world.ts,
            "currency": money,
            "metadata": {},
            "payment_intent": None,
            "reason": None,
            "receipt_number": None,
            "source_transfer_reversal": reversal,
            "status": "succeeded",
            "transfer_reversal": None,
        }
    )
    return ref


def retrieve(call: Call) -> Obj:
    """Return a transfer."""
    return call.account.get("transfer", call.ids["id"])


def update(call: Call) -> Obj:
    """Change what is only told."""
    transfer, params = retrieve(call), dict(call.params)
    transfer["metadata"] = merged_metadata(transfer["metadata"], params.pop("metadata", None))
    transfer |= params
    emit(call.account, "transfer.updated", transfer)
    return transfer


def list_transfers(call: Call) -> Obj:
    """List transfers, newest first."""
    return listed(call, "transfer", equal=("destination", "transfer_group"))


def list_reversals(call: Call) -> Obj:
    """List the reversals of a transfer, newest first."""
    transfer = call.account.get("transfer", call.ids["transfer"])
    return listed(call, "transfer_reversal", lambda row: row["transfer"] == transfer["id"])


def retrieve_reversal(call: Call) -> Obj:
    """Return a reversal of a transfer."""
    reversal = call.account.get("transfer_reversal", call.ids["id"])
    if reversal["transfer"] != call.ids["transfer"]:
        raise missing("transfer_reversal", reversal["id"], "id")
    return reversal


_CREATE: Spec = {
    "amount": positive,
    "currency": Need(currency),
    "destination": Need(text),
    "description": text,
    "metadata": metadata,
    "source_transaction": text,
    "source_type": choice("card", "bank_account", "fpx"),
    "transfer_group": text,
}
_REVERSE: Spec = {
    "amount": positive,
    "description": text,
    "metadata": metadata,
    "refund_application_fee": boolean,
}
_LIST: Spec = {**PAGE, "created": created, "destination": text, "transfer_group": text}
_PATH = "/v1/transfers"

ROUTES = [
    Route("POST", _PATH, create, _CREATE),
    Route("GET", _PATH, list_transfers, _LIST),
    Route("GET", f"{_PATH}/{{id}}", retrieve, {}),
    Route("POST", f"{_PATH}/{{id}}", update, {"metadata": metadata, "description": text_or_empty}),
    Route("POST", f"{_PATH}/{{transfer}}/reversals", reverse, _REVERSE),
    Route("GET", f"{_PATH}/{{transfer}}/reversals", list_reversals, PAGE),
    Route("GET", f"{_PATH}/{{transfer}}/reversals/{{id}}", retrieve_reversal, {}),
]
