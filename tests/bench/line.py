"""A line of the benchmark's table, and the part of the benchmark that gives such lines."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from service.local import EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class Line:
    """A figure of the table, its target in words, and whether it was reached."""

    what: str
    figure: str
    target: str = ""
    held: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """What is measured together: its options, and how it is measured on a server and a folder."""

    name: str
    options: Callable[[argparse.ArgumentParser], None]
    measured: Callable[[EmbeddedPostgres, Path, argparse.Namespace], list[Line]]


def least(what: str, figure: float, target: float, shown: str | None = None) -> Line:
    """Return the line of what has to be at least so much."""
    said = f"{figure:.2f}" if shown is None else shown
    return Line(what, said, f"at least {target:,g}", held=figure >= target)


def most(what: str, figure: float, target: float, shown: str | None = None) -> Line:
    """Return the line of what may be at most so much."""
    said = f"{figure:.2f}" if shown is None else shown
    return Line(what, said, f"at most {target:g}", held=figure <= target)
