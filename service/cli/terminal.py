"""Words for the person at the terminal."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Print to standard output at once, also when a pipe is reading."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text: str) -> None:
    """Print to standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
