"""What the API takes and gives about platforms' own accounts at payment providers."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr

from service.http.schemas.base import Answer, Body, Instant

_KEY = r"^(sk|rk)_(live|test)_[A-Za-z0-9_]{1,240}$"
_SIGNING = r"^whsec_[A-Za-z0-9+/=_-]{1,240}$"


def _shaped(pattern: str, example: str) -> Any:
    """Check a secret's shape without ever repeating it in an error."""

    def check(value: SecretStr) -> SecretStr:
        if not re.fullmatch(pattern, value.get_secret_value()):
            raise ValueError(f"looks like {example}")
        return value

    return AfterValidator(check)


SecretKey = Annotated[
    SecretStr,
    _shaped(_KEY, "sk_test_… or rk_live_…"),
    Field(json_schema_extra={"pattern": _KEY}),
]
WebhookSecret = Annotated[
    SecretStr,
    _shaped(_SIGNING, "whsec_…"),
    Field(json_schema_extra={"pattern": _SIGNING}),
]
PublishableKey = Annotated[str, Field(pattern=r"^pk_(live|test)_[A-Za-z0-9_]{1,240}$")]


class ConnectBody(Body):
    """The platform's own Stripe account. Secrets are stored sealed and never shown again."""

    secret_key: SecretKey = Field(
        description="A secret or restricted key: of live mode for a live platform, of test mode "
        "for its sandbox."
    )
    publishable_key: PublishableKey | None = Field(
        default=None, description="For pages that take the payer's card themselves."
    )
    webhook_secret: WebhookSecret | None = Field(
        default=None,
        description="Signing secret of the endpoint for your own account's events. What is not "
        "given stays as it is.",
    )
    payee_webhook_secret: WebhookSecret | None = Field(
        default=None, description="Signing secret of the endpoint for connected accounts' events."
    )


class WebhookSecretBody(Body):
    """A new signing secret of a webhook endpoint."""

    endpoint: Literal["platform", "payees"]
    secret: WebhookSecret
    old_until: Instant | None = Field(
        default=None,
        description="Until when the old secrets work: 24 hours from now if not given, 72 hours at "
        "most.",
    )


class WebhookSecretOut(Answer):
    """A signing secret that is stored."""

    hint: str
    until: datetime | None = Field(description="Until when it works; null: no end is set.")


class WebhookOut(Answer):
    """A webhook endpoint to be made at the provider."""

    url: str
    events: list[str] = Field(description="What the provider has to send there.")
    secrets: list[WebhookSecretOut]


class ProviderConnectionOut(Answer):
    """The platform's account at the provider, and what is known of it."""

    object: Literal["provider_connection"]
    provider: Literal["stripe"]
    connected: bool
    account: str | None = Field(description="As the last check has read it.")
    secret_key_hint: str | None
    publishable_key: str | None
    api_version: str = Field(description="The version that webhook endpoints have to send.")
    platform_webhook: WebhookOut
    payees_webhook: WebhookOut
    connected_at: datetime | None
    checked_at: datetime | None
    events_seen_until: datetime | None = Field(
        description="Every event until then is here, whatever webhooks were lost."
    )


class FindingOut(Answer):
    """What one look found."""

    name: str = Field(examples=["payout_schedule"])
    well: bool
    what: str
    mend: str | None = Field(description="How to mend it; null when all is well.")


class CheckOut(Answer):
    """What a check of the connection found."""

    object: Literal["provider_check"]
    well: bool
    account: str | None
    findings: list[FindingOut]


class ReceivedOut(Answer):
    """The event is stored, or was before."""

    received: Literal[True]


class RefusedDeliveryOut(Answer):
    """A delivery to a webhook endpoint that was not the provider's word."""

    id: str
    object: Literal["refused_delivery"]
    provider: str
    endpoint: Literal["platform", "payees"]
    reason: str = Field(examples=["bad_signature"])
    body_sha256: str
    received_at: datetime


class RefusedDeliveryPage(Answer):
    """A page of refused deliveries, newest first."""

    data: list[RefusedDeliveryOut]
    next_cursor: str | None
