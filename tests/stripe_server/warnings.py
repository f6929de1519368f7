"""Early fraud warnings, and what follows the payment with a test method."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from tests.stripe_server import disputes
from tests.stripe_server.errors import Obj
from tests.stripe_server.events import emit
from tests.stripe_server.lists import listed
from tests.stripe_server.params import PAGE, Spec, created, text
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import Account, days

#: A test method's dispute or warning comes this long after the payment.
SOON = timedelta(seconds=1)


def warn(account: Account, charge: Obj, fraud_type: str = "made_with_stolen_card") -> Obj:
    """The card's network thinks that a payment is a fraud."""
    world = account.world
    warning: Obj = {
        "id": world.new_id("issfr"),
        "object": "radar.early_fraud_warning",
        "actionable": not charge["refunded"] and not charge["disputed"],
        "charge": charge["id"],
        "created": world.ts,
        "fraud_type": fraud_type,
        "livemode": False,
        "payment_intent": charge["payment_intent"],
    }
    account.add(warning)
    charge["fraud_details"] = {"stripe_report": "fraudulent"}
    emit(account, "radar.early_fraud_warning.created", warning)
    return warning


def follow(account: Account, charge: Obj) -> None:
    """Plan what follows the payment of ``charge``."""
    later = charge["_later"]
    acts: dict[str, Callable[[], object]] = {
        "dispute": lambda: disputes.start(account, charge, None, "fraudulent"),
        "inquiry": lambda: disputes.start(
            account, charge, None, "product_not_received", inquiry=True
        ),
        "warning": lambda: warn(account, charge),
        "debit_dispute": lambda: _debit_back(account, charge),
    }
    if later not in acts:
        return

    def happen() -> None:
        if not charge["refunded"]:
            acts[later]()

    world = account.world
    world.at(world.now + (days(1) if later == "debit_dispute" else SOON), happen)


def _debit_back(account: Account, charge: Obj) -> None:
    """A disputed direct debit is lost at once: there is no answer to it."""
    dispute = disputes.start(account, charge, None, "debit_not_authorized")
    dispute["evidence_details"]["due_by"] = 0
    disputes.close(account, dispute, won=False)


def current(account: Account, warning: Obj) -> Obj:
    """A warning is no longer actionable once the charge was refunded or disputed."""
    charge = account.table("charge")[warning["charge"]]
    warning["actionable"] = not charge["refunded"] and not charge["disputed"]
    return warning


def retrieve(call: Call) -> Obj:
    """Return a warning."""
    ref = call.ids["id"]
    return current(call.account, call.account.get("radar.early_fraud_warning", ref))


def list_warnings(call: Call) -> Obj:
    """List warnings, newest first."""
    for warning in call.account.table("radar.early_fraud_warning").values():
        current(call.account, warning)
    return listed(call, "radar.early_fraud_warning", equal=("charge", "payment_intent"))


_PATH = "/v1/radar/early_fraud_warnings"
_LIST: Spec = {**PAGE, "created": created, "charge": text, "payment_intent": text}

ROUTES = [
    Route("GET", _PATH, list_warnings, _LIST),
    Route("GET", f"{_PATH}/{{id}}", retrieve, {}),
]
