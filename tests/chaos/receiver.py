"""How a receiver of webhooks behaves that is as bad as they come."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

from tests.chaos.history import Arrival
from tests.events.sink import HANG, HANG_UP, OK, Reply, Sink

PATH: Final = "/hook"
#: What it does, and how often out of a hundred. Only the first two take the message.
_HABITS: Final = {
    "answers": (66, OK),
    "answers late": (4, Reply(after_seconds=1.0)),
    "fails": (10, Reply(status=500)),
    "hangs up": (12, HANG_UP),
    "stumbles": (4, Reply(status=503)),
    "asks for a pause": (3, Reply(status=429, headers=(("retry-after", "1"),))),
    "says nothing": (1, HANG),
}


class Flaky:
    """Drives a sink by habits drawn at random; once told to, it behaves."""

    def __init__(self, sink: Sink, chance: random.Random) -> None:
        """Behave on ``sink`` as ``chance`` has it."""
        self._sink = sink
        self._chance = chance
        self._behaves = False
        self.habits: Counter[str] = Counter()
        sink.script(PATH, self._reply)

    @property
    def url(self) -> str:
        """The address of the endpoint."""
        return self._sink.url(PATH)

    def behave(self) -> None:
        """Answer everything from now on."""
        self._behaves = True

    def arrivals(self) -> list[Arrival]:
        """Return what has arrived, in order."""
        taken = {id(one) for one in self._sink.taken(PATH)}
        return [
            Arrival(one.event, one.exchange, one.sequence, id(one) in taken)
            for one in self._sink.of(PATH)
        ]

    def unsigned(self, secret: str) -> list[str]:
        """Return the messages without a signature of ``secret``."""
        return [one.event for one in self._sink.of(PATH) if not one.is_signed_by(secret)]

    def _reply(self, _event: str, _number: int) -> Reply:
        habit = "answers"
        if not self._behaves:
            weights = [weight for weight, _reply in _HABITS.values()]
            (habit,) = self._chance.choices(list(_HABITS), weights)
        self.habits[habit] += 1
        return _HABITS[habit][1]
