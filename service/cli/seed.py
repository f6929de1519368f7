"""The demo platform of an instance: made once, found again at every later start."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Engine

from ledger import units
from service.cli.home import Home
from service.db import SYSTEM, transaction
from service.ids import decode, encode
from service.platforms import keys, platforms
from service.platforms.scopes import SCOPES

_LABEL: Final = "made by the command line"


@dataclass(frozen=True, slots=True)
class Opened:
    """A platform and the keys to both of its modes. The keys are never shown again."""

    live: str
    live_key: str
    sandbox: str
    sandbox_key: str


@dataclass(frozen=True, slots=True)
class Demo:
    """The sandbox of a demo platform and a key to it."""

    platform: str
    api_key: str


@dataclass(frozen=True, slots=True)
class Place:
    """A demo platform: its name, and the file in the home that keeps its key."""

    name: str
    file: str


#: What a newcomer tries things on.
DEMO: Final = Place("Demo", "demo.json")
#: Where the play of a dispute is given: its clock is moved each time.
DISPUTE: Final = Place("Demo of a dispute", "demo-dispute.json")
#: Where the landing page plays: visitors move its clock.
LANDING: Final = Place("Ti an Holl", "demo-landing-key.json")


def open_platform(engine: Engine, name: str, now: datetime) -> Opened:
    """Create a platform, and a key with every scope to its live and its sandbox mode."""
    with transaction(engine, SYSTEM) as connection:
        live, sandbox = platforms.create(connection, name, now)
        _, live_key = keys.create(connection, live.id, live.mode, _LABEL, SCOPES, now)
        _, sandbox_key = keys.create(connection, sandbox.id, sandbox.mode, _LABEL, SCOPES, now)
    return Opened(
        encode("platform", live.id), live_key, encode("platform", sandbox.id), sandbox_key
    )


def demo(home: Home, engine: Engine, now: datetime, place: Place = DEMO) -> Demo:
    """Return a demo platform and its key, kept 0600 in the home; create what is not there.

    The key is made anew if it was revoked, the platform if the database is another one.
    """
    kept = home.read(place.file)
    known = None if kept is None else Demo(**json.loads(kept))
    found = None if known is None else _still_there(engine, known, now)
    if found is None:
        opened = open_platform(engine, place.name, now)
        found = Demo(opened.sandbox, opened.sandbox_key)
        _define_hours(engine, decode("platform", found.platform))
    if found != known:
        home.keep(place.file, json.dumps(asdict(found)))
    return found


def _still_there(engine: Engine, known: Demo, now: datetime) -> Demo | None:
    platform_id = decode("platform", known.platform)
    with transaction(engine, SYSTEM) as connection:
        if keys.recognise(connection, known.api_key, now) is not None:
            return known
        try:
            platform = platforms.find(connection, platform_id)
        except platforms.PlatformNotFound:
            return None
        _, key = keys.create(connection, platform.id, platform.mode, _LABEL, SCOPES, now)
    return Demo(known.platform, key)


def _define_hours(engine: Engine, platform_id: UUID) -> None:
    """Give the demo a community unit: hours, in which a member may owe up to ten."""
    with transaction(engine, platform_id) as connection:
        units.define(connection, platform_id, "HOURS", "Hours", 2, 1_000)
