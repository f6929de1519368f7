"""What the API serves over HTTP, beside an empty route of the same framework and schemas.

The load comes from a process of its own over connections kept open (load_process.py). Rounds go by
turns, one of the API and one of the empty route, so that whatever else the machine does falls on
both. PostgreSQL is durable, and the answers are checked: one that is no success ends the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx
import orjson
import psutil

from ledger import units
from migrations.run import upgrade
from service import db
from service.cli import seed
from service.cli.home import Home
from service.ids import decode, encode
from service.local import EmbeddedPostgres, EmbeddedValkey
from service.platforms import members
from service.processes import free_port
from tests.bench.timers import superuser

_ROOT: Final = Path(__file__).parents[2]
CONNECTIONS: Final = 64
#: How many members exchange with each other.
_PEOPLE: Final = 2_000
_BATCH: Final = 500


class Load:
    """The load generator's process."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._asks, self._tells = process.stdin, process.stdout
        self._plan = folder / "plan.json"

    def run(self, **plan: Any) -> dict[str, Any]:
        """Do a plan; raise RuntimeError if an answer was no success."""
        self._plan.write_bytes(orjson.dumps(plan))
        self._asks.write(f"{self._plan}\n".encode())
        self._asks.flush()
        if not self._tells.readline():
            raise RuntimeError("the load generator has ended")
        found: dict[str, Any] = orjson.loads(self._plan.with_suffix(".said").read_bytes())
        if set(found["statuses"]) - {"200", "201"}:
            raise RuntimeError(f"answers were no successes: {found['statuses']}")
        return found


@contextmanager
def process(
    *command: str, environment: dict[str, str] | None = None, first: bytes = b""
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module of ours beside us for the time of the block."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIERCE_")}
    with subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=_ROOT,
        env=kept | {"PYTHONPATH": str(_ROOT)} | (environment or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdin is not None
        running.stdin.write(first)
        running.stdin.flush()
        try:
            yield running
        finally:
            running.stdin.close()
            running.terminate()
            running.wait(30)


def wait_for(port: int, path: str) -> None:
    """Wait until something answers at this port.

    Raises:
        RuntimeError: nothing did within a minute.
    """
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if httpx.get(f"http://127.0.0.1:{port}{path}", timeout=5).status_code < 500:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing answers on port {port}")


@dataclass(frozen=True, slots=True)
class Place:
    """A platform whose members exchange, its API processes, and the empty route."""

    server: EmbeddedPostgres
    load: Load
    bearer: str
    ports: list[int]
    empty: int
    people: list[str]
    pids: list[int]

    def proposal(self, number: int, **more: Any) -> dict[str, Any]:
        """Return the body of a sale between two of the members."""
        payer = self.people[2 * number % len(self.people)]
        payee = self.people[(2 * number + 1) % len(self.people)]
        return {
            "kind": "sale",
            "title": "A bicycle",
            "payer": payer,
            "payee": payee,
            "legs": [{"role": "price", "amount": {"amount": 6500, "unit": "HOURS"}}],
            "both_agreed": True,
            **more,
        }

    def life(self, number: int) -> list[list[Any]]:
        """Return the requests of a whole life."""
        body = self.proposal(number)
        return [
            ["/v1/exchanges", body],
            ["/v1/exchanges/{id}/fund", {"member": body["payer"]}],
            *(
                ["/v1/exchanges/{id}/confirm", {"member": body[side], "checkpoint": "handover"}]
                for side in ("payee", "payer")
            ),
        ]

    def settle(self) -> None:
        """Count the rows, as the server does by itself within its first minute.

        Until then its plans are those for empty tables.
        """
        with superuser(self.server, "bench_http") as owner:
            owner.execute("VACUUM ANALYZE")

    def ask(self, jobs: Sequence[Any], **more: Any) -> dict[str, Any]:
        """Load the first API process."""
        plan = {"ports": self.ports[:1], "connections": CONNECTIONS, "bearer": self.bearer} | more
        return self.load.run(jobs=jobs, **plan)


@contextmanager
def place(server: EmbeddedPostgres, folder: Path) -> Iterator[Place]:
    """Run two API processes and an empty route on a fresh database."""
    with superuser(server, "postgres") as owner:
        owner.execute("CREATE DATABASE bench_http OWNER tierce")
    url = server.url_of("bench_http")
    upgrade(url)
    home = Home(folder)
    home.prepare()
    secrets = home.secrets()
    with ExitStack() as stack:
        valkey = EmbeddedValkey(folder / "valkey")
        stack.callback(valkey.stop)
        valkey.start()
        environment = {
            "TIERCE_HOME": str(folder),
            "TIERCE_DATABASE_URL": url,
            "TIERCE_REDIS_URL": valkey.url,
            "TIERCE_SIGNING_KEY": secrets.signing_key,
            "TIERCE_CODE_KEY": secrets.code_key,
            "TIERCE_LOG_LEVEL": "warning",
        }
        ports = [free_port() for _ in range(2)]
        pids = []
        for port in ports:
            api = process("service.cli.api", environment={**environment, "TIERCE_PORT": str(port)})
            pids.append(stack.enter_context(api).pid)
        for port in ports:
            wait_for(port, "/readyz")
        bearer, people = _settle(url)
        load = Load(stack.enter_context(process("tests.bench.load_process")), folder)
        empty = free_port()
        made = Place(server, load, bearer, ports, empty, people, pids)
        answer = load.run(
            ports=ports[:1],
            connections=1,
            bearer=bearer,
            jobs=[[["/v1/exchanges", made.proposal(0)]]],
            keep=True,
        )["bodies"][0]
        route = process("tests.bench.empty_process", str(empty), first=orjson.dumps(answer) + b"\n")
        stack.enter_context(route)
        wait_for(empty, "/openapi.json")
        yield made


def _settle(url: str) -> tuple[str, list[str]]:
    """Open a sandbox with a unit of its own and members; return its key and their ids."""
    engine, now = db.create_engine(url, 2), datetime.now(UTC)
    try:
        opened = seed.open_platform(engine, "Benchmark", now)
        platform_id = decode("platform", opened.sandbox)
        with db.transaction(engine, platform_id) as connection:
            units.define(connection, platform_id, "HOURS", "Hours", 2, 10**12)
            made = [
                members.create(connection, platform_id, f"m-{number}", now)
                for number in range(_PEOPLE)
            ]
    finally:
        engine.dispose()
    return opened.sandbox_key, [encode("member", one.id) for one in made]


@dataclass(slots=True)
class Figures:
    """Medians of the rounds; rates are per second."""

    empty: float = 0.0
    single: float = 0.0
    single_ratio: float = 0.0
    lives: float = 0.0
    lives_ratio: float = 0.0
    batch: float = 0.0
    batch_ratio: float = 0.0
    confirms: float = 0.0
    p99: float = 0.0
    half_rate: float = 0.0
    two_ratio: float = 0.0
    memory: float = 0.0
    memory_after: int = 0
    cores: int = field(default_factory=lambda: psutil.cpu_count() or 1)


def measure(
    server: EmbeddedPostgres, folder: Path, *, seconds: float, rounds: int, requests: int
) -> Figures:
    """Measure every figure; ``requests`` is after how many the memory is compared."""
    with place(server, folder) as here:
        figures = Figures()
        _beside_empty(here, figures, seconds, rounds)
        _confirms(here, figures, seconds)
        _memory(here, figures, requests)
    return figures


def _rate(found: dict[str, Any], what: str = "requests") -> float:
    return float(found[what] / found["seconds"])


def _beside_empty(here: Place, figures: Figures, seconds: float, rounds: int) -> None:
    euros = [{"role": "price", "amount": {"amount": 6500, "unit": "EUR"}}]
    singles = [[["/v1/exchanges", here.proposal(at, legs=euros)]] for at in range(_PEOPLE)]
    lives = [here.life(at) for at in range(_PEOPLE)]
    many = [
        [
            "/v1/exchanges/batch",
            {"exchanges": [here.proposal(at, legs=euros) for at in range(_BATCH)]},
        ]
    ]
    here.ask(singles, count=1_000)  # both begin warm
    here.ask(lives, count=200)
    here.ask(singles, ports=[here.empty], count=1_000)
    here.settle()
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        empty = _rate(here.ask(singles, ports=[here.empty], seconds=seconds))
        single = _rate(here.ask(singles, seconds=seconds))
        life = _rate(here.ask(lives, seconds=seconds), "jobs")
        batch = _BATCH * _rate(here.ask([many], connections=2, seconds=seconds))
        two = _rate(here.ask(singles, ports=here.ports, seconds=seconds))
        for name, figure in {
            "empty": empty,
            "single": single,
            "single_ratio": single / empty,
            "lives": life,
            "lives_ratio": life * 4 / empty,
            "batch": batch,
            "batch_ratio": batch / single,
            "two_ratio": two / single,
        }.items():
            found.setdefault(name, []).append(figure)
    for name, values in found.items():
        setattr(figures, name, median(values))


def _funded(here: Place, count: int) -> list[list[str]]:
    """Return exchanges that wait for both words."""
    asked = [
        [["/v1/exchanges/batch", {"exchanges": [here.proposal(at) for at in range(_BATCH)]}]]
        for _ in range(-(-count // _BATCH))
    ]
    batches = here.ask(asked, connections=2, keep=True)["bodies"]
    made = [one["exchange"] for batch in batches for one in batch["outcomes"]][:count]
    here.ask([[[f"/v1/exchanges/{one['id']}/fund", {"member": one["payer"]}]] for one in made])
    return [[one["id"], one["payer"], one["payee"]] for one in made]


def _words(made: Sequence[Any]) -> list[list[list[Any]]]:
    """Return the confirmations of exchanges: of all payees, then of all payers."""
    return [
        [[f"/v1/exchanges/{one[0]}/confirm", {"member": one[side], "checkpoint": "handover"}]]
        for side in (2, 1)
        for one in made
    ]


def _confirms(here: Place, figures: Figures, seconds: float) -> None:
    """Find the most confirmations a second, then how long they take at half of that."""
    figures.confirms = _rate(here.ask(_words(_funded(here, 1_000))))
    figures.half_rate = figures.confirms / 2
    made = _funded(here, max(100, int(figures.half_rate * seconds * 2 / 2)))
    figures.p99 = here.ask(_words(made), rate=figures.half_rate)["p99"]


def _memory(here: Place, figures: Figures, requests: int) -> None:
    """Compare the memory of the second process, which nothing else asked, after few and many."""
    singles = [[["/v1/exchanges", here.proposal(at)]] for at in range(_PEOPLE)]
    few = min(2_000, requests)
    api = psutil.Process(here.pids[1])
    here.ask(singles, ports=here.ports[1:], count=few)
    before = api.memory_info().rss
    here.ask(singles, ports=here.ports[1:], count=requests - few)
    figures.memory = api.memory_info().rss / before
    figures.memory_after = requests
