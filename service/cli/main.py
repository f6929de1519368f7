"""``tierce``: run an instance, and look after one.

Every command prints to standard output what was asked for, complains on standard error with what to
do, and ends with 0 only if it did its job.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from alembic.util import CommandError as UnknownRevision
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from ledger.refusals import Refusal
from service.cli import bounce, commands, keys, operations, reconcile, verify
from service.cli.doctor import doctor
from service.cli.doctor_stripe import doctor_stripe
from service.cli.home import CommandError
from service.cli.terminal import complain
from service.cli.up import up
from service.config import Settings, settings
from service.exchanges import held_text

_Run = Callable[[argparse.Namespace, Settings], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (by default the process's own) and return its exit status."""
    parsed = _parser().parse_args(arguments)
    run: _Run = parsed.run
    try:
        return run(parsed, settings())
    except ValidationError as error:
        for each in error.errors():
            name = "_".join(str(part) for part in each["loc"]).upper()
            complain(f"tierce: TIERCE_{name}: {each['msg']}")
        return 2
    except (CommandError, Refusal) as error:
        complain(f"tierce: {error}")
        return 1
    except SQLAlchemyError as error:
        complain(f"tierce: the database refused: {str(error).splitlines()[0]}")
        complain("`tierce doctor` looks for the cause and says how to mend it.")
        return 1
    except UnknownRevision as error:
        complain(f"tierce: the database was made by another version of Tierce ({error}).")
        complain("Use that version or a newer one; this one leaves the database as it is.")
        return 1
    except KeyboardInterrupt:
        complain("tierce: interrupted")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tierce",
        description="A trust-and-escrow transaction service.",
        epilog="Settings come from the environment as TIERCE_<NAME>; see README.md.",
    )
    of = parser.add_subparsers(metavar="command", required=True)

    def command(name: str, run: _Run, help_: str) -> argparse.ArgumentParser:
        made = of.add_parser(name, help=help_, description=help_)
        made.set_defaults(run=run)
        return made

    made = command("up", _up, "run an instance here, on embedded servers unless told of others")
    made.add_argument("--once", action="store_true", help="play the main job, audit, and end")
    made.add_argument("--port", type=_port, help="port of the API (TIERCE_PORT, 8480)")

    command("migrate", commands.migrate, "bring the database to the newest schema")
    made = command("doctor", _doctor, "look at everything and say how to mend it")
    made.add_argument("--stripe", action="store_true", help="look at connections to Stripe instead")
    made.add_argument(
        "--platform", type=commands.platform_id, help="with --stripe: one platform's id (pl_…)"
    )

    made = command("audit", commands.audit, "re-prove the books; ends with 1 if they do not hold")
    made.add_argument("--platform", type=commands.platform_id, help="one platform's id (pl_…)")

    made = command("export", commands.export, "write a platform's books as plain-text accounting")
    made.add_argument("--format", required=True, choices=sorted(commands.FORMATS))
    made.add_argument("--platform", required=True, type=commands.platform_id, help="pl_…")
    made.add_argument("--output", type=Path, help="file to write; standard output if not given")

    made = command("reconcile", reconcile.run, "compare a provider's books of a day with ours")
    made.add_argument("--day", type=reconcile.day, help="2026-11-21, in UTC; yesterday's if not")
    made.add_argument("--platform", type=commands.platform_id, help="one platform's id (pl_…)")

    made = command("held", reconcile.held, "write what is held, for whom, and what it would pay")
    made.add_argument("--platform", required=True, type=commands.platform_id, help="pl_…")
    made.add_argument("--format", required=True, choices=sorted(held_text.FORMATS))
    made.add_argument("--output", type=Path, help="file to write; standard output if not given")

    command("bounce", bounce.run, "read one mail that came back, on standard input")

    made = command("dead-letters", lambda *_: 2, "work that was given up, and taking it up again")
    operations.add_to(made)

    made = command("keys", lambda *_: 2, "the keys that decisions and receipts are signed with")
    keys.add_to(made)

    made = command("verify", verify.run, "is a decision, receipt or export genuine? 1 if not")
    made.add_argument("file", type=Path, help="a JWS, the API's JSON with one, or an export")
    made.add_argument("--keys", help="JWK set: a file or https://…; this instance's own if not")

    made = command("openapi", commands.openapi, "write the application's OpenAPI document")
    made.add_argument("--output", type=Path, default=Path("openapi.yaml"))

    made = command("platform", lambda *_: 2, "create a platform")
    of_platform = made.add_subparsers(metavar="action", required=True)
    made = of_platform.add_parser("create", help="create one and print its keys, once")
    made.add_argument("name", type=_name)
    made.set_defaults(run=commands.create_platform)
    return parser


def _up(parsed: argparse.Namespace, chosen: Settings) -> int:
    return up(chosen, once=parsed.once, port=parsed.port)


def _doctor(parsed: argparse.Namespace, chosen: Settings) -> int:
    if parsed.stripe:
        return doctor_stripe(chosen, parsed.platform)
    if parsed.platform is not None:
        raise CommandError(
            "--platform goes with --stripe: `tierce doctor --stripe --platform pl_…`"
        )
    return doctor(chosen)


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return port


def _name(text: str) -> str:
    if not text.strip() or len(text) > 200 or not text.isprintable():
        raise argparse.ArgumentTypeError("a name is 1 to 200 printable characters")
    return text.strip()
