"""An instance that is killed: two APIs and two workers on servers of its own, as processes.

The embedded PostgreSQL stays up: it is where everything stands. The Valkey, the APIs and the
workers are killed without warning, by pid, and started again on the same ports.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import httpx
import psutil

from migrations.run import upgrade
from service.cli.home import Home
from service.local import EmbeddedPostgres, EmbeddedValkey
from service.processes import HOST, free_port
from tests.chaos.killer import Killable

ROOT: Final = Path(__file__).parents[2]
_START_SECONDS: Final = 60.0


class Child:
    """An API or a worker in a process of its own."""

    def __init__(self, module: str, log: Path, environment: dict[str, str]) -> None:
        self._module = module
        self._log = log
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        #: How often it had ended by itself when it was to be ended.
        self.fell = 0

    def start(self) -> None:
        """Start it, without waiting until it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,  # its end would tell the child that we are gone
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int | None:
        """The process's pid, or None while there is none."""
        return None if self._process is None else self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it is alive."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it without warning and wait until it is gone."""
        if self._process is not None:
            self.fell += not self.runs
            self._process.kill()
            self._end()

    def stop(self) -> None:
        """Ask it to end; after some seconds, end it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._end()

    def _end(self) -> None:
        assert self._process is not None
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process = None


class Broker:
    """The embedded Valkey, which is killed as the children are."""

    def __init__(self, server: EmbeddedValkey) -> None:
        self._server = server
        self._port = 0

    def start(self) -> None:
        """Start it where everybody expects it."""
        self._server.start()
        assert self._port in {0, self._server.port}, "another program has taken the broker's port"
        self._port = self._server.port

    def kill(self) -> None:
        """End it without warning, in the middle of a write if need be."""
        assert self._server.pid is not None
        process = psutil.Process(self._server.pid)
        process.kill()
        process.wait(10)

    def stop(self) -> None:
        """Stop it in order."""
        self._server.stop()


class Instance:
    """PostgreSQL, and the five processes that may die: by name, in ``killable``."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        """Prepare an instance under ``folder``; nothing runs before :meth:`start`.

        ``durable``: PostgreSQL itself may be killed, so it must keep what it has committed.
        """
        self.folder: Final = folder
        self.postgres: Final = EmbeddedPostgres(folder / "postgres", durable=durable)
        self._valkey: Final = EmbeddedValkey(folder / "valkey")
        self.killable: dict[str, Killable] = {}
        self.urls: list[str] = []
        self.code_key = ""

    @property
    def database_url(self) -> str:
        """The database's URL for the application's login role."""
        return self.postgres.url

    @property
    def redis_url(self) -> str:
        """The broker's URL."""
        return self._valkey.url

    def start(self) -> None:
        """Start everything, in order, and wait until both APIs are ready."""
        self.postgres.start()
        upgrade(self.database_url)
        broker = Broker(self._valkey)
        self.killable["broker"] = broker
        broker.start()
        ports = [free_port(), free_port()]
        self.urls = [f"http://{HOST}:{port}" for port in ports]
        environment = self._environment()
        for number, port in enumerate(ports):
            own = {**environment, "TIERCE_PORT": str(port)}
            self._add(f"api-{number}", "service.cli.api", own)
            self._add(f"worker-{number}", "service.cli.work", environment)
        for child in self._children():
            child.start()
        self.wait_until_ready()

    def _add(self, name: str, module: str, environment: dict[str, str]) -> None:
        self.killable[name] = Child(module, self.folder / f"{name}.log", environment)

    def _environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("TIERCE_")}
        home = Home(self.folder)
        home.prepare()
        made = home.secrets()
        self.code_key = made.code_key
        return kept | {
            "PYTHONPATH": str(ROOT),
            "TIERCE_HOME": str(self.folder),
            "TIERCE_DATABASE_URL": self.database_url,
            "TIERCE_REDIS_URL": self.redis_url,
            "TIERCE_PUBLIC_URL": self.urls[0],
            "TIERCE_OPERATOR_KEY": made.operator_key,
            "TIERCE_SIGNING_KEY": made.signing_key,
            "TIERCE_CODE_KEY": made.code_key,
            "TIERCE_WEBHOOKS_ALLOW_PRIVATE": "true",  # the receiver is on this machine
        }

    def wait_until_ready(self) -> None:
        """Wait until both APIs answer that they are ready."""
        deadline = time.monotonic() + _START_SECONDS
        for url in self.urls:
            while not _ready(url):
                assert self.fallen() == [], self.last_words()
                assert time.monotonic() < deadline, self.last_words()
                time.sleep(0.1)

    def fallen(self) -> list[str]:
        """Return who ended without having been told to: not even a dead broker is a reason to."""
        children = [(name, one) for name, one in self.killable.items() if isinstance(one, Child)]
        return [name for name, one in children if one.fell or not one.runs]

    def _children(self) -> list[Child]:
        return [one for one in self.killable.values() if isinstance(one, Child)]

    def last_words(self) -> str:
        """Return the ends of all logs, to be shown when something failed."""
        found = []
        for log in sorted(self.folder.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-15:]
            found += [f"--- {log.name}", *lines]
        return "\n".join(found)

    def complaints(self) -> list[str]:
        """Return the lines in which a process said that something is wrong with the books."""
        return [
            f"{log.name}: {line}"
            for log in sorted(self.folder.glob("*.log"))
            for line in log.read_text(errors="replace").splitlines()
            if '"level":"critical"' in line or '"level": "critical"' in line
        ]

    def stop(self) -> None:
        """Stop everything that runs."""
        for child in self._children():
            child.stop()
        self._valkey.stop()
        self.postgres.stop()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2.0, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
