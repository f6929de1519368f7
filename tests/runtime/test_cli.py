"""The command line: what it does, what it says when it cannot, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from ledger.posting import Posting, Transfer, post
from ledger.refusals import Refusal
from service.cli import seed
from service.cli.home import CommandError, Home, HomeInUse
from service.cli.main import main
from service.cli.processes import CHILDREN, Child
from service.clock import now
from service.config import settings
from service.db import SYSTEM, transaction
from service.ids import decode, encode
from service.platforms import keys
from service.processes import HOST


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home that the command line sees, with no settings but that."""
    for name in list(os.environ):
        if name.startswith("TIERCE_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "the home"
    monkeypatch.setenv("TIERCE_HOME", str(folder))
    settings.cache_clear()
    yield folder
    settings.cache_clear()


@pytest.fixture
def own_database(home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The worker's test database as the instance's own."""
    monkeypatch.setenv("TIERCE_DATABASE_URL", database_url)
    settings.cache_clear()
    return database_url


def test_secrets_are_made_once_and_for_their_owner_alone(home: Path) -> None:
    one = Home(home)
    one.prepare()
    made = one.secrets()
    assert Home(home).secrets() == made
    files = list((home / "secrets").iterdir())
    assert len(files) == 3
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert stat.S_IMODE((home / "secrets").stat().st_mode) == 0o700
    assert len(made.operator_key) > 40
    assert len(made.code_key) >= 32


def test_one_process_at_a_time_runs_a_home(home: Path) -> None:
    first, second = Home(home), Home(home)
    first.prepare()
    with first.held(), pytest.raises(HomeInUse, match=f"process {os.getpid()}"), second.held():
        pytest.fail("the home was held twice")
    with second.held():
        assert (home / "lock").read_text() == str(os.getpid())


def test_a_second_up_says_that_the_first_runs(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = Home(home)
    one.prepare()
    with one.held():
        assert main(["up"]) == 1
    error = capsys.readouterr().err
    assert "already runs" in error
    assert "TIERCE_HOME" in error
    assert not (home / "postgres" / "data").exists()


def test_a_taken_port_is_named_before_anything_starts(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as stranger:
        stranger.bind((HOST, 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        assert main(["up", "--once", "--port", str(port)]) == 1
    error = capsys.readouterr().err
    assert f"Port {port} of 127.0.0.1 is taken" in error
    assert "--port" in error
    assert "TIERCE_PORT" in error
    assert not (home / "postgres").exists()


@pytest.mark.parametrize("command", [["up"], ["doctor"]])
def test_a_home_that_cannot_be_written_is_named(
    home: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    home.write_text("a file in the way")
    assert main(command) == 1
    told = "".join(capsys.readouterr())
    assert str(home) in told
    assert "TIERCE_HOME" in told


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TIERCE_PORT", "eighty", "TIERCE_PORT"),
        ("TIERCE_PORT", "70000", "TIERCE_PORT"),
        ("TIERCE_DATABASE_URL", "mysql://somewhere", "postgresql://user:password@host/db"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
    expected: str,
) -> None:
    monkeypatch.setenv(name, value)
    settings.cache_clear()
    assert main(["up"]) == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("command", [["audit"], ["migrate"], ["platform", "create", "X"]])
def test_where_no_instance_is_the_commands_say_how_to_start_one(
    home: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command) == 1
    assert "tierce up" in capsys.readouterr().err


def test_a_database_that_is_away_is_said_without_its_password(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIERCE_DATABASE_URL", f"postgresql://me:hush@{HOST}:1/nothing")
    settings.cache_clear()
    for command in (["audit"], ["migrate"], ["doctor"]):
        assert main(command) == 1
        told = "".join(capsys.readouterr())
        assert "hush" not in told
        assert "doctor" in told or "TIERCE_DATABASE_URL" in told


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["fly"],
        ["platform"],
        ["platform", "create", " "],
        ["export", "--format", "xml", "--platform", "pl_1"],
        ["audit", "--platform", "ex_06e2t0x4v8f3q5w1z9k7c2m4na"],
        ["up", "--port", "0"],
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused(
    home: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_migrating_twice_is_harmless(own_database: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["migrate"]) == 0
    assert main(["migrate"]) == 0
    assert "newest schema" in capsys.readouterr().out


def test_a_platform_is_created_with_keys_that_work(
    own_database: str, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["platform", "create", "AMAP de Kerbihan"]) == 0
    out = capsys.readouterr().out
    for mode in ("live", "sandbox"):
        platform = re.search(rf"{mode} platform\s+(pl_\S+)", out)
        key = re.search(rf"{mode} API key\s+(tk_\S+)", out)
        assert platform
        assert key
        with transaction(engine, SYSTEM) as connection:
            found = keys.recognise(connection, key[1], now())
        assert found is not None
        assert (found[0].platform_id, found[1]) == (decode("platform", platform[1]), mode)


def test_the_demo_platform_is_found_again(own_database: str, engine: Engine, home: Path) -> None:
    one = Home(home)
    one.prepare()
    first = seed.demo(one, engine, now())
    assert seed.demo(Home(home), engine, now()) == first
    assert stat.S_IMODE((home / "secrets" / "demo.json").stat().st_mode) == 0o600


def test_a_revoked_demo_key_is_replaced_on_the_same_platform(
    own_database: str, engine: Engine, home: Path
) -> None:
    one = Home(home)
    one.prepare()
    first = seed.demo(one, engine, now())
    platform_id = decode("platform", first.platform)
    with transaction(engine, SYSTEM) as connection:
        found = keys.recognise(connection, first.api_key, now())
        assert found is not None
        keys.revoke(connection, platform_id, found[0].id, now())
    second = seed.demo(one, engine, now())
    assert second.platform == first.platform
    assert second.api_key != first.api_key
    assert json.loads((home / "secrets" / "demo.json").read_text())["api_key"] == second.api_key


def test_a_demo_key_of_another_database_is_left_behind(
    own_database: str, engine: Engine, home: Path
) -> None:
    one = Home(home)
    one.prepare()
    foreign = seed.Demo("pl_06e2t0x4v8f3q5w1z9k7c2m4na", "tk_sandbox_of_elsewhere")
    one.keep("demo.json", json.dumps({"platform": foreign.platform, "api_key": foreign.api_key}))
    assert seed.demo(one, engine, now()).platform != foreign.platform


def _opened(engine: Engine) -> str:
    """A platform whose books have something in them."""
    opened = seed.open_platform(engine, "Books", now())
    platform_id = decode("platform", opened.sandbox)
    with transaction(engine, platform_id) as connection:
        moved = Transfer("provider:sandbox", "member:a", 6500, "EUR")
        post(connection, platform_id, [Posting("k1", "collect", (moved,))], now())
    return opened.sandbox


def test_the_audit_ends_with_0_where_the_books_hold(
    own_database: str, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    platform = _opened(engine)
    assert main(["audit", "--platform", platform]) == 0
    assert "2 entries on 2 accounts" in capsys.readouterr().out


@pytest.mark.breaks_books
def test_the_audit_ends_with_1_and_names_what_does_not_hold(
    own_database: str, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    platform = _opened(engine)
    with engine.connect() as connection, connection.begin():
        connection.execute(text("SET LOCAL ROLE tierce_owner"))
        connection.execute(text("ALTER TABLE ledger.account DISABLE TRIGGER USER"))
        connection.execute(
            text("UPDATE ledger.account SET balance = 6499 WHERE platform_id = :p AND path = :a"),
            {"p": decode("platform", platform), "a": "member:a"},
        )
        connection.execute(text("ALTER TABLE ledger.account ENABLE TRIGGER USER"))
    assert main(["audit", "--platform", platform]) == 1
    assert "member:a" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["beancount", "hledger"])
def test_an_export_is_written_whole_to_a_file_or_to_standard_output(
    own_database: str,
    engine: Engine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    form: str,
) -> None:
    command = ["export", "--format", form, "--platform", _opened(engine)]
    path = tmp_path / "the books"
    assert main([*command, "--output", str(path)]) == 0
    capsys.readouterr()
    assert main(command) == 0
    assert path.read_text() == capsys.readouterr().out
    assert "65.00" in path.read_text()
    assert list(tmp_path.glob("*.new")) == []


def test_an_export_that_cannot_be_written_says_so(
    own_database: str, engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "no such folder" / "books")
    command = ["export", "--format", "hledger", "--platform", _opened(engine), "--output", output]
    assert main(command) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_the_doctor_looks_at_everything_and_says_how_to_mend_it(
    own_database: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = Home(home)
    one.prepare()
    one.secrets()
    (home / "secrets" / "code.key").chmod(0o644)
    main(["doctor"])
    out = capsys.readouterr().out
    assert re.search(r"ok +Python 3", out)
    assert re.search(r"ok +PostgreSQL 1[89]", out)
    assert re.search(r"ok +schema is at revision (\d+), the newest is \1", out)
    assert re.search(r"ok +roles tierce_owner", out)
    assert re.search(r"ok +signing key", out)
    assert re.search(r"BAD +code key .* can be read by others\n +→ chmod 600", out)


def test_the_doctor_finds_a_schema_that_is_behind(
    home: Path,
    run_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
    engine: Engine,
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = f"behind_{os.getpid()}"
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        try:
            url = engine.url.set(database=name).render_as_string(hide_password=False)
            monkeypatch.setenv("TIERCE_DATABASE_URL", url)
            settings.cache_clear()
            assert main(["doctor"]) == 1
        finally:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    assert "Run `tierce migrate`" in capsys.readouterr().out


def test_a_database_of_a_newer_version_is_left_as_it_is(
    own_database: str, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    move = text("UPDATE tierce_migration SET version_num = :to WHERE version_num = :from_")
    with engine.connect() as connection:
        current = connection.execute(text("SELECT version_num FROM tierce_migration")).scalar_one()
        try:
            connection.execute(move, {"to": "9999", "from_": current})
            connection.commit()
            assert main(["migrate"]) == 1
        finally:
            connection.execute(move, {"to": current, "from_": "9999"})
            connection.commit()
    assert "another version of Tierce" in capsys.readouterr().err


def test_a_refusal_of_the_domain_is_told_not_thrown(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> int:
        raise Refusal("No platform with this id.")

    monkeypatch.setattr("service.cli.main.doctor", refuse)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == "tierce: No platform with this id.\n"


def test_a_platform_id_is_read_in_both_spellings(own_database: str, engine: Engine) -> None:
    platform = _opened(engine)
    plain = str(decode("platform", platform))
    assert encode("platform", decode("platform", platform)) == platform
    assert main(["audit", "--platform", plain]) == 0


def test_a_child_that_keeps_ending_is_given_up_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.cli.processes._MOST_RESTARTS", 1)
    monkeypatch.setitem(CHILDREN, "api", "no.such.module")
    child = Child("api", tmp_path / "api.log", os.environ)
    child.start()
    try:
        _wait_for_end(child)
        child.restart()
        _wait_for_end(child)
        with pytest.raises(CommandError, match="No module named"):
            child.restart()
    finally:
        child.stop()


def _wait_for_end(child: Child) -> None:
    deadline = time.monotonic() + 30
    while child.runs and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.runs
