"""An instance in which everything may go wrong, PostgreSQL, its disk and the network included.

Each process speaks to the others through a proxy of the harness. What may be killed, and started
again, has a name in ``Instance.killable``: processes, networks and the disk alike.
"""

from __future__ import annotations

import random
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import Final

import psutil
import psycopg
from sqlalchemy import make_url

from service.local import EmbeddedPostgres
from service.privileges import account_for
from service.processes import HOST
from tests.chaos.instance import Instance
from tests.torture.proxy import Proxy

_RECOVERY_SECONDS: Final = 60.0
_NO_LIMIT: Final = resource.RLIM_INFINITY
#: Bytes beyond which no file grows while the disk is full. The log's segments have 16 MiB, so most
#: of these stop it in the middle of one, sooner or later; none leaves the room that a start needs.
_ROOM: Final = (0, 64 * 1024, 1024 * 1024, 4 * 1024 * 1024)


class Database:
    """The embedded PostgreSQL, ended without warning: all of it, or one of its processes."""

    def __init__(self, server: EmbeddedPostgres, lock: RLock, chance: random.Random) -> None:
        self._server = server
        self._lock = lock
        self._chance = chance

    def start(self) -> None:
        """Start it on the same port, as far as it does not run: it replays its log."""
        with self._lock:
            start_again(self._server)

    def kill(self) -> None:
        """End the server and all its processes; one time in three only one of those.

        A server that lost a process ends the others and recovers by itself.
        """
        with self._lock:
            family = family_of(self._server)
            if len(family) > 1 and self._chance.random() < 1 / 3:
                family = [self._chance.choice(family[1:])]
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, 10)


class Disk:
    """The room that PostgreSQL has: while there is none, no file of its grows any longer.

    The system refuses to lengthen a file beyond RLIMIT_FSIZE as it refuses to when a disk is full,
    with another number of the error, and it needs no privilege and no disk of one's own.
    """

    def __init__(self, server: EmbeddedPostgres, lock: RLock, chance: random.Random) -> None:
        self._server = server
        self._lock = lock
        self._chance = chance

    def kill(self) -> None:
        """Leave hardly any room, or none."""
        with self._lock:
            self._limit(self._chance.choice(_ROOM))

    def start(self) -> None:
        """Make room again; a server that has given up for want of it is started."""
        with self._lock:
            self._limit(_NO_LIMIT)
            start_again(self._server)

    def _limit(self, room: int) -> None:
        word = "unlimited" if room == _NO_LIMIT else str(room)
        # The server steps down from root, and only an account's own processes are its to limit.
        account = account_for(
            self._server.data, Path(shutil.which("prlimit") or "/usr/bin/prlimit")
        )
        for process in family_of(self._server):
            subprocess.run(
                [*account.prefix, *_prlimit(process.pid, word)],
                check=False,  # a process may have ended meanwhile
                capture_output=True,
                cwd="/",
                **account.options,
            )


def _prlimit(pid: int, room: str) -> list[str]:
    return [shutil.which("prlimit") or "prlimit", f"--pid={pid}", f"--fsize={room}:unlimited"]


def start_again(server: EmbeddedPostgres) -> None:
    """Start the server unless it runs, and wait until it lets somebody in.

    One that recovers by itself from the loss of a process still calls itself ready for a moment.
    """
    deadline = time.monotonic() + _RECOVERY_SECONDS
    while True:
        try:
            server.start()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def family_of(server: EmbeddedPostgres) -> list[psutil.Process]:
    """Return the server's first process and all that it has started; none if it does not run."""
    if server.pid is None:
        return []
    try:
        first = psutil.Process(server.pid)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


class World(Instance):
    """Two APIs, two workers, PostgreSQL and Valkey, with proxies between them and their callers."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Prepare it under ``folder``; ``seed`` draws which fault befalls a network."""
        super().__init__(folder, durable=True)
        self._seed = seed
        self.networks: dict[str, Proxy] = {}
        #: Where clients reach the APIs, each through a proxy.
        self.doors: list[str] = []

    def start(self) -> None:
        """Start everything, and wait until both APIs are ready."""
        super().start()
        for number, url in enumerate(self.urls):
            port = make_url(url).port
            assert port is not None
            proxy = self._network(f"clients-{number}", lambda port=port: port)  # type: ignore[misc]
            self.doors.append(f"http://{HOST}:{proxy.port}")
        lock = RLock()
        self.killable["postgres"] = Database(self.postgres, lock, self._chance("postgres"))
        self.killable["disk"] = Disk(self.postgres, lock, self._chance("disk"))

    def _chance(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}-{name}")

    def _network(self, name: str, target: Callable[[], int]) -> Proxy:
        proxy = Proxy(target, self._chance(name))
        self.networks[name] = self.killable[f"network-{name}"] = proxy
        return proxy

    def _environment(self) -> dict[str, str]:
        """Let the processes find both servers behind proxies."""
        database = self._network("database", lambda: self.postgres.port)
        broker = self._network("broker", lambda: self._valkey.port)
        return super()._environment() | {
            "TIERCE_DATABASE_URL": _through(self.database_url, self.postgres.port, database),
            "TIERCE_REDIS_URL": _through(self.redis_url, self._valkey.port, broker),
        }

    def stop(self) -> None:
        """Stop everything that runs."""
        for proxy in self.networks.values():
            proxy.start()
        super().stop()
        for proxy in self.networks.values():
            proxy.stop()


def _through(url: str, port: int, proxy: Proxy) -> str:
    """Return the same URL with the proxy's port."""
    return url.replace(f"{HOST}:{port}", f"{HOST}:{proxy.port}")
