"""How often Stripe is called, and when it is left alone for a while.

Stripe takes 100 requests a second of a live account and 25 of a sandbox (docs.stripe.com,
"Rate limits"); beyond that it answers 429. One account's calls from this process pass one
:class:`Budget`; several processes are held together by the 429 and the :class:`Circuit`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from service.payments.port import ProviderUnavailable

#: Calls a second, by the platform's mode.
RATES: Final = {"live": 100.0, "sandbox": 25.0}
#: No thread waits longer than this for its turn, in seconds; whoever would is told to come back.
LONGEST_WAIT: Final = 0.25
#: After so many failures in a row the provider is left alone …
_FAILURES: Final = 3
#: … for so many seconds, doubling with each further failure up to the last.
_FIRST_REST: Final = 1.0
_LAST_REST: Final = 60.0


class Budget:
    """A token bucket: ``rate`` calls a second, and as many at once after a pause."""

    def __init__(
        self,
        rate: float,
        ticks: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """Count by ``ticks`` (seconds from anywhere), sleep by ``wait``."""
        self._rate = rate
        self._ticks = ticks
        self._wait = wait
        self._lock = Lock()
        self._tokens = rate
        self._at = ticks()

    def take(self) -> None:
        """Take one call's turn, waiting a moment if that is all it needs.

        Raises:
            ProviderUnavailable: the wait would be too long for a thread that serves a request.
        """
        with self._lock:
            now = self._ticks()
            self._tokens = min(self._rate, self._tokens + (now - self._at) * self._rate)
            self._at = now
            # A waiting thread holds a token of the future, so that the next one waits for its own.
            pause = max(0.0, (1.0 - self._tokens) / self._rate)
            if pause > LONGEST_WAIT:
                raise ProviderUnavailable("our own limit of calls is reached", pause)
            self._tokens -= 1.0
        if pause:
            self._wait(pause)


class Circuit:
    """Opens after repeated failures, so that a provider in trouble is not pressed further."""

    def __init__(
        self,
        ticks: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``jitter`` gives numbers from 0 to 1, that processes do not all come back at once."""
        self._ticks = ticks
        self._jitter = jitter
        self._lock = Lock()
        self._failures = 0
        self._open_until: float | None = None
        self._trying_until = 0.0

    def check(self) -> None:
        """Let a call through, or not. After a rest, one call at a time tries how it is.

        Raises:
            ProviderUnavailable: the circuit is open.
        """
        with self._lock:
            if self._open_until is None:
                return
            now = self._ticks()
            closed_at = max(self._open_until, self._trying_until)
            if now < closed_at:
                raise ProviderUnavailable("Stripe is left alone for a moment", closed_at - now)
            # Should this call never tell how it went, another one may try after a while.
            self._trying_until = now + _LAST_REST

    def succeeded(self) -> None:
        """Note an answer: the circuit is closed."""
        with self._lock:
            self._failures = 0
            self._open_until = None
            self._trying_until = 0.0

    def failed(self, retry_after: float | None = None) -> None:
        """Note that there was no answer, or one that said "not now"."""
        with self._lock:
            self._failures += 1
            self._trying_until = 0.0
            if self._failures < _FAILURES and retry_after is None:
                return
            doublings = min(max(self._failures - _FAILURES, 0), 16)
            rest = min(_FIRST_REST * 2**doublings, _LAST_REST)
            rest *= 0.5 + 0.5 * self._jitter()
            self._open_until = self._ticks() + max(rest, retry_after or 0.0)
