"""How often one may ask: wrong keys from a network, and requests of a member or a platform.

Counted in Redis or Valkey for all API processes together. While that is away each process counts
for itself, in memory: the limits still hold, per process, and no request fails for it (ADR 21).
A right key is never held up by others' wrong ones, once this process has seen it.
"""

from __future__ import annotations

import math
import time
from typing import Any, Final

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from redis import RedisError
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ledger.refusals import Refusal
from service.broker import checked

_log = structlog.get_logger(__name__)

#: A store that failed is left alone for this long, so that no request pays for its absence.
_REST_SECONDS: Final = 5.0
_TIMEOUT_SECONDS: Final = 0.25


class TooManyRequests(Refusal):
    """It was asked too often; ``wait_seconds`` says when it may be asked again."""

    code = "too_many_requests"


class Limits:
    """The limits of one API process."""

    def __init__(
        self,
        redis_url: str | None,
        *,
        wrong_keys: int,
        by_member: int,
        by_platform: int | None,
    ) -> None:
        """Take where to count, and how much is free per minute; None is no limit at all."""
        self._wrong_keys = RateLimitItemPerMinute(wrong_keys)
        self._by_member = RateLimitItemPerMinute(by_member)
        self._by_platform = None if by_platform is None else RateLimitItemPerMinute(by_platform)
        self._own = _Counter(MemoryStorage())
        self._pool = None if redis_url is None else _pool(redis_url)
        self._shared = (
            None
            if redis_url is None or self._pool is None
            else _Counter(_redis(redis_url, self._pool))
        )
        self._resting_until = 0.0

    async def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            await self._pool.aclose()

    async def check_wrong_keys(self, network: str) -> None:
        """Refuse to look at a key from a network that sent too many wrong ones lately.

        Raises:
            TooManyRequests
        """
        if not await self._ask("test", self._wrong_keys, "wrong", network):
            raise await self._too_many(
                "Too many wrong keys came from this network.", self._wrong_keys, "wrong", network
            )

    async def count_wrong_key(self, network: str) -> None:
        """Count a key that opens nothing.

        Raises:
            TooManyRequests: there were too many before.
        """
        if not await self._ask("hit", self._wrong_keys, "wrong", network):
            raise await self._too_many(
                "Too many wrong keys came from this network.", self._wrong_keys, "wrong", network
            )

    async def count_member(self, member: str) -> None:
        """Count a request of a member's token.

        Raises:
            TooManyRequests
        """
        if not await self._ask("hit", self._by_member, "member", member):
            raise await self._too_many(
                "This member asks too often.", self._by_member, "member", member
            )

    async def count_platform(self, platform: str) -> None:
        """Count a request of a platform's keys, all together, where the operator limits them.

        Raises:
            TooManyRequests
        """
        item = self._by_platform
        if item is not None and not await self._ask("hit", item, "platform", platform):
            raise await self._too_many("This platform asks too often.", item, "platform", platform)

    async def _ask(self, what: str, item: RateLimitItem, *who: str) -> Any:
        shared = self._shared
        if shared is not None and time.monotonic() >= self._resting_until:
            try:
                return await getattr(shared, what)(item, *who)
            except (RedisError, StorageError, OSError) as error:
                self._resting_until = time.monotonic() + _REST_SECONDS
                _log.warning("limits_count_alone", error=str(error))
        return await getattr(self._own, what)(item, *who)

    async def _too_many(self, why: str, item: RateLimitItem, *who: str) -> TooManyRequests:
        reset: float = await self._ask("reset_at", item, *who)
        seconds = min(max(1, math.ceil(reset - time.time())), 60)
        return TooManyRequests(
            f"{why} Up to {item.amount} a minute are taken; try again in {seconds} seconds.",
            wait_seconds=seconds,
        )


class _Counter:
    """What is counted in one store."""

    def __init__(self, store: Storage) -> None:
        self._limiter = FixedWindowRateLimiter(store)

    async def hit(self, item: RateLimitItem, *who: str) -> bool:
        """Count one; False when that was one too many."""
        return await self._limiter.hit(item, *who)

    async def test(self, item: RateLimitItem, *who: str) -> bool:
        """Tell whether one more would be taken."""
        return await self._limiter.test(item, *who)

    async def reset_at(self, item: RateLimitItem, *who: str) -> float:
        """Return when counting begins anew, in seconds since 1970."""
        return (await self._limiter.get_window_stats(item, *who)).reset_time


def _pool(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(
        checked(url),
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def _redis(url: str, pool: ConnectionPool) -> Storage:
    options: dict[str, Any] = {
        "implementation": "redispy",
        "key_prefix": "tierce:limit",
        "connection_pool": pool,
    }
    return RedisStorage(f"async+{url}", **options)
