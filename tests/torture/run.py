"""One run: open a platform, load it, harm everything meanwhile, check what is left."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg
from sqlalchemy import Engine

from ledger import units
from service.cli import seed as opening
from service.clock import now
from service.db import create_engine, transaction
from service.events import endpoints
from service.ids import decode
from service.sealing import Sealer
from tests.chaos.aftermath import Aftermath, Elder
from tests.chaos.client import Client
from tests.chaos.killer import Killer, plan
from tests.chaos.load import Age, Load, Shopper, Told
from tests.chaos.receiver import Flaky
from tests.events.sink import Sink
from tests.torture.checks import check
from tests.torture.court import Court
from tests.torture.lives import Villager
from tests.torture.world import World

#: Seconds in which everything that was begun has to come to its end.
_SETTLE: Final = 240.0
_HURRY: Final = 3.0


@dataclass
class Report:
    """What a run did and what it found; ``findings`` is empty when nothing was lost."""

    seed: int
    seconds: float
    lives: int = 0
    disputes: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    answers: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    harms: Counter[str] = field(default_factory=Counter)
    events: int = 0
    arrivals: int = 0
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Say it in a few lines, and each finding in one more."""
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s of harm",
            f"  harmed    {_counted(self.harms)}",
            f"  lives     {self.lives}: {_counted(self.ends)}",
            f"  disputes  {self.disputes}, each decided by one neutral and read again by another",
            f"  clients   {self.answers} answers after {_counted(self.troubles)}",
            f"  webhooks  {self.events} events, {self.arrivals} arrivals",
            f"  findings  {len(self.findings)}",
        ]
        return "\n".join([*lines, *(f"    {finding}" for finding in self.findings)])


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items())) or "none"


@contextmanager
def world(folder: Path, seed: int) -> Iterator[World]:
    """Let an instance live under ``folder``, with servers of its own."""
    running = World(folder, seed)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@dataclass(frozen=True, slots=True)
class Place:
    """A platform of a run, its key, and the receiver that its events go to."""

    id: UUID
    key: str
    receiver: Flaky
    secret: str


def open_place(engine: Engine, world: World, receiver: Flaky, name: str) -> Place:
    """Open a platform with hours to give and an endpoint that hears of everything."""
    opened = opening.open_platform(engine, name, now())
    platform_id = decode("platform", opened.sandbox)
    with transaction(engine, platform_id) as connection:
        units.define(connection, platform_id, "HOURS", "Hours", 2, 1_000_000)
        _row, secret = endpoints.create(
            connection,
            Sealer(world.code_key),
            platform_id,
            url=receiver.url,
            events=["*"],
            description="",
            secret=None,
            now=now(),
        )
    return Place(platform_id, opened.sandbox_key, receiver, secret)


def torture(
    world: World,
    seed: int,
    seconds: float,
    *,
    harmed: bool = True,
    disputes: bool = True,
    people: int = 4,
    person: Callable[[Client, str, random.Random, Age], Shopper] = Villager,
) -> Report:
    """Load a new platform for ``seconds``, and harm what there is meanwhile; check everything.

    ``harmed``: False leaves processes and the disk alone; the networks of the clients still fail.
    ``disputes``: on a platform beside it, whose clock jumps by days, disputes go to neutrals.
    """
    report = Report(seed, seconds)
    engine = create_engine(world.database_url, pool_size=4)
    try:
        with Sink() as sink, Sink() as other:
            place = open_place(engine, world, Flaky(sink, random.Random(seed)), f"Torture {seed}")
            elder = Elder(world.postgres)
            age = _patient(elder.age)
            load = Load(world.doors, place.key, seed, age, shoppers=people, person=person)
            names = sorted(name for name in world.killable if harmed or "clients" in name)
            killer = Killer(world.killable, plan(seed, names, seconds))
            beside = open_place(engine, world, Flaky(other, random.Random(seed)), f"Court {seed}")
            court = Court(world, engine, beside.id, beside.key, seed) if disputes else None
            load.start()
            if court is not None:
                court.start()
            killer.start()
            killer.join()
            _heal(world)
            told = load.finish()
            if court is not None:
                court.finish()
            engine.dispose()  # its connections are to a server that is no more
            place.receiver.behave()
            _settle(engine, place, told, elder, report)
            _tell(world, told, killer, report)
            arrivals = place.receiver.arrivals()
            report.arrivals = len(arrivals)
            report.events = len(Aftermath(engine, place.id).written())
            report.findings += check(engine, place.id, told, arrivals)
            unsigned = place.receiver.unsigned(place.secret)
            report.findings += [f"unsigned: {event}" for event in unsigned]
            if court is not None:
                beside.receiver.behave()
                _settle(engine, beside, Told(), elder, report)
                report.disputes = court.played
                report.findings += court.failures
                report.findings += check(engine, beside.id, None, beside.receiver.arrivals())
    finally:
        engine.dispose()
    return report


def _patient(age: Age) -> Age:
    """Return what lets an exchange grow old as soon as the database lets it."""

    def grow(exchange: str) -> None:
        for _ in range(120):
            try:
                return age(exchange)
            except psycopg.Error:  # the server is down, recovering or full
                time.sleep(0.25)
        return age(exchange)

    return grow


def _heal(world: World) -> None:
    """Start whatever is not alive: a run ends with everything in order."""
    for one in world.networks.values():
        one.start()
    world.killable["disk"].start()
    world.wait_until_ready()


def _settle(engine: Engine, place: Place, told: Told, elder: Elder, report: Report) -> None:
    """Wait until nothing is left to be done; what never ends is a finding."""
    aftermath = Aftermath(engine, place.id)
    deadline = time.monotonic() + _SETTLE
    hurried = 0.0
    while (unsettled := aftermath.unsettled()) or aftermath.unanswered(told.lived):
        if time.monotonic() > deadline:
            report.findings.append(f"never done: {unsettled}")
            return
        if time.monotonic() > hurried + _HURRY:
            hurried = time.monotonic()
            aftermath.hurry()
            for exchange in aftermath.unanswered(told.lived):
                elder.age(exchange)
        time.sleep(0.2)


def _tell(world: World, told: Told, killer: Killer, report: Report) -> None:
    report.lives = len(told.lived)
    report.ends.update(one.ends for one in told.lived)
    report.answers, report.troubles = told.answers, told.troubles
    report.harms += killer.kills
    report.findings += [f"fell by itself: {name}" for name in world.fallen()]
    report.findings += [f"complained: {line}" for line in world.complaints()]
