"""Make ``.venv`` from a lock file, with nothing but Python's own library.

Every wheel is checked against its hash in the lock, whatever index it comes from. The project
itself is not installed: a ``.pth`` file puts the tree on the environment's path, so no build step
is needed and an edit is live at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCKS = {name: ROOT / "requirements" / f"{name}.lock" for name in ("runtime", "dev")}
# What the tests run beside us and is published as source alone: built by the dev lock's own tools.
SOURCES = ROOT / "requirements" / "sources.lock"
UV = "uv>=0.9,<1"

LAUNCHER = """#!/bin/sh
exec "$(dirname "$0")/python" -m service.cli "$@"
"""


def say(text: str) -> None:
    """Print a line at once, also when a pipe is reading."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(*command: str | Path) -> None:
    """Run a command in the tree and end with its status if it fails."""
    done = subprocess.run([str(word) for word in command], cwd=ROOT, check=False)  # noqa: S603
    if done.returncode != 0:
        sys.exit(done.returncode)


def digest(path: Path) -> str:
    """Return what the environment was made from: the lock's content."""
    text = path.read_bytes()
    if path == LOCKS["dev"] and SOURCES.exists():
        text += SOURCES.read_bytes()
    return hashlib.sha256(text).hexdigest()


def stamp(name: str) -> Path:
    """Return the file that says which lock was installed whole."""
    return VENV / f"installed-{name}"


def is_installed(name: str) -> bool:
    """Tell whether ``name``'s lock, as it reads now, is what the environment holds."""
    path = stamp(name)
    return path.exists() and path.read_text() == digest(LOCKS[name])


def is_whole() -> bool:
    """Tell whether the environment runs, was made here (not moved), and from today's locks."""
    home = VENV / "home"
    if not home.exists() or home.read_text() != str(ROOT):
        return False
    if any(stamp(name).exists() and not is_installed(name) for name in LOCKS):
        return False
    # Its Python disappears when the system's is upgraded or removed.
    return subprocess.run([str(PYTHON), "-c", ""], check=False).returncode == 0  # noqa: S603


def make() -> None:
    """Make the environment anew."""
    say(f"Making .venv with Python {sys.version.split()[0]} …")
    run(sys.executable, "-m", "venv", "--clear", VENV)
    library = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    (VENV / library / "tierce.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    launcher = VENV / "bin" / "tierce"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    (VENV / "home").write_text(str(ROOT))


def ensure(name: str) -> None:
    """Make or complete the environment, if it is not already what ``name``'s lock asks for."""
    if is_whole() and (is_installed(name) or is_installed("dev")):
        return
    if not os.access(ROOT, os.W_OK):
        sys.exit(f"Tierce: {ROOT} is not writable for this account, and .venv is made there.")
    if not is_whole():
        make()
    say(f"Installing requirements/{name}.lock, each file checked against its hash …")
    pip: list[str | Path] = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    # Wheels only: a fresh machine may have no compiler, and a build would run unpinned code.
    run(*pip, "--require-hashes", "--only-binary=:all:", "-r", LOCKS[name])
    if name == "dev":
        # Nothing is fetched for the build: its tools are pinned in the lock just installed.
        run(*pip, "--require-hashes", "--no-deps", "--no-build-isolation", "-r", SOURCES)
    stamp(name).write_text(digest(LOCKS[name]))


def lock() -> None:
    """Write both lock files anew: dev first, then its part that is needed at run time."""
    tool = VENV / "lock"
    run(sys.executable, "-m", "venv", "--clear", tool)
    run(tool / "bin" / "python", "-m", "pip", "install", "--quiet", UV)
    compile_: list[str | Path] = [tool / "bin" / "uv", "pip", "compile", "--quiet"]
    compile_ += ["--universal", "--upgrade"]
    compile_ += ["--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"]
    compile_ += ["--python-version=3.11", "--custom-compile-command=make lock", "pyproject.toml"]
    (ROOT / "requirements").mkdir(exist_ok=True)
    run(*compile_, "--extra=dev", "--output-file=requirements/dev.lock")
    run(*compile_[:-1], "--no-deps", "requirements/sources.in", f"--output-file={SOURCES}")
    run(*compile_, "--constraint=requirements/dev.lock", "--output-file=requirements/runtime.lock")


def main() -> None:
    """Do what the command line names, one process at a time."""
    wanted = sys.argv[1] if len(sys.argv) == 2 else ""
    if wanted == "can-run":
        return  # that we got here says it: a fit Python was found
    if wanted not in {*LOCKS, "lock"}:
        sys.exit("usage: ./bootstrap runtime | dev | lock | can-run")
    with Path(__file__).open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if wanted == "lock":
            lock()
        else:
            ensure(wanted)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("Tierce: interrupted; the same command goes on where this stopped.")
    except OSError as error:
        sys.exit(f"Tierce: {error}. Nothing was lost; mend this and run the same command again.")
