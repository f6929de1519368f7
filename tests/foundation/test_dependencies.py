"""Every package that is asked for by name is explained, once, with why it is there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
_NAME = re.compile(r"[a-z0-9-]+")


def _asked_for() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    found = {name[0] for one in wanted if (name := _NAME.match(one.lower())) is not None}
    assert len(found) == len(wanted)
    return found


def test_every_dependency_has_its_reason() -> None:
    table = (ROOT / "docs" / "adr" / "0007-dependencies.md").read_text()
    told = set(_NAME.findall(table.replace("psycopg 3", "psycopg").lower()))
    plugins = {"pytest-timeout", "pytest-xdist"}  # "pytest and plugins"
    assert _asked_for() - plugins - told == set()
