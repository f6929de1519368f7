"""``tierce reconcile`` and ``tierce held``: the provider's books beside ours, and what is held."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from datetime import UTC, date, timedelta
from typing import Final

from sqlalchemy import Connection

from ledger import accounts, units
from service import clock, db
from service.cli import commands
from service.cli.home import CommandError, Home, database
from service.cli.terminal import complain, say
from service.config import Settings
from service.exchanges.desk import Desk, make_desk
from service.exchanges.held_text import FORMATS
from service.ids import encode
from service.payments import daily, resolutions
from service.payments.daily import Books
from service.payments.matching import Kind
from service.payments.port import ProviderUnavailable
from service.payments.reconcile import DayNotOver, Run, midnight, reconcile
from service.platforms import clocks, platforms

#: How many open differences are shown; ``GET /v1/reconciliation/differences`` has them all.
_SHOWN: Final = 20
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def day(text: str) -> date:
    """Read a day from a command line: ``2026-11-21``."""
    try:
        # Alone, it takes weeks and days without dashes as well.
        return date.fromisoformat(text if _DAY.fullmatch(text) else "")
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2026-11-21") from None


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    """Reconcile a day (UTC, by default yesterday); 1 if a difference is open or nobody answered."""
    now = clock.now()
    with database(settings) as url:
        engine = db.create_engine(url, pool_size=2)
        try:
            with db.transaction(engine, db.SYSTEM) as connection:
                if parsed.platform is not None:
                    platforms.find(connection, parsed.platform)
                    # A sandbox may have moved its clock: its days are over before ours.
                    now = clocks.now_at(connection, parsed.platform, now)
                wanted: date = parsed.day or (now.astimezone(UTC) - timedelta(days=1)).date()
                if now < midnight(wanted + timedelta(days=1)):
                    raise DayNotOver(f"{wanted} is not over in UTC.")
                books = [
                    one for one in daily.books(connection, parsed.platform) if one.first <= wanted
                ]
            if not books:
                say(f"No provider held anything on {wanted}: there is nothing to reconcile.")
                return 0
            desk = make_desk(engine, _code_key(settings), clock.now, settings.stripe_api_base)
            return max([_one(desk, one, wanted) for one in books])
        finally:
            engine.dispose()


def _code_key(settings: Settings) -> str:
    given = settings.code_key
    key = Home(settings.home).read("code.key") if given is None else given.get_secret_value()
    if key is None:
        raise CommandError(
            "The secrets of connections are sealed under TIERCE_CODE_KEY, which is neither set nor "
            f"kept in {settings.home}. Set the one that the instance runs with."
        )
    return key


def _one(desk: Desk, one: Books, wanted: date) -> int:
    name = f"{encode('platform', one.platform_id)} {one.provider} {wanted}"
    with db.transaction(desk.engine, one.platform_id) as connection:
        now = clocks.now_at(connection, one.platform_id, clock.now())
    try:
        made = reconcile(desk.engine, desk.providers[one.provider], one.platform_id, wanted, now)
    except ProviderUnavailable as error:
        complain(f"{name}: {error}")
        complain("Nothing is lost: run the same again once the provider answers.")
        return 1
    with db.transaction(desk.engine, one.platform_id) as connection:
        say(f"{name}: {_counts(made)}")
        for line in _beside(connection, one):
            say(f"  {line}")
        differences = [
            row
            for row in resolutions.page(connection, one.platform_id, limit=_SHOWN, open_=True)
            if row["kind"] != Kind.IN_FLIGHT
        ]
    for row in differences:
        say(
            f"  open: {encode('difference', row['id'])} {row['kind']} of {row['day']}: ours "
            f"{row['ours']}, theirs {row['theirs']} minor units of {row['unit']}"
        )
    if differences:
        complain("Payouts of this platform are stopped until somebody says what these are:")
        complain("POST /v1/reconciliation/differences/{difference}/resolve")
    return 1 if differences else 0


def _counts(made: Run) -> str:
    return (
        f"{made.matched} matched, {made.ours_only} ours only, {made.theirs_only} theirs only, "
        f"{made.amount_differs} of another amount, {made.in_flight} in flight"
    )


def _beside(connection: Connection, one: Books) -> Iterator[str]:
    """Tell what the books say that is held, and what banks block, which no provider holds."""
    held, blocked = f"provider:{one.provider}", f"provider:{one.provider}:authorised"
    found = accounts.balances(connection, one.platform_id, [held, blocked])
    known = units.find_many(connection, one.platform_id, [each.unit for each in found])
    for each in found:
        where = "held" if each.path == held else "blocked at payers' banks, held by nobody"
        yield f"{where}: {known[each.unit].decimal(-each.balance)} {each.unit}"


def held(parsed: argparse.Namespace, settings: Settings) -> int:
    """Write the statement of what is held, all of it as of one instant."""
    write = FORMATS[parsed.format]
    with database(settings) as url:
        engine = db.create_engine(url, pool_size=1)
        still = engine.execution_options(isolation_level="REPEATABLE READ")
        try:
            with (
                commands.output(parsed.output) as out,
                db.transaction(still, parsed.platform) as connection,
            ):
                platforms.find(connection, parsed.platform)
                for part in write(connection, parsed.platform, clock.now()):
                    out.write(part.decode())
        finally:
            engine.dispose()
    return 0
