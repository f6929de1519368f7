"""The commands that look after an instance: migrate, audit, export, openapi, platform."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO
from uuid import UUID

from sqlalchemy import Connection

from ledger import export as plain_text
from migrations.run import upgrade
from service import books, db
from service.app import create_app
from service.cli import seed
from service.cli.home import CommandError, database
from service.cli.terminal import complain, say
from service.clock import now
from service.config import Settings
from service.http.openapi import as_yaml
from service.ids import decode

FORMATS: Final[dict[str, Callable[[Connection, UUID], Iterator[str]]]] = {
    "beancount": plain_text.beancount,
    "hledger": plain_text.hledger,
}


def platform_id(text: str) -> UUID:
    """Read a platform's id from a command line: ``pl_…`` or a plain UUID."""
    try:
        return decode("platform", text) if text.startswith("pl_") else UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a platform's id (pl_…)") from None


def migrate(_parsed: argparse.Namespace, settings: Settings) -> int:
    """Bring the database to the newest schema."""
    with database(settings) as url:
        upgrade(url)
    say("The database has the newest schema.")
    return 0


def audit(parsed: argparse.Namespace, settings: Settings) -> int:
    """Re-prove the books; 1 if they do not hold."""
    with database(settings) as url:
        engine = db.create_engine(url, pool_size=1)
        try:
            proof = books.prove(engine, parsed.platform)
        finally:
            engine.dispose()
    say(str(proof))
    return 1 if proof.problems else 0


def export(parsed: argparse.Namespace, settings: Settings) -> int:
    """Write one platform's books, as of one instant, as plain-text accounting."""
    write = FORMATS[parsed.format]
    with database(settings) as url:
        engine = db.create_engine(url, pool_size=1)
        still = engine.execution_options(isolation_level="REPEATABLE READ")
        try:
            with output(parsed.output) as out, db.transaction(still, db.SYSTEM) as connection:
                _write(out, write(connection, parsed.platform))
        finally:
            engine.dispose()
    return 0


def _write(out: TextIO, lines: Iterable[str]) -> None:
    for line in lines:
        out.write(line if line.endswith("\n") else f"{line}\n")


@contextmanager
def output(path: Path | None) -> Iterator[TextIO]:
    """Write to standard output, or to a file that appears only when it is whole."""
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    fresh = path.with_name(f"{path.name}.new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            yield file
        os.replace(fresh, path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        fresh.unlink(missing_ok=True)
    complain(f"Written: {path}")


def create_platform(parsed: argparse.Namespace, settings: Settings) -> int:
    """Create a platform and print its keys, this once."""
    with database(settings) as url:
        engine = db.create_engine(url, pool_size=1)
        try:
            opened = seed.open_platform(engine, parsed.name, now())
        finally:
            engine.dispose()
    say(f"live platform     {opened.live}")
    say(f"live API key      {opened.live_key}")
    say(f"sandbox platform  {opened.sandbox}")
    say(f"sandbox API key   {opened.sandbox_key}")
    complain("The keys are not shown again: keep them now.")
    return 0


def openapi(parsed: argparse.Namespace, _settings: Settings) -> int:
    """Write the contract as the application itself states it."""
    with output(parsed.output) as out:
        out.write(as_yaml(create_app()))
    return 0
