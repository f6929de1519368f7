"""What ``tierce doctor`` says of an instance at work: who is alive, what waits, what died."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Engine

from service import db
from service.operations import dead_letters, outages, queues

#: A process that was not seen for so long is not there; it beats every ten seconds.
_SEEN: Final = timedelta(minutes=1)
#: What waits longer than this, in seconds, waits for somebody who does not come.
_LATE: Final = {
    "timers": 300.0,
    "payments": 900.0,
    "provider_events": 900.0,
    "webhooks": 900.0,
    "messages": 900.0,
}
_FEED: Final = 300.0


@dataclass(frozen=True, slots=True)
class State:
    """What was found: the queues, and when each kind of process was last seen."""

    reading: queues.Reading
    seen: Mapping[str, datetime]


#: ``well, what, mend``, as :class:`service.cli.doctor.Finding` has them.
Line = tuple[bool, str, str]


def look(engine: Engine, now: datetime) -> State:
    """Read what there is to tell."""
    with db.transaction(engine, db.SYSTEM) as connection:
        return State(queues.read(connection, now), outages.last_seen(connection))


def tell(state: State, now: datetime) -> Iterator[Line]:
    """Say it, one thing after another. An instance that is stopped as a whole is not ill."""
    alive = {kind for kind, seen in state.seen.items() if now - seen < _SEEN}
    for kind in ("api", "worker"):
        yield _seen(kind, state.seen.get(kind), stopped=not alive, alive=kind in alive)
    if alive:
        yield from _waiting(state)
    yield from _given_up(state)


def _seen(kind: str, seen: datetime | None, *, stopped: bool, alive: bool) -> Line:
    when = f"was last seen {seen:%Y-%m-%d %H:%M:%S} UTC" if seen else "has not run yet"
    return (
        alive or stopped,
        f"{kind} {when}",
        f"Start it: `tierce up`, or see docs/operations.md for one of its own ({kind}).",
    )


def _waiting(state: State) -> Iterator[Line]:
    for name, most in _LATE.items():
        oldest = state.reading[f"tierce_{name}_oldest_seconds", None]
        count = int(state.reading[f"tierce_{name}_due", None])
        yield (
            oldest <= most,
            f"{name.replace('_', ' ')}: {count} due, the first for {int(oldest)} s",
            "The worker does not keep up or does not run: see its log, and add another.",
        )
    for consumer in ("webhooks", "messages"):
        lag = state.reading["tierce_feed_lag_seconds", consumer]
        yield (
            lag <= _FEED,
            f"events for {consumer}: the first unread one is {int(lag)} s old",
            "The worker does not run, or a transaction has been open for as long: see "
            "pg_stat_activity.",
        )


def _given_up(state: State) -> Iterator[Line]:
    counts = {
        work: int(state.reading["tierce_dead_letters_open", work]) for work in dead_letters.WORKS
    }
    found = ", ".join(f"{count} {work}" for work, count in counts.items() if count)
    yield (
        not found,
        f"dead letters: {found or 'none'}",
        "`tierce dead-letters list` shows why; mend the cause, then `tierce dead-letters retry`.",
    )
