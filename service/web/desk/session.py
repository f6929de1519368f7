"""Who is at the desk: a cookie that a browser alone holds, good while its session stands.

The cookie is a signed name of a session, for an audience of its own, so that it opens no API. Each
page that is asked for renews it. That it lasts is the session's to say, not the cookie's: whoever
signs out, is reset or has ended is out at once.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.responses import Response

from service import clock, db
from service.config import Settings
from service.http.edge import Edge, edge_of
from service.http.mediator_auth import Neutral
from service.ids import decode, encode
from service.mediators import sessions
from service.platforms.tokens import BadToken

AUDIENCE: Final = "tierce:desk"
#: Where it is sent to, and nowhere else.
PATH: Final = "/desk"
#: Who has something to do at the desk.
ROLES: Final = frozenset({"mediator", "supervisor"})
_LONGEST: Final = 2_000


class Visit(NamedTuple):
    """Somebody at the desk, and until when without another page."""

    me: Neutral
    ends_at: datetime


def name(settings: Settings) -> str:
    """Return the cookie's name.

    The prefix, where there is TLS, keeps other hosts of the domain from setting it (RFC 6265bis
    §4.1.3.1).
    """
    return "__Secure-tierce-desk" if is_secure(settings) else "tierce-desk"


def is_secure(settings: Settings) -> bool:
    """Tell whether browsers meet this instance over TLS."""
    return settings.public_url.startswith("https://")


def _ends(now: datetime, expires_at: datetime) -> datetime:
    return min(now + sessions.IDLE, expires_at)


async def read(request: Request) -> Visit | None:
    """Return who is at the desk; None for nobody, and for a session that is over."""
    edge, now = edge_of(request), clock.now()
    token = request.cookies.get(name(edge.settings), "")
    if not token or len(token) > _LONGEST:
        return None
    try:
        claims = edge.signer.claims(AUDIENCE, token, now)
        mediator_id = decode("mediator", claims["sub"])
        session_id = decode("sign_in_session", claims["sid"])
    except (BadToken, KeyError, ValueError, AttributeError):
        return None
    seen = await edge.run(db.SYSTEM, lambda c: sessions.see(c, mediator_id, session_id, now))
    if seen is None or not seen.roles & ROLES:
        return None
    structlog.contextvars.bind_contextvars(mediator=str(mediator_id))
    me = Neutral(mediator_id, seen.roles, session_id, seen)
    return Visit(me, _ends(now, seen.expires_at))


def begin(
    response: Response, edge: Edge, mediator_id: UUID, session_id: UUID, expires_at: datetime
) -> None:
    """Let the browser in for another while, until ``expires_at`` at the latest."""
    now = clock.now()
    lasts = _ends(now, expires_at) - now
    claims = {
        "sub": encode("mediator", mediator_id),
        "sid": encode("sign_in_session", session_id),
    }
    token, _ends_at = edge.signer.sign(AUDIENCE, claims, now, lasts)
    _set(response, edge.settings, token, int(lasts.total_seconds()))


def renew(response: Response, edge: Edge, me: Neutral) -> None:
    """Let somebody who is at the desk stay for another while."""
    begin(response, edge, me.mediator_id, me.session_id, me.seen.expires_at)


def end(response: Response, settings: Settings) -> None:
    """Take the cookie away."""
    _set(response, settings, "", 0)


def _set(response: Response, settings: Settings, value: str, seconds: int) -> None:
    strict: Literal["strict"] = "strict"
    response.set_cookie(
        name(settings),
        value,
        max_age=seconds,
        path=PATH,
        secure=is_secure(settings),
        httponly=True,
        samesite=strict,
    )
