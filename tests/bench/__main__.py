"""``make bench``: what the worker does per second, and what it costs as the tables grow.

Absolute figures depend on the machine and are for information. The targets are ratios between two
measurements of one run: those hold anywhere.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.local import EmbeddedPostgres
from tests.bench import timers


@dataclass(frozen=True, slots=True)
class Line:
    """A figure of the table; ``most`` is what it may be at most, where that is a target."""

    what: str
    figure: str
    target: str = ""
    held: bool = True


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return 0; 1 when a ratio is above its target."""
    asked = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="tierce-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, the server runs as another account and passes through
        server = EmbeddedPostgres(folder / "postgres")
        try:
            server.start()
            lines = _timers(server, asked)
        finally:
            server.stop()
    _show(lines)
    return 0 if all(line.held for line in lines) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--due", type=int, default=1_000, help="timers due at once (1000)")
    parser.add_argument("--few", type=int, default=1_000, help="timers that wait, few (1000)")
    parser.add_argument("--many", type=int, default=1_000_000, help="that wait, many (1000000)")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (5)")
    parser.add_argument(
        "--most-ratio", type=float, default=1.5, help="of the cost beside many to few (1.5)"
    )
    return parser


def _timers(server: EmbeddedPostgres, asked: argparse.Namespace) -> list[Line]:
    cost = timers.measure(
        server, due=asked.due, few=asked.few, many=asked.many, rounds=asked.rounds
    )
    lines = [
        Line(f"timers fired per second: {sort}", f"{per_second:,.0f}")
        for sort, per_second in cost.per_second.items()
    ]
    return [
        *lines,
        Line(
            f"cost of {asked.due:,} due: {asked.many:,} waiting to {asked.few:,}",
            f"{cost.ratio:.2f}",
            f"at most {asked.most_ratio}",
            held=cost.ratio <= asked.most_ratio,
        ),
    ]


def _show(lines: Sequence[Line]) -> None:
    width = max(len(line.what) for line in lines)
    print(f"\n{'measured':<{width}}  {'figure':>10}  target")
    print(f"{'─' * width}  {'─' * 10}  {'─' * 20}")
    for line in lines:
        verdict = "" if line.held else "  MISSED"
        print(f"{line.what:<{width}}  {line.figure:>10}  {line.target}{verdict}")


if __name__ == "__main__":
    sys.exit(main())
