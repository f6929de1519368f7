"""Who is asking at the dispute desk: a mediator by their access token, while the session stands."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

import structlog
from fastapi import Depends, Request

from service import clock, db
from service.http.auth import Bearer, Given
from service.http.edge import edge_of
from service.http.refusals import NotSignedIn, RoleMissing
from service.mediators import sessions
from service.mediators.sessions import Seen

_scheme: Final = Bearer(
    scheme_name="MediatorToken",
    description="A mediator's short-lived token, from POST /v1/mediation/sign-in",
    bearerFormat="JWT",
    auto_error=False,
)


@dataclass(frozen=True, slots=True)
class Neutral:
    """Somebody who is signed in at the dispute desk, for the whole instance."""

    mediator_id: UUID
    roles: frozenset[str]
    session_id: UUID
    seen: Seen

    @property
    def platform_id(self) -> UUID:
        """No platform: mediators stand outside of all, and so do their idempotency keys."""
        return UUID(int=0)

    @property
    def scope(self) -> db.Scope:
        """The scope of a mediator's transactions."""
        return db.SYSTEM

    @property
    def name(self) -> str:
        """What idempotency keys are bound to."""
        return f"mediator:{self.mediator_id}"


def mediator_of(*roles: str) -> Callable[..., Coroutine[Any, Any, Neutral]]:
    """Return a dependency that lets a mediator with one of ``roles`` in; without any, each one.

    The session is looked up each time, so that whoever signed out, was reset or has ended is out
    at once, and not when the token ends. It raises NotSignedIn (nobody, a platform's key, a session
    that is over), BadToken (forged, over, or for something else) or RoleMissing.
    """

    async def dependency(request: Request, given: Annotated[Given, Depends(_scheme)]) -> Neutral:
        if given is None or given.startswith("tk_"):
            raise NotSignedIn("Send 'Authorization: Bearer …' with a mediator's token.")
        edge, now = edge_of(request), clock.now()
        mediator_id, session_id = sessions.read(edge.signer, given, now)
        seen = await edge.run(db.SYSTEM, lambda c: sessions.see(c, mediator_id, session_id, now))
        if seen is None:
            raise NotSignedIn("The session is over: sign in again.")
        if roles and not seen.roles.intersection(roles):
            raise RoleMissing(f"This is for a {' or a '.join(roles)}.", roles=list(roles))
        structlog.contextvars.bind_contextvars(mediator=str(mediator_id))
        return Neutral(mediator_id, seen.roles, session_id, seen)

    return dependency
