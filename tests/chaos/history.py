"""What was written, what arrived, and whether the one follows from the other. Pure: no database.

A run leaves two histories: the events in the outbox, and the arrivals at a receiver. The promise
between them is *at least once, in order for each exchange*: an event may come twice, an exchange's
next event never before the one ahead of it, and nothing that was written stays away.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

#: What the clock does to an exchange at most once in its life.
_ONCE_IN_A_LIFE: Final = frozenset({"exchange.expired", "exchange.in_review"})
_REMINDER: Final = "exchange.reminder"


@dataclass(frozen=True, slots=True)
class Written:
    """An event of the outbox. ``exchange`` and ``sequence`` are None for what has no exchange."""

    id: str
    type: str
    exchange: str | None = None
    sequence: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request that reached the receiver, in the order of arrival; ``kept``: answered 2xx."""

    id: str
    exchange: str | None
    sequence: int | None
    kept: bool


def check_deliveries(written: Sequence[Written], arrivals: Sequence[Arrival]) -> list[str]:
    """Return what is wrong with the arrivals, a line each; empty when the promise was kept."""
    return [*_lost(written, arrivals), *_invented(written, arrivals), *_reordered(arrivals)]


def _lost(written: Sequence[Written], arrivals: Sequence[Arrival]) -> list[str]:
    kept = {arrival.id for arrival in arrivals if arrival.kept}
    tried = {arrival.id for arrival in arrivals}
    return [
        f"lost: {_name(event)} was {'never taken' if event.id in tried else 'never sent'}"
        for event in written
        if event.id not in kept
    ]


def _invented(written: Sequence[Written], arrivals: Sequence[Arrival]) -> list[str]:
    """An event of a transaction that was rolled back, or one told of another exchange."""
    known = {event.id: (event.exchange, event.sequence) for event in written}
    strange = dict.fromkeys(
        arrival.id
        for arrival in arrivals
        if known.get(arrival.id) != (arrival.exchange, arrival.sequence)
    )
    return [f"invented: {id_} arrived and was not written so" for id_ in strange]


def _reordered(arrivals: Iterable[Arrival]) -> list[str]:
    seen: dict[str, list[int]] = defaultdict(list)
    for arrival in arrivals:
        if arrival.exchange is None or arrival.sequence is None:
            continue
        sequences = seen[arrival.exchange]
        if arrival.sequence not in sequences:
            sequences.append(arrival.sequence)
    return [
        f"reordered: {exchange} came first as {sequences}"
        for exchange, sequences in seen.items()
        if sequences != sorted(sequences)
    ]


def check_numbers(written: Sequence[Written]) -> list[str]:
    """Return the exchanges whose events are not numbered 1, 2, 3 … without a gap."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for event in written:
        if event.exchange is not None and event.sequence is not None:
            numbers[event.exchange].append(event.sequence)
    return [
        f"misnumbered: {exchange} has {sorted(found)}"
        for exchange, found in numbers.items()
        if sorted(found) != list(range(1, len(found) + 1))
    ]


def check_timers(written: Sequence[Written]) -> list[str]:
    """Return what the clock did twice: ended an exchange, sent it to review, or reminded.

    For exchanges that wait for each thing once; one of several checkpoints is reminded of each.
    """
    effects: Counter[tuple[str, ...]] = Counter()
    for event in written:
        if event.type in _ONCE_IN_A_LIFE:
            effects[str(event.exchange), event.type] += 1
        elif event.type == _REMINDER:
            told = (str(event.data[name]) for name in ("about", "number"))
            effects[str(event.exchange), event.type, *told] += 1
    return [
        f"fired {count} times: {' '.join(what)}" for what, count in effects.items() if count > 1
    ]


def _name(event: Written) -> str:
    where = "" if event.exchange is None else f" ({event.exchange} no. {event.sequence})"
    return f"{event.type} {event.id}{where}"
