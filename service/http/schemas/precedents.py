"""What the API takes and gives of precedents and of templates for decisions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from service.http.schemas.base import Answer, Body, CaseId, ShortText
from service.http.schemas.mediators import Language, Word

Text = Annotated[str, Field(min_length=1, max_length=10_000)]


class PrecedentBody(Body):
    """A decision told for others, in your own words: no name, address, number or amount."""

    case: CaseId
    language: Language
    asked: Text = Field(description="What was asked, and what each side said.")
    text: Text = Field(description="What was decided, and why.")


class WithdrawBody(Body):
    """Why a precedent is shown no more."""

    reason: ShortText


class PrecedentOut(Answer):
    """A decision that others can go by. It says nothing of whose it was."""

    id: str
    object: Literal["precedent"]
    mode: Literal["live", "sandbox"]
    language: str
    kind: str
    reason: str
    outcome: str
    reason_code: str
    to_payee_percent: list[int] = Field(description="What the payee got of each part.")
    asked: str
    text: str
    published_at: datetime


class PrecedentPage(Answer):
    """A page of precedents, newest first."""

    data: list[PrecedentOut]
    next_cursor: str | None


class TemplateBody(Body):
    """Words for decisions; a blank is written `{{what_was_shown}}`."""

    language: Language
    reason: Word | None = Field(default=None, description="None: for every reason.")
    outcome: Word
    title: ShortText
    text: Text


class TemplateOut(Answer):
    """Words for decisions, with the blanks to be filled in."""

    id: str
    object: Literal["decision_template"]
    language: str
    reason: str | None
    outcome: str
    title: str
    text: str
    blanks: list[str]
    created_at: datetime


class TemplateList(Answer):
    """The templates that fit, those for the very reason first."""

    data: list[TemplateOut]
