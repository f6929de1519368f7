"""Who is asking: a platform by its key, a member by a token, or the instance's operator."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from service import clock, db
from service.http.edge import edge_of
from service.http.refusals import (
    MemberOnly,
    MemberRequired,
    NotSignedIn,
    NotYourself,
    ScopeMissing,
)
from service.mediators import throttle
from service.platforms import keys, members, platforms
from service.platforms.keys import Key
from service.platforms.platforms import Mode
from service.platforms.scopes import MEMBER_SCOPES


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, on which platform, and what they may do. ``member_id`` is set for a member."""

    platform_id: UUID
    mode: Mode
    scopes: frozenset[str]
    key_id: UUID | None
    member_id: UUID | None

    @property
    def scope(self) -> db.Scope:
        """The scope of the actor's transactions."""
        return self.platform_id

    @property
    def name(self) -> str:
        """What idempotency keys are bound to: a member, or the platform whichever its API key.

        A request that is sent again after its API key was rotated is still the same request.
        """
        return "platform" if self.member_id is None else f"member:{self.member_id}"

    def acting_for(self, member_id: UUID | None) -> UUID:
        """Return the member whose step this is.

        Raises:
            NotYourself: a member's token named somebody else.
            MemberRequired: a platform's key named nobody.
            ScopeMissing: the key may not act for members.
        """
        if self.member_id is not None:
            if member_id not in {None, self.member_id}:
                raise NotYourself("This token acts for its own member alone.", pointer="/member")
            return self.member_id
        if "members:act" not in self.scopes:
            raise ScopeMissing("This key may not act for members: members:act is missing.")
        if member_id is None:
            raise MemberRequired("Name the member for whom the platform acts.", pointer="/member")
        return member_id

    @property
    def via(self) -> str:
        """Whose word a step is, for the record."""
        return "platform" if self.member_id is None else "member"


@dataclass(frozen=True, slots=True)
class Operator:
    """The instance's operator, who stands outside of every platform."""

    platform_id: UUID
    scope: db.Scope = db.SYSTEM
    name: str = "operator"


#: No platform has this id: it keeps the operator's idempotency keys apart.
_OPERATOR: Final = Operator(UUID(int=0))


class _Known:
    """Keys recognised lately. A revoked key may live on here for :data:`KEPT` seconds."""

    KEPT: Final = 2.0
    MOST: Final = 10_000

    def __init__(self) -> None:
        self._found: OrderedDict[str, tuple[float, Key, Mode]] = OrderedDict()

    def get(self, secret: str) -> tuple[Key, Mode] | None:
        found = self._found.get(secret)
        if found is None or time.monotonic() - found[0] > self.KEPT:
            return None
        return found[1], found[2]

    def remembers(self, secret: str) -> bool:
        """Tell whether this secret opened something before, however long ago."""
        return secret in self._found

    def keep(self, secret: str, key: Key, mode: Mode) -> None:
        self._found[secret] = (time.monotonic(), key, mode)
        self._found.move_to_end(secret)
        if len(self._found) > self.MOST:
            self._found.popitem(last=False)

    def forget(self) -> None:
        self._found.clear()


known: Final = _Known()


class Bearer(HTTPBearer):
    """A bearer's credential (RFC 6750), as text: the framework's own makes a model of it."""

    async def __call__(self, request: Request) -> str | None:  # type: ignore[override]
        """Return the credential, or None without one."""
        scheme, text = get_authorization_scheme_param(request.headers.get("authorization"))
        return text if text and scheme.lower() == "bearer" else None


_key_scheme: Final = Bearer(
    scheme_name="ApiKey",
    description="A platform's key: tk_live_… or tk_sandbox_…",
    auto_error=False,
)
_member_scheme: Final = Bearer(
    scheme_name="MemberToken",
    description="A member's short-lived token, from POST /v1/members/{member}/tokens",
    bearerFormat="JWT",
    auto_error=False,
)
_operator_scheme: Final = Bearer(
    scheme_name="OperatorKey", description="The instance's operator key", auto_error=False
)
Given = str | None


#: Keys that are being looked up.
_looking: Final[dict[str, asyncio.Task[tuple[Key, Mode]]]] = {}


async def _recognise(request: Request, secret: str) -> tuple[Key, Mode]:
    edge = edge_of(request)
    now = clock.now()
    if not known.remembers(secret):
        await edge.limits.check_wrong_keys(_network(request))
    found = await edge.run(db.SYSTEM, lambda c: keys.recognise(c, secret, now))
    if found is None:
        await edge.limits.count_wrong_key(_network(request))
    if found is None and secret.startswith("tk_operator_"):
        raise NotSignedIn(
            "This is an operator's key: it opens /v1/platforms and /v1/operator. Here a "
            "platform's key opens, tk_live_… or tk_sandbox_…."
        )
    if found is None:
        raise NotSignedIn("This API key is not known, or has ended.")
    known.keep(secret, *found)
    return found


async def by_key(request: Request, secret: str) -> Actor:
    """Return the platform whose key ``secret`` is, and what it allows.

    Raises:
        NotSignedIn: no key that works.
        TooManyRequests: too many wrong ones came from this network, or it asks too often.
    """
    edge = edge_of(request)
    found = known.get(secret)
    if found is None or not found[0].works(clock.now()):
        # All that come with one key look it up once: what they recall ends for all at one instant.
        if (looking := _looking.get(secret)) is None:
            looking = _looking[secret] = asyncio.create_task(_recognise(request, secret))
            looking.add_done_callback(lambda _: _looking.pop(secret, None))
        found = await asyncio.shield(looking)
    key, mode = found
    await edge.limits.count_platform(str(key.platform_id))
    return Actor(key.platform_id, mode, frozenset(key.scopes), key.id, None)


async def _by_token(request: Request, token: str) -> Actor:
    edge = edge_of(request)
    platform_id, member_id = edge.signer.verify(token, clock.now())
    await edge.limits.count_member(str(member_id))
    platform, member = await edge.run(
        platform_id,
        lambda c: (
            platforms.find(c, platform_id),
            members.find_many(c, platform_id, [member_id]).get(member_id),
        ),
    )
    if member is None or member.erased_at is not None:
        raise NotSignedIn("The token's member is not there any more.")
    return Actor(platform_id, platform.mode, MEMBER_SCOPES, None, member_id)


def _network(request: Request) -> str:
    return throttle.prefix(None if request.client is None else request.client.host)


def _need(given: Given) -> str:
    if given is None:
        raise NotSignedIn("Send 'Authorization: Bearer …' with an API key or a member's token.")
    return given


def _check(actor: Actor, scope: str) -> Actor:
    if scope not in actor.scopes:
        raise ScopeMissing(f"This credential lacks the scope {scope}.", scope=scope)
    structlog.contextvars.bind_contextvars(platform=str(actor.platform_id))
    return actor


_Dependency = Callable[..., Coroutine[Any, Any, Actor]]


def platform_key(scope: str) -> _Dependency:
    """Return a dependency that lets a platform's key with ``scope`` in."""

    async def dependency(request: Request, given: Annotated[Given, Depends(_key_scheme)]) -> Actor:
        secret = _need(given)
        if not secret.startswith("tk_"):
            raise NotSignedIn("Here only a platform's API key opens.")
        return _check(await by_key(request, secret), scope)

    return dependency


def anyone(scope: str) -> _Dependency:
    """Return a dependency that lets a platform's key or a member's token with ``scope`` in."""

    async def dependency(
        request: Request,
        given: Annotated[Given, Depends(_key_scheme)],
        _member: Annotated[Given, Depends(_member_scheme)],
    ) -> Actor:
        secret = _need(given)
        found = await (by_key if secret.startswith("tk_") else _by_token)(request, secret)
        return _check(found, scope)

    return dependency


def member_token(scope: str) -> _Dependency:
    """Return a dependency that lets nobody but a member in, not even the platform."""

    async def dependency(
        request: Request, given: Annotated[Given, Depends(_member_scheme)]
    ) -> Actor:
        secret = _need(given)
        if secret.startswith("tk_"):
            await by_key(request, secret)
            raise MemberOnly("Only the member's own token may see this.")
        return _check(await _by_token(request, secret), scope)

    return dependency


async def operator(
    request: Request, given: Annotated[Given, Depends(_operator_scheme)]
) -> Operator:
    """Let nobody but the instance's operator in."""
    wanted = edge_of(request).settings.operator_key
    secret = _need(given)
    if wanted is None or not hmac.compare_digest(
        secret.encode(), wanted.get_secret_value().encode()
    ):
        await edge_of(request).limits.count_wrong_key(_network(request))
        raise NotSignedIn("This is not the operator's key.")
    return _OPERATOR


async def scraper(request: Request, given: Annotated[Given, Depends(_operator_scheme)]) -> None:
    """Let the operator in, and who scrapes metrics with a token of their own."""
    settings = edge_of(request).settings
    secret = _need(given)
    for wanted in (settings.operator_key, settings.metrics_token):
        if wanted is not None and hmac.compare_digest(
            secret.encode(), wanted.get_secret_value().encode()
        ):
            return
    await edge_of(request).limits.count_wrong_key(_network(request))
    raise NotSignedIn("Metrics open with the operator's key or the metrics token.")
