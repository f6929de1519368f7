"""Signing in by e-mail address, password and one-time code.

In three parts, as hashing is slow: claim a try (:func:`begin`), compare outside of any transaction
(:func:`check`), record what came of it (:func:`finish`). An address without an account goes the
same way and takes as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import Connection, text

from ledger.refusals import Refusal
from service.mediators import passwords, sessions, throttle, totp
from service.mediators.sessions import Session
from service.sealing import SealBroken, Sealer

_log = structlog.get_logger(__name__)


class SignInRefused(Refusal):
    """Address, password and code do not open an account; which of them is not told."""

    code = "sign_in_refused"


class PasswordWrong(Refusal):
    """The current password is another."""

    code = "password_wrong"


@dataclass(frozen=True, slots=True)
class Account:
    """What an account is opened with."""

    mediator_id: UUID
    name: str
    email: str
    password_hash: str
    totp_secret: bytes


@dataclass(frozen=True, slots=True)
class Attempt:
    """A try that was claimed. ``account`` is None where there is none that could be opened."""

    key: bytes
    prefix: str
    account: Account | None


@dataclass(frozen=True, slots=True)
class Shown:
    """What was right. ``step``: the time step of the code; ``fresh``: a hash of today's cost."""

    account: Account
    step: int
    fresh: str | None


_ACCOUNT: Final = text(
    "SELECT m.id AS mediator_id, m.name, m.email, s.password_hash, s.totp_secret "
    "FROM service.sign_in AS s JOIN disputes.mediator AS m ON m.id = s.mediator_id "
    "WHERE lower(m.email) = lower(:email) AND (m.ended_at IS NULL OR m.ended_at > :now)"
)
# Only over what was compared: a reset or another use of the code in between leaves nothing to do.
_TAKE: Final = text(
    "UPDATE service.sign_in SET totp_last_step = :step, "
    "password_hash = coalesce(:fresh, password_hash) "
    "WHERE mediator_id = :mediator_id AND password_hash = :seen AND totp_last_step < :step"
)
_CHANGE: Final = text(
    "UPDATE service.sign_in SET password_hash = :new, changed_at = :now "
    "WHERE mediator_id = :mediator_id AND password_hash = :seen"
)
#: As long as a real one, and sealed for nobody.
_NO_SECRET: Final = "A" * 32


def begin(connection: Connection, email: str, prefix: str, now: datetime) -> Attempt:
    """Claim a try from a client's network (:func:`service.mediators.throttle.prefix`).

    Raises:
        TooManyTries
    """
    row = connection.execute(_ACCOUNT, {"email": email.strip(), "now": now}).one_or_none()
    account = None if row is None else Account(*row)
    # By the address as it is stored: no other spelling of it has tries of its own.
    key = throttle.account_key(email if account is None else account.email)
    throttle.claim(connection, key, prefix, now)
    return Attempt(key, prefix, account)


def check(
    sealer: Sealer, attempt: Attempt, password: str, code: str, now: datetime
) -> Shown | None:
    """Compare password and code, in a time that tells nothing; None unless both are right."""
    account = attempt.account
    stored = None if account is None else account.password_hash
    is_right, fresh = passwords.verify(password, stored)
    secret = _secret(sealer, account)
    step = totp.matching(secret or _NO_SECRET, code, now)
    if account is None or not is_right or secret is None or step is None:
        return None
    return Shown(account, step, fresh)


def finish(
    connection: Connection, attempt: Attempt, shown: Shown | None, now: datetime
) -> Session | None:
    """Open a session; None when something was wrong or the code was used before."""
    if shown is None:
        return None
    account = shown.account
    values = {
        "mediator_id": account.mediator_id,
        "seen": account.password_hash,
        "step": shown.step,
        "fresh": shown.fresh,
    }
    if connection.execute(_TAKE, values).rowcount == 0:
        return None
    throttle.succeeded(connection, attempt.key, attempt.prefix, now)
    return sessions.start(connection, account.mediator_id, now)


def new_password(attempt: Attempt, current: str, wanted: str) -> str:
    """Return the hash of a new password, for whoever knows the current one. Slow, as above.

    Raises:
        PasswordWrong, WeakPassword
    """
    account = attempt.account
    is_right, _fresh = passwords.verify(current, None if account is None else account.password_hash)
    if account is None or not is_right:
        raise PasswordWrong("This is not the current password.", pointer="/current_password")
    passwords.check(wanted, account.name, account.email)
    return passwords.hash_(wanted)


def change_password(
    connection: Connection, attempt: Attempt, new: str, session_id: UUID, now: datetime
) -> None:
    """Store a new hash, and end every other session.

    Raises:
        PasswordWrong: it was changed meanwhile.
    """
    account = attempt.account
    assert account is not None  # new_password() came first
    values = {
        "mediator_id": account.mediator_id,
        "seen": account.password_hash,
        "new": new,
        "now": now,
    }
    if connection.execute(_CHANGE, values).rowcount == 0:
        raise PasswordWrong("This is not the current password.", pointer="/current_password")
    throttle.succeeded(connection, attempt.key, attempt.prefix, now)
    sessions.end(connection, account.mediator_id, "password", now, but=session_id)


def _secret(sealer: Sealer, account: Account | None) -> str | None:
    """Return what codes are made of; None for nobody, or where it does not open."""
    if account is None:
        return None
    try:
        secret: str = sealer.open(totp.place(account.mediator_id), account.totp_secret)
    except SealBroken as error:
        _log.error("totp_secret_unreadable", mediator=str(account.mediator_id), error=str(error))
        return None
    return secret
