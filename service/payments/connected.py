"""What a connection to a provider is, and why one is refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from pydantic import SecretStr

from ledger.refusals import Refusal
from service.platforms.platforms import Mode

Endpoint = Literal["platform", "payees"]

#: What a secret or restricted, and a publishable, key of each mode begins with.
_SECRET_KEYS: Final = {"live": ("sk_live_", "rk_live_"), "sandbox": ("sk_test_", "rk_test_")}
_PUBLISHABLE: Final = {"live": "pk_live_", "sandbox": "pk_test_"}


class NotConnected(Refusal):
    """The platform has no account at this provider connected."""

    code = "provider_not_connected"


class WrongKeyMode(Refusal):
    """A live platform takes live keys alone, a sandbox test keys alone."""

    code = "wrong_key_mode"


class ConnectionInUse(Refusal):
    """Money is held at the provider, or payments are open there: the connection must stay."""

    code = "connection_in_use"


class AccountTaken(Refusal):
    """Another platform of this instance has the same account at the provider."""

    code = "provider_account_taken"


class AnotherAccount(Refusal):
    """The key opens another account than the one on which the platform's money is."""

    code = "another_provider_account"


class OverlapTooLong(Refusal):
    """An old webhook secret may work for 72 hours more at most."""

    code = "overlap_too_long"


class TooManySecrets(Refusal):
    """A webhook endpoint has three working secrets at most."""

    code = "too_many_webhook_secrets"


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """A signing secret, and until when it works (None: no end is set)."""

    value: SecretStr
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Connected:
    """A platform's connection, its secrets open. ``version`` counts its changes."""

    platform_id: UUID
    provider: str
    mode: Mode
    account_ref: str | None
    secret_key: SecretStr
    publishable_key: str | None
    webhook_secrets: tuple[WebhookSecret, ...]
    payee_webhook_secrets: tuple[WebhookSecret, ...]
    events_seen_until: datetime
    connected_at: datetime
    checked_at: datetime | None
    version: int

    def secrets(self, endpoint: str, now: datetime) -> list[str]:
        """Return the signing secrets of an endpoint that work at ``now``."""
        kept = self.webhook_secrets if endpoint == "platform" else self.payee_webhook_secrets
        return [
            one.value.get_secret_value() for one in kept if one.until is None or now < one.until
        ]


def hint(secret: SecretStr) -> str:
    """Return the end of a secret, for people to tell it from another."""
    return f"…{secret.get_secret_value()[-4:]}"


def check_keys(mode: Mode, secret_key: SecretStr, publishable_key: str | None) -> None:
    """Make sure that keys are of the platform's mode.

    Raises:
        WrongKeyMode
    """
    wanted = _SECRET_KEYS[mode]
    if not secret_key.get_secret_value().startswith(wanted):
        raise WrongKeyMode(
            f"A {mode} platform takes a key that begins with {' or '.join(wanted)}.",
            pointer="/secret_key",
        )
    if publishable_key is not None and not publishable_key.startswith(_PUBLISHABLE[mode]):
        raise WrongKeyMode(
            f"A {mode} platform's publishable key begins with {_PUBLISHABLE[mode]}.",
            pointer="/publishable_key",
        )
