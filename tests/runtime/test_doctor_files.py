"""The doctor tries the place where files are kept, before anybody sends one."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.cli.doctor import examine
from service.cli.doctor_settings import Finding
from service.config import Settings


def found(settings: Settings) -> Finding:
    return next(one for one in examine(settings) if one.what.startswith("files in "))


def test_the_doctor_writes_reads_and_removes_a_file(tmp_path: Path) -> None:
    finding = found(Settings(home=tmp_path, files_url=None))
    assert finding.well, finding.mend
    assert str(tmp_path / "files") in finding.what
    assert not [path for path in (tmp_path / "files").rglob("*") if path.is_file()]


@pytest.mark.parametrize("place", ["nowhere://bucket", "a file"])
def test_the_doctor_says_how_to_mend_a_place_that_takes_none(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").write_text("")
    where = place if "://" in place else str(tmp_path / place)
    finding = found(Settings(home=tmp_path, files_url=where))
    assert not finding.well
    assert where in finding.what
    assert "TIERCE_FILES_URL" in finding.mend
