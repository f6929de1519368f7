"""Accounts: the platform's own, and connected ones with their requirements and links."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.stripe_server.errors import Obj, invalid, missing
from tests.stripe_server.events import emit
from tests.stripe_server.lists import listed
from tests.stripe_server.params import (
    PAGE,
    Need,
    Spec,
    address,
    any_object,
    boolean,
    choice,
    created,
    mapping,
    metadata,
    text,
)
from tests.stripe_server.params import merged as merged_metadata
from tests.stripe_server.payouts import start_payouts
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import Account, World, stamp

#: What a new account is asked for.
FIRST = (
    "business_type",
    "external_account",
    "individual.first_name",
    "individual.last_name",
    "tos_acceptance.date",
    "tos_acceptance.ip",
)
#: How long an account link can be used, in seconds.
LINK_SECONDS = 300


def requirements(currently_due: list[str] | None = None, **more: Any) -> Obj:
    """Return a requirements object."""
    due = list(currently_due or [])
    base: Obj = {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": due,
        "disabled_reason": None,
        "errors": [],
        "eventually_due": list(due),
        "past_due": [],
        "pending_verification": [],
    }
    return base | more


def _settings(interval: str) -> Obj:
    schedule: Obj = {"delay_days": 2, "interval": interval}
    return {
        "bacs_debit_payments": {"display_name": None, "service_user_number": None},
        "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
        "card_payments": {
            "decline_on": {"avs_failure": False, "cvc_failure": False},
            "statement_descriptor_prefix": None,
            "statement_descriptor_prefix_kana": None,
            "statement_descriptor_prefix_kanji": None,
        },
        "dashboard": {"display_name": None, "timezone": "Etc/UTC"},
        "invoices": {"default_account_tax_ids": None},
        "payments": {
            "statement_descriptor": None,
            "statement_descriptor_kana": None,
            "statement_descriptor_kanji": None,
            "statement_descriptor_prefix_kana": None,
            "statement_descriptor_prefix_kanji": None,
        },
        "payouts": {
            "debit_negative_balances": True,
            "schedule": schedule,
            "statement_descriptor": None,
        },
        "sepa_debit_payments": {},
    }


def open_account(
    world: World, ref: str, country: str, platform: Account | None, interval: str
) -> Account:
    """Make an account; a platform's own one can do everything at once."""
    account = Account(world, ref, country, platform)
    own = platform is None
    account.obj = {
        "id": ref,
        "object": "account",
        "business_profile": {
            "mcc": None,
            "name": None,
            "product_description": None,
            "support_address": None,
            "support_email": None,
            "support_phone": None,
            "support_url": None,
            "url": None,
        },
        "business_type": "company" if own else None,
        "capabilities": {"card_payments": "active", "transfers": "active"} if own else {},
        "charges_enabled": own,
        "controller": {"type": "account"},
        "country": country,
        "created": world.ts,
        "default_currency": account.currency,
        "details_submitted": own,
        "email": None,
        "external_accounts": {
            "object": "list",
            "data": [],
            "has_more": False,
            "total_count": 0,
            "url": f"/v1/accounts/{ref}/external_accounts",
        },
        "future_requirements": requirements(),
        "metadata": {},
        "payouts_enabled": own,
        "requirements": requirements() if own else requirements(list(FIRST)),
        "settings": _settings(interval),
        "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
        "type": "standard" if own else "none",
    }
    world.accounts[ref] = account
    if platform is not None:
        platform.table("account")[ref] = account.obj
    start_payouts(account)
    return account


def create(call: Call) -> Obj:
    """Open a connected account."""
    if call.account.platform is not None:
        message = "You can only create new accounts if you've signed up for Connect."
        raise invalid(message)
    params, world = call.params, call.world
    if "type" in params:
        message = "Use `controller` instead of `type`."
        raise invalid(message, "parameter_unknown", "type")
    asked = params.get("capabilities", {})
    account = open_account(
        world,
        world.new_id("acct"),
        params.get("country", call.account.country),
        call.account,
        "daily",
    )
    obj = account.obj
    obj["controller"] = _controller(params.get("controller", {}))
    obj["capabilities"] = {name: "inactive" for name, how in asked.items() if how.get("requested")}
    obj["email"] = params.get("email")
    obj["business_type"] = params.get("business_type")
    obj["business_profile"] |= params.get("business_profile", {})
    obj["metadata"] = merged_metadata({}, params.get("metadata"))
    due = [name for name in FIRST if name != "business_type" or obj["business_type"] is None]
    obj["requirements"] = requirements(
        due, past_due=list(due), disabled_reason="requirements.past_due"
    )
    return obj


def _controller(asked: Obj) -> Obj:
    return {
        "fees": {"payer": asked.get("fees", {}).get("payer", "account")},
        "is_controller": True,
        "losses": {"payments": asked.get("losses", {}).get("payments", "stripe")},
        "requirement_collection": asked.get("requirement_collection", "stripe"),
        "stripe_dashboard": {"type": asked.get("stripe_dashboard", {}).get("type", "full")},
        "type": "application",
    }


def _known(call: Call) -> Account:
    ref = call.ids["id"]
    found = call.world.accounts.get(ref)
    if found is None or (found is not call.account and found.platform is not call.account):
        raise missing("account", ref, "account", status=404)
    return found


def retrieve(call: Call) -> Obj:
    """Return an account of the platform."""
    return _known(call).obj


def update(call: Call) -> Obj:
    """Change an account."""
    account, params = _known(call), dict(call.params)
    obj = account.obj
    obj["metadata"] = merged_metadata(obj["metadata"], params.pop("metadata", None))
    for name, how in params.pop("capabilities", {}).items():
        if how.get("requested"):
            ready = obj["details_submitted"] and obj["requirements"]["disabled_reason"] is None
            obj["capabilities"].setdefault(name, "active" if ready else "inactive")
    if "business_profile" in params:
        obj["business_profile"] |= params.pop("business_profile")
    obj |= params
    emit(account, "account.updated", obj)
    return obj


def create_link(call: Call) -> Obj:
    """Return the address of a page of questions: for one use, and not for long."""
    world, params = call.world, call.params
    target = world.accounts.get(params["account"])
    if target is None or target.platform is not call.account:
        raise missing("account", params["account"], "account", status=400)
    if params["type"] == "account_update" and (
        target.obj["controller"]["requirement_collection"] == "stripe"
    ):
        raise invalid(
            "You cannot create `account_update` type Account Links for this account.", None, "type"
        )
    token = world.new_id("alink")
    link: Obj = {
        "object": "account_link",
        "created": world.ts,
        "expires_at": world.ts + LINK_SECONDS,
        "url": f"{world.url}/setup/s/{target.id}/{token}",
        "_account": target.id,
    }
    call.account.table("account_link")[link["url"]] = link
    return link


def open_link(platform: Account, url: str) -> str:
    """Visit an account link, once; return the account.

    Raises:
        LookupError: unknown, used before, or too old.
    """
    link = platform.table("account_link").pop(url, None)
    if link is None or link["expires_at"] <= platform.world.ts:
        raise LookupError(f"the account link {url} cannot be used (any more)")
    return str(link["_account"])


def complete(account: Account) -> None:
    """Everything asked was answered: the account can do what it asked for."""
    obj, world = account.obj, account.world
    obj |= {"details_submitted": True, "payouts_enabled": True}
    obj["business_type"] = obj["business_type"] or "individual"
    obj["requirements"] = requirements()
    obj["tos_acceptance"] = {"date": world.ts, "ip": "127.0.0.1", "user_agent": None}
    _switch(account, "active")


def _switch(account: Account, state: str) -> None:
    obj = account.obj
    for name in obj["capabilities"]:
        obj["capabilities"][name] = state
    obj["charges_enabled"] = obj["capabilities"].get("card_payments") == "active"
    emit(account, "account.updated", obj)
    for name in obj["capabilities"]:
        emit(account, "capability.updated", _capability(account, name))


def _capability(account: Account, name: str) -> Obj:
    needs = {
        key: value for key, value in account.obj["requirements"].items() if key != "alternatives"
    }
    if needs["disabled_reason"] == "requirements.past_due":
        needs["disabled_reason"] = "requirements.fields_needed"
    elif needs["disabled_reason"] is not None:
        needs["disabled_reason"] = "other"
    empty = {key: value for key, value in requirements().items() if key != "alternatives"}
    return {
        "id": name,
        "object": "capability",
        "account": account.id,
        "future_requirements": {**empty, "alternatives": []},
        "requested": True,
        "requested_at": account.obj["created"],
        "requirements": {**needs, "alternatives": []},
        "status": account.obj["capabilities"][name],
    }


def require(account: Account, fields: list[str], deadline: datetime) -> None:
    """Ask for more, until ``deadline``; then nothing goes out any more."""
    obj = account.obj
    due = list(dict.fromkeys([*obj["requirements"]["currently_due"], *fields]))
    obj["requirements"] = requirements(due, current_deadline=stamp(deadline))
    emit(account, "account.updated", obj)

    def late() -> None:
        still = [name for name in fields if name in obj["requirements"]["currently_due"]]
        if still and obj["requirements"]["current_deadline"] == stamp(deadline):
            obj["requirements"] |= {"past_due": still, "current_deadline": None}
            disable(account, "requirements.past_due")

    account.world.at(deadline, late)


def disable(account: Account, reason: str) -> None:
    """Nothing goes in or out any more."""
    account.obj["requirements"]["disabled_reason"] = reason
    account.obj["payouts_enabled"] = False
    _switch(account, "inactive")


def retrieve_own(call: Call) -> Obj:
    """Return the acting account itself."""
    return call.account.obj


def list_accounts(call: Call) -> Obj:
    """List connected accounts, newest first."""
    return listed(call, "account")


_CHANGES: Spec = {
    "business_type": choice("company", "government_entity", "individual", "non_profit"),
    "email": text,
    "metadata": metadata,
    "capabilities": lambda value, name: {
        kind: mapping({"requested": boolean})(how, f"{name}[{kind}]")
        for kind, how in any_object(value, name).items()
    },
    "business_profile": any_object,
}
_CONTROLLER: Spec = {
    "fees": mapping({"payer": choice("account", "application")}),
    "losses": mapping({"payments": choice("application", "stripe")}),
    "requirement_collection": choice("application", "stripe"),
    "stripe_dashboard": mapping({"type": choice("express", "full", "none")}),
}
_LINK: Spec = {
    "account": Need(text),
    "type": Need(choice("account_onboarding", "account_update")),
    "refresh_url": Need(address),
    "return_url": Need(address),
    "collection_options": any_object,
    "collect": choice("currently_due", "eventually_due"),
}
_OPTIONS: Spec = {
    "country": text,
    "type": text,
    "controller": mapping(_CONTROLLER),
    "default_currency": text,
    "tos_acceptance": any_object,
    "settings": any_object,
}

ROUTES = [
    Route("GET", "/v1/account", retrieve_own, {}),
    Route("POST", "/v1/accounts", create, {**_CHANGES, **_OPTIONS}),
    Route("GET", "/v1/accounts", list_accounts, {**PAGE, "created": created}),
    Route("GET", "/v1/accounts/{id}", retrieve, {}),
    Route("POST", "/v1/accounts/{id}", update, _CHANGES),
    Route("POST", "/v1/account_links", create_link, _LINK),
]
