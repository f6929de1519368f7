"""``tierce up``: a whole instance from nothing, the main job played once, then kept up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final, NoReturn
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr
from sqlalchemy import Engine

from migrations.run import upgrade
from service import books
from service.cli import seed, seed_neutrals
from service.cli.home import CommandError, Home
from service.cli.processes import CHILDREN, Child
from service.cli.terminal import say
from service.clock import now
from service.config import Settings, is_loopback
from service.db import create_engine
from service.demo import Stage, play
from service.ids import decode
from service.local import ServerError
from service.processes import HOST, Server, free_port, port_is_free
from service.sealing import Sealer
from service.web.landing import place

_READY_SECONDS: Final = 60.0


class Interrupted(BaseException):
    """Ctrl-C or SIGTERM: leave, in order."""


class _Signals:
    """Turns SIGINT, SIGTERM and SIGHUP into :class:`Interrupted`, but only where that is safe.

    While a server is being started or stopped an interrupt is noted and waits; everything done then
    takes seconds at most.
    """

    def __init__(self) -> None:
        self._open = False
        self._noted = False
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, self._handle)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup asks to stay
            signal.signal(signal.SIGHUP, self._handle)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self._noted = True
        self.check()

    def check(self) -> None:
        """Leave now if an interrupt was noted and this is a safe place."""
        if self._noted and self._open:
            self._open = False
            raise Interrupted

    def safe_point(self) -> None:
        """Leave now if an interrupt was noted meanwhile."""
        with self.listening():
            pass

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Let interrupts in while this block runs."""
        self._open = True
        try:
            self.check()
            yield
        finally:
            self._open = False


@dataclass(frozen=True, slots=True)
class Address:
    """Where the API listens, and where this machine reaches it."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The base URL for a client on this machine."""
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://[{here}]:{self.port}" if ":" in here else f"http://{here}:{self.port}"


def up(settings: Settings, *, once: bool, port: int | None) -> int:
    """Run an instance until it is interrupted, or with ``once`` until the main job was played.

    Returns:
        0; with ``once`` 1 when a step of the play or the audit failed, 130 when interrupted.

    Raises:
        CommandError: it cannot run here; the message says why and what to do.
    """
    signals = _Signals()
    home = Home(settings.home)
    home.prepare()
    address = Address(settings.host, port or settings.port)
    with ExitStack() as stack:
        stack.enter_context(home.held())
        _require_free(address)
        try:
            return _run(stack, signals, home, settings, address, once=once)
        except Interrupted:
            say("\nStopping …")
            return 130 if once else 0
        except ServerError as error:
            raise CommandError(str(error)) from error


def _run(
    stack: ExitStack,
    signals: _Signals,
    home: Home,
    settings: Settings,
    address: Address,
    *,
    once: bool,
) -> int:
    environment = _environment(stack, home, settings, address)
    signals.safe_point()
    upgrade(environment["TIERCE_DATABASE_URL"])
    engine = create_engine(environment["TIERCE_DATABASE_URL"], pool_size=2)
    stack.callback(engine.dispose)
    found, stage = _stage(home, engine, environment, address)
    signals.safe_point()
    children = [Child(name, home.folder / "log" / f"{name}.log", environment) for name in CHILDREN]
    stack.callback(_stop, children)
    for child in children:
        child.start()
    with signals.listening():
        _wait_until_ready(address, children)
        held = play(stage, say)
    proof = books.prove(engine)
    say(f"\n{proof}")
    if once:
        return 0 if held and not proof.problems else 1
    say(_what_next(home, address, found, environment))
    return _watch(signals, children, _embedded(home, settings))


def _stage(
    home: Home, engine: Engine, environment: Mapping[str, str], address: Address
) -> tuple[seed.Demo, Stage]:
    """Return the demo platform, and all that the plays need."""
    found = seed.demo(home, engine, now())
    dispute = seed.demo(home, engine, now(), seed.DISPUTE)
    landing = seed.demo(home, engine, now(), seed.LANDING)
    platforms = [decode("platform", one.platform) for one in (found, dispute, landing)]
    sealer = Sealer(environment["TIERCE_CODE_KEY"])
    neutrals = seed_neutrals.neutrals(home, engine, sealer, platforms, now())
    names = [(one.name, id_) for id_, one in neutrals]
    home.keep(place.FILE, place.written(landing.platform, landing.api_key, names))
    people = [one for _, one in neutrals]
    return found, Stage(address.url, found.api_key, dispute.api_key, people)


_ON_LOOPBACK: Final = "only on loopback, or by TIERCE_DEV_PAGES"
_WHAT_NEXT: Final = """
Tierce is up. Ctrl-C stops it; the data stay in {home}.

  try it         {landing}

  API            {url}
  its contract   {url}/openapi.json
  demo platform  {platform}
  sandbox key    {key}
  operator key   in {home}/secrets/operator.key
  office         {url}/office (with the sandbox key)
  mediators      {url}/desk (two of the demo's own: {home}/secrets/demo-neutrals.json)
  mailbox        {mailbox}
  metrics        {url}/metrics (with the operator key); the worker's {metrics}
  logs           {home}/log/

Try next:

  export KEY={key}
  curl -s {url}/v1/exchanges -H "Authorization: Bearer $KEY"
  curl -s {url}/v1/events    -H "Authorization: Bearer $KEY"
  curl -s {url}/v1/members   -H "Authorization: Bearer $KEY" \\
       -H "Idempotency-Key: first-member" -H "Content-Type: application/json" \\
       -d '{{"external_id": "member-1", "locale": "fr"}}'
"""


def _what_next(
    home: Home, address: Address, found: seed.Demo, environment: Mapping[str, str]
) -> str:
    shown = environment["TIERCE_DEV_PAGES"] == "true"
    metrics_port = environment["TIERCE_WORKER_METRICS_PORT"]
    return _WHAT_NEXT.format(
        home=home.folder,
        url=address.url,
        landing=f"{address.url}/ in a browser: be each person in turn" if shown else _ON_LOOPBACK,
        platform=found.platform,
        key=found.api_key,
        mailbox=f"{address.url}/dev/mailbox" if shown else _ON_LOOPBACK,
        metrics=f"http://{HOST}:{metrics_port}/metrics",
    )


def _require_free(address: Address) -> None:
    if not port_is_free(address.port, address.host):
        other = address.port + 1
        raise CommandError(
            f"Port {address.port} of {address.host} is taken by another program. Choose another: "
            f"tierce up --port {other}, or TIERCE_PORT={other} make run"
        )


def _environment(
    stack: ExitStack, home: Home, settings: Settings, address: Address
) -> dict[str, str]:
    """Start the servers that were not given; return what the children are told."""
    database_url, redis_url = settings.database_url, settings.redis_url
    if database_url is None:
        # Registered first: even a start cut short is undone.
        stack.callback(home.postgres.stop)
        home.postgres.start()
        database_url = home.postgres.url
        say(f"PostgreSQL 18  {HOST}:{home.postgres.port}  {home.postgres.data}")
    if redis_url is None:
        stack.callback(home.valkey.stop)
        home.valkey.start()
        redis_url = home.valkey.url
        say(f"Valkey         {HOST}:{home.valkey.port}  {home.valkey.data}")
    made = home.secrets()
    given = settings.model_fields_set

    def chosen(secret: SecretStr | None, own: str) -> str:
        return own if secret is None else secret.get_secret_value()

    return os.environ | {
        "TIERCE_HOME": str(home.folder),
        "TIERCE_DATABASE_URL": database_url,
        "TIERCE_REDIS_URL": redis_url,
        "TIERCE_WORKER_METRICS_PORT": str(settings.worker_metrics_port or free_port()),
        "TIERCE_HOST": address.host,
        "TIERCE_PORT": str(address.port),
        "TIERCE_PUBLIC_URL": settings.public_url if "public_url" in given else address.url,
        "TIERCE_OPERATOR_KEY": chosen(settings.operator_key, made.operator_key),
        "TIERCE_SIGNING_KEY": chosen(settings.signing_key, made.signing_key),
        "TIERCE_CODE_KEY": chosen(settings.code_key, made.code_key),
        "TIERCE_DEV_PAGES": str(_shows_dev_pages(settings, address)).lower(),
    }


def _shows_dev_pages(settings: Settings, address: Address) -> bool:
    """Pages that need no key are for this machine alone: not behind a public address either."""
    if "dev_pages" in settings.model_fields_set:
        return settings.dev_pages
    public = settings.public_url if "public_url" in settings.model_fields_set else address.url
    return all(is_loopback(host) for host in (address.host, urlsplit(public).hostname))


def _wait_until_ready(address: Address, children: Sequence[Child]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    told = "nothing"
    with httpx.Client(base_url=address.url, timeout=2.0, trust_env=False) as client:
        while time.monotonic() < deadline:
            for child in children:
                child.require()
            try:
                answer = client.get("/readyz")
                if answer.status_code == 200:
                    return
                told = f"{answer.status_code} {answer.text}"
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(0.1)
    raise CommandError(
        f"The API does not become ready at {address.url}; it answers {told}. Its last words:\n"
        f"{children[0].last_words()}"
    )


def _embedded(home: Home, settings: Settings) -> list[Server]:
    """Return the servers that are ours to look after."""
    ours: list[Server] = []
    if settings.database_url is None:
        ours.append(home.postgres)
    if settings.redis_url is None:
        ours.append(home.valkey)
    return ours


def _watch(signals: _Signals, children: Sequence[Child], servers: Sequence[Server]) -> NoReturn:
    """Stay, and start again what ends by itself, until interrupted."""
    while True:
        with signals.listening():
            time.sleep(0.5)
        for server in servers:
            if not server.runs:
                _revive(server)
        for child in children:
            if not child.runs:
                say(f"The {child.name} ended by itself; starting it again (see {child.log}).")
                child.restart()


def _revive(server: Server) -> None:
    """Start a server again where everybody expects it; it replays its own log first."""
    say(f"{server.title} ended by itself; starting it again (see {server.log}).")
    port = server.port
    server.start()
    if server.port != port:
        raise CommandError(
            f"{server.title} ended, and its port {port} is taken by another program now: "
            "start Tierce again."
        )


def _stop(children: Sequence[Child]) -> None:
    """Stop taking requests first, then working; the servers come after."""
    for child in children:
        child.tell_to_stop()
    for child in children:
        child.stop()
