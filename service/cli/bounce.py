"""``tierce bounce``: read one mail that came back, from a mail server's pipe.

It ends with 0 when the mail was recorded, 65 when it is no report of ours (EX_DATAERR), and 75 when
the database does not answer, so that the mail server keeps the mail and tries again (EX_TEMPFAIL;
the numbers are those of BSD's sysexits, which mail servers go by).
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from service import clock, db
from service.cli.home import CommandError, Home, database
from service.cli.terminal import complain, say
from service.config import Settings
from service.ids import encode
from service.messages import bounces
from service.messages.bounces import NotABounce, ReturnPath

_LARGEST: Final = 10 * 1024 * 1024


def run(_parsed: argparse.Namespace, settings: Settings) -> int:
    """Read a mail on standard input and record that a message came back."""
    path = _return_path(settings)
    try:
        report = bounces.read(sys.stdin.buffer.read(_LARGEST), path)
        with database(settings) as url:
            engine = db.create_engine(url, pool_size=1)
            try:
                with db.transaction(engine, db.SYSTEM) as connection:
                    new = bounces.record(connection, report, clock.now())
            finally:
                engine.dispose()
    except NotABounce as refusal:
        complain(f"tierce: {refusal}")
        return os.EX_DATAERR
    except SQLAlchemyError as error:
        complain(f"tierce: the database refused: {str(error).splitlines()[0]}")
        return os.EX_TEMPFAIL
    name = encode("message", report.message_id)
    say(f"{name} came back: {report.reason}" if new else f"{name} had come back before.")
    return 0


def _return_path(settings: Settings) -> ReturnPath:
    given = settings.code_key
    key = Home(settings.home).read("code.key") if given is None else given.get_secret_value()
    if settings.bounce_address is None or key is None:
        raise CommandError(
            "Set TIERCE_BOUNCE_ADDRESS and TIERCE_CODE_KEY to those that the instance sends with: "
            "return paths are sealed under them."
        )
    return ReturnPath(settings.bounce_address, key)
