"""``docs/security.md`` names tests that are there, and says of our code what is true."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from jose import backends
from jose.backends import cryptography_backend

ROOT: Final = Path(__file__).parents[2]
WRITTEN: Final = (ROOT / "docs" / "security.md").read_text()
_TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
_LOCKED: Final = re.compile(r"^([a-z0-9-]+)==([^ \n]+)", re.MULTILINE)


def test_every_test_that_is_named_is_there() -> None:
    named = _TEST.findall(WRITTEN)
    assert len(named) > 40
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).exists() or f"def {name}(" not in (ROOT / file).read_text()
    ]
    assert missing == []


def test_every_threat_has_somebody_a_control_and_a_test() -> None:
    table = WRITTEN.partition("## Threats")[2].partition("## Known")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 25
    for row in rows:
        who, what, control, test = (cell.strip() for cell in row.strip("|").split(" | "))
        assert who, row
        assert what, row
        assert control, row
        assert _TEST.search(test), row


def test_every_advisory_is_of_the_version_that_is_locked() -> None:
    locked = dict(_LOCKED.findall((ROOT / "requirements" / "runtime.lock").read_text()))
    table = WRITTEN.partition("## Known advisories")[2]
    said = re.findall(r"\b([a-z][a-z0-9-]+) (\d+\.\d+(?:\.\d+)?)(?= |,)", _packages(table))
    assert len(said) >= 10
    assert [(name, version) for name, version in said if locked.get(name) != version] == []


def _packages(table: str) -> str:
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    return "\n".join(row.split("|")[1] + " " for row in rows)


def _code() -> Iterator[ast.AST]:
    for room in ("service", "ledger", "disputes", "migrations"):
        for file in (ROOT / room).rglob("*.py"):
            yield from ast.walk(ast.parse(file.read_text()))


def test_what_the_advisories_rest_on_is_true() -> None:
    # Signatures are OpenSSL's, and what python-jose brings beside it is not used.
    assert backends.ECKey is cryptography_backend.CryptographyECKey
    assert str(backends.RSAKey) == str(cryptography_backend.CryptographyRSAKey)
    imported, called = set(), set()
    for node in _code():
        if isinstance(node, ast.ImportFrom):
            imported |= {f"{node.module}.{one.name}" for one in node.names}
        elif isinstance(node, ast.Import):
            imported |= {one.name for one in node.names}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            called.add(node.func.attr)
    rooms = {name.split(".")[0] for name in imported}
    assert rooms.isdisjoint({"ecdsa", "rsa", "pyasn1", "requests", "urllib3"})
    assert not [name for name in imported if "jwe" in name or "StaticFiles" in name]
    assert not [name for name in imported if "FileResponse" in name]
    assert "form" not in called
