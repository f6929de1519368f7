"""How mediators get in, for whatever they get in by: programs and pages do the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from fastapi import Request

from service import clock, db
from service.http.edge import Edge
from service.http.mediator_auth import Neutral
from service.mediators import accounts, passwords, sessions, sign_in, throttle, totp
from service.mediators.accounts import Invitation
from service.mediators.sessions import Session
from service.sealing import Sealer

T = TypeVar("T")

#: Each hash takes 64 MiB and a core: no more of them at once, however many ask.
_HASHING: Final = ThreadPoolExecutor(2, thread_name_prefix="hashing")


async def _hashing(work: Callable[[], T]) -> T:
    """Run what hashes a password away from the loop, and outside of every transaction."""
    db.outside_transaction()
    return await asyncio.get_running_loop().run_in_executor(_HASHING, work)


def _sealer(edge: Edge) -> Sealer:
    secret = edge.settings.code_key
    assert secret is not None  # the application does not start without it
    return Sealer(secret.get_secret_value())


def network_of(request: Request) -> str:
    """Return the network by which tries to get in are counted."""
    return throttle.prefix(None if request.client is None else request.client.host)


async def open_session(edge: Edge, network: str, email: str, password: str, code: str) -> Session:
    """Sign somebody in.

    Raises:
        TooManyTries, SignInRefused
    """
    now = clock.now()
    attempt = await edge.run(db.SYSTEM, lambda c: sign_in.begin(c, email, network, now))
    shown = await _hashing(lambda: sign_in.check(_sealer(edge), attempt, password, code, now))
    session = await edge.run(db.SYSTEM, lambda c: sign_in.finish(c, attempt, shown, now))
    if session is None:
        raise sign_in.SignInRefused(
            "Address, password and code do not fit together, or the code was used before."
        )
    return session


async def end_session(edge: Edge, me: Neutral) -> None:
    """End the session that somebody is in, everywhere at once."""
    now = clock.now()
    await edge.run(
        db.SYSTEM,
        lambda c: sessions.end(c, me.mediator_id, "signed_out", now, only=me.session_id),
    )


async def change_password(edge: Edge, network: str, me: Neutral, current: str, wanted: str) -> None:
    """Change a password; every other session of the mediator ends.

    Raises:
        TooManyTries, PasswordWrong, WeakPassword
    """
    now = clock.now()
    attempt = await edge.run(db.SYSTEM, lambda c: sign_in.begin(c, me.seen.email, network, now))
    new = await _hashing(lambda: sign_in.new_password(attempt, current, wanted))
    await edge.run(
        db.SYSTEM, lambda c: sign_in.change_password(c, attempt, new, me.session_id, now)
    )


async def invited(edge: Edge, token: str) -> Invitation:
    """Return an open invitation.

    Raises:
        InvitationNotFound
    """
    now = clock.now()
    return await edge.run(db.SYSTEM, lambda c: accounts.find(c, token, now))


async def choose(edge: Edge, token: str, password: str) -> tuple[Invitation, str]:
    """Choose a password; return what an authenticator is to be told (an ``otpauth:`` URI).

    Raises:
        InvitationNotFound, WeakPassword
    """
    now, sealer = clock.now(), _sealer(edge)
    invitation = await invited(edge, token)
    passwords.check(password, invitation.name, invitation.email)
    hash_ = await _hashing(lambda: passwords.hash_(password))
    secret = totp.new_secret()
    await edge.run(db.SYSTEM, lambda c: accounts.choose(c, sealer, token, hash_, secret, now))
    return invitation, totp.uri(secret, invitation.email)


async def confirm(edge: Edge, network: str, token: str, code: str) -> Invitation:
    """Open an account, as the authenticator's code shows that it works.

    Raises:
        InvitationNotFound, PasswordFirst, CodeRefused
    """
    now, sealer = clock.now(), _sealer(edge)
    return await edge.run(
        db.SYSTEM, lambda c: accounts.confirm(c, sealer, token, code, network, now)
    )
