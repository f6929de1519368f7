"""A server process of ours: started, found again after a crash, and stopped, by pid and folder.

Nothing is ever ended for merely looking like ours: a process must carry the pid that the server
itself wrote down, go by its name, and work in its folder.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import ClassVar, Final

import psutil

from service.privileges import Account, ServerError, account_for

HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 120.0  # recovery after a crash may have a while of log to replay
_MOST_TRIES: Final = 10
_LOG_LIMIT: Final = 10 * 1024 * 1024

#: What a server's own last words mean, and what to do about it.
_ADVICE: Final = {
    "No space left on device": "The disk is full: free some space, then start again.",
    "setpriv:": "Root could not step down to an ordinary account here: start as an ordinary user, "
    "or move the project to a folder that everybody may enter, such as /srv/tierce.",
    "Permission denied": "The server's account may not enter or write that folder.",
    "could not look up effective user ID": "This account's number has no name on this machine, and "
    "PostgreSQL needs one: run as a named user (in a container: one in /etc/passwd), or point "
    "TIERCE_DATABASE_URL at a server of your own.",
    "could not create shared memory": "The machine's shared memory is used up: stop other servers.",
    "could not map anonymous shared memory": "There is not enough free memory for the server.",
    "is not compatible with this version": "The data were written by another PostgreSQL version: "
    "dump them with that version and restore them with this one.",
}


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int, host: str = HOST) -> bool:
    """Tell whether a server could listen on ``port`` of ``host`` now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def package(name: str) -> Path:
    """Return the folder of an installed package without running its code."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ServerError(f"The package {name} is not installed: run `make run` to install it.")
    return Path(spec.origin).parent


class _Outliving(subprocess.Popen[bytes]):
    """A child that may outlive us: forgetting it while it runs is no mistake to warn about."""

    def __del__(self, *_: object) -> None:
        pass


class Server(ABC):
    """One server process with its folder, port and log."""

    title: ClassVar[str]
    program: ClassVar[str]  # the name the process goes by
    stop_signal: ClassVar[signal.Signals]
    force_signal: ClassVar[signal.Signals]

    def __init__(self, folder: Path | str, *, port: int | None = None) -> None:
        self.folder: Final = Path(folder).resolve()
        self.log: Final = self.folder / "server.log"
        self.port = port or 0
        self._fixed_port: Final = port
        self._process: psutil.Process | None = None
        self._child: _Outliving | None = None

    # What each server says about itself.

    @property
    @abstractmethod
    def data(self) -> Path:
        """The folder the server works in."""

    @abstractmethod
    def _create(self, account: Account) -> None:
        """Make the data folder if it is not there yet."""

    @abstractmethod
    def _command(self, account: Account) -> tuple[list[str], bytes]:
        """Return the command line and what to write to its standard input."""

    @abstractmethod
    def _recorded(self) -> tuple[int, float] | None:
        """Return pid and start (Unix seconds) as the server itself wrote them down, or None."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Tell whether the server answers."""

    @abstractmethod
    def _forget_stranger(self) -> None:
        """Remove what would make the server mistake a stranger's process for its own."""

    @abstractmethod
    def _prepare(self) -> None:
        """Do what an answering server needs before it is of use, if it is not done yet."""

    # What they share.

    @property
    def pid(self) -> int | None:
        """The pid of the server this object started or adopted."""
        return self._process.pid if self._process else None

    @property
    def runs(self) -> bool:
        """Whether the server that this object started or adopted is alive."""
        if self._child is not None and self._child.poll() is not None:
            return False
        try:
            return (
                self._process is not None
                and self._process.is_running()
                and self._process.status() != psutil.STATUS_ZOMBIE
            )
        except psutil.NoSuchProcess:
            return False

    def start(self) -> bool:
        """Start the server, or adopt the one already running in this folder; wait until it answers.

        Returns:
            True if this call started it, False if it ran already.

        Raises:
            ServerError: it cannot run here; the message says why and what to do.
        """
        with self._locked():
            self._process, self._child = self.find(), None
            self.port = self._read_port()
            adopted = self._process is not None and self._becomes_ready(self._process)
            if not adopted:
                self._forget_stranger()
                account = account_for(self.data, self._program_path())
                try:
                    self._create(account)
                    self._launch(account)
                except OSError as error:
                    raise self._unwritable(error) from error
            self._prepare()
        return not adopted

    def stop(self, *, seconds: float = 30.0) -> None:
        """Stop the server of this folder, if it runs, and wait until it is gone.

        Raises:
            ServerError: it did not end, even when told to drop everything.
        """
        # A server outlives the removal of its folder, so the one we know of is ended even then.
        with self._locked() if self.folder.exists() else nullcontext():
            process = self._process or self.find()
            if process is not None and not (
                self._ended(process, self.stop_signal, seconds)
                or self._ended(process, self.force_signal, 10.0)
            ):
                raise ServerError(
                    f"{self.title} (process {process.pid}) does not stop; see {self.log}"
                )
            self._process = self._child = None

    def find(self) -> psutil.Process | None:
        """Return the running server of this folder, or None: a stale pid file proves nothing."""
        recorded = self._recorded()
        if recorded is None:
            return None
        pid, started = recorded
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE or process.name() != self.program:
                return None
            try:
                ours = Path(process.cwd()) == self.data
            except psutil.AccessDenied:
                # A container may forbid looking into another account's process.
                ours = abs(process.create_time() - started) < 10
        except psutil.NoSuchProcess:
            return None
        return process if ours else None

    def _ended(self, process: psutil.Process, how: signal.Signals, seconds: float) -> bool:
        try:
            process.send_signal(how)
            if self._child is not None and self._child.pid == process.pid:
                self._child.wait(seconds)
            else:
                process.wait(seconds)
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
            return False
        except psutil.NoSuchProcess:
            pass
        return True

    def _launch(self, account: Account) -> None:
        words = ""
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.old"))
        for attempt in range(_MOST_TRIES):
            self.port = self._choose_port(recorded=attempt == 0)
            # Written first: whoever adopts the server after a crash of ours needs it.
            self._write(self.folder / "port", str(self.port))
            command, script = self._command(account)
            with self.log.open("ab") as log:
                position = log.tell()
                self._child = _Outliving(
                    [*account.prefix, *command],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    env=environment(),
                    start_new_session=True,  # Ctrl-C in the terminal is for the parent to handle
                    **account.options,
                )
            self._process = psutil.Process(self._child.pid)
            assert self._child.stdin is not None
            with suppress(BrokenPipeError), self._child.stdin as stdin:
                stdin.write(script)
            if self._becomes_ready(self._process):
                return
            words = self._last_words(position)
            if "still in use" in words:
                time.sleep(0.5)  # the last processes of a killed server are on their way out
            elif "ddress already in use" not in words or self._fixed_port is not None:
                raise ServerError(self._explain(words))
            # Otherwise another program has taken the port since we looked: try the next.
        raise ServerError(self._explain(words))

    def _becomes_ready(self, process: psutil.Process) -> bool:
        """Wait until the server answers; False if it ended instead, or had to be ended."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._child is not None and self._child.poll() is not None:
                return False
            if not process.is_running():
                return False
            if self._is_ready():
                return True
            time.sleep(0.03)
        self._ended(process, self.force_signal, 10.0)
        return False

    def _choose_port(self, *, recorded: bool) -> int:
        if self._fixed_port is not None:
            if not port_is_free(self._fixed_port):
                raise ServerError(
                    f"Port {self._fixed_port} of {HOST}, wanted for {self.title}, is taken by "
                    "another program: stop that program or name another port."
                )
            return self._fixed_port
        known = self._read_port() if recorded else 0
        return known if known and port_is_free(known) else free_port()

    def _read_port(self) -> int:
        try:
            return int((self.folder / "port").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def _password(self, name: str) -> str:
        """Return the password ``name`` of this folder, made at first use and kept 0600."""
        path = self.folder / "passwords.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        if name not in known:
            known[name] = secrets.token_urlsafe(24)
            self._write(path, json.dumps(known), mode=0o600)
        return known[name]

    def _write(self, path: Path, text: str, mode: int = 0o644) -> None:
        """Replace a small file whole, so that a crash leaves the old one or the new one."""
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "w") as file:
            file.write(text)
        fresh.replace(path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time start or stop the server of this folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("w")
        except OSError as error:
            raise self._unwritable(error) from error
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _unwritable(self, error: OSError) -> ServerError:
        return ServerError(
            f"{self.title} cannot keep its data in {self.folder} ({error.strerror}: "
            f"{error.filename}). Make that folder and what is in it writable for this account, "
            "or name another with TIERCE_HOME."
        )

    def _last_words(self, position: int = 0) -> str:
        with self.log.open("rb") as log:
            log.seek(position)
            return log.read()[-4000:].decode(errors="replace")

    def _explain(self, words: str) -> str:
        advice = next((advice for sign, advice in _ADVICE.items() if sign in words), "")
        tail = "\n".join(f"  {line}" for line in words.strip().splitlines()[-8:])
        return f"{self.title} did not start. {advice}\n{tail}\n(from {self.log})"

    @abstractmethod
    def _program_path(self) -> Path:
        """Return the program out of its wheel."""


def environment() -> dict[str, str]:
    """Return a plain environment: no PG* or LD_* of the caller's leads the server astray."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
