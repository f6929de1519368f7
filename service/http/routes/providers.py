"""The platform's own account at a payment provider: connected, looked at, let go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection, RowMapping
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service import clock, db
from service.http.auth import Actor, platform_key
from service.http.edge import Edge, edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.schemas.providers import (
    CheckOut,
    ConnectBody,
    ProviderConnectionOut,
    RefusedDeliveryPage,
    WebhookSecretBody,
)
from service.ids import encode
from service.payments import connections, deliveries
from service.payments.connected import Connected, WebhookSecret, hint
from service.payments.stripe.check import API_VERSION, Finding, examine
from service.payments.stripe.events import PAYEE_TYPES, PLATFORM_TYPES
from service.payments.stripe.provider import Stripe
from service.payments.vault import Vault

router = APIRouter(prefix="/v1", tags=["Payment providers"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(platform_key("providers:read"))]
Writer = Annotated[Actor, Depends(platform_key("providers:write"))]

#: How long old webhook secrets work beside a new one unless the caller says otherwise.
_OVERLAP = timedelta(hours=24)


def _stripe(edge: Edge) -> Stripe:
    found = edge.desk.providers[connections.STRIPE]
    assert isinstance(found, Stripe)
    return found


def _vault(edge: Edge) -> Vault:
    return _stripe(edge).vault


def webhook_urls(public_url: str, platform_id: UUID) -> Mapping[str, str]:
    """Return the addresses of a platform's two webhook endpoints."""
    base = f"{public_url.rstrip('/')}/v1/providers/stripe/{encode('platform', platform_id)}"
    return {"platform": f"{base}/events", "payees": f"{base}/payee-events"}


def _shown(edge: Edge, platform_id: UUID, one: Connected | None) -> dict[str, Any]:
    urls = webhook_urls(edge.settings.public_url, platform_id)
    kept: Mapping[str, tuple[WebhookSecret, ...]] = {
        "platform": () if one is None else one.webhook_secrets,
        "payees": () if one is None else one.payee_webhook_secrets,
    }
    told = {"platform": PLATFORM_TYPES, "payees": PAYEE_TYPES}
    webhooks = {
        f"{endpoint}_webhook": {
            "url": urls[endpoint],
            "events": list(told[endpoint]),
            "secrets": [{"hint": hint(each.value), "until": each.until} for each in kept[endpoint]],
        }
        for endpoint in ("platform", "payees")
    }
    return {
        "object": "provider_connection",
        "provider": connections.STRIPE,
        "connected": one is not None,
        "account": None if one is None else one.account_ref,
        "secret_key_hint": None if one is None else hint(one.secret_key),
        "publishable_key": None if one is None else one.publishable_key,
        "api_version": API_VERSION,
        **webhooks,
        "connected_at": None if one is None else one.connected_at,
        "checked_at": None if one is None else one.checked_at,
        "events_seen_until": None if one is None else one.events_seen_until,
    }


@router.get(
    "/provider-connections/stripe",
    operation_id="get_stripe_connection",
    summary="Read the connection to Stripe",
    response_model=ProviderConnectionOut,
    responses=documented(409),
)
async def get_stripe_connection(request: Request, actor: Reader) -> Response:
    """Without its secrets. Before anything is connected it says which webhooks to make."""
    edge = edge_of(request)
    found = await edge.run(
        actor.platform_id, lambda c: connections.find(c, _vault(edge), actor.platform_id)
    )
    return json_response(_shown(edge, actor.platform_id, found))


@router.put(
    "/provider-connections/stripe",
    operation_id="connect_stripe",
    summary="Connect the platform's own Stripe account",
    response_model=ProviderConnectionOut,
    responses=documented(400, 409, 413, 415, 422),
)
async def connect_stripe(request: Request, body: ConnectBody, actor: Writer) -> Response:
    """Or replace its keys. The same again changes nothing. Then check it: POST …/check."""
    edge = edge_of(request)
    made = await edge.run(
        actor.platform_id,
        lambda c: connections.connect(
            c,
            _vault(edge),
            actor.platform_id,
            actor.mode,
            secret_key=body.secret_key,
            publishable_key=body.publishable_key,
            webhook_secret=body.webhook_secret,
            payee_webhook_secret=body.payee_webhook_secret,
            now=clock.now(),
        ),
    )
    return json_response(_shown(edge, actor.platform_id, made))


@router.post(
    "/provider-connections/stripe/webhook-secrets",
    operation_id="rotate_stripe_webhook_secret",
    summary="Store a new signing secret of a webhook endpoint",
    response_model=ProviderConnectionOut,
    responses=documented(400, 409, 413, 415, 422),
)
async def rotate_stripe_webhook_secret(
    request: Request, body: WebhookSecretBody, actor: Writer, key: KeyHeader = None
) -> Response:
    """The old ones work on until `old_until`, so that no event is refused while you change over."""
    edge = edge_of(request)

    def work(connection: Connection, _now: datetime) -> Answer:
        now = clock.now()
        changed = connections.rotate(
            connection,
            _vault(edge),
            actor.platform_id,
            body.endpoint,
            body.secret,
            body.old_until or now + _OVERLAP,
            now,
        )
        return Answer(_shown(edge, actor.platform_id, changed))

    return await once(request, edge, actor, key, work)


@router.post(
    "/provider-connections/stripe/disconnect",
    operation_id="disconnect_stripe",
    summary="Let go of the connection to Stripe",
    response_model=ProviderConnectionOut,
    responses=documented(400, 409),
)
async def disconnect_stripe(request: Request, actor: Writer, key: KeyHeader = None) -> Response:
    """Refused while money is held there or payments are open. Its secrets are deleted."""
    edge = edge_of(request)

    def work(connection: Connection, _now: datetime) -> Answer:
        connections.forget(connection, actor.platform_id)
        return Answer(_shown(edge, actor.platform_id, None))

    return await once(request, edge, actor, key, work)


@router.post(
    "/provider-connections/stripe/check",
    operation_id="check_stripe_connection",
    summary="Look at the connection to Stripe whole",
    response_model=CheckOut,
    responses=documented(409),
)
async def check_stripe_connection(request: Request, actor: Writer) -> Response:
    """Asks Stripe: key, account, permissions, payout schedule, webhooks. Notes the account."""
    edge = edge_of(request)
    connected = await edge.run(
        actor.platform_id, lambda c: connections.need(c, _vault(edge), actor.platform_id)
    )
    urls = webhook_urls(edge.settings.public_url, actor.platform_id)
    account, findings = await run_in_threadpool(
        lambda: examine(_stripe(edge).look(connected), urls, clock.now)
    )
    if account is not None:
        await _note(edge, actor, connected.version, account)
    return json_response(
        {
            "object": "provider_check",
            "well": all(one.well for one in findings),
            "account": account,
            "findings": [_finding(one) for one in findings],
        }
    )


async def _note(edge: Edge, actor: Actor, version: int, account: str) -> None:
    now = clock.now()
    await edge.run(
        db.SYSTEM,
        lambda c: connections.check_not_taken(c, actor.platform_id, actor.mode, account),
    )
    await edge.run(
        actor.platform_id,
        lambda c: connections.record_check(c, actor.platform_id, version, account, now),
    )


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "name": one.name,
        "well": one.well,
        "what": one.what,
        "mend": None if one.well else one.mend,
    }


@router.get(
    "/provider-deliveries/refused",
    operation_id="list_refused_deliveries",
    summary="List deliveries to your webhook endpoints that were refused",
    response_model=RefusedDeliveryPage,
    responses=documented(400, 422),
)
async def list_refused_deliveries(
    request: Request, actor: Reader, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """Newest first: forged, stale, or for another endpoint or mode. Nothing of them was booked."""
    rows = await edge_of(request).run(
        actor.platform_id,
        lambda c: deliveries.page(c, actor.platform_id, limit=limit + 1, after=uuid_after(cursor)),
    )
    return page(request, rows, limit, _delivery, lambda row: (row["id"],))


def _delivery(row: RowMapping) -> dict[str, Any]:
    return {
        "id": encode("delivery", row["id"]),
        "object": "refused_delivery",
        "provider": row["provider"],
        "endpoint": row["endpoint"],
        "reason": row["reason"],
        "body_sha256": bytes(row["digest"]).hex(),
        "received_at": row["received_at"],
    }
