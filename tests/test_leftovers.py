"""What a killed run of the tests left behind never stops the next one."""

import os
import tempfile
from pathlib import Path

import pytest

from tests import conftest


@pytest.mark.parametrize("server", ["of its own", "somebody else's"])
def test_a_run_whose_servers_died_with_it_is_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    folder = tmp_path / f"tierce-tests-{os.getuid()}-left"
    folder.mkdir()
    (folder / "owner").write_text("1 0.0")  # process 1 is alive, and began at another time
    (folder / "databases").write_text("postgresql://tierce@127.0.0.1:9/postgres\ttierce_test_0\n")
    if server == "of its own":
        (folder / "postgres").mkdir()
        (folder / "valkey").mkdir()

    conftest._remove_leftovers()

    assert not folder.exists()
