"""Schemas of members' pauses."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.http.schemas.base import Answer, Body, Instant


class PauseBody(Body):
    """From and until when a member cannot act. Say why to nobody: it is not asked for."""

    from_: Instant | None = Field(
        default=None, alias="from", description="Now, if not given; at most 30 days away."
    )
    until: Instant = Field(description="30 days after its beginning at most.")


class PauseOut(Answer):
    """A time in which a member's deadlines stand still."""

    id: str
    object: Literal["member_pause"]
    member: str
    from_: datetime = Field(alias="from")
    until: datetime
    created_at: datetime


class PausePage(Answer):
    """A page of pauses, newest first."""

    data: list[PauseOut]
    next_cursor: str | None
