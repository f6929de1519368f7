"""Events: each change leaves one, with the object as it was at that moment."""

from __future__ import annotations

from typing import Any

from tests.stripe_server.errors import Obj, missing
from tests.stripe_server.lists import listed
from tests.stripe_server.params import PAGE, boolean, created, listing, text
from tests.stripe_server.render import shown
from tests.stripe_server.routes import Call, Route
from tests.stripe_server.store import API_VERSION, Account

KEPT_SECONDS = 30 * 86_400


def emit(account: Account, kind: str, obj: Obj) -> Obj:
    """Tell that ``obj`` changed; ``kind`` is the event's type."""
    world = account.world
    now = shown(account, obj)
    data: Obj = {"object": now}
    before = account.told.get(now.get("id", ""))
    if before is not None and (kind.endswith(".updated") or kind == "charge.refunded"):
        data["previous_attributes"] = {
            name: value for name, value in before.items() if now.get(name, value) != value
        }
    if "id" in now:
        account.told[now["id"]] = now
    asked = world.asked
    event: Obj = {
        "id": world.new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": world.ts,
        "data": data,
        "livemode": False,
        "pending_webhooks": 0,
        "request": {
            "id": asked.request_id if asked else None,
            "idempotency_key": asked.key if asked else None,
        },
        "type": kind,
    }
    if account.platform is not None:
        event["account"] = account.id
    account.add(event)
    world.on_event(account, event)
    return event


def _kept(account: Account, event: Obj) -> bool:
    return bool(event["created"] > account.world.ts - KEPT_SECONDS)


def retrieve(call: Call) -> Obj:
    """Return one event, up to 30 days old."""
    event = call.account.get("event", call.ids["id"])
    if not _kept(call.account, event):
        raise missing("event", event["id"], "id")
    return event


def list_events(call: Call) -> Obj:
    """List events of 30 days, newest first."""
    kinds = call.params.get("types") or [call.params.get("type", "*")]

    delivered = call.params.get("delivery_success")

    def wanted(event: Obj) -> bool:
        if delivered is not None and delivered != (event["pending_webhooks"] == 0):
            return False
        return _kept(call.account, event) and any(matches(kind, event["type"]) for kind in kinds)

    return listed(call, "event", wanted)


def matches(pattern: str, kind: str) -> bool:
    """Whether a type is meant by a pattern: itself, ``*``, or ``charge.*``."""
    if pattern.endswith("*"):
        return kind.startswith(pattern[:-1])
    return pattern == kind


_LIST: dict[str, Any] = {
    **PAGE,
    "created": created,
    "delivery_success": boolean,
    "type": text,
    "types": listing(text),
}

ROUTES = [
    Route("GET", "/v1/events", list_events, _LIST),
    Route("GET", "/v1/events/{id}", retrieve, {}),
]
