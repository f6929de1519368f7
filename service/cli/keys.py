"""``tierce keys``: the keys with which the instance signs decisions and receipts."""

from __future__ import annotations

import argparse

from service import clock, db
from service.cli.home import CommandError, Home, database
from service.cli.terminal import complain, say
from service.config import Settings
from service.records import keys
from service.sealing import Sealer


def sealer(settings: Settings) -> Sealer:
    """Return what private keys are sealed with.

    Raises:
        CommandError: the instance's secret is not to be found here.
    """
    given = settings.code_key
    key = Home(settings.home).read("code.key") if given is None else given.get_secret_value()
    if key is None:
        raise CommandError(
            "Private keys are sealed under TIERCE_CODE_KEY, which is neither set nor kept in "
            f"{settings.home}. Set the one that the instance runs with."
        )
    return Sealer(key)


def rotate(_parsed: argparse.Namespace, settings: Settings) -> int:
    """Retire the key in use and make the next."""
    with database(settings) as url:
        engine = db.create_engine(url, pool_size=1)
        try:
            with db.transaction(engine, db.SYSTEM) as connection:
                retired, made = keys.rotate(connection, sealer(settings), clock.now())
        finally:
            engine.dispose()
    if retired is not None:
        say(f"retired  {retired}")
    say(f"in use   {made}")
    complain("What a retired key signed stays genuine: it is published for ever.")
    return 0


def list_keys(_parsed: argparse.Namespace, settings: Settings) -> int:
    """Print every key there ever was, oldest first."""
    with database(settings) as url:
        engine = db.create_engine(url, pool_size=1)
        try:
            with db.transaction(engine, db.SYSTEM) as connection:
                found = keys.published(connection)
        finally:
            engine.dispose()
    for key in found:
        since = f"{key.created_at:%Y-%m-%d %H:%M}"
        until = "in use" if key.retired_at is None else f"until {key.retired_at:%Y-%m-%d %H:%M}"
        say(f"{key.kid}  since {since}, {until} (UTC)")
    if not found:
        say("None yet: the first is made with the first document that is signed.")
    return 0


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the actions of the command to its parser."""
    actions = parser.add_subparsers(metavar="action", required=True)
    made = actions.add_parser("list", help="show them, oldest first")
    made.set_defaults(run=list_keys)
    made = actions.add_parser("rotate", help="retire the key in use and make the next")
    made.set_defaults(run=rotate)
