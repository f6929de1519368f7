"""Webhook endpoints: where a platform wants its events sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Connection, RowMapping, select, text

from ledger.refusals import Refusal
from service.events import notices, signing
from service.events.catalogue import check_filter
from service.events.tables import webhook_endpoint as endpoint
from service.ids import uuid7
from service.sealing import SealBroken, Sealer

#: How many endpoints a platform has at most.
MOST: Final = 50
#: How long an old secret works on beside a new one, at most.
LONGEST_OVERLAP: Final = timedelta(hours=168)


class EndpointNotFound(Refusal):
    """No such webhook endpoint on this platform."""

    code = "webhook_endpoint_not_found"


class TooManyEndpoints(Refusal):
    """The platform has as many endpoints as a platform may have."""

    code = "too_many_webhook_endpoints"


class SecretInUse(Refusal):
    """The new secret is the old one."""

    code = "webhook_secret_in_use"


# Enabled at NULL-to-now: what waited is due at once, in the order of each exchange.
_ENABLE: Final = text(
    "UPDATE service.webhook_endpoint SET enabled_at = :now, disabled_at = NULL, "
    "disabled_reason = NULL, failing_since = NULL, warned_at = NULL, held_until = NULL "
    "WHERE platform_id = :platform_id AND id = :id"
)
_RESUME: Final = text(
    "UPDATE service.webhook_delivery SET next_at = :now, failures = 0 "
    "WHERE platform_id = :platform_id AND endpoint_id = :id AND state = 'waiting'"
)
_DELETE: Final = text(
    "UPDATE service.webhook_endpoint SET deleted_at = :now, secrets_sealed = NULL, "
    "enabled_at = NULL, disabled_at = coalesce(disabled_at, :now), "
    "disabled_reason = coalesce(disabled_reason, 'by_platform') "
    "WHERE platform_id = :platform_id AND id = :id"
)
_CANCEL: Final = text(
    "UPDATE service.webhook_delivery SET state = 'canceled', next_at = NULL, ended_at = :now "
    "WHERE platform_id = :platform_id AND endpoint_id = :id AND state = 'waiting'"
)
_LOCK_PLATFORM: Final = text(
    "SELECT pg_advisory_xact_lock(hashtextextended('webhook endpoints of ' || :name, 0))"
)


def create(
    connection: Connection,
    sealer: Sealer,
    platform_id: UUID,
    *,
    url: str,
    events: Sequence[str],
    description: str,
    secret: SecretStr | None,
    now: datetime,
) -> tuple[RowMapping, str]:
    """Add an endpoint, whose address was checked; return it and its secret, shown this once.

    Events that happen from ``now`` on are sent to it.

    Raises:
        UnknownEventType: a type that does not exist.
        InvalidSecret: the platform's own secret is none.
        TooManyEndpoints
    """
    wanted = check_filter(events)
    value = signing.new_secret() if secret is None else signing.check_secret(secret)
    connection.execute(_LOCK_PLATFORM, {"name": str(platform_id)})
    if len(every(connection, platform_id)) >= MOST:
        raise TooManyEndpoints(f"A platform has up to {MOST} webhook endpoints.")
    endpoint_id = uuid7()
    sealed = signing.seal(sealer, platform_id, endpoint_id, [signing.Secret(value)])
    made = (
        endpoint.insert()
        .values(
            platform_id=platform_id,
            id=endpoint_id,
            url=url,
            description=description,
            events=wanted,
            secrets_sealed=sealed,
            created_at=now,
            enabled_at=now,
        )
        .returning(endpoint)
    )
    return connection.execute(made).mappings().one(), value


def every(connection: Connection, platform_id: UUID) -> Sequence[RowMapping]:
    """Return the platform's endpoints, the newest first."""
    query = select(endpoint).where(
        endpoint.c.platform_id == platform_id, endpoint.c.deleted_at.is_(None)
    )
    return connection.execute(query.order_by(endpoint.c.id.desc())).mappings().all()


def find(
    connection: Connection, platform_id: UUID, endpoint_id: UUID, *, lock: bool = False
) -> RowMapping:
    """Return an endpoint.

    Raises:
        EndpointNotFound: the platform has none with this id, or had, and deleted it.
    """
    query = select(endpoint).where(
        endpoint.c.platform_id == platform_id,
        endpoint.c.id == endpoint_id,
        endpoint.c.deleted_at.is_(None),
    )
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if row is None:
        raise EndpointNotFound("No webhook endpoint with this id.")
    return row


def change(
    connection: Connection,
    platform_id: UUID,
    endpoint_id: UUID,
    changes: dict[str, Any],
    now: datetime,
) -> RowMapping:
    """Change ``url`` (checked), ``events``, ``description`` or ``enabled``; return the endpoint.

    A filter counts for events from now on. Enabled again, it gets what waited; what happened
    meanwhile can be replayed.

    Raises:
        EndpointNotFound, UnknownEventType
    """
    row = find(connection, platform_id, endpoint_id, lock=True)
    values = {name: changes[name] for name in ("url", "events", "description") if name in changes}
    if "events" in values:
        values["events"] = check_filter(values["events"])
    if values:
        connection.execute(
            endpoint.update()
            .where(endpoint.c.platform_id == platform_id, endpoint.c.id == endpoint_id)
            .values(values)
        )
    enabled = changes.get("enabled")
    key = {"platform_id": platform_id, "id": endpoint_id, "now": now}
    if enabled is True and row["enabled_at"] is None:
        connection.execute(_ENABLE, key)
        connection.execute(_RESUME, key)
    elif enabled is False and row["enabled_at"] is not None:
        notices.disable(connection, row, "by_platform", now)
    return find(connection, platform_id, endpoint_id)


def delete(connection: Connection, platform_id: UUID, endpoint_id: UUID, now: datetime) -> None:
    """Delete an endpoint: its secrets are gone, and what waits for it is not sent.

    Raises:
        EndpointNotFound
    """
    find(connection, platform_id, endpoint_id, lock=True)
    key = {"platform_id": platform_id, "id": endpoint_id, "now": now}
    connection.execute(_DELETE, key)
    connection.execute(_CANCEL, key)


def rotate(
    connection: Connection,
    sealer: Sealer,
    platform_id: UUID,
    endpoint_id: UUID,
    *,
    secret: SecretStr | None,
    overlap: timedelta,
    now: datetime,
) -> tuple[RowMapping, str]:
    """Give an endpoint a new secret; until ``overlap`` is over, messages are signed with both.

    One that was still ending ends now: there are never more than two.

    Raises:
        EndpointNotFound, InvalidSecret
        SecretInUse: the new one is the old one.
    """
    assert timedelta(0) <= overlap <= LONGEST_OVERLAP
    row = find(connection, platform_id, endpoint_id, lock=True)
    value = signing.new_secret() if secret is None else signing.check_secret(secret)
    try:
        (old, *_) = signing.unseal(sealer, platform_id, endpoint_id, bytes(row["secrets_sealed"]))
    except SealBroken:
        kept = []  # under another TIERCE_CODE_KEY: a new secret is how it is mended
    else:
        if old.value == value:
            raise SecretInUse("This is the endpoint's secret already.", pointer="/secret")
        kept = [signing.Secret(old.value, now + overlap)] if overlap else []
    sealed = signing.seal(sealer, platform_id, endpoint_id, [signing.Secret(value), *kept])
    changed = (
        endpoint.update()
        .where(endpoint.c.platform_id == platform_id, endpoint.c.id == endpoint_id)
        .values(secrets_sealed=sealed)
        .returning(endpoint)
    )
    return connection.execute(changed).mappings().one(), value


def secret_ends(sealer: Sealer, row: RowMapping, now: datetime) -> datetime | None:
    """Return until when messages are signed with the former secret too; None: with one alone."""
    try:
        found = signing.unseal(sealer, row["platform_id"], row["id"], bytes(row["secrets_sealed"]))
    except SealBroken:
        return None
    return next((one.until for one in found if one.until is not None and now < one.until), None)
