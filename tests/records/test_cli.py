"""``tierce verify`` and ``tierce keys`` at a terminal."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, text

from disputes.outcomes import Outcome
from service.cli.main import main
from service.config import settings
from service.db import SYSTEM, transaction
from service.records import keys
from tests.records.lives import ISSUER, TEXT, Court

CODE_KEY = "the secret of a test instance, long enough"


@pytest.fixture(autouse=True)
def _instance(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith("TIERCE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TIERCE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TIERCE_DATABASE_URL", database_url)
    monkeypatch.setenv("TIERCE_CODE_KEY", CODE_KEY)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def jwks(engine: Engine) -> Callable[[], bytes]:
    """Return what reads the published keys as a file has them."""

    def read() -> bytes:
        with transaction(engine, SYSTEM) as connection:
            return orjson.dumps({"keys": [key.jwk for key in keys.published(connection)]})

    return read


def kept(folder: Path, content: str | bytes) -> str:
    file = folder / "given"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(file)


def test_a_decision_is_genuine_by_this_instance_s_keys_and_is_told_in_plain_words(
    court: Court, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = court.closed()
    assert main(["verify", kept(tmp_path, court.decision(case) + "\n")]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "GENUINE"
    assert told[1].startswith(f"A decision signed by {ISSUER} with key ")
    assert told[2].startswith("OF A SANDBOX")
    assert "300.00 EUR to the payee, 300.00 EUR back to the payer" in "\n".join(told)
    assert "3 JPY to the payee, 4 JPY back to the payer" in "\n".join(told)
    assert any(TEXT.strip() in line for line in told)
    assert "it was decided, and nobody appealed in time" in "\n".join(told)


def test_a_changed_one_is_not_and_ends_with_1(
    court: Court, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head, body, signature = court.decision(court.closed()).split(".")
    assert main(["verify", kept(tmp_path, f"{head}.{body[:-4]}AAAA.{signature}")]) == 1
    assert capsys.readouterr().out.startswith("NOT GENUINE: ")


def test_it_is_verified_offline_by_a_file_of_keys(
    court: Court,
    tmp_path: Path,
    jwks: Callable[[], bytes],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    export = court.export(court.closed())
    given = kept(tmp_path, orjson.dumps(export))
    (tmp_path / "jwks.json").write_bytes(jwks())
    (tmp_path / "none.json").write_text('{"keys": []}')
    # No database is needed, and none is there.
    monkeypatch.delenv("TIERCE_DATABASE_URL")
    settings.cache_clear()
    assert main(["verify", given, "--keys", str(tmp_path / "jwks.json")]) == 0
    told = capsys.readouterr().out
    assert told.startswith("GENUINE\nAn export of a case: its file and the ")
    assert main(["verify", given, "--keys", str(tmp_path / "none.json")]) == 1
    assert "NOT GENUINE" in capsys.readouterr().out
    export["journal"][1]["actor"] = "payee"
    assert (
        main(
            ["verify", kept(tmp_path, orjson.dumps(export)), "--keys", str(tmp_path / "jwks.json")]
        )
        == 1
    )
    assert "line 2 of the journal" in capsys.readouterr().out


def test_what_others_wrote_does_nothing_to_the_terminal(
    court: Court, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"\x1b[2J\u202e{TEXT}\r\nNOT GENUINE"
    case = court.claimed()
    split = dict.fromkeys([line.id for line in case.lines], 0)
    case = court.act(
        case,
        "decide",
        mediator_id=case.mediator_id,
        outcome=Outcome.SPLIT,
        split=split,
        text=words,
        reason_code="facts",
    )
    assert main(["verify", kept(tmp_path, court.decision(case))]) == 0
    told = capsys.readouterr().out
    assert "\\u{1b}[2J\\u{202e}" in told
    assert all(one.isprintable() or one == "\n" for one in told)
    export = court.export(case) | {"\x1b[2J": 1}
    assert main(["verify", kept(tmp_path, orjson.dumps(export))]) == 1
    assert "\x1b" not in capsys.readouterr().out


def test_an_open_case_s_export_says_that_nothing_is_decided(
    court: Court, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = court.export(court.claimed())
    assert main(["verify", kept(tmp_path, orjson.dumps(export))]) == 0
    assert "The case was not decided yet." in capsys.readouterr().out


def test_an_answer_of_the_api_is_taken_as_it_came_unless_its_parts_differ(
    court: Court, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = court.decision(court.closed())
    answer: dict[str, Any] = {"object": "signed_document", "jws": token}
    assert main(["verify", kept(tmp_path, orjson.dumps(answer))]) == 0
    answer["document"] = {"outcome": "to_payee"}
    assert main(["verify", kept(tmp_path, orjson.dumps(answer))]) == 1
    assert "beside the signature" in capsys.readouterr().out
    assert main(["verify", kept(tmp_path, b'{"something": "else"}')]) == 1
    assert "NOT GENUINE" in capsys.readouterr().out


@pytest.fixture
def serving() -> Iterator[Callable[[bytes, int], str]]:
    """Return what serves keys on loopback, and gives the address."""
    servers = []

    def serve(content: bytes, status: int = 200) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/.well-known/jwks.json"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_keys_come_from_an_address_too(
    court: Court,
    tmp_path: Path,
    jwks: Callable[[], bytes],
    serving: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = kept(tmp_path, court.decision(court.closed()))
    assert main(["verify", given, "--keys", serving(jwks())]) == 0
    for address, why in (
        (serving(b"", 503), "503"),
        (serving(b"<html>"), "is no JSON"),
        ("http://example.org/.well-known/jwks.json", "https://"),
        ("ftp://127.0.0.1/jwks.json", "https://"),
    ):
        capsys.readouterr()
        assert main(["verify", given, "--keys", address]) == 1
        said = capsys.readouterr()
        assert why in said.err
        assert "GENUINE" not in said.out


def test_what_cannot_be_read_is_told_and_is_neither(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for given in (str(tmp_path / "gone"), kept(tmp_path, b"\xff\xfe"), kept(tmp_path, b"{ ")):
        assert main(["verify", given]) == 1
        said = capsys.readouterr()
        assert said.err
        assert "GENUINE" not in said.out


def test_keys_are_listed_and_rotated(
    court: Court, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = kept(tmp_path, court.decision(court.closed()))
    assert main(["keys", "rotate"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    (_, retired), (*_, made) = lines
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert f"{made}  since" in listed
    (in_use,) = [line for line in listed.splitlines() if "in use" in line]
    assert in_use.startswith(made)
    assert retired in listed
    assert main(["verify", given]) == 0


def test_a_key_stands_in_the_database(court: Court, engine: Engine) -> None:
    court.decision(court.closed())
    for change in (
        "UPDATE service.signing_key SET kid = repeat('A', 43)",
        "UPDATE service.signing_key SET retired_at = NULL",
        "DELETE FROM service.signing_key",
        "TRUNCATE service.signing_key CASCADE",
    ):
        with engine.connect() as connection, connection.begin() as doomed:
            connection.execute(text("SET LOCAL ROLE tierce_owner"))
            with pytest.raises(Exception, match=r"stands|append-only|foreign key"):
                connection.execute(text(change))
            doomed.rollback()


def test_without_the_instance_s_secret_no_key_is_made(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIERCE_CODE_KEY")
    settings.cache_clear()
    assert main(["keys", "rotate"]) == 1
    assert "TIERCE_CODE_KEY" in capsys.readouterr().err
