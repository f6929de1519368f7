"""What the API takes and gives about messages to members and the links in them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.http.schemas.base import Answer, Body

State = Literal["waiting", "held", "sending", "sent", "failed", "bounced", "suppressed"]


class MessageOut(Answer):
    """A message to a member, and what became of it."""

    id: str
    object: Literal["message"]
    member: str
    exchange: str | None
    event: str = Field(description="What it tells of.")
    template: str
    helper: str | None = Field(description="The helper of the member whom it is for.")
    category: Literal["steps", "news"] = Field(
        description="steps: what the member must do; news: what happened."
    )
    channel: Literal["email", "sms", "mailbox"] | None = Field(
        description="mailbox: it was kept here and reached nobody, as all of a sandbox do."
    )
    state: State = Field(
        description="held: it waits for a decent hour. failed, bounced: it could not be "
        "delivered. suppressed: it was not sent. For both see reason."
    )
    reason: str | None
    attempts: int
    resends: int
    created_at: datetime
    due_at: datetime | None = Field(description="When it is tried next, in real time.")
    sent_at: datetime | None


class WrittenMessage(MessageOut):
    """A message with what was written; null where that is not written yet or was erased."""

    recipient: str | None
    subject: str | None
    text: str | None = Field(description="Without the token of the one-tap link, unless sandbox.")
    html: str | None


class MessagePage(Answer):
    """A page of messages, newest first."""

    data: list[MessageOut]
    next_cursor: str | None


class PreferencesOut(Answer):
    """By which channel a member is told things."""

    object: Literal["message_preferences"]
    member: str
    steps: Literal["email", "sms"]
    news: Literal["email", "sms", "none"]


class PreferencesBody(Body):
    """Only what is sent changes. What a member must do cannot be switched off."""

    steps: Literal["email", "sms"] | None = None
    news: Literal["email", "sms", "none"] | None = None


class LinkOut(Answer):
    """A one-tap link, without its token, which is in the member's message alone."""

    id: str
    object: Literal["link"]
    member: str
    exchange: str | None = Field(description="null: what a helper can help with.")
    helper: str | None = Field(description="Whose link it is, where it is not the member's own.")
    purpose: str = Field(description="The template of the message it is in.")
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="When a step was last taken by it.")


class LinkPage(Answer):
    """A page of links, newest first."""

    data: list[LinkOut]
    next_cursor: str | None


class LinksRevoked(Answer):
    """Every link of the member has ended."""

    member: str
    links: int = Field(description="How many the member has had.")
