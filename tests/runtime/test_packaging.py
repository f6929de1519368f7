"""A built distribution has every file that the code reads, not only its modules."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from service.messages import words

_ROOT: Final = Path(__file__).parents[2]
_SETUPTOOLS: Final[dict[str, Any]] = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"][
    "setuptools"
]


def _rooms() -> list[Path]:
    """The folders that are distributed."""
    patterns = _SETUPTOOLS["packages"]["find"]["include"]
    assert all(pattern.endswith("*") for pattern in patterns)
    return [_ROOT / pattern.removesuffix("*") for pattern in patterns]


def _data() -> set[Path]:
    """Every file in them that is no module."""
    files = (path for room in _rooms() for path in room.rglob("*") if path.is_file())
    return {path for path in files if path.suffix not in {".py", ".pyc"}}


def _distributed() -> set[Path]:
    found: set[Path] = set()
    for package, patterns in _SETUPTOOLS["package-data"].items():
        folder = _ROOT / package.replace(".", "/")
        for pattern in patterns:
            matched = set(folder.glob(pattern))
            assert matched, f"{pattern} of {package} names no file"
            found |= matched
    return found


def test_every_file_beside_the_modules_is_distributed() -> None:
    data = _data()
    assert {path.suffix for path in data} >= {".sql", ".toml", ".html"}
    assert {str(path.relative_to(_ROOT)) for path in data - _distributed()} == set()


def test_the_folders_that_the_code_reads_are_among_them() -> None:
    distributed = _distributed()
    for folder in (words._FOLDER, _ROOT / "migrations" / "sql"):
        read = {path for path in folder.rglob("*") if path.is_file()}
        assert read
        assert read <= distributed


def test_every_room_of_the_repository_is_distributed_or_is_none_of_the_product() -> None:
    packages = {path.parent for path in _ROOT.glob("*/__init__.py")}
    assert packages - set(_rooms()) == {_ROOT / "tests"}
    modules = {path.stem for path in _ROOT.glob("*.py")}
    assert modules - set(_SETUPTOOLS["py-modules"]) == {"bootstrap"}
