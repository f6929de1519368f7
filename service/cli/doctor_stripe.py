"""``tierce doctor --stripe``: look at platforms' connections to Stripe and say how to mend them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import Engine, text

from service import clock, db
from service.cli.doctor import show
from service.cli.doctor_settings import Finding
from service.cli.home import CommandError, Home, database
from service.cli.terminal import say
from service.config import Settings
from service.http.routes.providers import webhook_urls
from service.ids import encode
from service.payments import connections
from service.payments.stripe.check import examine
from service.payments.stripe.provider import Stripe
from service.payments.vault import SecretsUnreadable

#: Events that could not be applied: the newest tell enough.
_MOST_EVENTS: Final = 10
_HOW: Final = """\
1. In Stripe's Dashboard make a secret key of the platform's own account: in test mode for a sandbox
   platform (sk_test_…), in live mode for a live one (sk_live_…).
2. GET {base}/v1/provider-connections/stripe with the platform's API key
   shows the two webhook endpoints to make in the Dashboard, and the events that each needs.
3. PUT {base}/v1/provider-connections/stripe
   {{"secret_key": "sk_test_…", "publishable_key": "pk_test_…",
    "webhook_secret": "whsec_…", "payee_webhook_secret": "whsec_…"}}
4. Run this again."""


@dataclass(frozen=True, slots=True)
class _Tenant:
    id: UUID
    name: str
    mode: str


def doctor_stripe(settings: Settings, platform_id: UUID | None = None) -> int:
    """Print every finding on one platform's connection, or on all; return 0 if all is well."""
    with database(settings) as url:
        engine = db.create_engine(url, pool_size=2)
        try:
            tenants = _connected(engine, platform_id)
            if not tenants:
                say("No Stripe account is connected" + (" to this platform" if platform_id else ""))
                say(_HOW.format(base=settings.public_url.rstrip("/")))
                return 1
            with closing(_provider(settings, engine)) as stripe:
                return show(
                    finding
                    for tenant in tenants
                    for finding in _examine(settings, engine, stripe, tenant)
                )
        finally:
            engine.dispose()


def _connected(engine: Engine, platform_id: UUID | None) -> Sequence[_Tenant]:
    with db.transaction(engine, db.SYSTEM) as connection:
        rows = connection.execute(
            text(
                "SELECT p.id, p.name, p.mode FROM service.provider_connection c "
                "JOIN service.platform p ON p.id = c.platform_id WHERE c.provider = :provider "
                "AND (CAST(:id AS uuid) IS NULL OR p.id = :id) ORDER BY p.id"
            ),
            {"provider": connections.STRIPE, "id": platform_id},
        )
        return [_Tenant(*row) for row in rows]


def _provider(settings: Settings, engine: Engine) -> Stripe:
    given = settings.code_key
    key = Home(settings.home).read("code.key") if given is None else given.get_secret_value()
    if key is None:
        raise CommandError(
            "The secrets of connections are sealed under TIERCE_CODE_KEY, which is neither set nor "
            f"kept in {settings.home}. Set the one that the instance runs with."
        )
    return Stripe(engine, key, clock.now, settings.stripe_api_base)


def _examine(
    settings: Settings, engine: Engine, stripe: Stripe, tenant: _Tenant
) -> Iterator[Finding]:
    name = f"{tenant.name} ({tenant.mode}, {encode('platform', tenant.id)})"
    try:
        with db.transaction(engine, tenant.id) as connection:
            connected = connections.need(connection, stripe.vault, tenant.id)
    except SecretsUnreadable as error:
        yield Finding(False, f"{name}: stored secrets", str(error))
        return
    yield _address(settings)
    urls = webhook_urls(settings.public_url, tenant.id)
    account, found = examine(stripe.look(connected), urls, clock.now)
    for one in found:
        yield Finding(one.well, f"{name}: {one.what}", one.mend)
    if account is not None and connected.account_ref not in {None, account}:
        yield Finding(
            False,
            f"{name}: the key opens {account}, and the platform's money is on "
            f"{connected.account_ref}",
            "Connect a key of that account. Until then nothing is asked of Stripe.",
        )
    yield from _left_aside(engine, name, tenant)


def _left_aside(engine: Engine, name: str, tenant: _Tenant) -> Iterator[Finding]:
    """Show what Stripe told truly and nobody could apply, with the reason kept for each."""
    with db.transaction(engine, tenant.id) as connection:
        rows = connection.execute(
            text(
                "SELECT event_id, kind, object_ref, note FROM service.provider_event "
                "WHERE platform_id = :id AND provider = :provider AND note IS NOT NULL "
                "AND applied_at IS NULL ORDER BY received_at DESC LIMIT :most"
            ),
            {"id": tenant.id, "provider": connections.STRIPE, "most": _MOST_EVENTS},
        ).all()
    for row in rows:
        yield Finding(
            True, f"{name}: {row.kind} {row.event_id} about {row.object_ref} waits: {row.note}"
        )


def _address(settings: Settings) -> Finding:
    """Stripe sends webhooks to public addresses over TLS alone."""
    parts = urlsplit(settings.public_url)
    return Finding(
        parts.scheme == "https" and not _is_local(parts.hostname or ""),
        f"this instance's address is {settings.public_url}",
        "Set TIERCE_PUBLIC_URL to the https:// address under which Stripe reaches it. Until then "
        "events are found by polling; for a trial, `stripe listen --forward-to` brings them here.",
    )


def _is_local(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or "." not in host
