"""From nothing to an environment: the lock files, and what is said when it cannot be done."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ["runtime.lock", "dev.lock"]


def requirements(name: str) -> dict[str, str]:
    """Return each requirement of a lock with its hashes."""
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return {re.split(r"[=\[ ]", line, maxsplit=1)[0]: line for line in lines}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_index_host_or_folder(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    assert not re.search(r"https?:|file:|index-url|find-links|trusted-host| @ |\.whl", text)
    assert str(ROOT) not in text


@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_pinned_and_hashed(name: str) -> None:
    found = requirements(name)
    assert len(found) > 50
    for line in found.values():
        assert re.match(r"^[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+", line)
        assert "--hash=sha256:" in line


def test_what_has_no_wheel_is_pinned_hashed_and_built_by_pinned_tools() -> None:
    sources, dev = requirements("sources.lock"), requirements("dev.lock")
    assert set(sources) == {"localstripe"}
    assert "--hash=sha256:" in sources["localstripe"]
    assert {"setuptools", "aiohttp", "python-dateutil"} <= set(dev)
    assert "localstripe" not in dev


def test_the_run_time_lock_is_a_part_of_the_other() -> None:
    runtime, dev = requirements("runtime.lock"), requirements("dev.lock")
    for name, line in runtime.items():
        assert dev[name].split()[0] == line.split()[0]
    assert "pytest" in dev
    assert "pytest" not in runtime


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_what_the_project_asks_for(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"]]
    if name == "dev.lock":
        asked += project["optional-dependencies"]["dev"]
    found = requirements(name)
    for wanted in map(Requirement, asked):
        line = found[canonicalize_name(wanted.name)]
        version = line.split(";")[0].split()[0].partition("==")[2]
        assert wanted.specifier.contains(version), f"{line.split()[0]}: run `make lock`"


def fake_python(folder: Path, name: str, version: str, *, has_venv: bool) -> None:
    """A Python that answers what ``bootstrap`` asks, as one of that version would."""
    major, minor = version.split(".")
    script = folder / name
    script.write_text(
        "#!/bin/sh\n"
        'case "$2" in\n'
        f"  *print*) echo {version};;\n"
        f"  *exit*) [ {major}{minor:0>2} -ge 311 ];;\n"
        f"  *ensurepip*) {'true' if has_venv else 'false'};;\n"
        f'  *) echo "ran {name}: $*";;\n'
        "esac\n"
    )
    script.chmod(0o755)


def bootstrap(path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``bootstrap`` where only the Pythons of ``path`` exist."""
    for tool in ("sh", "dirname"):
        if not (path / tool).exists():
            (path / tool).symlink_to(f"/bin/{tool}" if tool == "sh" else "/usr/bin/dirname")
    return subprocess.run(
        ["/bin/sh", str(ROOT / "bootstrap"), *arguments],
        env={"PATH": str(path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_first_python_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", "3.9", has_venv=True)
    fake_python(tmp_path, "python3.12", "3.12", has_venv=True)
    done = bootstrap(tmp_path, "runtime")
    assert done.stdout.startswith("ran python3.12:")
    assert done.stdout.rstrip().endswith("bootstrap.py runtime")


def test_a_python_named_by_hand_comes_first(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", "3.13", has_venv=True)
    fake_python(tmp_path, "mine", "3.11", has_venv=True)
    assert bootstrap(tmp_path, "dev", PYTHON="mine").stdout.startswith("ran mine:")


def test_no_python_at_all_is_said(tmp_path: Path) -> None:
    done = bootstrap(tmp_path, "runtime")
    assert done.returncode == 1
    assert "needs Python 3.11 or newer and found none" in done.stderr
    assert "PYTHON=/path/to/python3" in done.stderr


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", "3.9", has_venv=True)
    done = bootstrap(tmp_path, "runtime")
    assert done.returncode == 1
    assert "Too old: python3=3.9" in done.stderr


def test_a_python_without_venv_is_told_apart(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", "3.11", has_venv=False)
    done = bootstrap(tmp_path, "runtime")
    assert done.returncode == 1
    assert "apt install python3-venv" in done.stderr


def test_a_moved_or_half_made_environment_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decisions of bootstrap.py, taken on an environment that is only a few files."""
    tree = tmp_path / "a tree"
    (tree / "requirements").mkdir(parents=True)
    (tree / "bootstrap.py").write_text((ROOT / "bootstrap.py").read_text())
    for name in LOCKS:
        (tree / "requirements" / name).write_text(f"# {name}\n")
    tell = (
        "import bootstrap as b; print(b.is_whole(), b.is_installed('runtime'), "
        "b.is_installed('dev'))"
    )

    def decisions() -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", tell], cwd=tree, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    assert decisions() == ["False", "False", "False"]
    venv = tree / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    (venv / "home").write_text(str(tree))
    assert decisions() == ["True", "False", "False"]
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import bootstrap as b; b.stamp('runtime').write_text(b.digest(b.LOCKS['runtime']))",
        ],
        cwd=tree,
        check=True,
    )
    assert decisions() == ["True", "True", "False"]
    (tree / "requirements" / "runtime.lock").write_text("# changed\n")
    assert decisions()[0] == "False"
    (tree / "requirements" / "runtime.lock").write_text("# runtime.lock\n")
    (venv / "home").write_text("/somewhere/else")
    assert decisions()[0] == "False"


def test_the_commands_of_make_are_listed() -> None:
    done = subprocess.run(
        ["make", "-s", "-C", str(ROOT)], env=os.environ, capture_output=True, text=True, check=True
    )
    for name in ("run", "demo", "test", "check", "lock"):
        assert f"make {name}" in done.stdout
