"""``tierce dead-letters``: work that was given up, and taking it up again."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from sqlalchemy import Engine, RowMapping

from service import clock, db, reruns
from service.cli import commands
from service.cli.home import database
from service.cli.terminal import complain, say
from service.config import Settings
from service.ids import decode, encode
from service.operations import dead_letters
from service.platforms.clocks import now_at

#: How many are shown at once, and how many are taken up in one transaction.
_PAGE: Final = 100


def letter_id(text: str) -> UUID:
    """Read a dead letter's id from a command line."""
    try:
        return decode("dead_letter", text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None


@contextmanager
def _engine(settings: Settings) -> Iterator[Engine]:
    with database(settings) as url:
        engine = db.create_engine(url, pool_size=1)
        try:
            yield engine
        finally:
            engine.dispose()


def list_letters(parsed: argparse.Namespace, settings: Settings) -> int:
    """Print what was given up and not taken up again; 1 if there is any."""
    with _engine(settings) as engine, db.transaction(engine, db.SYSTEM) as connection:
        rows = dead_letters.page(
            connection, parsed.platform, limit=_PAGE + 1, open_=None if parsed.all else True
        )
    for row in rows[:_PAGE]:
        say(_line(row))
    if len(rows) > _PAGE:
        complain(f"Only the newest {_PAGE} are shown.")
    if not rows:
        say("Nothing was given up.")
    return 1 if any(row["resolved_at"] is None for row in rows) else 0


def _line(row: RowMapping) -> str:
    subject = " ".join(f"{name}={value}" for name, value in sorted(row["subject"].items()))
    ended = ""
    if row["resolved_at"] is not None:
        ended = f", {row['resolution']} {row['resolved_at']:%Y-%m-%d %H:%M}"
    return (
        f"{encode('dead_letter', row['id'])}  {row['work']}  {subject}\n"
        f"    of {encode('platform', row['platform_id'])}, {row['attempts']} attempts, "
        f"given up {row['died_at']:%Y-%m-%d %H:%M} UTC{ended}\n"
        f"    {row['error']}"
    )


def retry(parsed: argparse.Namespace, settings: Settings) -> int:
    """Make the work of one dead letter, or of every open one, due again."""
    with _engine(settings) as engine:
        if parsed.letter is not None:
            _retry(engine, parsed.letter)
            return 0
        done = 0
        while found := _open(engine, parsed.work):
            for letter in found:
                _retry(engine, letter)
            done += len(found)
        say(f"{done} taken up again.")
    return 0


def _open(engine: Engine, work: str | None) -> list[UUID]:
    with db.transaction(engine, db.SYSTEM) as connection:
        rows = dead_letters.page(connection, None, limit=_PAGE, open_=True, work=work)
    return [row["id"] for row in rows]


def _retry(engine: Engine, letter: UUID) -> None:
    with db.transaction(engine, db.SYSTEM) as connection:
        platform_id = dead_letters.platform_of(connection, letter)
        at = now_at(connection, platform_id, clock.now())
        row = reruns.retry(connection, platform_id, letter, at)
    say(f"{encode('dead_letter', letter)}  {row['work']}  {row['resolution']}")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the actions of the command to its parser."""
    actions = parser.add_subparsers(metavar="action", required=True)
    made = actions.add_parser("list", help="show them, newest first; ends with 1 if there are any")
    made.add_argument("--all", action="store_true", help="those taken up again as well")
    made.add_argument("--platform", type=commands.platform_id, help="one platform's id (pl_…)")
    made.set_defaults(run=list_letters)
    made = actions.add_parser("retry", help="have work taken up again once its cause is mended")
    one = made.add_mutually_exclusive_group(required=True)
    one.add_argument("letter", nargs="?", type=letter_id, help="dl_…")
    one.add_argument("--every", action="store_true", help="every one that is open")
    made.add_argument("--work", choices=dead_letters.WORKS, help="with --every: of one kind")
    made.set_defaults(run=retry)
