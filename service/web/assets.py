"""Style, script and pictures: named by their content, so that browsers may keep them for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: A name never gets another content, so nothing is ever asked for twice.
HEADERS: Final = {
    "cache-control": "public, max-age=31536000, immutable",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served: its address, its content, and what it is."""

    address: str
    body: bytes
    media_type: str


@lru_cache(maxsize=1)
def _assets() -> Mapping[str, Asset]:
    """Every file of ``static/``, by its own name."""
    found = {}
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            digest = hashlib.sha256(body).hexdigest()[:16]
            address = f"/static/{path.stem}.{digest}{path.suffix}"
            found[path.name] = Asset(address, body, _TYPES[path.suffix])
    return found


def address(name: str) -> str:
    """Return where a file of ``static/`` is served, as pages name it.

    Raises:
        KeyError: there is no such file; a mistake of ours.
    """
    return _assets()[name].address


def body(name: str) -> bytes:
    """Return the content of a file of ``static/``.

    Raises:
        KeyError: there is no such file; a mistake of ours.
    """
    return _assets()[name].body


def find(path: str) -> Asset | None:
    """Return what is served at ``/static/<path>``, or None."""
    wanted = f"/static/{path}"
    return next((asset for asset in _assets().values() if asset.address == wanted), None)
