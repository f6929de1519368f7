"""Faults on order: connections that break, answers that never come."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

#: before: the connection closes and nothing was done.
#: after: it was done, the connection closes without an answer.
#: 500: nothing was done, the 500 is kept under the key. 500_after: it was done, the answer is 500.
#: 429: too many requests, nothing done. timeout: hangs, then is done and answered.
#: timeout_after: done, then the answer hangs.
KINDS = ("before", "after", "500", "500_after", "429", "timeout", "timeout_after")


@dataclass
class Fault:
    """One order: ``times`` requests after ``skip`` ones are hit."""

    path_prefix: str
    kind: str
    times: int
    skip: int
    method: str | None
    #: Set when the requests that hang may go on.
    released: threading.Event = field(default_factory=threading.Event)
    #: Set when a request hangs.
    reached: threading.Event = field(default_factory=threading.Event)
    #: How many requests it hit.
    hit: int = 0

    def hang(self, limit: float) -> None:
        """Wait until released, at most ``limit`` seconds."""
        self.reached.set()
        self.released.wait(limit)


class Faults:
    """All orders; the caller holds the server's lock."""

    def __init__(self) -> None:
        self._orders: list[Fault] = []
        #: The longest that a request hangs when nobody lets it go, in seconds.
        self.limit = 30.0

    def order(
        self, path_prefix: str, kind: str, times: int, skip: int, method: str | None
    ) -> Fault:
        """Add an order.

        Raises:
            ValueError: there is no such kind.
        """
        if kind not in KINDS:
            raise ValueError(f"no such fault: {kind}; there are {', '.join(KINDS)}")
        made = Fault(path_prefix, kind, times, skip, method)
        self._orders.append(made)
        return made

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that hits this request, if one does."""
        for order in self._orders:
            if order.times <= 0 or not path.startswith(order.path_prefix):
                continue
            if order.method not in {None, method}:
                continue
            if order.skip > 0:
                order.skip -= 1
                continue
            order.times -= 1
            order.hit += 1
            return order
        return None

    def release(self) -> None:
        """Let every request that hangs go on, also those to come."""
        for order in self._orders:
            order.released.set()

    def clear(self) -> None:
        """Forget all orders, and let what hangs go on."""
        self.release()
        self._orders.clear()
