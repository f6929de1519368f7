"""Schemas of members' helpers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from service.http.schemas.base import Amount, Answer, Body, ExchangeId, Instant, ShortText
from service.http.schemas.platforms import Email, Locale, Phone
from service.platforms.helpers import May


class HelperBody(Body):
    """Whom the member names, what for, up to how much and until when."""

    name: ShortText = Field(description="As the member calls the person; both sides can read it.")
    email: Email | None = None
    phone: Phone | None = Field(default=None, description="One of the two is needed.")
    locale: Locale = Field(default="fr", description="In which the helper is written to.")
    may: Annotated[list[May], Field(min_length=1, max_length=10)] = Field(
        description="To look is part of each."
    )
    limit: Amount | None = Field(
        default=None,
        description="What an exchange may be worth in all; one in another unit is beyond it.",
    )
    exchange: ExchangeId | None = Field(
        default=None, description="The one exchange this is for; all of the member's without it."
    )
    ends_at: Instant = Field(description="365 days from now at most.")
    consent: ShortText = Field(
        description="How the member said so, as you can show it later: in person, by letter…",
        examples=["Said in person at the desk on 3 May, with her daughter"],
    )


class HelperOut(Answer):
    """Somebody who may act for a member. Name and contacts are null once erased."""

    id: str
    object: Literal["helper"]
    member: str
    exchange: str | None
    name: str | None
    email: str | None
    phone: str | None
    may: list[May]
    limit: dict[str, Any] | None
    named_by: Literal["member", "platform"]
    consent: str | None
    named_at: datetime
    ends_at: datetime
    ended_at: datetime | None
    ended_by: Literal["member", "platform", "erased"] | None
    works: bool = Field(description="Neither ended nor over.")
    url: str | None = Field(
        description="The helper's own link: give it to them. In the first answer alone."
    )


class HelperPage(Answer):
    """A page of helpers, newest first."""

    data: list[HelperOut]
    next_cursor: str | None
