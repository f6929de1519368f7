"""What happens when an intent is tried: at the bank at once, by the payer, or days later."""

from __future__ import annotations

from typing import Any

from tests.stripe_server import charges, refunds
from tests.stripe_server.errors import ApiError, Obj, declined
from tests.stripe_server.events import emit
from tests.stripe_server.methods import Behaviour, behaviour, save
from tests.stripe_server.render import shown
from tests.stripe_server.store import Account, days

#: A direct debit is known to have succeeded or failed after this many days.
DEBIT_DAYS = 5
_UNSEEN = "Your card was declined. This transaction requires authentication."
_FAILED_3DS = (
    "We are unable to authenticate your payment method. "
    "Please choose a different payment method and try again."
)


def attempt(account: Account, intent: Obj, params: dict[str, Any]) -> None:
    """Try an intent with the method on it.

    Raises:
        ApiError: 402, the bank refused, or wants the payer who is not there.
    """
    method = account.table("payment_method")[intent["payment_method"]]
    how = behaviour(method)
    intent["_off_session"] = bool(params.get("off_session"))
    intent["_return_url"] = params.get("return_url")
    if how.decline is not None:
        code, decline_code, message = how.decline
        raise _decline(account, intent, method, code, decline_code, message)
    if how.kind == "sepa_debit":
        _debit(account, intent, method, how)
        return
    if how.authenticate == "always" or (how.authenticate and not method["_authenticated"]):
        if intent["_off_session"]:
            code = "authentication_required"
            raise _decline(account, intent, method, code, code, _UNSEEN)
        if params.get("error_on_requires_action"):
            code = "authentication_required"
            raise _decline(account, intent, method, code, code, _UNSEEN)
        _ask(account, intent)
        return
    _approve(account, intent, method)


def _ask(account: Account, intent: Obj) -> None:
    world = account.world
    url = f"{world.url}/3d_secure/{intent['id']}"
    if intent["_return_url"] is not None:
        redirect = {"return_url": intent["_return_url"], "url": url}
        action: Obj = {"type": "redirect_to_url", "redirect_to_url": redirect}
    else:
        sdk = {"type": "three_d_secure_redirect", "stripe_js": url}
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": sdk}
    intent |= {"status": "requires_action", "next_action": action}
    emit(account, "payment_intent.requires_action", intent)
    world.on_intent(account, intent)


def act(account: Account, intent: Obj, succeed: bool) -> None:
    """The payer authenticated, or did not."""
    if intent["status"] != "requires_action":
        raise ValueError(f"{intent['id']} is {intent['status']}, nobody is asked")
    method = account.table("payment_method")[intent["payment_method"]]
    intent["next_action"] = None
    if succeed:
        method["_authenticated"] = True
        _approve(account, intent, method)
        return
    code = "payment_intent_authentication_failure"
    error = {"code": code, "message": _FAILED_3DS, "type": "invalid_request_error"}
    _give_up(account, intent, method, error)


def _decline(
    account: Account, intent: Obj, method: Obj, code: str, decline_code: str | None, message: str
) -> ApiError:
    charge = charges.make(
        account, intent, method, "failed", off_session=bool(intent["_off_session"])
    )
    charges.fail(account, charge, code, message)
    intent["latest_charge"] = charge["id"]
    answer = declined(code, decline_code, message, charge=charge["id"])
    _give_up(account, intent, method, dict(answer.error))
    answer.error["payment_method"] = shown(account, method)
    answer.error["payment_intent"] = shown(account, intent)
    return answer


def _give_up(account: Account, intent: Obj, method: Obj, error: Obj) -> None:
    """The attempt failed: the intent waits for another method."""
    if method["customer"] is None:
        method["_used"] = True
    error |= {"payment_method": shown(account, method)}
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "processing": None,
        "last_payment_error": error,
    }
    emit(account, "payment_intent.payment_failed", intent)
    account.world.on_intent(account, intent)


def _approve(account: Account, intent: Obj, method: Obj) -> None:
    """The bank said yes: the amount is blocked, or taken."""
    world, off_session = account.world, bool(intent["_off_session"])
    charge = charges.make(account, intent, method, "succeeded", off_session=off_session)
    _keep(account, intent, method)
    intent |= {"latest_charge": charge["id"], "next_action": None, "last_payment_error": None}
    if intent["capture_method"] == "manual":
        intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
        emit(account, "charge.succeeded", charge)
        emit(account, "payment_intent.amount_capturable_updated", intent)
        until = world.now + charges.window(behaviour(method), off_session)
        world.at(until, lambda: _expire(account, intent, charge))
    else:
        later = intent["capture_method"] == "automatic_async"
        charges.collect(account, charge, intent["amount"], later=later)
        intent |= {"status": "succeeded", "amount_received": intent["amount"]}
        emit(account, "charge.succeeded", charge)
        emit(account, "payment_intent.succeeded", intent)
    world.on_intent(account, intent)


def _keep(account: Account, intent: Obj, method: Obj) -> None:
    """A method is the customer's from now on, if that was agreed; else it was good for once."""
    if intent["setup_future_usage"] and intent["customer"]:
        save(account, method, intent["customer"])
    if method["customer"] is None:
        method["_used"] = True


def _expire(account: Account, intent: Obj, charge: Obj) -> None:
    if intent["status"] != "requires_capture" or intent["latest_charge"] != charge["id"]:
        return
    refunds.release(account, charge, charge["amount"], "expired_uncaptured_charge")
    _end(account, intent, "automatic")
    emit(account, "charge.expired", charge)
    emit(account, "payment_intent.canceled", intent)
    account.world.on_intent(account, intent)


def cancel(account: Account, intent: Obj, reason: str | None) -> None:
    """Call an intent back; what was blocked is set free."""
    if intent["status"] == "requires_capture":
        charge = account.table("charge")[intent["latest_charge"]]
        refunds.release(account, charge, charge["amount"])
        emit(account, "charge.refunded", charge)
    _end(account, intent, reason)
    emit(account, "payment_intent.canceled", intent)
    account.world.on_intent(account, intent)


def _end(account: Account, intent: Obj, reason: str | None) -> None:
    intent |= {
        "status": "canceled",
        "amount_capturable": 0,
        "canceled_at": account.world.ts,
        "cancellation_reason": reason,
        "next_action": None,
    }


def _debit(account: Account, intent: Obj, method: Obj, how: Behaviour) -> None:
    world = account.world
    charge = charges.make(
        account, intent, method, "pending", off_session=bool(intent["_off_session"])
    )
    _keep(account, intent, method)
    intent |= {"status": "processing", "latest_charge": charge["id"]}
    intent |= {"last_payment_error": None, "next_action": None}
    emit(account, "charge.pending", charge)
    emit(account, "payment_intent.processing", intent)

    def settle() -> None:
        if how.later == "failure":
            _debit_failed(account, intent, method, charge)
            return
        charges.collect(account, charge, intent["amount"])
        intent.update(status="succeeded", amount_received=intent["amount"])
        emit(account, "charge.succeeded", charge)
        emit(account, "payment_intent.succeeded", intent)
        world.on_intent(account, intent)

    world.at(world.now + days(DEBIT_DAYS), settle)
    world.on_intent(account, intent)


def _debit_failed(account: Account, intent: Obj, method: Obj, charge: Obj) -> None:
    code = "insufficient_funds"
    message = "The customer's account has insufficient funds to cover this payment."
    charges.fail(account, charge, code, message)
    error = {"charge": charge["id"], "code": "payment_intent_payment_attempt_failed"}
    error |= {"decline_code": code, "message": message, "type": "invalid_request_error"}
    _give_up(account, intent, method, error)
