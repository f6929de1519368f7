"""``tierce verify``: is this decision, receipt or export genuine, and what does it say?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import orjson

from service import db
from service.cli.home import CommandError, database
from service.cli.terminal import say
from service.config import Settings, is_loopback
from service.records import telling
from service.records import verify as records
from service.records.keys import published
from service.records.verify import EXPORT, Genuine, Keys, NotGenuine

#: Longer than any export; what is longer is a mistake.
_LONGEST: Final = 100_000_000
_PATIENCE: Final = 10.0  # seconds


def run(parsed: argparse.Namespace, settings: Settings) -> int:
    """Print whether a file is genuine and what it says; 0 if it is, 1 if not."""
    given = _text(parsed.file)
    try:
        keys = _keys(parsed.keys, settings)
        lines = list(_told(given, keys))
    except NotGenuine as error:
        say(f"NOT GENUINE: {_printable(str(error))}.")
        return 1
    say("GENUINE")
    for line in lines:
        say(_printable(line))
    return 0


def _printable(line: str) -> str:
    """Return a line that does nothing to the terminal: others wrote some of its words."""
    return "".join(
        one if one.isprintable() or one in "\n\u00a0" else f"\\u{{{ord(one):x}}}" for one in line
    )


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LONGEST:
            raise CommandError(f"{path} is longer than any document of this service.")
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise CommandError(f"{path} is not text: give a .jws, or JSON.") from None


def _keys(given: str | None, settings: Settings) -> Keys:
    """Return the keys of a file, of an address, or of the instance here."""
    if given is None:
        with database(settings) as url:
            engine = db.create_engine(url, pool_size=1)
            try:
                with db.transaction(engine, db.SYSTEM) as connection:
                    jwks: object = {"keys": [key.jwk for key in published(connection)]}
            finally:
                engine.dispose()
    elif "://" in given:
        jwks = _fetched(given)
    else:
        jwks = _json(_text(Path(given)), given)
    return records.read_keys(jwks)


def _fetched(address: str) -> object:
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise CommandError("Keys come over https:// (http on this machine), or from a file.")
    try:
        answer = httpx.get(address, timeout=_PATIENCE, follow_redirects=False)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise CommandError(f"{address} gives no keys: {error}") from error
    return _json(answer.text, address)


def _json(text: str, where: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{where} is no JSON: {error}") from error


def _told(given: str, keys: Keys) -> Iterator[str]:
    """Check a compact JWS, the answer of the API that holds one, or an export."""
    if not given.startswith("{"):
        yield from telling.words(records.verify(given, keys))
        return
    found = _json(given, "The file")
    assert isinstance(found, dict)
    if found.get("type") == EXPORT:
        yield from telling.words_of_export(records.verify_export(found, keys))
    else:
        yield from telling.words(_answer(found, keys))


def _answer(found: Mapping[str, Any], keys: Keys) -> Genuine:
    """Check an answer as the API gave it: what stands beside the signature must be what is signed.

    Raises:
        NotGenuine
    """
    jws = found.get("jws")
    if not isinstance(jws, str):
        raise NotGenuine("it holds neither a signed document nor an export of a case")
    genuine = records.verify(jws, keys)
    if found.get("document", genuine.document) != genuine.document:
        raise NotGenuine("the document beside the signature is not the one that was signed")
    return genuine
