"""What every test stands on: one embedded cluster for the whole run, a database for each worker.

The servers start when the first test asks for them and serve every worker of pytest-xdist. The
controller, which outlives its workers, ends them by pid when the run is over or interrupted; one
that was killed is cleaned up by the next. ``TIERCE_DATABASE_URL`` and ``TIERCE_REDIS_URL`` point
the tests at servers of your own instead.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import psutil
import psycopg
import pytest
from hypothesis import settings as hypothesis_settings
from psycopg import sql
from sqlalchemy import Engine, make_url

from migrations.run import upgrade
from service.config import settings
from service.db import SYSTEM, create_engine, transaction
from service.local import EmbeddedPostgres, EmbeddedValkey
from service.platforms import platforms

hypothesis_settings.register_profile("tierce", deadline=None, derandomize=False, print_blob=True)
hypothesis_settings.load_profile("tierce")

_FOLDER: Final = pytest.StashKey[Path]()
_SEED: Final = pytest.StashKey[int]()
_TEMPLATE: Final = "tierce_template"


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a long run try more of what is tried at random."""
    parser.addoption(
        "--orders", type=int, default=40, help="Orders of a provider's events to try (40)."
    )
    parser.addoption(
        "--chaos-seconds", type=float, default=20.0, help="How long processes are killed for (20)."
    )
    parser.addoption(
        "--chaos-seed", type=int, default=None, help="What they are killed by (the run's seed)."
    )
    parser.addoption(
        "--screenshots", default=None, help="Folder for pictures of every page (none are taken)."
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give the run a folder and a seed; workers get both from the controller."""
    config.addinivalue_line("markers", "breaks_books: the test spoils the ledger on purpose")
    if _is_worker(config):
        config.stash[_FOLDER] = Path(config.workerinput["tierce_folder"])  # type: ignore[attr-defined]
        config.stash[_SEED] = int(config.workerinput["tierce_seed"])  # type: ignore[attr-defined]
        return
    _remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=f"tierce-tests-{os.getuid()}-"))
    (folder / "owner").write_text(f"{os.getpid()} {psutil.Process().create_time()}")
    folder.chmod(0o755)  # as root, the servers run as another account and pass through
    config.stash[_FOLDER] = folder
    given = config.getoption("hypothesis_seed", None)
    config.stash[_SEED] = int(given) if given else random.SystemRandom().getrandbits(32)
    config.option.hypothesis_seed = str(config.stash[_SEED])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a worker of pytest-xdist where the run's servers are and which seed it has."""
    config: pytest.Config = node.config  # type: ignore[attr-defined]
    node.workerinput["tierce_folder"] = str(config.stash[_FOLDER])  # type: ignore[attr-defined]
    node.workerinput["tierce_seed"] = config.stash[_SEED]  # type: ignore[attr-defined]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests with a browser last: its driver holds the event loop of the worker's thread."""
    items.sort(key=lambda item: "chromium" in getattr(item, "fixturenames", ()))


def pytest_report_header(config: pytest.Config) -> str:
    """Print the seed of everything random in the run."""
    seed = config.stash[_SEED]
    return f"seed: {seed} (the same run again: pytest --hypothesis-seed={seed})"


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what the run started, also after Ctrl-C."""
    if not _is_worker(config) and _FOLDER in config.stash:
        _end(config.stash[_FOLDER])


def _end(folder: Path) -> None:
    own = EmbeddedPostgres(folder / "postgres")
    if not own.folder.exists() and (folder / "databases").exists():
        _drop_databases(folder)  # our own server goes with all it holds
    for server in (own, EmbeddedValkey(folder / "valkey")):
        if server.folder.exists():
            server.stop()
    shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers() -> None:
    """End the servers of runs that were killed: their owner is gone and cannot."""
    for folder in Path(tempfile.gettempdir()).glob(f"tierce-tests-{os.getuid()}-*"):
        try:
            pid, started = (folder / "owner").read_text().split()
            alive = abs(psutil.Process(int(pid)).create_time() - float(started)) < 2
        except psutil.NoSuchProcess:
            alive = False
        except (FileNotFoundError, ValueError):
            continue  # being made, or being removed, by its owner
        if not alive:
            _end(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _libpq(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _drop_databases(folder: Path) -> None:
    """Drop what the run made on a server that is not ours; one that has gone is none of ours."""
    for line in (folder / "databases").read_text().splitlines():
        url, name = line.split("\t")
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(url, autocommit=True, connect_timeout=5) as connection,
        ):
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


def _make_database(folder: Path, server_url: str, name: str, template: str | None = None) -> str:
    """Create a database on the server of ``server_url`` and return its URL."""
    with psycopg.connect(_libpq(server_url), autocommit=True) as connection:
        dropped = sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name))
        connection.execute(dropped)  # a migration that failed a moment ago leaves its template
        command = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            command += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        connection.execute(command)
    with (folder / "databases").open("a") as file:
        file.write(f"{_libpq(server_url)}\t{name}\n")
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def run_folder(pytestconfig: pytest.Config) -> Path:
    """Return the folder of this run, shared by its workers and removed at the end."""
    return pytestconfig.stash[_FOLDER]


@pytest.fixture(scope="session")
def worker(pytestconfig: pytest.Config) -> int:
    """Return this worker's number, from 0."""
    name: str = getattr(pytestconfig, "workerinput", {}).get("workerid", "gw0")
    return int(name.removeprefix("gw"))


@pytest.fixture(scope="session")
def database_url(run_folder: Path, worker: int) -> str:
    """Return the URL of this worker's own migrated database."""
    with _locked(run_folder):
        server_url = settings().database_url
        if server_url is None:
            server = EmbeddedPostgres(run_folder / "postgres", durable=False)
            server.start()
            server_url = server.url
        # A server of the user's own may serve several runs at once: names carry the run's.
        run = run_folder.name.rsplit("-", 1)[-1].lower().replace("_", "x")
        template = f"{_TEMPLATE}_{run}"
        migrated = run_folder / "migrated"
        if not migrated.exists():
            upgrade(_make_database(run_folder, server_url, template))
            migrated.touch()
        return _make_database(run_folder, server_url, f"tierce_test_{run}_{worker}", template)


@pytest.fixture(scope="session")
def redis_url(run_folder: Path, worker: int) -> str:
    """Return the URL of this worker's own Valkey database."""
    given = settings().redis_url
    if given is not None:
        return given
    with _locked(run_folder):
        server = EmbeddedValkey(run_folder / "valkey")
        server.start()
    return server.url_of(worker % 64)


@pytest.fixture(scope="session")
def engine(database_url: str) -> Iterator[Engine]:
    """Return an engine on this worker's database, with room for racing threads."""
    engine = create_engine(database_url, pool_size=20)
    yield engine
    engine.dispose()


@pytest.fixture
def new_platform(engine: Engine) -> Callable[[], UUID]:
    """Return a maker of sandbox platforms that no other test knows."""

    def make() -> UUID:
        with transaction(engine, SYSTEM) as connection:
            _live, sandbox = platforms.create(connection, "A test", datetime.now(UTC))
        return sandbox.id

    return make


@pytest.fixture
def platform_id(new_platform: Callable[[], UUID]) -> UUID:
    """Return a platform that no other test knows."""
    return new_platform()


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """Return the seed of the run, printed in its header, for a test's own randomness."""
    return pytestconfig.stash[_SEED]
