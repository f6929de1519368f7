"""What the API takes and gives about running an instance: dead letters and outages."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from service.http.schemas.base import Answer, Body, Instant, LongText
from service.operations.dead_letters import Work


class DeadLetterOut(Answer):
    """Work that was given up after it had failed again and again."""

    id: str
    object: Literal["dead_letter"]
    work: Work
    subject: dict[str, Any] = Field(
        description="Names what could not be done.", examples=[{"payment": "pay_…"}]
    )
    error: str = Field(description="The newest failure, in a line.")
    attempts: int
    first_failed_at: datetime
    died_at: datetime
    resolved_at: datetime | None
    resolution: Literal["retried", "gone"] | None = Field(
        description="retried: it is due again; gone: there was nothing left to do."
    )


class OperatorDeadLetterOut(DeadLetterOut):
    """The same, with whose it is."""

    platform: str


class DeadLetterPage(Answer):
    """A page of dead letters, newest first."""

    data: list[DeadLetterOut]
    next_cursor: str | None


class OperatorDeadLetterPage(Answer):
    """A page of all platforms' dead letters, newest first."""

    data: list[OperatorDeadLetterOut]
    next_cursor: str | None


class OutageBody(Body):
    """An outage that is over. While it lasted members could not act; deadlines stand still."""

    kind: Literal["api", "worker", "mail", "provider"] = Field(description="What was away.")
    began_at: Instant
    ended_at: Instant
    reason: LongText


class OutageOut(Answer):
    """When a part of the instance was away."""

    id: str
    object: Literal["outage"]
    kind: Literal["api", "worker", "mail", "provider"]
    began_at: datetime
    ended_at: datetime
    reason: str
    recorded_at: datetime


class OutagePage(Answer):
    """A page of outages, the last recorded first."""

    data: list[OutageOut]
    next_cursor: str | None
