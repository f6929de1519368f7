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
from tests.bench import deliveries, timers


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
            lines = [*_timers(server, asked), *_deliveries(server, asked)]
        finally:
            server.stop()
    print(f"\n{table(lines)}")
    return 0 if all(line.held for line in lines) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--due", type=int, default=1_000, help="timers due at once (1000)")
    parser.add_argument("--few", type=int, default=1_000, help="timers that wait, few (1000)")
    parser.add_argument("--many", type=int, default=1_000_000, help="that wait, many (1000000)")
    parser.add_argument("--events", type=int, default=2_000, help="to deliver (2000)")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (5)")
    parser.add_argument(
        "--most-ratio", type=float, default=1.5, help="of the cost beside many to few (1.5)"
    )
    parser.add_argument(
        "--least-ratio", type=float, default=0.5, help="of deliveries to a bare loop (0.5)"
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


def _deliveries(server: EmbeddedPostgres, asked: argparse.Namespace) -> list[Line]:
    speed = deliveries.measure(server, events=asked.events, rounds=asked.rounds)
    return [
        Line("webhook deliveries per second", f"{speed.delivered:,.0f}"),
        Line("the same messages by a bare httpx loop", f"{speed.bare:,.0f}"),
        Line(
            "deliveries to bare loop",
            f"{speed.ratio:.2f}",
            f"at least {asked.least_ratio}",
            held=speed.ratio >= asked.least_ratio,
        ),
    ]


def table(lines: Sequence[Line]) -> str:
    """Return the lines as a table for people."""
    width = max(len(line.what) for line in lines)
    rows = [
        f"{'measured':<{width}}  {'figure':>10}  target",
        f"{'─' * width}  {'─' * 10}  {'─' * 20}",
    ]
    for line in lines:
        verdict = "" if line.held else "  MISSED"
        rows.append(f"{line.what:<{width}}  {line.figure:>10}  {line.target}{verdict}".rstrip())
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
