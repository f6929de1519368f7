"""Look names up for many platforms at once, each in places of its own.

A name whose servers do not answer holds a thread for as long as the machine's resolver has
patience, whoever has given up meanwhile. So a platform holds a few threads at most, and behind its
dead names waits nobody but itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from uuid import UUID

#: Returns the addresses of a host, as text; it blocks. Raises OSError when it has none.
Ask = Callable[[str, int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class _Lookup:
    host: str
    port: int
    whose: UUID
    answer: Future[Sequence[str]]


class Lookups:
    """The lookups of a process, from any thread and any loop."""

    def __init__(self, ask: Ask, most: int, each: int) -> None:
        """Ask for ``most`` names at a time, and for ``each`` of one platform."""
        self._ask = ask
        self._each = each
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="resolve")
        self._lock = Lock()
        self._busy: Counter[UUID] = Counter()
        self._waiting: defaultdict[UUID, deque[_Lookup]] = defaultdict(deque)

    async def resolve(self, host: str, port: int, whose: UUID) -> Sequence[str]:
        """Return what is answered about a host; one that nobody waits for is not asked about.

        Raises:
            OSError: it has no address.
        """
        lookup = _Lookup(host, port, whose, Future())
        with self._lock:
            is_free = self._busy[whose] < self._each
            if is_free:
                self._busy[whose] += 1
            else:
                self._waiting[whose].append(lookup)
        if is_free:
            self._pool.submit(self._work, lookup)
        return await asyncio.wrap_future(lookup.answer)

    def _work(self, lookup: _Lookup) -> None:
        if lookup.answer.set_running_or_notify_cancel():
            try:
                lookup.answer.set_result(self._ask(lookup.host, lookup.port))
            except Exception as error:  # for whoever waits
                lookup.answer.set_exception(error)
        following = self._next(lookup.whose)
        if following is not None:
            # At the end of the line: other platforms' are first.
            self._pool.submit(self._work, following)

    def _next(self, whose: UUID) -> _Lookup | None:
        """Return the platform's next lookup, for the place of one that is over, or free it."""
        with self._lock:
            if whose in self._waiting:
                following = self._waiting[whose].popleft()
                if not self._waiting[whose]:
                    del self._waiting[whose]
                return following
            self._busy[whose] -= 1
            if not self._busy[whose]:
                del self._busy[whose]
            return None
