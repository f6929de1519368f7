"""The ledger's part of the benchmark's table, and its options."""

from __future__ import annotations

import argparse
from pathlib import Path

from service.local import EmbeddedPostgres
from tests.bench import ledger
from tests.bench.line import Line, Part, least


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this part."""
    parser.add_argument("--accounts", type=int, default=100_000, help="in the books (100000)")
    parser.add_argument(
        "--postings", type=int, default=50_000, help="of each measurement in batches (50000)"
    )
    parser.add_argument(
        "--transactions", type=int, default=6_000, help="of each measurement by pgbench (6000)"
    )
    parser.add_argument("--scale", type=int, default=32, help="of pgbench's tables (32)")


def measured(server: EmbeddedPostgres, folder: Path, asked: argparse.Namespace) -> list[Line]:
    """Measure and return the lines of the table."""
    speed = ledger.measure(
        server,
        folder,
        accounts=asked.accounts,
        postings=asked.postings,
        transactions=asked.transactions,
        rounds=asked.rounds,
        scale=asked.scale,
    )
    size, one = ledger.BATCH, ledger.SINGLE_CONNECTIONS
    return [
        Line(f"pgbench TPC-B a second, {speed.clients} clients", f"{speed.tpcb:,.0f}"),
        Line(
            f"postings per second, batches of {size}, {speed.writers} writers",
            f"{speed.batches:,.0f}",
        ),
        least(f"batches of {size} to pgbench", speed.batches / speed.tpcb, 12),
        Line("the same, all with one unfloored account", f"{speed.hot:,.0f}"),
        least("with one hot account to without", speed.hot / speed.batches, 0.9),
        Line(f"single postings per second, {one} connections", f"{speed.single:,.0f}"),
        least("single postings to pgbench", speed.single / speed.tpcb, 1.1),
        Line(
            f"{ledger.IN_FLIGHT} single postings in flight in a lane, {speed.at_once} at once",
            f"{speed.lane:,.0f}",
        ),
        least("lanes to batches", speed.lane / speed.batches, 0.7),
    ]


PART = Part("ledger", options, measured)
