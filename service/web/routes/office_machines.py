"""The office's machines: deliveries of webhooks, and the provider's books beside ours."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection, RowMapping
from starlette.responses import RedirectResponse, Response

from service import clock
from service.events import endpoints, replays
from service.http.edge import edge_of
from service.http.pages import encode_cursor, uuid_after
from service.http.schemas.base import DifferenceId, EventId, WebhookEndpointId
from service.ids import decode, encode
from service.payments import resolutions, stops
from service.payments.resolutions import Resolution
from service.web.forms import fields
from service.web.office import session
from service.web.office.session import PATH, Visit, enter, shown
from service.web.office.telling import Teller
from service.web.render import HEADERS

router = APIRouter(prefix=PATH, include_in_schema=False)

_PAGE: Final = 50
_STATES: Final = ("waiting", "delivered", "failed", "canceled")
#: What the button that sends failures again looks back on.
_LOOKS_BACK: Final = timedelta(days=30)
_RESOLUTIONS: Final = tuple(one for one in Resolution if one is not Resolution.HEALED)
_WEBHOOKS: Final = f"{PATH}/webhooks"
_BOOKS: Final = f"{PATH}/reconciliation"


@router.get("/webhooks", operation_id="open_office_webhooks")
async def webhooks(request: Request) -> Response:
    """Every endpoint, and how it does."""

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        teller = Teller(connection, visit.actor.platform_id, visit.locale)
        rows = [
            {
                "id": encode("webhook_endpoint", one["id"]),
                "url": one["url"],
                "description": one["description"],
                "events": one["events"],
                "enabled": one["disabled_at"] is None,
                "failing_since": None
                if one["failing_since"] is None
                else teller.at(one["failing_since"]),
            }
            for one in endpoints.every(connection, visit.actor.platform_id)
        ]
        return shown(connection, visit, "office_webhooks.html", "webhooks", rows=rows)

    return await enter(request, "webhooks:read", work)


@router.get("/webhooks/{webhook_endpoint}", operation_id="open_office_deliveries")
async def deliveries(request: Request, webhook_endpoint: WebhookEndpointId) -> Response:
    """What was sent to one endpoint, the newest events first."""
    state = request.query_params.get("state")
    wanted = state if state in _STATES else None
    after = uuid_after(request.query_params.get("cursor"))

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        platform_id = visit.actor.platform_id
        endpoint = endpoints.find(connection, platform_id, webhook_endpoint)
        found = replays.page(
            connection, platform_id, webhook_endpoint, limit=_PAGE + 1, after=after, state=wanted
        )
        teller = Teller(connection, platform_id, visit.locale)
        following = None
        if len(found) > _PAGE:
            cursor = encode_cursor(str(found[_PAGE - 1]["event_id"]))
            following = f"?cursor={cursor}" + (f"&state={wanted}" if wanted else "")
        return shown(
            connection,
            visit,
            "office_deliveries.html",
            "webhooks",
            endpoint={
                "id": encode("webhook_endpoint", webhook_endpoint),
                "url": endpoint["url"],
                "enabled": endpoint["disabled_at"] is None,
            },
            rows=[_delivery(row, teller) for row in found[:_PAGE]],
            following=following,
            state=wanted,
            states=_STATES,
            sent=request.query_params.get("sent", ""),
        )

    return await enter(request, "webhooks:read", work)


def _delivery(row: RowMapping, teller: Teller) -> dict[str, object]:
    return {
        "event": encode("event", row["event_id"]),
        "type": row["type"],
        "state": row["state"],
        "failures": row["failures"],
        "next_at": None if row["next_at"] is None else teller.at(row["next_at"]),
        "created_at": teller.at(row["created_at"]),
    }


@router.post(
    "/webhooks/{webhook_endpoint}/deliveries/{event}/replay", operation_id="office_replay_delivery"
)
async def replay(request: Request, webhook_endpoint: WebhookEndpointId, event: EventId) -> Response:
    """Send one event again."""

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        row = endpoints.find(connection, visit.actor.platform_id, webhook_endpoint, lock=True)
        replays.replay(connection, row, event, clock.now())
        return _back_to(webhook_endpoint, 1)

    return await _and_wake(request, "webhooks:write", work)


@router.post("/webhooks/{webhook_endpoint}/replay-failed", operation_id="office_replay_failed")
async def replay_failed(request: Request, webhook_endpoint: WebhookEndpointId) -> Response:
    """Send again what has failed for good in the last thirty days."""

    def work(connection: Connection, visit: Visit, now: datetime) -> Response:
        row = endpoints.find(connection, visit.actor.platform_id, webhook_endpoint, lock=True)
        count = replays.replay_range(
            connection,
            row,
            since=now - _LOOKS_BACK,
            until=None,
            types=None,
            only_failed=True,
            now=clock.now(),
        )
        return _back_to(webhook_endpoint, count)

    return await _and_wake(request, "webhooks:write", work)


def _back_to(endpoint_id: WebhookEndpointId, count: int) -> Response:
    there = f"{_WEBHOOKS}/{encode('webhook_endpoint', endpoint_id)}?sent={count}"
    return RedirectResponse(there, 303, HEADERS)


async def _and_wake(request: Request, scope: str, work: session.Work) -> Response:
    response = await enter(request, scope, work)
    edge_of(request).wake()
    return response


@router.get("/reconciliation", operation_id="open_office_reconciliation")
async def reconciliation(request: Request) -> Response:
    """The days that were compared, and what does not agree."""
    after = uuid_after(request.query_params.get("cursor"))

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        platform_id = visit.actor.platform_id
        teller = Teller(connection, platform_id, visit.locale)
        stopped = stops.standing(connection, platform_id)
        found = resolutions.page(connection, platform_id, limit=_PAGE + 1, after=after)
        return shown(
            connection,
            visit,
            "office_reconciliation.html",
            "reconciliation",
            stopped=None if stopped is None else (teller.at(stopped[0]), stopped[1]),
            rows=[_difference(row, teller) for row in found[:_PAGE]],
            following=f"?cursor={encode_cursor(str(found[_PAGE - 1]['id']))}"
            if len(found) > _PAGE
            else None,
            runs=resolutions.runs(connection, platform_id, limit=14),
            resolutions=_RESOLUTIONS,
        )

    return await enter(request, "books:read", work)


def _difference(row: RowMapping, teller: Teller) -> dict[str, object]:
    ours, theirs = (
        "—" if row[side] is None else teller.amount(row[side], row["unit"])
        for side in ("ours", "theirs")
    )
    return {
        "id": encode("difference", row["id"]),
        "kind": row["kind"],
        "day": row["day"],
        "provider": row["provider"],
        "ours": ours,
        "theirs": theirs,
        "description": row["description"],
        "found_at": teller.at(row["found_at"]),
        "resolved_at": None if row["resolved_at"] is None else teller.at(row["resolved_at"]),
        "resolution": row["resolution"],
        "reason": row["reason"],
        "open": row["resolved_at"] is None and row["kind"] != "in_flight",
    }


@router.post("/reconciliation/{difference}/resolve", operation_id="office_resolve_difference")
async def resolve(request: Request, difference: DifferenceId) -> Response:
    """Say what a difference was. The amount goes where it belongs; payouts leave after the last."""
    said = await fields(request)

    def work(connection: Connection, visit: Visit, now: datetime) -> Response:
        chosen = said.get("resolution", "")
        reason = said.get("reason", "").strip()
        if chosen not in set(_RESOLUTIONS) or not reason:
            return session.closed(request, "resolution_missing", 422)
        try:
            member = decode("member", said["member"].strip()) if said.get("member") else None
            other = decode("difference", said["other"].strip()) if said.get("other") else None
        except ValueError:
            return session.closed(request, "resolution_id", 422)
        resolutions.resolve(
            connection,
            visit.actor.platform_id,
            difference,
            Resolution(chosen),
            reason[:1_000],
            "platform",
            now,
            member,
            other,
        )
        return RedirectResponse(_BOOKS, 303, HEADERS)

    return await enter(request, "books:write", work)
