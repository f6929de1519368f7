"""The home folder of an instance: its lock, its secrets and its servers.

``<home>/lock`` is held by the process that runs the instance; ``<home>/secrets`` keeps what was
made at the first start, each 0600 in a folder 0700; ``<home>/postgres`` and ``<home>/valkey`` are
the embedded servers', ``<home>/log`` the processes' own words.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.config import Settings
from service.local import EmbeddedPostgres, EmbeddedValkey, ServerError


class CommandError(RuntimeError):
    """A command cannot go on; the message says why and what to do."""


class HomeInUse(CommandError):
    """Another process runs the instance of this home."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What only this instance knows."""

    operator_key: str
    signing_key: str  # PEM, PKCS #8, P-256
    code_key: str


def _new_operator_key() -> str:
    return f"tk_operator_{secrets.token_urlsafe(32)}"


def _new_signing_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _new_code_key() -> str:
    return secrets.token_urlsafe(48)


class Home:
    """One home folder."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is made before :meth:`prepare`."""
        self.folder: Final = folder.resolve()
        self.postgres: Final = EmbeddedPostgres(self.folder / "postgres")
        self.valkey: Final = EmbeddedValkey(self.folder / "valkey")

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            CommandError: this account may not write there.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "log").mkdir(exist_ok=True)
            (self.folder / "secrets").mkdir(mode=0o700, exist_ok=True)
            # Opened here and now: a folder of root's, or a read-only disk, is found out at once.
            (self.folder / "lock").open("a").close()
        except OSError as error:
            raise CommandError(
                f"{self.folder} cannot be written ({error.strerror}). Make it writable for this "
                "account, or name another folder with TIERCE_HOME."
            ) from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the home's lock: one process runs the instance at a time.

        Raises:
            HomeInUse: another one runs it now.
        """
        with (self.folder / "lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HomeInUse(
                    f"Tierce already runs on {self.folder} ({_holder(lock)}). Stop it first, or "
                    "give this one a home and a port of its own: TIERCE_HOME=… TIERCE_PORT=…"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def secrets(self) -> Secrets:
        """Return the instance's secrets, made at the first call and kept 0600."""
        return Secrets(
            operator_key=self._kept("operator.key", _new_operator_key),
            signing_key=self._kept("signing.pem", _new_signing_key),
            code_key=self._kept("code.key", _new_code_key),
        )

    def read(self, name: str) -> str | None:
        """Return a kept secret file, or None."""
        try:
            return (self.folder / "secrets" / name).read_text()
        except FileNotFoundError:
            return None

    def keep(self, name: str, text: str) -> None:
        """Keep a secret, 0600, whole or not at all."""
        path = self.folder / "secrets" / name
        fresh = path.with_name(f"{name}.new")
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def _kept(self, name: str, make: Callable[[], str]) -> str:
        known = self.read(name)
        if known is None:
            known = make()
            self.keep(name, known)
        return known


def _holder(lock: TextIO) -> str:
    pid = lock.read().strip()
    return f"process {pid}" if pid else "another process"


@contextmanager
def database(settings: Settings) -> Iterator[str]:
    """Give a command the instance's database for its length.

    The one of ``TIERCE_DATABASE_URL`` if set. Otherwise the embedded one: as it runs if
    ``tierce up`` runs, or started for this command alone.

    Raises:
        CommandError: there is no instance here yet, or its server does not start.
    """
    if settings.database_url is not None:
        yield settings.database_url
        return
    home = Home(settings.home)
    if not home.postgres.data.exists():
        raise CommandError(
            f"There is no instance in {home.folder}. Start one with `tierce up` (make run), name "
            "another folder with TIERCE_HOME, or a database with TIERCE_DATABASE_URL."
        )
    home.prepare()
    with ExitStack() as stack:
        try:
            stack.enter_context(home.held())
        except HomeInUse:
            pass  # whoever holds it also stops what it started
        else:
            stack.callback(home.postgres.stop)
        try:
            home.postgres.start()
        except ServerError as error:
            raise CommandError(str(error)) from error
        yield home.postgres.url
