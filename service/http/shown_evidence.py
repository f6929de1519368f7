"""Evidence as the API shows it: the same to both sides and to the neutrals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from disputes import evidence, requests
from disputes.commands import reason_of
from disputes.evidence_rows import Piece
from disputes.model import Case
from disputes.outcomes import Side
from disputes.reasons import missing
from disputes.requests import Request
from disputes.views import View
from service.ids import encode


def _id(kind: str, value: UUID | None) -> str | None:
    return None if value is None else encode(kind, value)


def piece(one: Piece, below: str) -> dict[str, Any]:
    """Return a piece of evidence; ``below`` is the address of its case for who looks."""
    file = one.file
    facts = {name: value for name, value in one.data.items() if name != "part"}
    return {
        "id": encode("evidence", one.id),
        "object": "evidence",
        "number": one.ordinal,
        "sort": one.sort,
        "by": one.author,
        "via": one.via,
        "at": one.at,
        "late": one.late,
        "request": _id("evidence_request", one.request_id),
        "text": one.text,
        "part": one.data.get("part"),
        "facts": facts or None,
        "file": None
        if file is None
        else {
            "path": f"{below}/evidence/{encode('evidence', one.id)}/file",
            "media_type": file.media_type,
            "size": file.size,
            "sha256": file.hash,
            "original_sha256": file.original_hash,
        },
        "sha256": one.hash,
        "delete_at": one.delete_at,
        "deleted_at": one.deleted_at,
    }


def request(one: Request) -> dict[str, Any]:
    """Return what was asked of a side."""
    return {
        "id": encode("evidence_request", one.id),
        "object": "evidence_request",
        "side": one.side,
        "sort": one.sort,
        "question": one.question,
        "at": one.at,
        "due_at": one.due_at,
        "answered_at": one.answered_at,
        "evidence": _id("evidence", one.evidence_id),
    }


def listed(
    connection: Connection, case: Case, pieces: Sequence[Piece], below: str
) -> dict[str, Any]:
    """Return all evidence of a case with what was asked, what is missing, and what may be asked."""
    asked = requests.of_case(connection, case.platform_id, case.id)
    return {
        "object": "list",
        "data": [piece(one, below) for one in pieces],
        "condition": [
            {
                "part": one.part or None,
                "out": [encode("evidence", out.id) for out in one.out],
                "back": [encode("evidence", back.id) for back in one.back],
            }
            for one in evidence.side_by_side(pieces)
        ],
        "requests": [request(one) for one in asked],
        "missing": missing(reason_of(case), {one.sort for one in pieces}),
        "askable": [
            {
                "side": side,
                "sorts": list(requests.open_sorts(case)),
                "questions": list(requests.open_questions(case, side)),
            }
            for side in Side
        ],
    }


def views(found: Sequence[View]) -> dict[str, Any]:
    """Return who looked; of neutrals, only that one did."""
    return {
        "object": "list",
        "data": [
            {
                "object": "evidence_view",
                "at": one.at,
                "by": one.viewer.partition(":")[0],
                "evidence": _id("evidence", one.evidence_id),
                "list_up_to": one.upto,
            }
            for one in found
        ],
    }
