"""What all schemas share: strict bodies, ids with their prefix, amounts, instants, text."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

from service.ids import PREFIXES, decode


class Body(BaseModel):
    """A request body: a field that is not known is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """A response body. New fields may be added; none is taken away within v1."""

    model_config = ConfigDict(extra="forbid")


def _reader(kind: str) -> Any:
    def read(value: object) -> UUID:
        if not isinstance(value, str):
            raise ValueError(f"the id of a {kind} is text, such as {PREFIXES[kind]}_…")
        return decode(kind, value)

    return BeforeValidator(read)


def id_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of a public id."""
    prefix = PREFIXES[kind]
    return {
        "type": "string",
        "pattern": f"^{prefix}_[0-9a-hjkmnp-tv-z]{{26}}$",
        "examples": [f"{prefix}_0001j5x7v4e9tsmwd8w1c9xk5v"],
    }


MemberId = Annotated[UUID, _reader("member"), WithJsonSchema(id_schema("member"))]
HelperId = Annotated[UUID, _reader("helper"), WithJsonSchema(id_schema("helper"))]
PauseId = Annotated[UUID, _reader("pause"), WithJsonSchema(id_schema("pause"))]
ExchangeId = Annotated[UUID, _reader("exchange"), WithJsonSchema(id_schema("exchange"))]
LegId = Annotated[UUID, _reader("leg"), WithJsonSchema(id_schema("leg"))]
CaseId = Annotated[UUID, _reader("case"), WithJsonSchema(id_schema("case"))]
OfferId = Annotated[UUID, _reader("offer"), WithJsonSchema(id_schema("offer"))]
EvidenceId = Annotated[UUID, _reader("evidence"), WithJsonSchema(id_schema("evidence"))]
EvidenceRequestId = Annotated[
    UUID, _reader("evidence_request"), WithJsonSchema(id_schema("evidence_request"))
]
PrecedentId = Annotated[UUID, _reader("precedent"), WithJsonSchema(id_schema("precedent"))]
TemplateId = Annotated[UUID, _reader("template"), WithJsonSchema(id_schema("template"))]
PaymentId = Annotated[UUID, _reader("payment"), WithJsonSchema(id_schema("payment"))]
ProposalId = Annotated[UUID, _reader("proposal"), WithJsonSchema(id_schema("proposal"))]
ChargebackId = Annotated[UUID, _reader("chargeback"), WithJsonSchema(id_schema("chargeback"))]
DifferenceId = Annotated[UUID, _reader("difference"), WithJsonSchema(id_schema("difference"))]
DeadLetterId = Annotated[UUID, _reader("dead_letter"), WithJsonSchema(id_schema("dead_letter"))]
KeyId = Annotated[UUID, _reader("api_key"), WithJsonSchema(id_schema("api_key"))]
MediatorId = Annotated[UUID, _reader("mediator"), WithJsonSchema(id_schema("mediator"))]
PoolId = Annotated[UUID, _reader("pool"), WithJsonSchema(id_schema("pool"))]
TieId = Annotated[UUID, _reader("tie"), WithJsonSchema(id_schema("tie"))]
RedecisionId = Annotated[UUID, _reader("redecision"), WithJsonSchema(id_schema("redecision"))]
StrikeId = Annotated[UUID, _reader("strike"), WithJsonSchema(id_schema("strike"))]
ScriptId = Annotated[UUID, _reader("script"), WithJsonSchema(id_schema("script"))]
EventId = Annotated[UUID, _reader("event"), WithJsonSchema(id_schema("event"))]
MessageId = Annotated[UUID, _reader("message"), WithJsonSchema(id_schema("message"))]
LinkId = Annotated[UUID, _reader("link"), WithJsonSchema(id_schema("link"))]
WebhookEndpointId = Annotated[
    UUID, _reader("webhook_endpoint"), WithJsonSchema(id_schema("webhook_endpoint"))
]
PlatformId = Annotated[UUID, _reader("platform"), WithJsonSchema(id_schema("platform"))]

_INT64 = 2**63 - 1
_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}")
MinorUnits = Annotated[int, Field(strict=True, ge=1, le=_INT64)]
UnitCode = Annotated[
    str, Field(pattern=r"^[A-Z][A-Z0-9_]{2,11}$", examples=["EUR", "JPY", "HOURS"])
]


class Amount(Body):
    """An exact amount: an integer of minor units. 10.50 EUR is 1050, 1050 JPY is 1050."""

    amount: MinorUnits = Field(examples=[6500])
    unit: UnitCode = Field(
        description="ISO 4217, or a unit of the platform. Its minor units: GET /v1/units."
    )


def _written(value: object) -> object:
    """Take text alone: a bare number could be seconds or milliseconds of anything."""
    if isinstance(value, str) and not _RFC_3339.match(value):
        raise ValueError("an instant looks like 2027-03-01T09:00:00Z")
    if not isinstance(value, str | datetime):
        raise ValueError("an instant is text, such as 2027-03-01T09:00:00Z")
    return value


def _sane(value: datetime) -> datetime:
    if not 2000 <= value.year < 2200:
        raise ValueError("an instant is between the years 2000 and 2200")
    return value.astimezone(UTC)


Instant = Annotated[AwareDatetime, BeforeValidator(_written), AfterValidator(_sane)]


def _address(value: str) -> str:
    """Take the address of a page that a person's browser can be sent to."""
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("this is not an address; it looks like https://example.org/back") from None
    if any(character.isspace() or not character.isprintable() for character in value):
        raise ValueError("an address has no spaces and no control characters")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address carries no name and no password")
    local = host in {"localhost", "127.0.0.1", "::1"}
    if not host or port == 0 or parts.scheme not in ({"https", "http"} if local else {"https"}):
        raise ValueError("an address begins with https:// and names a host (http on this machine)")
    return value


#: Where a person comes back to from a provider's page.
ReturnUrl = Annotated[
    str,
    Field(max_length=2_000, examples=["https://example.org/exchanges/12"]),
    AfterValidator(_address),
]
ShortText = Annotated[str, Field(min_length=1, max_length=200)]
LongText = Annotated[str, Field(min_length=1, max_length=5_000)]
CheckpointName = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$", examples=["handover", "first-wall"])
]
Version = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
