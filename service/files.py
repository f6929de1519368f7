"""Files by the SHA-256 of their bytes: in a folder, or wherever fsspec can write.

A name says nothing but the hash, so that nothing a person chose ever becomes a path. The same file
kept twice is one file, and what is read is proved against its name. Whatever is here without a row
that names it is swept (service/exchanges/evidence_sweep.py).
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import fsspec  # type: ignore[import-untyped]

from service import db
from service.config import Settings

_HASH: Final = re.compile(r"[0-9a-f]{64}")
#: Nobody has been writing one file for so long.
_UNFINISHED: Final = timedelta(days=7)
_OWNER: Final = "owner"
_LOCAL: Final = frozenset({"file", "local"})


class FileMissing(RuntimeError):
    """A file that should be there is not, or is not what its name says: for whoever runs this."""


class Files:
    """A place of files. Every call may wait for a disk or a network: never in a transaction."""

    def __init__(self, url: str) -> None:
        """Name the place: a folder, or a URL such as ``s3://bucket/prefix``.

        Nothing is made or asked for before the first file.

        Raises:
            ValueError: nothing that is installed can write there.
        """
        try:
            self._system, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise ValueError(f"TIERCE_FILES_URL {url!r} cannot be used: {error}") from error
        self._root: Final = root.rstrip("/")
        protocols = self._system.protocol
        names = {protocols} if isinstance(protocols, str) else set(protocols)
        self._local: Final = bool(names & _LOCAL)

    def path(self, hash_: str) -> str:
        """Return where a file is kept.

        Raises:
            ValueError: this is no SHA-256.
        """
        if not _HASH.fullmatch(hash_):
            raise ValueError("a file is named by its SHA-256 in hexadecimal")
        return f"{self._root}/{hash_[:2]}/{hash_}"

    def put(self, content: bytes) -> str:
        """Keep a file, whole or not at all, and return its hash."""
        db.outside_transaction()
        hash_ = hashlib.sha256(content).hexdigest()
        path = self.path(hash_)
        if self._read(path, hash_) is not None:
            return hash_
        if not self._local:
            self._system.pipe_file(path, content)  # an object appears whole
            return hash_
        folder = Path(path).parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = folder / f"{hash_}.{secrets.token_hex(8)}.part"
        try:
            # On the disk before any row says that it is.
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return hash_

    def get(self, hash_: str) -> bytes:
        """Return a file's bytes.

        Raises:
            FileMissing: it is not there, or not what it was.
        """
        db.outside_transaction()
        content = self._read(self.path(hash_), hash_)
        if content is None:
            raise FileMissing(f"file {hash_} is missing or damaged")
        return content

    def has(self, hash_: str) -> bool:
        """Tell whether a file is there."""
        db.outside_transaction()
        return bool(self._system.exists(self.path(hash_)))

    def remove(self, hash_: str) -> bool:
        """Remove a file; return whether it was there."""
        db.outside_transaction()
        try:
            self._system.rm_file(self.path(hash_))
        except FileNotFoundError:
            return False
        return True

    def is_of(self, owner: str) -> bool:
        """Tell whether this place is one owner's; whoever asks first has it from then on.

        So that nothing is swept by a copy of the database that knows half of what is here.
        """
        db.outside_transaction()
        path = f"{self._root}/{_OWNER}"
        try:
            said: bytes = self._system.cat_file(path)
        except FileNotFoundError:
            self._system.makedirs(self._root, exist_ok=True)
            self._system.pipe_file(path, owner.encode())
            said = self._system.cat_file(path)
        return said.decode("utf-8", "replace").strip() == owner

    def older_than(self, before: datetime) -> Iterator[str]:
        """Yield the hash of each file that was last written before ``before``.

        Pieces of files that were never finished are removed on the way, a week later.
        """
        db.outside_transaction()
        try:
            found = self._system.find(self._root, detail=True)
        except FileNotFoundError:
            return
        for path, about in found.items():
            name, written = path.rsplit("/", 1)[-1], _written(about)
            if _HASH.fullmatch(name) and written < before:
                yield name
            elif name.endswith(".part") and written < before - _UNFINISHED:
                with suppress(FileNotFoundError):
                    self._system.rm_file(path)

    def _read(self, path: str, hash_: str) -> bytes | None:
        try:
            content = bytes(self._system.cat_file(path))
        except FileNotFoundError:
            return None
        return content if hashlib.sha256(content).hexdigest() == hash_ else None


def _written(about: dict[str, Any]) -> datetime:
    """Return when a file was written, as its place tells it; one that does not is taken as new."""
    at = about.get("mtime", about.get("LastModified", about.get("created")))
    if isinstance(at, int | float):
        return datetime.fromtimestamp(at, UTC)
    if isinstance(at, datetime):
        return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return datetime.max.replace(tzinfo=UTC)


def files_of(settings: Settings) -> Files:
    """Return where an instance keeps its files: the folder ``files`` of its home unless told.

    Raises:
        ValueError: nothing that is installed can write there.
    """
    url = settings.files_url
    if url is None:
        return Files(str((settings.home / "files").resolve()))
    return Files(url if urlsplit(url).scheme else str(Path(url).resolve()))
