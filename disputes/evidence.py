"""Evidence of a case: who may bring what, when it is late, and what is kept of it for how long.

Both sides and the neutrals read the same. What was brought stands until its date; then what it
said is deleted, and its hash stays. Each piece has a line in the case's journal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from disputes import evidence_rows, requests, store
from disputes.commands import Entry
from disputes.evidence_refusals import EvidenceNotFound, SortRefused, TooMuchEvidence
from disputes.evidence_rows import Piece, StoredFile, from_row
from disputes.model import Case, Stage
from disputes.refusals import CaseClosed, CaseNotFound, NotYourCase
from disputes.requests import Request

#: Who brings what is no side's: the platform of the case.
PLATFORM: Final = "platform"

_FILES: Final = frozenset({"photo", "document"})
_FACTS: Final = frozenset({"carrier", "handover_proof"})
_CONDITION: Final = frozenset({"condition_out", "condition_back"})
#: Every sort there is; reasons name the same (disputes/reasons.py).
SORTS: Final = frozenset({"text"}) | _FILES | _FACTS | _CONDITION
#: What a side may bring. What a carrier or a hand-over proves is the platform's to say.
OF_SIDES: Final = SORTS - _FACTS

#: How long what was brought is kept after its case has closed, in days, unless a platform says so.
KEEP_DAYS: Final = 180
#: What one author may bring to one case: pieces, and bytes of files.
MOST_PIECES: Final = 40
MOST_BYTES: Final = 60 * 1024 * 1024

_IMAGES: Final = frozenset({"image/jpeg", "image/png"})
#: Which files a sort may have.
MEDIA: Final[Mapping[str, frozenset[str]]] = {
    "photo": _IMAGES,
    "document": _IMAGES | {"application/pdf"},
    "handover_proof": _IMAGES | {"application/pdf"},
    "condition_out": _IMAGES,
    "condition_back": _IMAGES,
}


@dataclass(frozen=True, slots=True)
class New:
    """What somebody brings. ``member_id`` is None for the platform itself.

    ``via`` is whose credential brought it: "member", "platform" or "helper" (then ``helper_id`` is
    whom the member named). ``data`` are facts as JSON values; of a condition record, ``part`` names
    what is shown.
    """

    id: UUID
    case_id: UUID
    sort: str
    member_id: UUID | None
    via: str
    text: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    file: StoredFile | None = None
    request_id: UUID | None = None
    keep_days: int = KEEP_DAYS
    helper_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """What one part of a thing looked like before and after, side by side."""

    part: str
    out: tuple[Piece, ...]
    back: tuple[Piece, ...]


def content_hash(
    sort: str, said: str | None, data: Mapping[str, Any], file_hash: str | None
) -> str:
    """Return the SHA-256 of what a piece says: of the canonical JSON of these four."""
    whole = {"sort": sort, "text": said, "data": dict(data), "file": file_hash}
    return hashlib.sha256(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS)).hexdigest()


def author_of(case: Case, member_id: UUID | None) -> str:
    """Return whose a piece is, as the journal names actors.

    Raises:
        NotYourCase: the member is on neither side.
    """
    if member_id is None:
        return PLATFORM
    side = case.side_of(member_id)
    if side is None:
        raise NotYourCase("This member is on neither side of the case.", pointer="/member")
    return str(side)


def check_sort(
    author: str,
    sort: str,
    *,
    said: str | None,
    data: Mapping[str, Any],
    media_type: str | None,
) -> None:
    """Check that an author may bring this, in this form.

    Raises:
        SortRefused: not this sort, not from them, or not as text, facts or a file of this type.
    """
    allowed = SORTS if author == PLATFORM else OF_SIDES
    if sort not in allowed:
        raise SortRefused(
            f"The {author} of a case may bring: {', '.join(sorted(allowed))}.",
            pointer="/sort",
            sorts=sorted(allowed),
        )
    media = MEDIA.get(sort, frozenset())
    if media_type is not None and media_type not in media:
        raise SortRefused(
            f"A piece of sort '{sort}' is no file of type {media_type}.",
            pointer="/sort",
            media_types=sorted(media),
        )
    if media_type is None and sort in _FILES:
        raise SortRefused(f"A {sort} is a file: send it to …/evidence/files.", pointer="/sort")
    if sort in _FACTS and media_type is None and not data:
        raise SortRefused("Say what is proved, in facts.", pointer="/sort")
    if media_type is None and sort not in _FACTS and not (said or "").strip():
        raise SortRefused("There is nothing in it: say it in text.", pointer="/text")


def is_late(case: Case, request: Request | None, now: datetime) -> bool:
    """Return whether a piece comes when the time for evidence is over.

    That is while a case is talked over or mediated. Where it began with the neutral (nobody
    claims), or came back because nobody confirmed a return, also until the neutral has decided.
    What was asked for is in time until it is due. What is late is kept, and shown as late.
    """
    if request is not None and now <= request.due_at:
        return False
    if case.stage in {Stage.TALK, Stage.MEDIATION, Stage.RETURNING}:
        return False
    first_look = case.claimant is None or case.returned_at is not None
    return not (case.stage is Stage.DECISION and first_look and case.ruling is None)


def side_by_side(pieces: Sequence[Piece]) -> list[Condition]:
    """Return the condition records, the same part before and after beside each other.

    In the order in which a part was first shown; what names no part stands under "".
    """
    found: dict[str, tuple[list[Piece], list[Piece]]] = {}
    for piece in pieces:
        if piece.sort in _CONDITION:
            both = found.setdefault(str(piece.data.get("part", "")), ([], []))
            both[piece.sort == "condition_back"].append(piece)
    return [Condition(part, tuple(out), tuple(back)) for part, (out, back) in found.items()]


_USED: Final = text(
    "SELECT count(*) AS pieces, count(*) FILTER (WHERE author = :author) AS own, "
    "coalesce(sum(size) FILTER (WHERE author = :author), 0) AS bytes FROM disputes.evidence "
    "WHERE platform_id = :platform_id AND case_id = :case_id"
)
_OF_CASE: Final = text(
    "SELECT * FROM disputes.evidence WHERE platform_id = :platform_id AND case_id = :case_id "
    "ORDER BY ordinal"
)
_ONE: Final = text(
    "SELECT * FROM disputes.evidence WHERE platform_id = :platform_id AND case_id = :case_id "
    "AND id = :id"
)


def open_case(connection: Connection, platform_id: UUID, case_id: UUID, *, lock: bool) -> Case:
    """Return a case that is open.

    Raises:
        CaseNotFound: none of this platform has the id.
        CaseClosed: it has ended.
    """
    case = store.load(connection, platform_id, [case_id], lock=lock).get(case_id)
    if case is None:
        raise CaseNotFound("No case with this id.")
    if case.stage is Stage.CLOSED:
        raise CaseClosed("This case is closed.", outcome=case.outcome)
    return case


def check_room(connection: Connection, case: Case, author: str, size: int) -> int:
    """Return the ordinal of the case's next piece, if its author may bring ``size`` bytes more.

    Raises:
        TooMuchEvidence: they may not.
    """
    values = {"platform_id": case.platform_id, "case_id": case.id, "author": author}
    used = connection.execute(_USED, values).mappings().one()
    if used["own"] >= MOST_PIECES or used["bytes"] + size > MOST_BYTES:
        raise TooMuchEvidence(
            f"Each side may bring {MOST_PIECES} pieces and {MOST_BYTES} bytes of files to a case.",
            pieces=used["own"],
            bytes=int(used["bytes"]),
        )
    return int(used["pieces"]) + 1


def add(connection: Connection, platform_id: UUID, new: New, now: datetime) -> Piece:
    """Add a piece to an open case, with its line in the journal; answer the request it is for.

    The case is locked here. A caller who also needs its subject locks that first.

    Raises:
        CaseNotFound, CaseClosed: no such case, or it has ended.
        NotYourCase: the member is on neither side.
        SortRefused, TooMuchEvidence: not this from them, or no more of it.
        RequestNotFound, RequestAnswered, AnswerDoesNotFit: it answers nothing that is asked.
    """
    case = open_case(connection, platform_id, new.case_id, lock=True)
    author = author_of(case, new.member_id)
    media_type = None if new.file is None else new.file.media_type
    check_sort(author, new.sort, said=new.text, data=new.data, media_type=media_type)
    size = 0 if new.file is None else new.file.size
    ordinal = check_room(connection, case, author, size)
    request = None
    if new.request_id is not None:
        request = requests.to_answer(connection, case, new.request_id, author, new.sort)
    data = orjson.loads(orjson.dumps(dict(new.data)))  # as it will be read again
    piece = Piece(
        id=new.id,
        case_id=case.id,
        ordinal=ordinal,
        sort=new.sort,
        author=author,
        via=new.via,
        at=now,
        late=is_late(case, request, now),
        request_id=new.request_id,
        text=new.text,
        data=data,
        hash=content_hash(new.sort, new.text, data, None if new.file is None else new.file.hash),
        file=new.file,
        delete_at=None,
        deleted_at=None,
    )
    evidence_rows.insert(connection, platform_id, piece, new.keep_days)
    if request is not None:
        requests.answered(connection, platform_id, request.id, piece.id, now)
    requests.write_down(connection, case, _entries(piece, request, new.helper_id), now)
    return piece


def _entries(piece: Piece, request: Request | None, helper_id: UUID | None) -> list[Entry]:
    hand = {} if helper_id is None else {"helper": str(helper_id)}
    said: dict[str, Any] = {
        "evidence": str(piece.id),
        "sort": piece.sort,
        "hash": piece.hash,
        "late": piece.late,
        "via": piece.via,
        **hand,
    }
    if piece.file is not None:
        said |= {
            "file_hash": piece.file.hash,
            "original_hash": piece.file.original_hash,
            "media_type": piece.file.media_type,
            "size": piece.file.size,
        }
    entries = [Entry("evidence_added", piece.author, said)]
    if request is not None:
        answered = {"request": str(request.id), "evidence": str(piece.id), **request.said, **hand}
        entries.append(Entry("evidence_answered", piece.author, answered))
    return entries


def of_case(connection: Connection, platform_id: UUID, case_id: UUID) -> list[Piece]:
    """Return every piece of a case, in the order in which they were brought."""
    rows = connection.execute(_OF_CASE, {"platform_id": platform_id, "case_id": case_id})
    return [from_row(row) for row in rows.mappings()]


def find(connection: Connection, platform_id: UUID, case_id: UUID, evidence_id: UUID) -> Piece:
    """Return one piece of a case.

    Raises:
        EvidenceNotFound: the case has none with this id.
    """
    values = {"platform_id": platform_id, "case_id": case_id, "id": evidence_id}
    row = connection.execute(_ONE, values).mappings().one_or_none()
    if row is None:
        raise EvidenceNotFound("No evidence with this id in this case.")
    return from_row(row)


def given(connection: Connection, platform_id: UUID, case_id: UUID) -> frozenset[str]:
    """Return the sorts that were brought to a case: what ``reasons.missing`` asks for."""
    query = text(
        "SELECT DISTINCT sort FROM disputes.evidence "
        "WHERE platform_id = :platform_id AND case_id = :case_id"
    )
    values = {"platform_id": platform_id, "case_id": case_id}
    return frozenset(connection.scalars(query, values))
