"""PDF documents: kept as they came, unless they do something or hide something.

A PDF may run scripts, open programs, send forms and carry other files (ISO 32000-1 §12.6.4,
§7.11.4). Nothing of that is evidence. The names of such things are looked for everywhere: in the
open, written with escapes (#4A, §7.3.5), and in packed streams; what cannot be unpacked where
objects may hide is refused. A document that is not understood is refused too: who sent it can
photograph it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Any, Final

from disputes.evidence_refusals import FileActive, FileUnreadable

#: How much a document may hold once unpacked.
MOST_UNPACKED: Final = 128 * 1024 * 1024
#: Names of what acts, asks, plays or carries; each begins a dictionary's key or value.
_ACTIVE: Final = {
    b"JavaScript": "a script",
    b"Launch": "a program to start",
    b"EmbeddedFile": "a file inside",
    b"EmbeddedFiles": "files inside",
    b"FileAttachment": "a file inside",
    b"RichMedia": "a film or a program inside",
    b"Rendition": "a film or a script",
    b"XFA": "a form with scripts",
    b"SubmitForm": "a form that is sent",
    b"ImportData": "data to be loaded",
    b"GoToE": "a file inside",
    b"GoToR": "another document to open",
    b"Encrypt": "a lock, so that nobody can look through it",
}
_NAME_END: Final = rb"(?=[\x00\t\n\x0c\r ()<>\[\]{}/%]|\Z)"
_NAMES: Final = re.compile(b"/(" + b"|".join(_ACTIVE) + b")" + _NAME_END)
_ESCAPE: Final = re.compile(rb"#([0-9A-Fa-f]{2})")
_STREAM: Final = re.compile(rb"(?<!end)stream\r?\n")
#: Where a document says that objects are packed in streams.
_PACKED_OBJECTS: Final = re.compile(rb"/(?:ObjStm|XRef)" + _NAME_END)
#: Ways to pack that hide names from us. Old ones; nothing that packs objects needs them.
_HIDING: Final = re.compile(
    rb"/(?:ASCIIHexDecode|AHx|ASCII85Decode|A85|LZWDecode|LZW|RunLengthDecode|Crypt)" + _NAME_END
)
#: So much is unpacked at a time.
_PIECE: Final = 16_384
#: How far before a stream its dictionary can begin.
_BEFORE: Final = 2_048
#: A zip archive's directory is found from a file's end, whatever the file begins with.
_ZIP_END: Final = 65_557


def check(content: bytes) -> None:
    """Check that a PDF is a document and nothing else.

    Raises:
        FileUnreadable: cut short, another file as well, or packed so that nobody can look inside.
        FileActive: it acts when opened, carries files, or is locked.
    """
    if not content.startswith(b"%PDF-"):
        raise FileUnreadable("A PDF begins with %PDF-.")
    end = content.rfind(b"%%EOF")
    if end < 0 or content[end + 5 :].strip(b"\r\n\t\x00 "):
        raise FileUnreadable("The document is cut short, or something else follows its end.")
    if b"PK\x05\x06" in content[-_ZIP_END:]:
        raise FileUnreadable("The file is a zip archive as well as a document.")
    plain = _unescaped(content)
    _look(plain)
    if _PACKED_OBJECTS.search(plain) and _HIDING.search(plain):
        raise _hidden()
    for unpacked in _unpacked(content):
        _look(_unescaped(unpacked))


def _look(content: bytes) -> None:
    found = _NAMES.search(content)
    if found is not None:
        raise FileActive(
            f"The document has {_ACTIVE[found[1]]}. Send a plain PDF, or a photograph of it.",
            found=found[1].decode(),
        )


def _hidden() -> FileUnreadable:
    return FileUnreadable("The document is packed so that nobody can look inside.")


def _unescaped(content: bytes) -> bytes:
    """Return the content with the escapes that names may have written out."""
    return _ESCAPE.sub(lambda one: bytes([int(one[1], 16)]), content)


def _unpacked(content: bytes) -> Iterator[bytes]:
    """Yield every stream that can be unpacked.

    Raises:
        FileUnreadable: more than :data:`MOST_UNPACKED`, or objects that cannot be unpacked.
    """
    left = MOST_UNPACKED
    for found in _STREAM.finditer(content):
        unpacked = _inflated(memoryview(content)[found.end() :], left + 1)
        if len(unpacked) > left:
            raise FileUnreadable("The document holds far more than its size says.")
        left -= len(unpacked)
        before = _unescaped(content[max(0, found.start() - _BEFORE) : found.start()])
        own = before[max(0, before.rfind(b"endobj")) :]
        if b"/ObjStm" in own and (b"/Predictor" in own or (not unpacked and b"/Filter" in own)):
            raise _hidden()
        if unpacked:
            yield unpacked


def _inflated(packed: memoryview, most: int) -> bytes:
    """Return what can be unpacked, also of what breaks off: readers of PDF are as lenient."""
    unpacker, out, size = zlib.decompressobj(), [], 0
    for at in range(0, len(packed), _PIECE):
        piece = bytes(packed[at : at + _PIECE])
        before = unpacker.copy()
        try:
            got = [unpacker.decompress(piece, most - size)]
        except zlib.error:
            got = list(_until_broken(before, piece, most - size))
            piece = b""
        out += got
        size += sum(map(len, got))
        if not piece or unpacker.eof or size >= most:
            break
    return b"".join(out)


def _until_broken(unpacker: Any, piece: bytes, most: int) -> Iterator[bytes]:
    for one in piece:
        try:
            got = unpacker.decompress(bytes([one]), most)
        except zlib.error:
            return
        most -= len(got)
        yield got
        if most <= 0:
            return
