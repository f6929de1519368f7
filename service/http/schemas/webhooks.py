"""What the API takes and gives about webhook endpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from service.http.schemas.base import Answer, Body, Instant

_SECRET = "^whsec_[A-Za-z0-9+/]{32,88}={0,2}$"  # noqa: S105 - a shape, no secret

Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2_000,
        description="Begins with https:// and leads to the public internet. Redirects are not "
        "followed.",
        examples=["https://example.org/webhooks/tierce"],
    ),
]
Events = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=80)]],
    Field(
        min_length=1,
        max_length=100,
        description="Types of GET /v1/event-types, families such as `exchange.*`, or `*` for all.",
        examples=[["exchange.*", "payout.succeeded"]],
    ),
]
Description = Annotated[str, Field(max_length=200)]
GivenSecret = Annotated[
    SecretStr | None,
    Field(
        description="`whsec_` and the base64 of 24 to 64 random bytes. Made for you if not given.",
        json_schema_extra={"examples": [None]},
    ),
]


class EndpointBody(Body):
    """A webhook endpoint to add."""

    url: Url
    events: Events = Field(default_factory=lambda: ["*"])
    description: Description = ""
    secret: GivenSecret = None


class EndpointChange(Body):
    """What is to be changed of a webhook endpoint; what is not given stays."""

    url: Url | None = None
    events: Events | None = None
    description: Description | None = None
    enabled: bool | None = Field(
        default=None,
        strict=True,
        description="False: nothing is sent. True again: what waited is sent; what happened "
        "meanwhile is not, see POST …/replay.",
    )


class RotateSecretBody(Body):
    """A new signing secret for a webhook endpoint."""

    secret: GivenSecret = None
    overlap_hours: int = Field(
        default=24,
        ge=0,
        le=168,
        strict=True,
        description="For so long, messages are signed with the former secret too.",
    )


class EndpointOut(Answer):
    """A webhook endpoint."""

    id: str
    object: Literal["webhook_endpoint"]
    url: str
    events: list[str]
    description: str
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: Literal["by_platform", "gone", "failing"] | None = Field(
        description="gone: it answered 410. failing: no attempt succeeded for three days."
    )
    failing_since: datetime | None = Field(
        description="Since when every attempt has failed; null after one that did not."
    )
    held_until: datetime | None = Field(
        description="It answered 429, 502 or 504: nothing is sent to it before."
    )
    former_secret_until: datetime | None = Field(
        description="Until when messages are signed with the former secret too."
    )
    secret: str | None = Field(
        description="Shown when it is made, by POST and by …/rotate-secret, and never again."
    )
    created_at: datetime


class EndpointPage(Answer):
    """The platform's webhook endpoints, newest first."""

    data: list[EndpointOut]
    next_cursor: str | None


class EndpointDeleted(Answer):
    """The endpoint is deleted."""

    id: str
    object: Literal["webhook_endpoint"]
    deleted: Literal[True]


class TestOut(Answer):
    """What came of a test."""

    object: Literal["webhook_test"]
    event: str = Field(description="The webhook-id that was sent. It is in no list of events.")
    delivered: bool
    status: int | None = Field(description="The status of the answer.")
    error: str | None = Field(description="Why there was no answer, or none that counts.")
    duration_ms: int
    answer: str | None = Field(description="The first 500 bytes of the answer.")


class AttemptOut(Answer):
    """One attempt to deliver."""

    number: int = Field(
        description="A number that is missing was taken by a process that died; the endpoint may "
        "have had the event then."
    )
    at: datetime
    status: int | None
    error: str | None
    duration_ms: int
    answer: str | None


State = Literal["waiting", "delivered", "failed", "canceled"]


class DeliveryOut(Answer):
    """An event that an endpoint is to hear of."""

    object: Literal["webhook_delivery"]
    endpoint: str
    event: str = Field(description="Names the delivery, and is its webhook-id.")
    type: str
    exchange: str | None
    sequence: int | None
    state: State = Field(
        description="failed: given up after the last step of the ladder. canceled: the endpoint "
        "was deleted."
    )
    attempts: int
    failures: int = Field(description="Failed attempts since it was last asked for.")
    replays: int
    next_at: datetime | None = Field(
        description="When it is tried next, if nothing of the same exchange is before it; null "
        "while its endpoint is disabled."
    )
    created_at: datetime
    ended_at: datetime | None


class DeliveryDetail(DeliveryOut):
    """A delivery with its attempts."""

    log: list[AttemptOut] = Field(description="The last hundred attempts, the latest first.")


class DeliveryPage(Answer):
    """Deliveries to an endpoint, those of the newest events first."""

    data: list[DeliveryOut]
    next_cursor: str | None


class ReplayBody(Body):
    """A range of events to send (again)."""

    since: Instant = Field(description="Events whose `at` is this or later.")
    until: Instant | None = Field(default=None, description="And before this.")
    types: Events | None = None
    only_failed: bool = Field(
        default=False, strict=True, description="Only deliveries that were given up."
    )


class ReplayOut(Answer):
    """How many events are sent."""

    object: Literal["webhook_replay"]
    replayed: int


class EventTypeOut(Answer):
    """A type of event."""

    name: str
    version: int = Field(description="Rises when `data` changes so that a reader could break.")
    meaning: str


class EventTypes(Answer):
    """Every type of event."""

    data: list[EventTypeOut]
