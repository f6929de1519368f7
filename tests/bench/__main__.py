"""``make bench``: what the service does per second, and what it costs as the tables grow.

Absolute figures depend on the machine and are for information. The targets are ratios between two
measurements of one run, which hold anywhere; two alone are times: of a page, of a confirmation.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from service.local import EmbeddedPostgres
from tests.bench import books, deliveries, http_lines, ledger_lines, pages, queues, timers
from tests.bench.line import Line, Part

PARTS: Final[tuple[Part, ...]] = (
    http_lines.PART,
    ledger_lines.PART,
    timers.PART,
    deliveries.PART,
    pages.PART,
    books.PART,
    queues.PART,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return 0; 1 when a target is missed."""
    asked = _parser().parse_args(arguments)
    lines: list[Line] = []
    for part in PARTS:
        if asked.only and part.name not in asked.only:
            continue
        print(f"measuring: {part.name}", file=sys.stderr)
        lines += _alone(part, asked)
    print(f"\n{table(lines, with_targets=not asked.no_targets)}")
    return 0 if asked.no_targets or all(line.held for line in lines) else 1


def _alone(part: Part, asked: argparse.Namespace) -> list[Line]:
    """Measure a part on a server of its own: what one leaves behind slows no other."""
    with tempfile.TemporaryDirectory(prefix="tierce-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, the server runs as another account and passes through
        server = EmbeddedPostgres(folder / "postgres")
        try:
            server.start()
            return part.measured(server, folder, asked)
        finally:
            server.stop()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    names = [part.name for part in PARTS]
    parser.add_argument("--only", nargs="+", choices=names, help="measure these parts alone")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (5)")
    parser.add_argument(
        "--no-targets", action="store_true", help="print figures, judge none: for small sizes"
    )
    for part in PARTS:
        part.options(parser)
    return parser


def table(lines: Sequence[Line], *, with_targets: bool = True) -> str:
    """Return the lines as a table for people."""
    width = max(len(line.what) for line in lines)
    rows = [
        f"{'measured':<{width}}  {'figure':>10}  target",
        f"{'─' * width}  {'─' * 10}  {'─' * 20}",
    ]
    for line in lines:
        target = "" if not with_targets else line.target + ("" if line.held else "  MISSED")
        rows.append(f"{line.what:<{width}}  {line.figure:>10}  {target}".rstrip())
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
