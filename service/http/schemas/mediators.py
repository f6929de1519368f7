"""What the API takes and gives about those who mediate, and how they sign in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from service.http.schemas.base import Answer, Body, ShortText
from service.http.schemas.platforms import Email
from service.mediators.passwords import LONGEST, SHORTEST

#: What is typed to get in: any text of a bearable length, so that only its owner says what it is.
Typed = Annotated[str, Field(min_length=1, max_length=1_000)]
NewPassword = Annotated[
    str,
    Field(
        min_length=1,
        max_length=1_000,
        description=f"{SHORTEST} to {LONGEST} characters of any kind, without your name.",
        examples=["quatre mouettes sur le quai"],
    ),
]
Code = Annotated[
    str, Field(pattern=r"^[0-9]{6}$", description="Of the authenticator.", examples=["492039"])
]
Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$", examples=["fr"])]
Role = Literal["mediator", "supervisor", "operator"]


class SignInBody(Body):
    """What a mediator signs in with."""

    email: Annotated[str, Field(min_length=1, max_length=254, examples=["maud@example.org"])]
    password: Typed
    code: Code


class RefreshBody(Body):
    """The secret that the newest answer gave."""

    refresh_token: Annotated[str, Field(min_length=1, max_length=200)]


class SessionOut(Answer):
    """What opens the dispute desk until ``expires_at``, and what gets the next."""

    object: Literal["mediator_session"]
    mediator: str
    token: str = Field(description="Send it as `Authorization: Bearer …`.")
    expires_at: datetime
    refresh_token: str = Field(
        description="To be sent once. Sent a second time it ends the session, for it was copied."
    )
    refresh_expires_at: datetime
    session_expires_at: datetime = Field(description="Then the password is asked for again.")


class OwnMediatorOut(Answer):
    """Who is signed in."""

    id: str
    object: Literal["mediator"]
    name: str
    email: str
    languages: list[str]
    roles: list[Role]
    session_started_at: datetime
    session_expires_at: datetime


class PasswordBody(Body):
    """A change of password."""

    current_password: Typed
    password: NewPassword


class TakeUpBody(Body):
    """First the password; then, under the same address, a code."""

    password: NewPassword | None = None
    code: Code | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> TakeUpBody:
        if (self.password is None) == (self.code is None):
            raise ValueError("send a password first, and then a code, each alone")
        return self


class TakeUpOut(Answer):
    """How far an invitation is: a code is awaited, or the account is open."""

    object: Literal["mediator_invitation"]
    state: Literal["code_awaited", "account_open"]
    email: str
    otpauth_uri: str | None = Field(
        description="For the authenticator, as a QR code or typed; told once."
    )


class MediatorBody(Body):
    """Somebody who is to mediate."""

    name: ShortText
    email: Email
    languages: Annotated[list[Language], Field(min_length=1, max_length=20)]
    skills: Annotated[list[Word], Field(max_length=50, default_factory=list)]
    roles: Annotated[
        list[Role], Field(min_length=1, max_length=3, default_factory=lambda: ["mediator"])
    ]
    caseload_cap: Annotated[int, Field(strict=True, ge=0, le=1000)] = Field(
        default=10, description="How many cases at once, over all platforms."
    )


class MediatorOut(Answer):
    """Somebody who mediates, as the operator sees them."""

    id: str
    object: Literal["mediator"]
    name: str
    email: str
    languages: list[str]
    skills: list[str]
    roles: list[Role]
    caseload_cap: int
    caseload_wish: int | None = Field(
        description="How many of these they take themselves; null: all. The less of both holds."
    )
    away_until: datetime | None
    created_at: datetime
    ended_at: datetime | None


class InvitationOut(Answer):
    """What the operator passes on to whoever is invited, by a way that only they read."""

    path: str | None = Field(description="POST a password here, then a code. Told once.")
    page: str | None = Field(description="The same for people: what to open in a browser.")
    expires_at: datetime


class InvitedOut(MediatorOut):
    """A mediator with an invitation to open their account."""

    invitation: InvitationOut


class MediatorPage(Answer):
    """A page of mediators, oldest first."""

    data: list[MediatorOut]
    next_cursor: str | None
