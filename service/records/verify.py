"""Verify what an instance signed, offline, with nothing but its published keys.

Strict on purpose: one algorithm, one spelling of each part, no header that is not understood, and a
key that is what its name says.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from jose import jws
from jose.exceptions import JOSEError

from disputes import journal
from disputes.cases import fingerprint
from disputes.evidence import content_hash
from disputes.evidence_rows import Piece
from disputes.journal import Line
from service.records.keys import ALGORITHM, thumbprint
from service.records.signed import TYPES, instant

#: What makes a file an export of a case, in its ``type``.
EXPORT: Final = "tierce-case-export"
_HEADER: Final = {"alg", "kid", "typ"}
#: What an export has beside what its extract says, and what each piece of evidence has.
_EXPORT: Final = {"type", "version", "file", "journal", "evidence", "extract", "decision"}
_PIECE: Final = frozenset(
    ("id", "ordinal", "sort", "author", "via", "at", "late", "request", "text", "data", "hash")
) | {"file", "deleted"}


class NotGenuine(ValueError):
    """It is not what an instance with these keys signed; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Genuine:
    """A document as it was signed: its kind, what it says, and the name of the key."""

    kind: str
    document: Mapping[str, Any]
    kid: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """A line whose words are kept back; its hash still stands in the chain, 32 bytes each."""

    case_id: UUID
    sequence: int
    previous: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class GenuineExport:
    """An export whose journal is whole, and is the one that was signed.

    ``later``: lines of the journal that were written after the decision; ``withheld``: lines whose
    words are kept back; ``deleted``: pieces of evidence of which only the hash is left.
    """

    extract: Genuine
    decision: Genuine | None
    lines: int
    later: int
    withheld: int
    deleted: int


Keys = Mapping[str, Mapping[str, str]]


def read_keys(jwks: object) -> Keys:
    """Return the P-256 keys of a JWK set by name.

    Raises:
        NotGenuine: it is no such set, or a key is not the one that its name says.
    """
    listed = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(listed, list):
        raise NotGenuine("the keys are no JWK set: {'keys': [...]} is expected")
    found: dict[str, Mapping[str, str]] = {}
    for one in listed:
        if not isinstance(one, Mapping) or (one.get("kty"), one.get("crv")) != ("EC", "P-256"):
            continue
        point = {name: one.get(name) for name in ("crv", "kty", "x", "y")}
        texts = {name: value for name, value in point.items() if isinstance(value, str)}
        if len(texts) < len(point) or one.get("kid") != thumbprint(texts):
            raise NotGenuine("a key of the set is not the one that its name says (RFC 7638)")
        found[thumbprint(texts)] = texts
    return found


def verify(token: str, keys: Keys) -> Genuine:
    """Return what a compact JWS says, if one of ``keys`` signed exactly this.

    Raises:
        NotGenuine: why.
    """
    parts = token.split(".")
    if len(parts) != 3:
        raise NotGenuine("it is no compact JWS, which has three parts with dots between them")
    head, body, _signature = (_decoded(part) for part in parts)
    header = _object(head, "its header")
    if set(header) != _HEADER:
        raise NotGenuine(f"its header must name {', '.join(sorted(_HEADER))} and nothing else")
    if header["alg"] != ALGORITHM:
        raise NotGenuine(f"it is not signed with {ALGORITHM}, the only algorithm that is taken")
    kind = next((kind for kind, typ in TYPES.items() if typ == header["typ"]), None)
    if kind is None:
        raise NotGenuine("it is not a document of this service, whatever signed it")
    key = keys.get(header["kid"]) if isinstance(header["kid"], str) else None
    if key is None:
        raise NotGenuine("none of the keys given has signed it")
    try:
        jws.verify(token, {**key, "alg": ALGORITHM}, [ALGORITHM])
    except JOSEError:
        raise NotGenuine("its signature is not that of its content") from None
    document = _object(body, "its content")
    if document.get("type") != kind:
        raise NotGenuine("its content is not of the kind that its header says")
    return Genuine(kind, document, header["kid"])


def verify_export(export: Mapping[str, Any], keys: Keys) -> GenuineExport:
    """Check an export of a case: its signatures, its file, and each line of its journal.

    Raises:
        NotGenuine: what is wrong, by the number of the line where the journal breaks.
    """
    try:
        file, lines = export["file"], [_line(one) for one in export["journal"]]
        extract, decision = export["extract"], export["decision"]
    except (KeyError, TypeError, ValueError) as error:
        raise NotGenuine(f"it is no whole export of a case ({error!r})") from None
    _follow(lines)
    of_all = _verified(extract, "extract", keys)
    _fits(of_all, file, lines)
    if len(lines) != of_all.document["journal"]["lines"]:
        raise NotGenuine("the journal has other lines than the extract was signed for")
    same = {name: value for name, value in of_all.document.items() if name not in _EXPORT}
    other = {name for name in {*same, *export} - _EXPORT if export.get(name) != same.get(name)}
    if export.get("version") != 1:
        other.add("version")
    if other:
        raise NotGenuine(f"it says otherwise than its extract: {', '.join(sorted(other))}")
    deleted = _prove_evidence(export.get("evidence"), lines)
    if any(line.case_id != lines[0].case_id for line in lines):
        raise NotGenuine("the journal has lines of another case")
    withheld = sum(isinstance(line, Withheld) for line in lines)
    if decision is None:
        return GenuineExport(of_all, None, len(lines), 0, withheld, deleted)
    decided = _verified(decision, "decision", keys)
    _fits(decided, file, lines)
    later = len(lines) - decided.document["journal"]["lines"]
    return GenuineExport(of_all, decided, len(lines), later, withheld, deleted)


def _follow(lines: Sequence[Line | Withheld]) -> None:
    """Check that each line follows from those before it, as ``journal.first_broken`` does.

    What is withheld is bound by the line after it, or by the signature where it is the last.
    """
    previous = journal.BEGINNING
    for expected, line in enumerate(lines, start=1):
        fits = line.sequence == expected and line.previous == previous
        if not fits or not (isinstance(line, Withheld) or _is_whole(line)):
            raise NotGenuine(f"line {expected} of the journal does not follow from those before it")
        previous = line.hash


def _is_whole(line: Line) -> bool:
    said = (line.case_id, line.sequence, line.at, line.type, line.actor, line.data)
    try:
        return line.hash == journal.hash_of(line.previous, *said)
    except (TypeError, ValueError, OverflowError):  # it says what no journal can
        return False


def piece_as_said(piece: Piece) -> dict[str, Any]:
    """Return a piece of evidence as exports write it."""
    file = piece.file
    return {
        "id": str(piece.id),
        "ordinal": piece.ordinal,
        "sort": piece.sort,
        "author": piece.author,
        "via": piece.via,
        "at": instant(piece.at),
        "late": piece.late,
        "request": None if piece.request_id is None else str(piece.request_id),
        "text": piece.text,
        "data": dict(piece.data),
        "hash": piece.hash,
        "file": None
        if file is None
        else {
            "hash": file.hash,
            "original_hash": file.original_hash,
            "media_type": file.media_type,
            "size": file.size,
        },
        "deleted": piece.deleted_at is not None,
    }


def _prove_evidence(listed: object, lines: Sequence[Line | Withheld]) -> int:
    """Check that the list is what the journal says was brought, and that each says its hash.

    Returns:
        Of how many only the hash is left.

    Raises:
        NotGenuine
    """
    added = [one for one in lines if isinstance(one, Line) and one.type == "evidence_added"]
    answered = {
        one.data["evidence"]: one.data["request"]
        for one in lines
        if isinstance(one, Line) and one.type == "evidence_answered"
    }
    if not isinstance(listed, list) or len(listed) != len(added):
        raise NotGenuine("the evidence is not what the journal says was brought")
    deleted = 0
    for ordinal, (piece, line) in enumerate(zip(listed, added, strict=True), start=1):
        said = dict(line.data)
        said |= {"ordinal": ordinal, "author": line.actor, "at": instant(line.at)}
        said["request"] = answered.get(said["evidence"])
        if not isinstance(piece, dict) or set(piece) != _PIECE or _flat_piece(piece) != said:
            raise NotGenuine(f"piece {ordinal} of the evidence is not what the journal says")
        file = piece["file"]
        parts = piece["sort"], piece["text"], piece["data"], file and file["hash"]
        if piece["deleted"] is True and piece["text"] is None and piece["data"] == {}:
            deleted += 1
        elif piece["deleted"] is not False or content_hash(*parts) != piece["hash"]:
            raise NotGenuine(f"piece {ordinal} of the evidence does not say what was brought")
    return deleted


def _flat_piece(piece: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the journal knows of a piece, by the names that it has there."""
    alike = ("ordinal", "author", "at", "request", "sort", "hash", "late", "via")
    kept = {name: piece[name] for name in alike}
    file = {} if piece["file"] is None else piece["file"]
    if not isinstance(file, dict):
        return {}
    of_file = {f"file_{n}" if n == "hash" else n: value for n, value in file.items()}
    return {**kept, "evidence": piece["id"], **of_file}


def _verified(token: object, kind: str, keys: Keys) -> Genuine:
    if not isinstance(token, str):
        raise NotGenuine(f"its {kind} is not signed")
    try:
        found = verify(token, keys)
    except NotGenuine as error:
        raise NotGenuine(f"its {kind}: {error}") from None
    if found.kind != kind:
        raise NotGenuine(f"where its {kind} should be stands a {found.kind}")
    return found


def _fits(signed: Genuine, file: Mapping[str, Any], lines: Sequence[Line | Withheld]) -> None:
    """Check that the file and the journal are those that a document was signed about."""
    digest = fingerprint(file)
    if signed.document["file_sha256"] != digest:
        raise NotGenuine(f"the case file is not the one that the {signed.kind} was signed for")
    named = signed.document["journal"]
    if named["lines"] > len(lines) or lines[named["lines"] - 1].hash.hex() != named["last_hash"]:
        raise NotGenuine(f"the journal is not the one that the {signed.kind} was signed for")


def line_as_said(line: Line) -> dict[str, Any]:
    """Return a line of a journal as exports write it."""
    return {
        "case_id": str(line.case_id),
        "sequence": line.sequence,
        "at": instant(line.at),
        "type": line.type,
        "actor": line.actor,
        "data": line.data,
        "previous": line.previous.hex(),
        "hash": line.hash.hex(),
    }


def line_withheld(line: Line | Withheld) -> dict[str, Any]:
    """Return a line of a journal as exports write one whose words are kept back."""
    return {
        "case_id": str(line.case_id),
        "sequence": line.sequence,
        "previous": line.previous.hex(),
        "hash": line.hash.hex(),
        "withheld": True,
    }


def _line(said: Mapping[str, Any]) -> Line | Withheld:
    links = bytes.fromhex(said["previous"]), bytes.fromhex(said["hash"])
    if "withheld" in said:
        kept = Withheld(UUID(said["case_id"]), said["sequence"], *links)
        if line_withheld(kept) != said:
            raise ValueError("a line that is withheld says more than its place")
        return kept
    line = Line(
        UUID(said["case_id"]),
        said["sequence"],
        datetime.fromisoformat(said["at"]),
        said["type"],
        said["actor"],
        said["data"],
        *links,
    )
    if line_as_said(line) != said:
        raise ValueError("a line of the journal is not written as exports write it")
    return line


def _decoded(part: str) -> bytes:
    """Decode base64url in its one spelling: no padding, no bits left over (RFC 4648 §3.5)."""
    try:
        decoded = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise NotGenuine("a part of it is no base64url") from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != part:
        raise NotGenuine("a part of it is not spelt as it was signed")
    return decoded


def _object(given: bytes, what: str) -> Mapping[str, Any]:
    try:
        found = orjson.loads(given)
    except orjson.JSONDecodeError:
        raise NotGenuine(f"{what} is no JSON") from None
    if not isinstance(found, dict):
        raise NotGenuine(f"{what} is no JSON object")
    return found
