"""Files that come in: read piece by piece to a temporary file, made safe in threads, then stored.

The size is limited while the body comes (service/http/middleware.py): what is larger is never
read to its end.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Final, TypeVar
from urllib.parse import unquote

from fastapi import Request

from disputes import documents, images, sniff
from disputes.evidence_rows import StoredFile
from service.files import Files
from service.http.refusals import BodyTooLarge, InvalidText

T = TypeVar("T")

#: Characters that can be said beside a file.
MOST_WORDS: Final = 1_000
#: Small bodies stay in memory.
_IN_MEMORY: Final = 256 * 1024
#: An image takes up to 400 MB while it is made anew: no more of them at once, however many come.
_DECODING: Final = ThreadPoolExecutor(2, thread_name_prefix="decoding")
_READING: Final = ThreadPoolExecutor(8, thread_name_prefix="files")


def spoken(header: str | None) -> str | None:
    """Return the words of a header: percent-encoded UTF-8 (RFC 3986 §2.1), 1,000 characters.

    Raises:
        InvalidText: it is not that, or holds a NUL or half of a surrogate pair.
        BodyTooLarge: it is longer.
    """
    if header is None:
        return None
    try:
        words = unquote(header, errors="strict").strip()
    except UnicodeDecodeError as error:
        raise InvalidText("Evidence-Text is not percent-encoded UTF-8.") from error
    if "\x00" in words or not header.isascii():
        raise InvalidText("Evidence-Text is percent-encoded, and holds no NUL.")
    if len(words) > MOST_WORDS:
        raise BodyTooLarge(f"Evidence-Text has {MOST_WORDS} characters at most.", limit=MOST_WORDS)
    return words or None


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was stored, and its bytes until a row names it."""

    file: StoredFile
    content: bytes


async def receive(request: Request, files: Files, check: Callable[[str], None]) -> Upload:
    """Read the body as a file, make it safe and store it, with nothing of the database held.

    What its sender says of its type is not asked. ``check`` refuses media types that are not
    wanted, before anything is stored.

    Raises:
        Refusal: what ``check`` raises.
        BodyTooLarge: it is larger than files are; nothing is kept of it.
        FileTypeRefused, FileUnreadable, FileActive, ImageTooLarge: it is not what is taken.
    """
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as body:
        async for piece in request.stream():
            body.write(piece)
        body.seek(0)
        return await _in(_DECODING, lambda: _keep(body, files, check))


async def keep(content: bytes, files: Files, check: Callable[[str], None]) -> Upload:
    """Make a file that came in a form safe and store it, as :func:`receive` does.

    Raises:
        Refusal: as :func:`receive` says.
    """
    return await _in(_DECODING, lambda: _keep(io.BytesIO(content), files, check))


async def ensure(upload: Upload, files: Files) -> None:
    """Store a file again if it was swept in the moment before a row named it."""

    def look() -> None:
        if not files.has(upload.file.hash):
            files.put(upload.content)

    await _in(_READING, look)


async def read(hash_: str, files: Files) -> bytes:
    """Return a stored file's bytes.

    Raises:
        FileMissing: it is not there, or not what it was.
    """
    return await _in(_READING, lambda: files.get(hash_))


def _keep(body: IO[bytes], files: Files, check: Callable[[str], None]) -> Upload:
    content = body.read()
    media_type = sniff.sniff(content[: sniff.HEAD])
    original = hashlib.sha256(content).hexdigest()
    if media_type == sniff.PDF:
        documents.check(content)
        kept = content
    else:
        kept, media_type = images.clean(content, media_type)
    check(media_type)
    return Upload(StoredFile(files.put(kept), original, media_type, len(kept)), kept)


async def _in(pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, work)
