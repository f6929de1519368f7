"""Accounts of those who mediate: an operator invites, they choose, an operator may reset or end.

Who gets an invitation's secret may open the account, so it is told to the operator once and kept as
a hash. What was chosen counts only when a code shows that the authenticator has the secret.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes import mediators
from disputes.mediators import Mediator
from ledger.refusals import Refusal
from service.mediators import sessions, throttle, totp
from service.sealing import SealBroken, Sealer

#: How long an invitation may be taken up.
INVITED: Final = timedelta(days=7)


class InvitationNotFound(Refusal):
    """No such invitation, or it was used, replaced or not taken up in time."""

    code = "invitation_not_found"


class PasswordFirst(Refusal):
    """The code confirms a choice, and no password was chosen under this invitation yet."""

    code = "password_first"


class CodeRefused(Refusal):
    """The code is not one of the authenticator's at this time."""

    code = "code_refused"


class MediatorEnded(Refusal):
    """This mediator's work has ended."""

    code = "mediator_ended"


@dataclass(frozen=True, slots=True)
class Invitation:
    """An open invitation. ``secret`` is known only when it is made."""

    mediator_id: UUID
    name: str
    email: str
    expires_at: datetime
    secret: str | None = None


_CLOSE: Final = text(
    "UPDATE service.invitation SET ended_at = :now, password_hash = NULL, totp_secret = NULL "
    "WHERE mediator_id = :mediator_id AND used_at IS NULL AND ended_at IS NULL"
)
_INVITE: Final = text(
    "INSERT INTO service.invitation (hash, mediator_id, created_at, expires_at) "
    "VALUES (:hash, :mediator_id, :now, :expires_at)"
)
_OPEN: Final = text(
    "SELECT i.mediator_id, m.name, m.email, i.expires_at, i.password_hash, i.totp_secret "
    "FROM service.invitation AS i JOIN disputes.mediator AS m ON m.id = i.mediator_id "
    "WHERE i.hash = :hash AND i.used_at IS NULL AND i.ended_at IS NULL AND i.expires_at > :now "
    "AND (m.ended_at IS NULL OR m.ended_at > :now) FOR UPDATE OF i"
)
_CHOOSE: Final = text(
    "UPDATE service.invitation SET password_hash = :password_hash, totp_secret = :totp_secret "
    "WHERE hash = :hash"
)
_USED: Final = text(
    "UPDATE service.invitation SET used_at = :now, password_hash = NULL, totp_secret = NULL "
    "WHERE hash = :hash"
)
_SET: Final = text(
    "INSERT INTO service.sign_in "
    "(mediator_id, password_hash, totp_secret, totp_last_step, changed_at) "
    "VALUES (:mediator_id, :password_hash, :totp_secret, :step, :now) "
    "ON CONFLICT (mediator_id) DO UPDATE SET password_hash = EXCLUDED.password_hash, "
    "totp_secret = EXCLUDED.totp_secret, totp_last_step = EXCLUDED.totp_last_step, "
    "changed_at = EXCLUDED.changed_at"
)
_IS_OPEN: Final = text(
    "SELECT EXISTS (SELECT FROM service.sign_in AS s JOIN disputes.mediator AS m "
    "ON m.id = s.mediator_id WHERE m.id = :mediator_id "
    "AND (m.ended_at IS NULL OR m.ended_at > :now))"
)
_FORGET: Final = text("DELETE FROM service.sign_in WHERE mediator_id = :mediator_id")


def add(connection: Connection, mediator: Mediator, now: datetime) -> Invitation:
    """Add a mediator, with an invitation to choose what opens their account.

    Raises:
        MediatorEmailTaken, MediatorInvalid
    """
    mediators.add(connection, mediator)
    return _invite(connection, mediator, now)


def reset(connection: Connection, mediator_id: UUID, now: datetime) -> Invitation:
    """Close an account at once, sessions too, and invite its mediator to choose again.

    Raises:
        MediatorNotFound, MediatorEnded
    """
    mediator = mediators.get(connection, mediator_id)
    if mediator.ended_at is not None and mediator.ended_at <= now:
        raise MediatorEnded("This mediator's work has ended.")
    _close(connection, mediator_id, "reset", now)
    return _invite(connection, mediator, now)


def end(connection: Connection, mediator_id: UUID, now: datetime) -> Mediator:
    """End a mediator's work: no more cases, no way in. Again it changes nothing.

    Raises:
        MediatorNotFound
    """
    mediator = mediators.get(connection, mediator_id)
    if mediator.ended_at is None or mediator.ended_at > now:
        mediator = mediators.change(connection, mediator_id, ended_at=now)
    _close(connection, mediator_id, "ended", now)
    return mediator


def change(
    connection: Connection, mediator_id: UUID, changes: Mapping[str, Any], now: datetime
) -> Mediator:
    """Change a mediator, whose work goes on. They keep the cases they have.

    Raises:
        MediatorNotFound, MediatorEnded, MediatorInvalid
    """
    mediator = mediators.get(connection, mediator_id)
    if mediator.ended_at is not None and mediator.ended_at <= now:
        raise MediatorEnded("This mediator's work has ended.")
    sets = {"languages", "skills", "roles"} & changes.keys()
    return mediators.change(
        connection, mediator_id, **{**changes, **{name: frozenset(changes[name]) for name in sets}}
    )


def is_open(connection: Connection, mediator_id: UUID, now: datetime) -> bool:
    """Return whether there is such a mediator, whose account can be signed in to."""
    values = {"mediator_id": mediator_id, "now": now}
    return bool(connection.execute(_IS_OPEN, values).scalar_one())


def find(connection: Connection, secret: str, now: datetime) -> Invitation:
    """Return an open invitation, held until the transaction ends.

    Raises:
        InvitationNotFound
    """
    return _find(connection, secret, now)[0]


def choose(
    connection: Connection,
    sealer: Sealer,
    secret: str,
    password_hash: str,
    totp_secret: str,
    now: datetime,
) -> Invitation:
    """Keep what was chosen until a code confirms it; a later choice takes its place.

    Raises:
        InvitationNotFound
    """
    invitation = find(connection, secret, now)
    sealed = sealer.seal(totp.place(invitation.mediator_id), totp_secret)
    values = {"hash": _hash(secret), "password_hash": password_hash, "totp_secret": sealed}
    connection.execute(_CHOOSE, values)
    return invitation


def confirm(
    connection: Connection, sealer: Sealer, secret: str, code: str, prefix: str, now: datetime
) -> Invitation:
    """Open the account with what was chosen, as the authenticator's code shows that it works.

    The network of whoever does it (``prefix``) is known to the account from here on.

    Raises:
        InvitationNotFound, PasswordFirst, CodeRefused
    """
    invitation, password_hash, sealed = _find(connection, secret, now)
    if password_hash is None or sealed is None:
        raise PasswordFirst("Send a password first.")
    try:
        chosen = sealer.open(totp.place(invitation.mediator_id), sealed)
    except SealBroken:
        raise PasswordFirst("What was chosen cannot be read any more: choose again.") from None
    step = totp.matching(chosen, code, now)
    if step is None:
        raise CodeRefused(
            "This is not the code of now. Does the clock of your device go right?", pointer="/code"
        )
    values = {"hash": _hash(secret), "mediator_id": invitation.mediator_id, "now": now}
    connection.execute(_USED, values)
    connection.execute(
        _SET, {**values, "password_hash": password_hash, "totp_secret": sealed, "step": step}
    )
    throttle.succeeded(connection, throttle.account_key(invitation.email), prefix, now)
    return invitation


def _find(
    connection: Connection, secret: str, now: datetime
) -> tuple[Invitation, str | None, bytes | None]:
    row = connection.execute(_OPEN, {"hash": _hash(secret), "now": now}).one_or_none()
    if row is None:
        raise InvitationNotFound(
            "There is no such invitation, or it is used or over; ask the operator for another."
        )
    invitation = Invitation(row.mediator_id, row.name, row.email, row.expires_at)
    return invitation, row.password_hash, row.totp_secret


def _invite(connection: Connection, mediator: Mediator, now: datetime) -> Invitation:
    secret, expires_at = f"tmi_{secrets.token_urlsafe(32)}", now + INVITED
    values = {"mediator_id": mediator.id, "now": now}
    connection.execute(_CLOSE, values)
    connection.execute(_INVITE, {**values, "hash": _hash(secret), "expires_at": expires_at})
    return Invitation(mediator.id, mediator.name, mediator.email, expires_at, secret)


def _close(connection: Connection, mediator_id: UUID, why: sessions.Why, now: datetime) -> None:
    values = {"mediator_id": mediator_id, "now": now}
    # In this order: whoever takes up an invitation, or signs in, at this moment is waited for, and
    # what they have just opened is closed too.
    connection.execute(_CLOSE, values)
    connection.execute(_FORGET, values)
    sessions.end(connection, mediator_id, why, now)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
