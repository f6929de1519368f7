"""What a file is by its own first bytes. What its sender says of it is never asked.

Signatures: ISO/IEC 10918-1 (JPEG), PNG specification (W3C) §5.2, RFC 9649 (WebP), ISO 32000-1
§7.5.2 (PDF), ISO/IEC 14496-12 (the ``ftyp`` box of HEIC and AVIF). Those that are refused are told
apart only so that people read what they sent.
"""

from __future__ import annotations

import re
from typing import Final

from disputes.evidence_refusals import FileTypeRefused, FileUnreadable

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
WEBP: Final = "image/webp"
PDF: Final = "application/pdf"
#: What is taken. Each is made anew, or looked through, before it is kept.
TAKEN: Final = (JPEG, PNG, WEBP, PDF)

#: How much of a file's beginning is looked at.
HEAD: Final = 1024

_STARTS: Final = (
    (b"\xff\xd8\xff", JPEG),
    (b"\x89PNG\r\n\x1a\n", PNG),
    (b"%PDF-", PDF),
)
#: By their beginning: what we say that somebody sent.
_REFUSED: Final = (
    (b"PK\x03\x04", "a zip archive or an office document"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"PK\x07\x08", "a zip archive in parts"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old office document"),
    (b"{\\rtf", "a rich text document"),
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP image"),
    (b"II*\x00", "a TIFF or raw image"),
    (b"MM\x00*", "a TIFF or raw image"),
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
    (b"#!", "a script"),
    (b"%!PS", "a PostScript document"),
    (b"ID3", "a sound"),
    (b"OggS", "a sound or film"),
    (b"\x1aE\xdf\xa3", "a film"),
    (b"RIFF", "a sound or film"),
)
_MARKUP: Final = (
    (re.compile(rb"<(?:\w+:)?svg[\s>]", re.IGNORECASE), "an SVG drawing"),
    (
        re.compile(rb"<!doctype html|<html[\s>]|<script[\s>]|<body[\s>]", re.IGNORECASE),
        "a web page",
    ),
    (re.compile(rb"\A\s*<\?xml|\A\s*<!DOCTYPE", re.IGNORECASE), "an XML document"),
)
_BOX: Final = re.compile(rb"\A....ftyp(....)", re.DOTALL)
_HEIF: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"}
)
_BYTE_ORDER_MARKS: Final = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


def sniff(head: bytes) -> str:
    """Return the media type of a file that begins with ``head`` (:data:`HEAD` bytes, or all).

    Raises:
        FileTypeRefused: it is none of :data:`TAKEN`; the message says what it looks like.
        FileUnreadable: it is empty.
    """
    if not head:
        raise FileUnreadable("The file is empty.")
    for start, type_ in _STARTS:
        if head.startswith(start):
            return type_
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return WEBP
    found = _looks_like(head)
    raise FileTypeRefused(
        f"This looks like {found}. Taken are photographs (JPEG, PNG, WebP) and PDF documents.",
        found=found,
        taken=list(TAKEN),
    )


def _looks_like(head: bytes) -> str:
    box = _BOX.match(head)
    if box is not None:
        if box[1] in _HEIF:
            return "a HEIC or AVIF photograph, which has to be sent as JPEG"
        return "a film"
    for start, name in _REFUSED:
        if head.startswith(start):
            return name
    plain = head
    for mark in _BYTE_ORDER_MARKS:
        plain = plain.removeprefix(mark)
    plain = plain.replace(b"\x00", b"")  # UTF-16 of plain letters
    for pattern, name in _MARKUP:
        if pattern.search(plain):
            return name
    return "no kind of file that we know"
