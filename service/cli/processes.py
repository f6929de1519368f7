"""Start, watch and stop the child processes of ``tierce up``."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.cli.home import CommandError

#: The children and their modules, in the order of their start; they are stopped in this order too.
CHILDREN: Final = {"api": "service.cli.api", "worker": "service.cli.work"}

_STOP_SECONDS: Final = 8.0
_LOG_LIMIT: Final = 20 * 1024 * 1024
#: A child that ends more often than this within a minute is not started again.
_MOST_RESTARTS: Final = 5


class Child:
    """One child process, its log, and how often it had to be started again."""

    def __init__(self, name: str, log: Path, environment: Mapping[str, str]) -> None:
        self.name: Final = name
        self.log: Final = log
        self._environment: Final = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._ends: deque[float] = deque(maxlen=_MOST_RESTARTS)

    def start(self) -> None:
        """Start it. It writes to its log and reads nothing.

        Raises:
            CommandError: its log cannot be written.
        """
        try:
            self._start()
        except PermissionError as error:
            raise CommandError(
                f"{error.filename} cannot be written ({error.strerror}): an earlier run was "
                "another account's. Give the home to this one with chown -R, or set TIERCE_HOME."
            ) from error

    def _start(self) -> None:
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.old"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", CHILDREN[self.name]],
                stdin=subprocess.PIPE,  # held open: its end tells the child that we are gone
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,  # Ctrl-C in the terminal is ours to handle
            )

    @property
    def pid(self) -> int | None:
        """The process's pid, or None when it was never started."""
        return self._process.pid if self._process else None

    @property
    def runs(self) -> bool:
        """Whether it is alive."""
        return self._process is not None and self._process.poll() is None

    def require(self) -> None:
        """Do nothing if it is alive.

        Raises:
            CommandError: it ended; the message shows its last words.
        """
        if not self.runs:
            raise CommandError(f"The {self.name} ended. Its last words:\n{self.last_words()}")

    def restart(self) -> None:
        """Start it again after it ended by itself.

        Raises:
            CommandError: it does so again and again.
        """
        at = time.monotonic()
        if len(self._ends) == _MOST_RESTARTS and at - self._ends[0] < 60:
            self.require()
        self._ends.append(at)
        self._close()
        self.start()

    def tell_to_stop(self) -> None:
        """Ask it to end, without waiting."""
        if self._process is not None and self.runs:
            self._process.terminate()

    def stop(self) -> None:
        """End it and wait until it is gone; after some seconds, by force."""
        if self._process is None:
            return
        self.tell_to_stop()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def last_words(self, lines: int = 12) -> str:
        """Return the end of its log."""
        if not self.log.exists():
            return "  (it said nothing)"
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 8000))
            tail = log.read().decode(errors="replace").splitlines()[-lines:]
        return "\n".join(f"  {line}" for line in tail) + f"\n(from {self.log})"

    def _close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
