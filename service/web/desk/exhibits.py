"""Evidence as the desk shows it: pieces of each side, before and after, and what may be asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from disputes import evidence, requests
from disputes.commands import reason_of
from disputes.evidence_rows import Piece
from disputes.outcomes import Side
from disputes.reasons import missing
from disputes.requests import Request
from service.ids import encode
from service.web.desk.case_view import Scene

_IMAGES = frozenset({"image/jpeg", "image/png"})


def piece(scene: Scene, one: Piece) -> dict[str, Any]:
    """Return a piece of evidence."""
    file, tongue = one.file, scene.tongue
    data = {name: said for name, said in one.data.items() if name != "part"}
    id_ = encode("evidence", one.id)
    return {
        "id": id_,
        "number": one.ordinal,
        "sort": tongue.word("sorts", one.sort),
        "by": tongue.word("sides", one.author),
        "author": one.author,
        "at": tongue.instant(one.at),
        "late": one.late,
        "text": one.text,
        "part": one.data.get("part"),
        "facts": list(scene.reader.lines(data)),
        "is_image": file is not None and file.media_type in _IMAGES,
        "has_file": file is not None,
        "kilobytes": 0 if file is None else max(1, file.size // 1024),
        "address": f"{scene.address}/evidence/{id_}",
        "deleted": tongue.instant(one.deleted_at) if one.deleted_at else None,
        "sha256": one.hash,
    }


def all_of(scene: Scene, pieces: Sequence[Piece]) -> dict[str, Any]:
    """Return the pieces by whose they are, and pairs of before and after."""
    shown = {one.id: piece(scene, one) for one in pieces}
    return {
        "sides": [
            {
                "name": scene.tongue.word("sides", who),
                "is_party": who != evidence.PLATFORM,
                "pieces": [shown[one.id] for one in pieces if one.author == who],
            }
            for who in (*Side, evidence.PLATFORM)
        ],
        "pieces": [shown[one.id] for one in pieces],
        "pairs": [
            {
                "part": one.part,
                "out": [shown[before.id] for before in one.out],
                "back": [shown[after.id] for after in one.back],
            }
            for one in evidence.side_by_side(pieces)
        ],
        "missing": [
            scene.tongue.word("sorts", sort)
            for sort in missing(reason_of(scene.case), {one.sort for one in pieces})
        ],
        "count": len(pieces),
    }


def requested(connection: Connection, scene: Scene) -> list[Request]:
    """Return what was asked of the sides."""
    return list(requests.of_case(connection, scene.case.platform_id, scene.case.id))


def asked(scene: Scene, found: Sequence[Request]) -> list[dict[str, Any]]:
    """Return what was asked of the sides, in words."""
    tongue = scene.tongue
    return [
        {
            "side": tongue.word("sides", one.side),
            "what": tongue.word("sorts", one.sort)
            if one.sort is not None
            else tongue.question(one.question),
            "at": tongue.instant(one.at),
            "due": tongue.instant(one.due_at),
            "answered": tongue.instant(one.answered_at) if one.answered_at else None,
            "is_over": one.answered_at is None and one.due_at <= scene.now,
        }
        for one in found
    ]


def askable(scene: Scene) -> list[dict[str, Any]]:
    """Return what may be asked of each side: what the case's reason lists, and nothing else."""
    tongue = scene.tongue
    return [
        {
            "side": side.value,
            "name": tongue.word("sides", side),
            "sorts": [
                (f"{side.value}.sort.{one}", tongue.word("sorts", one))
                for one in requests.open_sorts(scene.case)
            ],
            "questions": [
                (f"{side.value}.question.{one}", tongue.question(one))
                for one in requests.open_questions(scene.case, side)
            ],
        }
        for side in Side
    ]
