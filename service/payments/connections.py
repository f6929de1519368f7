"""Platforms' own accounts at payment providers: connected, checked, rotated, let go.

Each tenant connects an account of its own: a live platform with live keys, its sandbox with test
keys. Secrets are sealed by :mod:`service.payments.vault`. They leave this room only towards the
provider's client; everybody else sees a hint.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Connection, RowMapping, text

from ledger import accounts
from service.payments.connected import (
    AccountTaken,
    AnotherAccount,
    Connected,
    ConnectionInUse,
    Endpoint,
    NotConnected,
    OverlapTooLong,
    TooManySecrets,
    WebhookSecret,
    check_keys,
)
from service.payments.vault import SecretsUnreadable, Vault
from service.platforms.platforms import Mode

STRIPE: Final = "stripe"
#: Secrets of one webhook endpoint that work at the same time.
MOST_SECRETS: Final = 3
#: How long an old webhook secret may go on working beside a new one.
LONGEST_OVERLAP: Final = timedelta(hours=72)
_COLUMNS: Final[dict[Endpoint, str]] = {
    "platform": "webhook_secrets_sealed",
    "payees": "payee_webhook_secrets_sealed",
}

_READ: Final = (
    "SELECT c.*, p.mode FROM service.provider_connection c "
    "JOIN service.platform p ON p.id = c.platform_id"
)
_FIND: Final = text(f"{_READ} WHERE c.platform_id = :platform_id AND c.provider = :provider")
_LOCK: Final = text(
    f"{_READ} WHERE c.platform_id = :platform_id AND c.provider = :provider FOR UPDATE OF c"
)


def exists(connection: Connection, platform_id: UUID, provider: str = STRIPE) -> bool:
    """Tell whether the platform has an account at the provider connected."""
    found = connection.execute(
        text(
            "SELECT 1 FROM service.provider_connection "
            "WHERE platform_id = :platform_id AND provider = :provider"
        ),
        {"platform_id": platform_id, "provider": provider},
    )
    return found.scalar_one_or_none() is not None


def find(
    connection: Connection, vault: Vault, platform_id: UUID, provider: str = STRIPE
) -> Connected | None:
    """Return the platform's connection, or None.

    Raises:
        SecretsUnreadable
    """
    row = _row(connection, platform_id, provider)
    return None if row is None else _opened(vault, row)


def need(
    connection: Connection, vault: Vault, platform_id: UUID, provider: str = STRIPE
) -> Connected:
    """Return the platform's connection.

    Raises:
        NotConnected, SecretsUnreadable
    """
    found = find(connection, vault, platform_id, provider)
    if found is None:
        raise _not_connected()
    return found


def unseen(connection: Connection, before: datetime) -> Sequence[tuple[UUID, datetime]]:
    """Return platforms whose events are in the inbox until ``before`` at most, and until when.

    In the system's scope; the furthest behind first.
    """
    rows = connection.execute(
        text(
            "SELECT platform_id, events_seen_until FROM service.provider_connection "
            "WHERE events_seen_until <= :before ORDER BY events_seen_until"
        ),
        {"before": before},
    )
    return [(row.platform_id, row.events_seen_until) for row in rows]


_WRITE: Final = text(
    "INSERT INTO service.provider_connection AS c (platform_id, provider, secret_key_sealed, "
    "publishable_key, webhook_secrets_sealed, payee_webhook_secrets_sealed, events_seen_until, "
    "connected_at, version) VALUES (:platform_id, :provider, :secret_key, :publishable_key, "
    ":platform, :payees, :now, :now, 1) ON CONFLICT (platform_id, provider) DO UPDATE SET "
    "secret_key_sealed = EXCLUDED.secret_key_sealed, publishable_key = EXCLUDED.publishable_key, "
    "webhook_secrets_sealed = EXCLUDED.webhook_secrets_sealed, "
    "payee_webhook_secrets_sealed = EXCLUDED.payee_webhook_secrets_sealed, "
    "connected_at = EXCLUDED.connected_at, checked_at = NULL, version = c.version + 1"
)


def connect(
    connection: Connection,
    vault: Vault,
    platform_id: UUID,
    mode: Mode,
    *,
    secret_key: SecretStr,
    publishable_key: str | None,
    webhook_secret: SecretStr | None,
    payee_webhook_secret: SecretStr | None,
    now: datetime,
) -> Connected:
    """Connect the platform's Stripe account, or replace what is connected.

    A webhook secret that is not given stays as it is; one that is given replaces all of its
    endpoint. The same again changes nothing.

    Raises:
        WrongKeyMode: a key is for the other mode.
        SecretsUnreadable: what was connected does not open, and not all of it is replaced.
    """
    check_keys(mode, secret_key, publishable_key)
    row = _row(connection, platform_id, STRIPE, lock=True)
    given = {"platform": webhook_secret, "payees": payee_webhook_secret}
    all_new = all(one is not None for one in given.values())
    old = None if row is None or (all_new and not _opens(vault, row)) else _opened(vault, row)
    kept: dict[str, tuple[WebhookSecret, ...]] = {
        "platform": () if old is None else old.webhook_secrets,
        "payees": () if old is None else old.payee_webhook_secrets,
    }
    for endpoint, secret in given.items():
        if secret is not None:
            kept[endpoint] = (WebhookSecret(secret),)
    if old is None or not (
        _same(old.secret_key, secret_key)
        and old.publishable_key == publishable_key
        and (old.webhook_secrets, old.payee_webhook_secrets) == (kept["platform"], kept["payees"])
    ):
        connection.execute(
            _WRITE,
            {
                "platform_id": platform_id,
                "provider": STRIPE,
                "secret_key": vault.seal(
                    platform_id, STRIPE, "secret_key", secret_key.get_secret_value()
                ),
                "publishable_key": publishable_key,
                **{
                    endpoint: _seal_secrets(vault, platform_id, STRIPE, endpoint, secrets)
                    for endpoint, secrets in kept.items()
                },
                "now": now,
            },
        )
    return need(connection, vault, platform_id)


def rotate(
    connection: Connection,
    vault: Vault,
    platform_id: UUID,
    endpoint: Endpoint,
    secret: SecretStr,
    old_until: datetime,
    now: datetime,
) -> Connected:
    """Add a new signing secret to a webhook endpoint; the old ones work until ``old_until``.

    Raises:
        NotConnected: there is no connection.
        OverlapTooLong: ``old_until`` is more than 72 hours ahead.
        TooManySecrets: three work already; the oldest has to end first.
    """
    if old_until - now > LONGEST_OVERLAP:
        raise OverlapTooLong(
            "The old secret may work for 72 hours more at most.", pointer="/old_until"
        )
    row = _row(connection, platform_id, STRIPE, lock=True)
    if row is None:
        raise _not_connected()
    old = _opened(vault, row)
    was = old.webhook_secrets if endpoint == "platform" else old.payee_webhook_secrets
    if any(_same(one.value, secret) and one.until is None for one in was):
        return old
    kept = [
        WebhookSecret(one.value, old_until if one.until is None else min(one.until, old_until))
        for one in was
        if not _same(one.value, secret) and (one.until is None or now < one.until)
    ]
    kept = [one for one in kept if one.until is None or now < one.until]
    if len(kept) >= MOST_SECRETS:
        raise TooManySecrets(
            "Three secrets of this endpoint work already; wait until one ends.", pointer="/secret"
        )
    sealed = _seal_secrets(vault, platform_id, STRIPE, endpoint, (WebhookSecret(secret), *kept))
    connection.execute(
        text(
            f"UPDATE service.provider_connection SET {_COLUMNS[endpoint]} = :sealed, "  # noqa: S608 - our own names
            "version = version + 1 WHERE platform_id = :platform_id AND provider = :provider"
        ),
        {"sealed": sealed, "platform_id": platform_id, "provider": STRIPE},
    )
    return need(connection, vault, platform_id)


def record_check(
    connection: Connection, platform_id: UUID, version: int, account_ref: str, now: datetime
) -> None:
    """Write the account that a connection's key opens, as a check at the provider has read it.

    Nothing is written when the connection has changed since.

    Raises:
        NotConnected: it was let go meanwhile.
        AnotherAccount: the platform's money is on another account.
    """
    row = _row(connection, platform_id, STRIPE, lock=True)
    if row is None:
        raise _not_connected()
    if row["account_ref"] not in {None, account_ref} and _in_use(connection, platform_id, STRIPE):
        raise AnotherAccount(
            f"The key opens {account_ref}, and the platform's money is on {row['account_ref']}: "
            "connect a key of that account.",
            wanted=row["account_ref"],
            found=account_ref,
        )
    connection.execute(
        text(
            "UPDATE service.provider_connection SET account_ref = :account_ref, checked_at = :now, "
            # A client that was made for another account is made anew.
            "version = version + CASE WHEN account_ref IS DISTINCT FROM :account_ref THEN 1 "
            "ELSE 0 END WHERE platform_id = :platform_id AND provider = :provider "
            "AND version = :version"
        ),
        {
            "account_ref": account_ref,
            "now": now,
            "platform_id": platform_id,
            "provider": STRIPE,
            "version": version,
        },
    )


def check_not_taken(connection: Connection, platform_id: UUID, mode: Mode, account: str) -> None:
    """Make sure that no other platform of the same mode has the account (in the system's scope).

    Two platforms on one account could never agree with its books.

    Raises:
        AccountTaken
    """
    taken = connection.execute(
        text(
            "SELECT 1 FROM service.provider_connection c "
            "JOIN service.platform p ON p.id = c.platform_id WHERE c.provider = :provider "
            "AND c.account_ref = :account AND c.platform_id <> :platform_id AND p.mode = :mode"
        ),
        {"provider": STRIPE, "account": account, "platform_id": platform_id, "mode": mode},
    ).first()
    if taken is not None:
        raise AccountTaken(
            f"Another platform of this instance has the account {account}; each needs its own."
        )


def mark_events(connection: Connection, platform_id: UUID, until: datetime) -> None:
    """Note that every event of the provider until ``until`` is in the inbox; never goes back."""
    connection.execute(
        text(
            "UPDATE service.provider_connection SET events_seen_until = :until "
            "WHERE platform_id = :platform_id AND provider = :provider "
            "AND events_seen_until < :until"
        ),
        {"until": until, "platform_id": platform_id, "provider": STRIPE},
    )


def forget(connection: Connection, platform_id: UUID) -> None:
    """Let go of the platform's connection and its secrets; without one it changes nothing.

    Raises:
        ConnectionInUse: money is held there, or payments are open.
    """
    if _row(connection, platform_id, STRIPE, lock=True) is None:
        return
    if _in_use(connection, platform_id, STRIPE):
        raise ConnectionInUse(
            "Money is held at the provider, or payments are open there; the connection can be let "
            "go when both have ended."
        )
    connection.execute(
        text(
            "DELETE FROM service.provider_connection "
            "WHERE platform_id = :platform_id AND provider = :provider"
        ),
        {"platform_id": platform_id, "provider": STRIPE},
    )


def _in_use(connection: Connection, platform_id: UUID, provider: str) -> bool:
    open_ = connection.execute(
        text(
            "SELECT 1 FROM service.payment WHERE platform_id = :platform_id "
            "AND provider = :provider AND settled_at IS NULL LIMIT 1"
        ),
        {"platform_id": platform_id, "provider": provider},
    ).first()
    paths = [f"provider:{provider}", f"provider:{provider}:authorised"]
    return open_ is not None or any(
        one.balance for one in accounts.balances(connection, platform_id, paths)
    )


def _not_connected() -> NotConnected:
    return NotConnected("This platform has no Stripe account connected.")


def _row(
    connection: Connection, platform_id: UUID, provider: str, *, lock: bool = False
) -> RowMapping | None:
    values = {"platform_id": platform_id, "provider": provider}
    return connection.execute(_LOCK if lock else _FIND, values).mappings().one_or_none()


def _opens(vault: Vault, row: RowMapping) -> bool:
    try:
        _opened(vault, row)
    except SecretsUnreadable:
        return False
    return True


def _same(one: SecretStr, other: SecretStr) -> bool:
    """Compare so that how long it takes tells nothing."""
    return hmac.compare_digest(one.get_secret_value().encode(), other.get_secret_value().encode())


def _opened(vault: Vault, row: RowMapping) -> Connected:
    platform_id, provider = row["platform_id"], row["provider"]

    def secrets(endpoint: Endpoint) -> tuple[WebhookSecret, ...]:
        found = vault.open(platform_id, provider, endpoint, bytes(row[_COLUMNS[endpoint]]))
        return tuple(
            WebhookSecret(
                SecretStr(one["value"]),
                None if one["until"] is None else datetime.fromisoformat(one["until"]),
            )
            for one in found
        )

    key = vault.open(platform_id, provider, "secret_key", bytes(row["secret_key_sealed"]))
    return Connected(
        platform_id,
        provider,
        row["mode"],
        row["account_ref"],
        SecretStr(key),
        row["publishable_key"],
        secrets("platform"),
        secrets("payees"),
        row["events_seen_until"],
        row["connected_at"],
        row["checked_at"],
        row["version"],
    )


def _seal_secrets(
    vault: Vault,
    platform_id: UUID,
    provider: str,
    endpoint: str,
    secrets: tuple[WebhookSecret, ...],
) -> bytes:
    return vault.seal(
        platform_id,
        provider,
        endpoint,
        [{"value": one.value.get_secret_value(), "until": one.until} for one in secrets],
    )
