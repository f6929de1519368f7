"""The HTTP part of the benchmark's table, and its options."""

from __future__ import annotations

import argparse
from pathlib import Path

from service.local import EmbeddedPostgres
from tests.bench import http
from tests.bench.line import Line, Part, least, most


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this part."""
    parser.add_argument(
        "--http-seconds", type=float, default=5.0, help="each figure over HTTP is taken for (5)"
    )
    parser.add_argument("--http-rounds", type=int, default=3, help="of the figures over HTTP (3)")
    parser.add_argument(
        "--memory-requests",
        type=int,
        default=20_000,
        help="after which the API's memory is compared with that after 2000 (20000; the whole "
        "form is 200000)",
    )


def measured(server: EmbeddedPostgres, folder: Path, asked: argparse.Namespace) -> list[Line]:
    """Measure over HTTP and return the lines."""
    found = http.measure(
        server,
        folder / "http",
        seconds=asked.http_seconds,
        rounds=asked.http_rounds,
        requests=asked.memory_requests,
    )

    few = min(2_000, found.memory_after)
    return [
        Line("load: bundled Python, a process of its own; connections", f"{http.CONNECTIONS}"),
        Line("empty route, requests per second", f"{found.empty:,.0f}"),
        Line("POST /v1/exchanges, requests per second", f"{found.single:,.0f}"),
        least("POST /v1/exchanges to empty route", found.single_ratio, 0.6),
        Line("whole lives per second (community units)", f"{found.lives:,.0f}"),
        least("whole lives x 4 to empty route", found.lives_ratio, 0.5),
        Line("batch create, exchanges per second", f"{found.batch:,.0f}"),
        least("batch create to single create", found.batch_ratio, 5),
        Line("confirmations per second", f"{found.confirms:,.0f}"),
        most(
            f"99 % of confirmations at {found.half_rate:,.0f} a second, ms",
            found.p99 * 1_000,
            50,
            f"{found.p99 * 1_000:.0f}",
        ),
        Line(f"two API processes to one, on {found.cores} cores", f"{found.two_ratio:.2f}"),
        most(
            f"API memory after {found.memory_after:,} requests to after {few:,}",
            found.memory,
            1.1,
        ),
    ]


PART = Part("http", options, measured)
