"""``tierce doctor``: look at all that an instance stands on, and say how to mend what is wrong."""

from __future__ import annotations

import secrets
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Final

import httpx
import redis
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from migrations import run as migrations
from service.cli import doctor_operations, doctor_settings
from service.cli.doctor_settings import Finding
from service.cli.home import CommandError, Home, database
from service.cli.terminal import say
from service.clock import now
from service.config import Settings
from service.db import SYSTEM, create_engine, transaction
from service.exchanges.codes import CodeBook
from service.files import files_of
from service.local import ServerError
from service.processes import port_is_free
from service.wake import broker

_OLDEST_POSTGRES: Final = 18
_ROLES: Final = ("tierce_owner", "tierce_runtime", "tierce_system")
_PACKAGES: Final = ("fastapi", "sqlalchemy", "psycopg", "celery")


def doctor(settings: Settings) -> int:
    """Print every finding; return 0 if all is well, else 1."""
    return show(examine(settings))


def show(found: Iterable[Finding]) -> int:
    """Print findings as they come; return 1 if something needs mending, 0 with warnings alone."""
    findings = []
    for finding in found:
        findings.append(finding)
        say(f"{'ok  ' if finding.well else 'BAD ' if finding.grave else 'WARN'} {finding.what}")
        if not finding.well:
            say(f"     → {finding.mend}")
    bad = sum(not finding.well and finding.grave for finding in findings)
    say("\nAll is well." if bad == 0 else f"\n{bad} of {len(findings)} need mending.")
    return 1 if bad else 0


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at one thing after another; a thing that fails keeps no other from being looked at."""
    yield _python()
    yield from doctor_settings.look(settings)
    home = Home(settings.home)
    try:
        home.prepare()
    except CommandError as error:
        yield Finding(False, f"home {home.folder}", str(error))
        return
    yield Finding(True, f"home {home.folder} is writable")
    yield from _keys(settings, home)
    yield _files(settings)
    with ExitStack() as stack:
        try:
            url = stack.enter_context(database(settings))
        except CommandError as error:
            yield Finding(False, "database", str(error))
        else:
            yield from _database(url)
            yield from _at_work(url, settings)
        yield _broker(settings, home)
    yield _api(settings)


def _python() -> Finding:
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return Finding(
        sys.version_info >= (3, 11),
        f"Python {sys.version.split()[0]}, {packages}",
        "Install Python 3.11 or newer and run `make run PYTHON=/path/to/it`.",
    )


def _keys(settings: Settings, home: Home) -> Iterator[Finding]:
    checks: tuple[tuple[str, str | None, str, Callable[[str], bool]], ...] = (
        ("operator key", _value(settings, "operator_key"), "operator.key", _is_long),
        ("signing key", _value(settings, "signing_key"), "signing.pem", _is_p256),
        ("code key", _value(settings, "code_key"), "code.key", _is_code_key),
    )
    for title, given, file, is_good in checks:
        variable = f"TIERCE_{title.upper().replace(' ', '_')}"
        value = given if given is not None else home.read(file)
        if value is None:
            yield Finding(False, title, f"Start once with `tierce up`, or set {variable}.")
            continue
        path = home.folder / "secrets" / file
        if given is None and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding(False, f"{title} in {path} can be read by others", f"chmod 600 '{path}'")
            continue
        source = variable if given is not None else str(path)
        yield Finding(is_good(value), f"{title} ({source})", f"{variable}: {_EXPECTED[title]}")


def _files(settings: Settings) -> Finding:
    """Write, read and remove a file where evidence is kept."""
    where = settings.files_url or str(settings.home / "files")
    try:
        files = files_of(settings)
        hash_ = files.put(secrets.token_bytes(32))
        files.get(hash_)
        files.remove(hash_)
    except Exception as error:  # whatever fsspec's systems raise
        told = f"TIERCE_FILES_URL: {type(error).__name__}: {error}. Name a folder, or a URL of a "
        return Finding(False, f"files in {where}", told + "system that is installed (s3: s3fs).")
    return Finding(True, f"files in {where} are written and read")


_EXPECTED: Final = {
    "operator key": "expected 32 or more random characters.",
    "signing key": "expected the PEM of a P-256 private key: "
    "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
    "code key": "expected 32 or more random characters. Changing it makes codes in use worthless.",
}


def _value(settings: Settings, name: str) -> str | None:
    secret = getattr(settings, name)
    return None if secret is None else str(secret.get_secret_value())


def _is_long(value: str) -> bool:
    return len(value) >= 32


def _is_p256(value: str) -> bool:
    try:
        key = serialization.load_pem_private_key(value.encode(), password=None)
    except (ValueError, TypeError):
        return False
    return isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1"


def _is_code_key(value: str) -> bool:
    try:
        CodeBook(value)
    except ValueError:
        return False
    return True


def _database(url: str) -> Iterator[Finding]:
    engine = create_engine(url, pool_size=1)
    shown = engine.url.render_as_string(hide_password=True)
    try:
        with engine.connect() as connection:
            yield Finding(True, f"database {shown} answers")
            yield from _server(connection)
            yield from _schema(connection)
    except SQLAlchemyError as error:
        yield Finding(
            False,
            f"database {shown}: {str(error).splitlines()[0]}",
            "Check TIERCE_DATABASE_URL, and that the server runs and lets this machine in.",
        )
    finally:
        engine.dispose()


def _at_work(url: str, settings: Settings) -> Iterator[Finding]:
    engine = create_engine(url, pool_size=1)
    try:
        found = doctor_operations.look(engine, now())
        with transaction(engine, SYSTEM) as connection:
            yield from doctor_settings.of_live(connection, settings)
    except SQLAlchemyError:
        return  # of another revision, or not there: that has been said
    finally:
        engine.dispose()
    for line in doctor_operations.tell(found, now()):
        yield Finding(*line)


def _server(connection: Connection) -> Iterator[Finding]:
    found = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()) // 10_000
    yield Finding(
        found >= _OLDEST_POSTGRES,
        f"PostgreSQL {found}",
        f"Tierce needs PostgreSQL {_OLDEST_POSTGRES} or newer.",
    )
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    yield Finding(
        encoding == "UTF8",
        f"text is kept as {encoding}",
        "Create the database anew: CREATE DATABASE tierce ENCODING 'UTF8' TEMPLATE template0.",
    )
    for name, mend in (
        ("fsync", "Without it a power cut ruins the cluster."),
        ("full_page_writes", "Without it a power cut ruins the cluster."),
        ("synchronous_commit", "Without it a payment that was confirmed may be forgotten."),
    ):
        value = connection.exec_driver_sql(f"SHOW {name}").scalar_one()
        yield Finding(value != "off", f"{name} is {value}", f"Set {name} = on. {mend}")


def _schema(connection: Connection) -> Iterator[Finding]:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    head = script.get_current_head()
    context = MigrationContext.configure(connection, opts={"version_table": "tierce_migration"})
    current = context.get_current_revision()
    yield Finding(
        current == head,
        f"schema is at revision {current}, the newest is {head}",
        "Run `tierce migrate`.",
    )
    usable = connection.execute(
        text(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY(:roles) "
            "AND pg_has_role(current_user, oid, 'SET')"
        ),
        {"roles": list(_ROLES)},
    ).scalars()
    missing = sorted({*_ROLES} - {*usable})
    yield Finding(
        not missing,
        f"roles {', '.join(_ROLES)}",
        f"As a role with CREATEROLE: GRANT {', '.join(missing)} TO the login role, "
        "after `tierce migrate` has made them.",
    )
    loose = connection.execute(
        text(
            "SELECT rolname FROM pg_roles WHERE rolname = ANY(:roles) "
            "AND (rolsuper OR rolbypassrls)"
        ),
        {"roles": list(_ROLES)},
    ).scalars()
    over = sorted(loose)
    yield Finding(
        not over,
        "row-level security binds these roles",
        f"ALTER ROLE … NOSUPERUSER NOBYPASSRLS for {', '.join(over)}: "
        "as they are, one platform could read another's rows.",
    )


def _broker(settings: Settings, home: Home) -> Finding:
    url = settings.redis_url
    if url is None:
        if home.valkey.find() is None:
            return Finding(True, "Valkey is embedded and starts with `tierce up`")
        try:
            home.valkey.start()  # it runs: this only finds its port
        except ServerError as error:
            return Finding(False, "Valkey", str(error))
        url = home.valkey.url
    with broker(url) as client:
        try:
            client.ping()
        except redis.RedisError as error:
            return Finding(
                False,
                f"Redis does not answer: {error}",
                "Check TIERCE_REDIS_URL. Until it answers, work waits for the worker's schedule; "
                "nothing is lost.",
            )
    return Finding(True, "Redis or Valkey answers")


def _api(settings: Settings) -> Finding:
    url = f"http://{settings.host}:{settings.port}/readyz"
    if port_is_free(settings.port, settings.host):
        return Finding(True, f"API: port {settings.port} is free for `tierce up`")
    try:
        status = httpx.get(url, timeout=2.0, trust_env=False).status_code
    except httpx.TransportError:
        status = 0
    return Finding(
        status == 200,
        f"API at {url} answers {status or 'nothing'}",
        "Another program may have the port (choose one with TIERCE_PORT), or the API cannot reach "
        f"its servers: see {settings.home / 'log' / 'api.log'}.",
    )
