"""The embedded servers: started, found again, and stopped by nobody's mistake."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from service.local import EmbeddedPostgres, EmbeddedValkey, ServerError, buffers
from service.privileges import account_for
from service.processes import HOST, Server, free_port

ROOT = Path(__file__).parents[2]
KINDS: list[type[EmbeddedPostgres | EmbeddedValkey]] = [EmbeddedPostgres, EmbeddedValkey]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster that was made once and stopped, to copy: making one takes seconds."""
    folder = tmp_path_factory.mktemp("made") / "postgres"
    server = EmbeddedPostgres(folder, durable=False)
    server.start()
    server.stop()
    return folder


@pytest.fixture
def empty_home(tmp_path: Path) -> Iterator[Path]:
    """A folder with spaces and accents in its path; its servers end with the test."""
    folder = tmp_path / "a home with spaces, é"
    folder.mkdir()
    yield folder
    EmbeddedPostgres(folder / "postgres").stop()
    EmbeddedValkey(folder / "valkey").stop()


@pytest.fixture
def home(empty_home: Path, made: Path) -> Path:
    """Such a folder with a PostgreSQL cluster that was made earlier."""
    subprocess.run(["cp", "-a", str(made), str(empty_home / "postgres")], check=True)
    return empty_home


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every account may enter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def postgres(home: Path, **options: int) -> EmbeddedPostgres:
    return EmbeddedPostgres(home / "postgres", durable=False, **options)


def ask(server: EmbeddedPostgres, statement: str, database: str = "tierce") -> object:
    url = server.url_of(database).replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def test_postgres_keeps_its_data_and_port_over_a_restart(home: Path) -> None:
    server = postgres(home)
    assert server.start()
    ask(server, "CREATE TABLE kept AS SELECT 42 AS value")
    first_port = server.port
    server.stop()
    again = postgres(home)
    assert again.start()
    assert (ask(again, "SELECT value FROM kept"), again.port) == (42, first_port)


def test_postgres_is_set_up_for_money(empty_home: Path) -> None:
    server = EmbeddedPostgres(empty_home / "postgres")
    server.start()
    wanted = {
        "listen_addresses": HOST,
        "server_encoding": "UTF8",
        "data_checksums": "on",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "password_encryption": "scram-sha-256",
        "max_connections": "200",
    }
    assert {name: ask(server, f"SHOW {name}") for name in wanted} == wanted
    assert not list(empty_home.rglob(".s.PGSQL*"))
    assert ask(server, "SELECT datlocale FROM pg_database WHERE datname = 'tierce'") == "C.UTF-8"
    assert ask(server, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False


@pytest.mark.parametrize("user", ["tierce", "postgres"])
def test_postgres_lets_nobody_in_without_the_password(home: Path, user: str) -> None:
    server = postgres(home)
    server.start()
    for password in ("", "wrong"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(
                host=HOST, port=server.port, user=user, password=password, dbname="tierce"
            )


def test_valkey_keeps_its_data_and_lets_nobody_in_without_the_password(home: Path) -> None:
    server = EmbeddedValkey(home / "valkey")
    server.start()
    with redis.Redis.from_url(server.url) as client:
        client.set("kept", "42")
    server.stop()
    again = EmbeddedValkey(home / "valkey")
    again.start()
    with redis.Redis.from_url(again.url) as client:
        assert client.get("kept") == b"42"
    with (
        redis.Redis(host=HOST, port=again.port) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.get("kept")


def test_passwords_are_readable_by_their_owner_alone(home: Path) -> None:
    for server in (postgres(home), EmbeddedValkey(home / "valkey")):
        server.start()
        found = stat.S_IMODE((server.folder / "passwords.json").stat().st_mode)
        assert found == 0o600
        assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
        password = server._password("tierce" if server.title == "PostgreSQL" else "valkey")
        started = psutil.Process(server.pid)
        for process in [started, *started.children()]:
            with suppress(psutil.NoSuchProcess):  # a helper of the server's may end meanwhile
                assert password not in " ".join(process.cmdline())


@pytest.mark.parametrize("kind", KINDS)
def test_a_running_server_is_adopted_not_started_twice(
    home: Path, kind: type[EmbeddedPostgres | EmbeddedValkey]
) -> None:
    first, second = kind(home / _folder(kind)), kind(home / _folder(kind))
    assert first.start()
    assert not second.start()
    assert (second.pid, second.port) == (first.pid, first.port)
    second.stop()
    assert first.find() is None


def _folder(kind: type[Server]) -> str:
    return "postgres" if kind is EmbeddedPostgres else "valkey"


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_survives_the_kill_of_its_parent_and_is_adopted(
    home: Path, kind: type[EmbeddedPostgres | EmbeddedValkey]
) -> None:
    folder = home / _folder(kind)
    script = (
        f"import sys, time; from service.local import {kind.__name__}; "
        f"server = {kind.__name__}(sys.argv[1]); server.start(); print(server.pid, flush=True); "
        "time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout as told:
        pid = int(told.readline())
    parent.kill()
    parent.wait()
    server = kind(folder)
    assert not server.start()
    assert server.pid == pid
    server.stop()
    assert server.find() is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_server_is_started_again(
    home: Path, kind: type[EmbeddedPostgres | EmbeddedValkey]
) -> None:
    server = kind(home / _folder(kind))
    server.start()
    killed = psutil.Process(server.pid)
    family = [killed, *killed.children(recursive=True)]
    killed.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=10)
    again = kind(home / _folder(kind))
    assert again.start()
    assert again.pid != killed.pid


@pytest.mark.parametrize(
    ("kind", "file", "content"),
    [
        (EmbeddedPostgres, "postmaster.pid", "{pid}\n{data}\n1\n5432\n\n127.0.0.1\n\nready   \n"),
        (EmbeddedValkey, "valkey.pid", "{pid}\n"),
    ],
)
def test_a_stale_pid_file_that_names_a_stranger_harms_nobody(
    home: Path,
    open_folder: Path,
    kind: type[EmbeddedPostgres | EmbeddedValkey],
    file: str,
    content: str,
) -> None:
    server = kind(home / _folder(kind))
    server.start()
    server.stop()
    # It even goes by the server's name and runs as its account, but does not work in its folder.
    sleeper = open_folder / server.program
    shutil.copy("/bin/sleep", sleeper)
    owner = server.data.stat().st_uid if os.geteuid() == 0 else None
    bystander = subprocess.Popen([str(sleeper), "600"], user=owner)
    try:
        pid_file = server.data / file
        pid_file.write_text(content.format(pid=bystander.pid, data=server.data))
        os.chown(pid_file, server.data.stat().st_uid, server.data.stat().st_gid)
        again = kind(home / _folder(kind))
        assert again.find() is None
        again.stop()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert again.start()


def test_a_recorded_port_that_was_taken_meanwhile_is_given_up(home: Path) -> None:
    server = postgres(home)
    server.start()
    server.stop()
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stranger.bind((HOST, server.port))
        stranger.listen()
        again = postgres(home)
        again.start()
        assert again.port != server.port
        assert ask(again, "SELECT 1") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_wanted_port_that_is_taken_is_named(
    empty_home: Path, kind: type[EmbeddedPostgres | EmbeddedValkey]
) -> None:
    with socket.socket() as stranger:
        stranger.bind((HOST, 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        with pytest.raises(ServerError, match=f"Port {port} of 127.0.0.1.*is taken"):
            kind(empty_home / _folder(kind), port=port).start()


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(
    empty_home: Path, kind: type[EmbeddedPostgres | EmbeddedValkey]
) -> None:
    (empty_home / "file").write_text("in the way")
    with pytest.raises(ServerError, match=r"cannot keep its data in .*TIERCE_HOME"):
        kind(empty_home / "file" / "below").start()


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_whose_folder_was_removed_is_stopped_all_the_same(
    home: Path, kind: type[EmbeddedPostgres | EmbeddedValkey]
) -> None:
    server = kind(home / _folder(kind))
    server.start()
    process = psutil.Process(server.pid)
    shutil.rmtree(server.folder)
    server.stop()
    assert not process.is_running()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_unwritable_folder_is_named_with_what_to_do(empty_home: Path) -> None:
    empty_home.chmod(0o555)
    try:
        with pytest.raises(ServerError, match=r"cannot keep its data in .*TIERCE_HOME"):
            postgres(empty_home).start()
    finally:
        empty_home.chmod(0o755)


def test_a_full_disk_is_said_before_anything_is_made(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.local._NEEDED_BYTES", 1 << 62)
    with pytest.raises(ServerError, match="free some space"):
        postgres(empty_home).start()
    assert not (empty_home / "postgres" / "data").exists()


def test_a_cluster_of_another_version_is_not_touched(home: Path) -> None:
    server = postgres(home)
    server.start()
    server.stop()
    version = server.data / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(ServerError, match="another PostgreSQL version"):
        postgres(home).start()
    version.write_text("18\n")
    assert postgres(home).start()


def test_a_first_start_cut_short_leaves_nothing_half_made(empty_home: Path) -> None:
    folder = empty_home / "postgres"
    (folder / "data.new" / "base").mkdir(parents=True)
    (folder / "data.new" / "PG_VERSION").write_text("18\n")
    server = postgres(empty_home)
    assert server.start()
    assert not (folder / "data.new").exists()
    assert not (folder / "initdb.password").exists()


def test_stopping_what_never_ran_is_no_mistake(empty_home: Path) -> None:
    postgres(empty_home).stop()
    EmbeddedValkey(empty_home / "valkey").stop()
    assert not any(empty_home.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down")
def test_root_steps_down_even_in_a_folder_closed_to_others(empty_home: Path) -> None:
    empty_home.chmod(0o700)
    for server in (postgres(empty_home), EmbeddedValkey(empty_home / "valkey")):
        server.start()
        assert psutil.Process(server.pid).uids().effective != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down")
def test_a_program_in_a_folder_closed_to_others_can_be_looked_at_and_run(home: Path) -> None:
    home.chmod(0o700)
    program = home / "program"
    shutil.copy("/bin/sh", program)
    account = account_for(home / "data", program)
    look = "import os, sys; sys.exit(not os.access(sys.argv[1], os.X_OK))"
    for command in ([sys.executable, "-c", look, str(program)], [str(program), "-c", "true"]):
        subprocess.run([*account.prefix, *command], check=True, **account.options)
    stolen = [*account.prefix, "/bin/sh", "-c", f"echo > '{home}/stolen'"]
    assert subprocess.run(stolen, check=False, stderr=subprocess.DEVNULL).returncode != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down")
def test_root_that_cannot_step_down_says_where_to_move(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.chmod(0o700)
    monkeypatch.setenv("PATH", str(home))
    with pytest.raises(ServerError, match=r"ordinary user.*/srv/tierce"):
        postgres(home).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_of_the_data_runs_the_server(empty_home: Path) -> None:
    data = empty_home / "data"
    data.mkdir()
    os.chown(data, 1234, 1235)
    account = account_for(data, Path("/bin/sh"))
    assert (account.uid, account.gid) == (1234, 1235)


def test_free_ports_are_free() -> None:
    with socket.socket() as probe:
        probe.bind((HOST, free_port()))


@pytest.mark.parametrize(("gigabytes", "megabytes"), [(0.5, 128), (4, 512), (8, 1024), (64, 1024)])
def test_the_database_keeps_an_eighth_of_the_machine_s_memory_within_bounds(
    gigabytes: float, megabytes: int
) -> None:
    assert buffers(int(gigabytes * 2**30)) == megabytes
