"""How long the service takes to make a page while two hundred cases are open, beside twenty.

Two databases of one server, an application in front of each, asked turn by turn in this process:
no socket and no browser, so that what is timed is the service and its database alone.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Final
from uuid import UUID

import httpx
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import Connection, Engine

from disputes import mediators
from ledger import units
from migrations.run import upgrade
from service import db
from service.app import create_app
from service.config import Settings
from service.exchanges.advance import advance
from service.exchanges.commands import ClaimDraft, Command, Who
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange
from service.exchanges.propose import Proposal
from service.ids import encode, uuid7
from service.local import EmbeddedPostgres
from service.mediators import sessions
from service.messages import links
from service.platforms import keys, platforms
from service.platforms.scopes import SCOPES
from service.platforms.tokens import Signer
from service.web.desk import session as desk_session
from tests.bench.line import Line, Part, most
from tests.bench.timers import done, superuser
from tests.disputes.people import a_mediator
from tests.exchanges.world import SECRET, World
from tests.http.conftest import new_signing_key

_UNIT: Final = "POINTS"
_AT: Final = "http://tierce.test"
_WARM: Final = 5
_CLAIM: Final = ClaimDraft("pressure_or_scam", answers={"what_happened": "He threatened me."})


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds that a page takes, in the middle of its rounds: beside many cases and few."""

    page: str
    many: float
    few: float

    @property
    def ratio(self) -> float:
        """How much of its time comes with the cases."""
        return self.many / self.few


class Place:
    """A platform with open cases, all of one mediator, and the application in front of it."""

    def __init__(self, server: EmbeddedPostgres, name: str, cases: int, folder: Path) -> None:
        with superuser(server, "postgres") as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER tierce")
        url = server.url_of(name)
        upgrade(url)
        engine: Engine = db.create_engine(url, pool_size=4)
        now, signing_key = datetime.now(UTC), new_signing_key()
        try:
            with db.transaction(engine, db.SYSTEM) as connection:
                _live, sandbox = platforms.create(connection, "Bench", now)
                _key, self.key = keys.create(connection, sandbox.id, "sandbox", "B", SCOPES, now)
                mediator_id, session = _mediator(connection, sandbox.id, cases, now)
            exchanges = _claimed(engine, sandbox.id, cases, now)
            with db.transaction(engine, sandbox.id) as connection:
                link = links.make(
                    connection,
                    sandbox.id,
                    exchanges[0].payer_id,
                    exchanges[0].id,
                    "agree",
                    now,
                    public_url=_AT,
                )
        finally:
            engine.dispose()
        with superuser(server, name) as owner:
            owner.execute("VACUUM ANALYZE")
        claims = {"sub": encode("mediator", mediator_id), "sid": encode("sign_in_session", session)}
        signer = Signer(signing_key, _AT)
        token, _ends = signer.sign(desk_session.AUDIENCE, claims, now, timedelta(hours=1))
        settings = Settings(
            database_url=url,
            public_url=_AT,
            signing_key=SecretStr(signing_key),
            code_key=SecretStr(SECRET),
            files_url=str(folder / f"files-{name}"),
            log_level="warning",
            member_requests_per_minute=1_000_000,
        )
        self.app: Final[FastAPI] = create_app(settings)
        self.cookies: Final = {desk_session.name(settings): token}
        self.member: Final = link.removeprefix(_AT)


def _mediator(
    connection: Connection, platform_id: UUID, cap: int, now: datetime
) -> tuple[UUID, UUID]:
    """Make somebody who takes all the cases; return them and their session."""
    one = a_mediator(caseload_cap=cap, roles=frozenset({"mediator", "supervisor"}))
    pool_id = uuid7()
    mediators.make_pool(connection, pool_id, "Bench", now)
    mediators.serve(connection, pool_id, platform_id)
    mediators.add(connection, one)
    mediators.put_in_pool(connection, pool_id, [one.id])
    return one.id, sessions.start(connection, one.id, now).id


def _claimed(engine: Engine, platform_id: UUID, cases: int, now: datetime) -> list[Exchange]:
    """Make exchanges that are paid for, and let the payer of each report a problem."""
    world = World(engine, platform_id)
    world.now = now
    with db.transaction(engine, platform_id) as connection:
        units.define(connection, platform_id, _UNIT, "Points", 0, 10**9)
    draft = world.draft("help", [("price", 100, _UNIT)])
    one = Proposal(world.payer, world.payee, Role.PAYEE, draft, both_agreed=True)
    found = [done(made).exchange for made in world.propose_all([one] * cases)]
    payer = Who(world.payer, "member")
    for name, claim in (("fund", None), ("claim", _CLAIM)):
        commands = [Command(exchange.id, name, payer, claim=claim) for exchange in found]
        with db.transaction(engine, platform_id) as connection:
            for outcome in advance(connection, platform_id, commands, world.rules):
                done(outcome)
    return found


class Asking:
    """The pages of a place, each asked for as its reader does."""

    def __init__(self, place: Place, client: httpx.AsyncClient) -> None:
        self._place, self._client = place, client
        self.pages: dict[str, str] = {}

    async def enter(self, cases: int) -> None:
        """Sign in everywhere, and find the pages; each is there, and says what it should."""
        sent = {"key": self._place.key, "next": "/office"}
        headers = {"sec-fetch-site": "same-origin"}
        entered = await self._client.post("/office/sign-in", data=sent, headers=headers)
        if entered.status_code != 303:
            raise RuntimeError(f"the office is closed: {entered.status_code}")
        queue = await self._ask("/desk/queue")
        shown = queue.count("data-row>")
        if shown != min(cases, 50):
            raise RuntimeError(f"{shown} cases are in the queue of {cases}")
        case = queue.split('href="/desk/cases/', 1)[1].split('"', 1)[0]
        self.pages = {
            "queue": "/desk/queue",
            "case": f"/desk/cases/{case}",
            "member": self._place.member,
            "office": "/office/exchanges",
        }

    async def _ask(self, path: str) -> str:
        answer = await self._client.get(path, headers={"accept-language": "fr"})
        if answer.status_code != 200:
            raise RuntimeError(f"{path}: {answer.status_code}")
        return answer.text

    async def time(self, page: str) -> float:
        """Return how many milliseconds a page takes."""
        began = time.perf_counter()
        await self._ask(self.pages[page])
        return (time.perf_counter() - began) * 1000


async def _measure(places: list[Place], sizes: list[int], rounds: int) -> list[Cost]:
    asking: list[Asking] = []
    taken: dict[tuple[str, int], list[float]] = {}
    few, many = places
    async with few.app.router.lifespan_context(few.app), many.app.router.lifespan_context(many.app):
        for place, cases in zip(places, sizes, strict=True):
            transport = httpx.ASGITransport(place.app)
            client = httpx.AsyncClient(transport=transport, base_url=_AT, cookies=place.cookies)
            asking.append(Asking(place, client))
            await asking[-1].enter(cases)
        for turn in range(_WARM + rounds):
            for at, one in enumerate(asking):
                for page in one.pages:
                    milliseconds = await one.time(page)
                    if turn >= _WARM:
                        taken.setdefault((page, at), []).append(milliseconds)
    return [Cost(page, median(taken[page, 1]), median(taken[page, 0])) for page in asking[0].pages]


def measure(
    server: EmbeddedPostgres, folder: Path, *, few: int, many: int, rounds: int
) -> list[Cost]:
    """Ask for each page where ``few`` cases are open, and where ``many`` are."""
    sizes = [few, many]
    names = ["pages_few", "pages_many"]
    places = [Place(server, name, size, folder) for name, size in zip(names, sizes, strict=True)]
    return asyncio.run(_measure(places, sizes, rounds))


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this part."""
    parser.add_argument("--cases", type=int, default=200, help="open cases beside pages (200)")
    parser.add_argument("--few-cases", type=int, default=20, help="the same, few (20)")


def measured(server: EmbeddedPostgres, folder: Path, asked: argparse.Namespace) -> list[Line]:
    """Measure and return the lines of the table."""
    few, many = asked.few_cases, asked.cases
    lines = []
    for one in measure(server, folder, few=few, many=many, rounds=4 * asked.rounds):
        what = f"ms for a page beside {many:,} open cases: {one.page}"
        lines.append(most(what, one.many, 50, f"{one.many:.1f}"))
        lines.append(Line(f"the same page: {many:,} cases to {few:,}", f"{one.ratio:.2f}"))
    return lines


PART = Part("pages", options, measured)
