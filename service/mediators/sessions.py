"""Sessions: a short access token, and a secret that is used once to get the next.

The access token is a JWT (RFC 7519) of the instance's key, for an audience of its own, and is good
while its session stands. The refresh secret is rotated; one that comes back a second time was
copied, and ends the session for whoever holds it (RFC 9700 §4.14.2).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from ledger.refusals import Refusal
from service.ids import decode, encode, uuid7
from service.platforms.tokens import BadToken, Signer

AUDIENCE: Final = "tierce:mediation"
ACCESS: Final = timedelta(minutes=15)
#: Unused for so long, or as old as that, a session asks for the password again: NIST SP 800-63B
#: §2.2.3 (AAL2) has an hour, and a day at most.
IDLE: Final = timedelta(hours=1)
WHOLE: Final = timedelta(hours=12)
#: Use is written at most this often.
SEEN_EVERY: Final = timedelta(minutes=1)

Why = Literal["signed_out", "reused", "password", "reset", "ended"]


class SessionOver(Refusal):
    """The session has ended: sign in again."""

    code = "session_over"


@dataclass(frozen=True, slots=True)
class Session:
    """A session as it goes on: the secret that refreshes it is told this once."""

    id: UUID
    mediator_id: UUID
    expires_at: datetime
    refresh: str
    refresh_expires_at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """Whose a standing session is."""

    name: str
    email: str
    languages: tuple[str, ...]
    roles: frozenset[str]
    started_at: datetime
    expires_at: datetime


_START: Final = text(
    "INSERT INTO service.sign_in_session (id, mediator_id, started_at, last_seen_at, expires_at) "
    "VALUES (:id, :mediator_id, :now, :now, :expires_at)"
)
_SECRET: Final = text(
    "INSERT INTO service.sign_in_refresh (hash, session_id, made_at, expires_at) "
    "VALUES (:hash, :session_id, :now, :expires_at)"
)
_FIND: Final = text(
    "SELECT r.used_at, r.expires_at AS refresh_expires_at, s.id, s.mediator_id, s.expires_at, "
    "s.ended_at FROM service.sign_in_refresh AS r "
    "JOIN service.sign_in_session AS s ON s.id = r.session_id WHERE r.hash = :hash "
    "FOR UPDATE OF r, s"
)
_USE: Final = text("UPDATE service.sign_in_refresh SET used_at = :now WHERE hash = :hash")
_TOUCH: Final = text("UPDATE service.sign_in_session SET last_seen_at = :now WHERE id = :id")
_END: Final = text(
    "UPDATE service.sign_in_session SET ended_at = :now, ended_why = :why "
    "WHERE mediator_id = :mediator_id AND ended_at IS NULL "
    "AND (CAST(:only AS uuid) IS NULL OR id = :only) "
    "AND (CAST(:but AS uuid) IS NULL OR id <> :but)"
)
_SEE: Final = text(
    "SELECT m.name, m.email, m.languages, m.roles, s.started_at, s.last_seen_at, s.expires_at "
    "FROM service.sign_in_session AS s JOIN disputes.mediator AS m ON m.id = s.mediator_id "
    "WHERE s.id = :id AND s.mediator_id = :mediator_id "
    "AND s.ended_at IS NULL AND s.expires_at > :now "
    "AND (m.ended_at IS NULL OR m.ended_at > :now)"
)


def start(connection: Connection, mediator_id: UUID, now: datetime) -> Session:
    """Begin a session of somebody who has just shown who they are."""
    session_id, expires_at = uuid7(), now + WHOLE
    connection.execute(
        _START,
        {"id": session_id, "mediator_id": mediator_id, "now": now, "expires_at": expires_at},
    )
    return _go_on(connection, session_id, mediator_id, expires_at, now)


def refresh(connection: Connection, secret: str, now: datetime) -> Session | None:
    """Use a refresh secret; return the session with the next one.

    None: the secret is not known, over, or was used before, which ends its session. That is to be
    committed, so the caller refuses only afterwards.
    """
    hash_ = _hash(secret)
    row = connection.execute(_FIND, {"hash": hash_}).one_or_none()
    if row is None or row.ended_at is not None:
        return None
    if row.used_at is not None:
        end(connection, row.mediator_id, "reused", now, only=row.id)
        return None
    if min(row.refresh_expires_at, row.expires_at) <= now:
        return None
    if see(connection, row.mediator_id, row.id, now) is None:
        return None
    connection.execute(_USE, {"hash": hash_, "now": now})
    connection.execute(_TOUCH, {"id": row.id, "now": now})
    return _go_on(connection, row.id, row.mediator_id, row.expires_at, now)


def see(connection: Connection, mediator_id: UUID, session_id: UUID, now: datetime) -> Seen | None:
    """Return whose session it is; None when it is over, or its mediator is one no more."""
    row = connection.execute(
        _SEE, {"id": session_id, "mediator_id": mediator_id, "now": now}
    ).one_or_none()
    if row is None:
        return None
    if now - row.last_seen_at >= SEEN_EVERY:
        connection.execute(_TOUCH, {"id": session_id, "now": now})
    return Seen(
        row.name,
        row.email,
        tuple(row.languages),
        frozenset(row.roles),
        row.started_at,
        row.expires_at,
    )


def end(
    connection: Connection,
    mediator_id: UUID,
    why: Why,
    now: datetime,
    *,
    only: UUID | None = None,
    but: UUID | None = None,
) -> int:
    """End a mediator's open sessions, ``only`` one or all ``but`` one; return how many."""
    values = {"mediator_id": mediator_id, "why": why, "now": now, "only": only, "but": but}
    return connection.execute(_END, values).rowcount


def access(signer: Signer, session: Session, now: datetime) -> tuple[str, datetime]:
    """Return an access token of a session, and when it ends."""
    claims = {
        "sub": encode("mediator", session.mediator_id),
        "sid": encode("sign_in_session", session.id),
    }
    return signer.sign(AUDIENCE, claims, now, min(ACCESS, session.expires_at - now))


def read(signer: Signer, token: str, now: datetime) -> tuple[UUID, UUID]:
    """Return the mediator and the session of an access token.

    Raises:
        BadToken: forged, over, or made for another audience.
    """
    claims = signer.claims(AUDIENCE, token, now)
    try:
        return decode("mediator", claims["sub"]), decode("sign_in_session", claims["sid"])
    except (KeyError, ValueError, AttributeError) as error:
        raise BadToken("The token is not valid.") from error


def _go_on(
    connection: Connection,
    session_id: UUID,
    mediator_id: UUID,
    expires_at: datetime,
    now: datetime,
) -> Session:
    secret, ends = f"tmr_{secrets.token_urlsafe(32)}", min(now + IDLE, expires_at)
    connection.execute(
        _SECRET,
        {"hash": _hash(secret), "session_id": session_id, "now": now, "expires_at": ends},
    )
    return Session(session_id, mediator_id, expires_at, secret, ends)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
