"""Chargebacks and inquiries: opened by the payer's bank, answered with evidence, decided."""

from __future__ import annotations

from tests.stripe_server.errors import Obj, invalid, missing, refused
from tests.stripe_server.events import emit
from tests.stripe_server.lists import listed, one
from tests.stripe_server.money import book
from tests.stripe_server.params import (
    PAGE,
    Spec,
    boolean,
    created,
    long_text,
    mapping,
    metadata,
    text,
)
from tests.stripe_server.params import merged as merged_metadata
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import Account, days, stamp

#: How long there is to answer.
ANSWER_DAYS = 7
MAX_EVIDENCE = 150_000

FILES = (
    "cancellation_policy",
    "customer_communication",
    "customer_signature",
    "duplicate_charge_documentation",
    "receipt",
    "refund_policy",
    "service_documentation",
    "shipping_documentation",
    "uncategorized_file",
)
TEXTS = (
    "access_activity_log",
    "billing_address",
    "cancellation_policy_disclosure",
    "cancellation_rebuttal",
    "customer_email_address",
    "customer_name",
    "customer_purchase_ip",
    "duplicate_charge_explanation",
    "duplicate_charge_id",
    "product_description",
    "refund_policy_disclosure",
    "refund_refusal_explanation",
    "service_date",
    "shipping_address",
    "shipping_carrier",
    "shipping_date",
    "shipping_tracking_number",
    "uncategorized_text",
)
OPEN = frozenset({"needs_response", "warning_needs_response"})
REVIEW = {"needs_response": "under_review", "warning_needs_response": "warning_under_review"}
_NETWORK_CODE = {
    "fraudulent": "10.4",
    "product_not_received": "13.1",
    "product_unacceptable": "13.3",
    "duplicate": "12.6",
    "credit_not_processed": "13.6",
    "unrecognized": "10.4",
    "general": "10.4",
}


def start(
    account: Account, charge: Obj, amount: int | None, reason: str, *, inquiry: bool = False
) -> Obj:
    """The payer's bank takes money back (``amount``, or all), or only asks.

    Raises:
        ValueError: there is not so much left to take.
    """
    world = account.world
    disputes = account.table("dispute").values()
    taken = sum(row["_taken"] for row in disputes if row["charge"] == charge["id"])
    left = int(charge["amount"] - charge["amount_refunded"] - taken)
    wanted = left if amount is None else amount
    if charge["status"] != "succeeded" or not charge["captured"] or not 0 < wanted <= left:
        raise ValueError(f"{charge['id']} cannot be disputed for {amount}: {left} is left")
    due_by = world.now + days(ANSWER_DAYS)
    dispute: Obj = {
        "id": world.new_id("du"),
        "object": "dispute",
        "amount": wanted,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": world.ts,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": dict.fromkeys((*FILES, *TEXTS)) | {"enhanced_evidence": {}},
        "evidence_details": {
            "due_by": stamp(due_by),
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": inquiry,
        "livemode": False,
        "metadata": {},
        "network_reason_code": _NETWORK_CODE.get(reason, "10.4"),
        "payment_intent": charge["payment_intent"],
        "reason": reason,
        "status": "warning_needs_response" if inquiry else "needs_response",
        "_moved": [],
        "_taken": 0,
    }
    card = charge["payment_method_details"].get("card")
    if card is not None:
        dispute["payment_method_details"] = {
            "type": "card",
            "card": {
                "brand": card["brand"],
                "case_type": "inquiry" if inquiry else "chargeback",
                "network": card["network"],
                "network_reason_code": dispute["network_reason_code"],
            },
        }
    account.add(dispute)
    charge["disputed"] = True
    if not inquiry:
        _withdraw(account, dispute)
    emit(account, "charge.dispute.created", dispute)
    if not inquiry:
        emit(account, "charge.dispute.funds_withdrawn", dispute)
    emit(account, "charge.updated", charge)
    world.at(due_by, lambda: _late(account, dispute))
    return dispute


def _withdraw(account: Account, dispute: Obj) -> None:
    line = book(
        account,
        "adjustment",
        -dispute["amount"],
        dispute["currency"],
        dispute["id"],
        fee=account.world.fees.of_dispute(dispute["currency"]),
        fee_text="Dispute fee",
        category="dispute",
        description=f"Chargeback withdrawal for {dispute['charge']}",
    )
    dispute["_moved"].append(line["id"])
    dispute["_taken"] = dispute["amount"]


def escalate(account: Account, dispute: Obj) -> None:
    """An inquiry becomes a chargeback: now the money goes."""
    if not dispute["status"].startswith("warning_"):
        raise ValueError(f"{dispute['id']} is {dispute['status']}")
    due_by = account.world.now + days(ANSWER_DAYS)
    dispute |= {"status": "needs_response", "is_charge_refundable": False}
    details = dispute["evidence_details"]
    details |= {"due_by": stamp(due_by), "past_due": False, "submission_count": 0}
    _withdraw(account, dispute)
    emit(account, "charge.dispute.updated", dispute)
    emit(account, "charge.dispute.funds_withdrawn", dispute)
    account.world.at(due_by, lambda: _late(account, dispute))


def _late(account: Account, dispute: Obj) -> None:
    details = dispute["evidence_details"]
    if dispute["status"] in OPEN and details["due_by"] <= account.world.ts:
        details["past_due"] = True
        close(account, dispute, won=False)


def close(account: Account, dispute: Obj, *, won: bool, amount: int | None = None) -> None:
    """Decide; ``amount`` is the part given back when it is won in part.

    Raises:
        ValueError: it is closed already, or more would be given back than was taken.
    """
    status = dispute["status"]
    if status in {"won", "lost", "warning_closed"}:
        raise ValueError(f"{dispute['id']} is {status}")
    back = dispute["_taken"] if amount is None else amount
    if not 0 <= back <= dispute["_taken"]:
        raise ValueError(f"{dispute['id']} took {dispute['_taken']}, not {back}")
    if status.startswith("warning_"):
        dispute["status"] = "warning_closed"
        emit(account, "charge.dispute.closed", dispute)
        return
    dispute["status"] = "won" if won else "lost"
    if won and back:
        _reinstate(account, dispute, back)
    emit(account, "charge.dispute.closed", dispute)
    if won and back:
        emit(account, "charge.dispute.funds_reinstated", dispute)


def _reinstate(account: Account, dispute: Obj, amount: int) -> None:
    fees = account.world.fees
    fee = -fees.of_dispute(dispute["currency"]) if fees.dispute_returned else 0
    line = book(
        account,
        "adjustment",
        amount,
        dispute["currency"],
        dispute["id"],
        fee=fee,
        fee_text="Dispute fee refund",
        category="dispute_reversal",
        description=f"Chargeback reversal for {dispute['charge']}",
    )
    dispute["_moved"].append(line["id"])
    dispute["_taken"] -= amount


def update(call: Call) -> Obj:
    """Stage evidence, and submit it: once."""
    account, params = call.account, call.params
    dispute = account.get("dispute", call.ids["id"])
    given = params.get("evidence", {})
    wants = params.get("submit", bool(given))
    if (given or wants) and dispute["status"] not in OPEN:
        raise refused(f"This dispute is {dispute['status']}: its evidence can't be changed.")
    for name in FILES:
        if given.get(name):
            _check_file(account, given[name], name)
    evidence = dispute["evidence"] | {name: value or None for name, value in given.items()}
    if sum(len(evidence[name] or "") for name in TEXTS) > MAX_EVIDENCE:
        message = f"The combined length of evidence must be at most {MAX_EVIDENCE} characters."
        raise invalid(message, None, "evidence")
    dispute["metadata"] = merged_metadata(dispute["metadata"], params.get("metadata"))
    dispute["evidence"] = evidence
    has = any(value for name, value in evidence.items() if name != "enhanced_evidence")
    dispute["evidence_details"]["has_evidence"] = has
    if wants:
        dispute["status"] = REVIEW[dispute["status"]]
        dispute["evidence_details"]["submission_count"] += 1
        dispute["evidence_details"]["submission_method"] = "manual"
    emit(account, "charge.dispute.updated", dispute)
    word = evidence["uncategorized_text"] or ""
    if wants and "winning_evidence" in word:
        close(account, dispute, won=True)
    elif wants and "losing_evidence" in word:
        close(account, dispute, won=False)
    return dispute


def _check_file(account: Account, ref: str, name: str) -> None:
    param = f"evidence[{name}]"
    found = account.table("file").get(ref)
    if found is None:
        raise missing("file upload", ref, param, status=400)
    if found["purpose"] != "dispute_evidence":
        raise invalid(f"The file {ref} has the wrong purpose.", None, param)


def accept(call: Call) -> Obj:
    """Give in: the dispute is lost."""
    dispute = call.account.get("dispute", call.ids["id"])
    if dispute["status"] not in OPEN:
        raise refused(f"This dispute is already {dispute['status']}.")
    close(call.account, dispute, won=False)
    return dispute


def list_disputes(call: Call) -> Obj:
    """List disputes, newest first."""
    return listed(call, "dispute", equal=("charge", "payment_intent"))


_UPDATE: Spec = {
    "evidence": mapping(dict.fromkeys((*FILES, *TEXTS), long_text)),
    "submit": boolean,
    "metadata": metadata,
}
_LIST: Spec = {**PAGE, "created": created, "charge": text, "payment_intent": text}

ROUTES = [
    Route("GET", "/v1/disputes", list_disputes, _LIST),
    Route("GET", "/v1/disputes/{id}", one("dispute"), {}),
    Route("POST", "/v1/disputes/{id}", update, _UPDATE),
    Route("POST", "/v1/disputes/{id}/close", accept, {}),
]
