"""Who dies when, drawn from a seed, and the thread that carries it out."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final, Protocol

#: Seconds between two kills; a process takes some to start, so some die while they do.
_GAPS: Final = (1.0, 3.9)
#: Seconds that the dead stay so.
_PAUSES: Final = (0.0, 2.0)


class Killable(Protocol):
    """A process that can be ended without warning and started again."""

    def start(self) -> None:
        """Start it again, on the same port."""

    def kill(self) -> None:
        """End it at once."""


@dataclass(frozen=True, slots=True, order=True)
class Deed:
    """At ``at`` seconds after the beginning, ``name`` is killed, or started again."""

    at: float
    name: str
    kills: bool


def plan(seed: int, names: Sequence[str], seconds: float) -> list[Deed]:
    """Return the deeds of a run in order; each of ``names`` dies at least once if time allows.

    One that is dead is not killed again before it was started, and all are alive at the end.
    """
    chance = random.Random(seed)
    deeds: list[Deed] = []
    dead_until: dict[str, float] = {}
    turn: list[str] = []
    at = chance.uniform(*_GAPS)
    while at < seconds:
        if not turn:
            turn = list(names)
            chance.shuffle(turn)
        name = turn.pop()
        if dead_until.get(name, -1.0) < at:
            back = at + chance.uniform(*_PAUSES)
            dead_until[name] = back
            deeds += [Deed(at, name, kills=True), Deed(back, name, kills=False)]
        at += chance.uniform(*_GAPS)
    return sorted(deeds)


class Killer:
    """Carries out a plan in a thread of its own; leaves everything running."""

    def __init__(self, killable: Mapping[str, Killable], deeds: Sequence[Deed]) -> None:
        self._killable = killable
        self._deeds = deeds
        self._stop = Event()
        self._failure: BaseException | None = None
        self.kills: Counter[str] = Counter()
        self._thread = Thread(target=self._run, name="killer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait until the plan is carried out; raise what went wrong in it."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        began = time.monotonic()
        try:
            for deed in self._deeds:
                self._stop.wait(max(0.0, began + deed.at - time.monotonic()))
                one = self._killable[deed.name]
                if deed.kills:
                    one.kill()
                    self.kills[deed.name] += 1
                else:
                    one.start()
        except BaseException as error:  # told by join()
            self._failure = error
