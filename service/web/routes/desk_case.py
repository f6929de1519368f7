"""Pages of a case: what it is about, its evidence, and each file of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import assignments, views
from disputes.evidence_rows import Piece
from disputes.model import Stage
from disputes.refusals import CaseNotFound
from ledger.refusals import Refusal
from service import db
from service.exchanges import case_evidence
from service.http import uploads
from service.http.case_desk import mine
from service.http.moment import moment_on
from service.ids import decode, encode
from service.web.desk import case_view, door, exhibits
from service.web.desk.case_view import Scene
from service.web.desk.frame import Frame
from service.web.words import catalogue

router = APIRouter(prefix="/desk/cases", include_in_schema=False)

#: A file is a stranger's: an image is shown as an image and as nothing else, and a document is
#: saved and not opened here.
_FILE_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
_ENDINGS: Final = {"image/jpeg": "jpg", "image/png": "png", "application/pdf": "pdf"}
#: Stages in which a side may be asked for something.
_ASKS: Final = frozenset({Stage.MEDIATION, Stage.DECISION, Stage.APPEAL})
#: How much an image may be enlarged, in percent of the page's width.
ZOOMS: Final = (100, 200, 400)


def case_id_of(text: str) -> UUID:
    """Return the id of a case as an address has it.

    Raises:
        CaseNotFound: it is none.
    """
    try:
        return decode("case", text)
    except ValueError as error:
        raise CaseNotFound("No case with this id.") from error


async def scene_of(
    seen: Frame, case: str, more: Callable[[Connection, Scene], dict[str, Any]]
) -> tuple[Scene, dict[str, Any]]:
    """Return a case that is theirs, and what else is read of it in the same transaction.

    Raises:
        CaseNotFound
    """
    case_id = case_id_of(case)

    def work(connection: Connection) -> tuple[Scene, dict[str, Any]]:
        found, part = mine(connection, case_id, seen.me)
        scene = case_view.read(connection, found, part, seen.me, seen.tongue)
        return scene, more(connection, scene)

    return await seen.edge.run(db.SYSTEM, work)


def see_evidence(connection: Connection, scene: Scene) -> dict[str, Any]:
    """Return the evidence for whoever has the case now, and write down that they saw it."""
    case, me = scene.case, scene.me
    if scene.part is None or me.mediator_id not in assignments.people_on(case):
        return {"pieces": (), "requests": [], "reads": False}
    viewer = f"mediator:{me.mediator_id}"
    pieces = views.see_list(connection, case.platform_id, case.id, viewer, scene.now)
    return {"pieces": pieces, "requests": exhibits.requested(connection, scene), "reads": True}


@router.get("/{case}", operation_id="desk_case")
async def show_case(request: Request, case: str, done: str = "") -> Response:
    """Show a case. Nothing of it changes by looking, but that one looked is written down."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    try:
        scene, found = await scene_of(seen, case, see_evidence)
    except Refusal as refusal:
        return door.refused(seen, refusal)
    return case_page(seen, scene, found, done=done)


def case_page(seen: Frame, scene: Scene, found: dict[str, Any], done: str = "") -> Response:
    """Return the page of a case."""
    known = catalogue(seen.locale, "desk_case")["done"]
    asked = {one.id: one for one in found["requests"]}
    steps = scene.steps()
    return seen.page(
        "case",
        at="queue",
        done=known.get(done),
        words=seen.speech("desk_case"),
        scene=scene,
        head=case_view.head(scene),
        stake=case_view.stake(scene),
        stories=case_view.stories(scene, found["pieces"], asked),
        evidence=exhibits.all_of(scene, found["pieces"]),
        asked=exhibits.asked(scene, found["requests"]),
        reads=found["reads"],
        terms=case_view.terms(scene),
        facts=case_view.facts(scene.case.file, seen.tongue),
        timeline=case_view.timeline(scene),
        steps=steps,
        may_ask=found["reads"] and scene.case.stage in _ASKS,
        may_decline=scene.part is not None and bool(steps),
    )


@router.get("/{case}/evidence", operation_id="desk_evidence")
async def show_evidence(request: Request, case: str) -> Response:
    """Show everything that was brought, before and after beside each other."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    try:
        scene, found = await scene_of(seen, case, see_evidence)
    except Refusal as refusal:
        return door.refused(seen, refusal)
    if not found["reads"]:
        return door.gone(seen, "unknown", 404)
    return evidence_page(seen, scene, found)


def evidence_page(seen: Frame, scene: Scene, found: dict[str, Any]) -> Response:
    """Return the page of all that was brought."""
    return seen.page(
        "evidence",
        at="queue",
        words=seen.speech("desk_case"),
        scene=scene,
        head=case_view.head(scene),
        evidence=exhibits.all_of(scene, found["pieces"]),
        asked=exhibits.asked(scene, found["requests"]),
        may_ask=scene.part is not None and scene.case.stage in _ASKS,
    )


@router.get("/{case}/evidence/{piece}", operation_id="desk_exhibit")
async def show_exhibit(request: Request, case: str, piece: str, zoom: str = "100") -> Response:
    """Show one piece as large as it is wanted, with the ones before and after it."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    try:
        scene, found = await scene_of(seen, case, see_evidence)
    except Refusal as refusal:
        return door.refused(seen, refusal)
    return exhibit_page(seen, scene, found, piece, zoom)


def exhibit_page(
    seen: Frame, scene: Scene, found: dict[str, Any], piece: str, zoom: str
) -> Response:
    """Return the page of one piece."""
    pieces = [exhibits.piece(scene, one) for one in found["pieces"]]
    at = next((at for at, one in enumerate(pieces) if one["id"] == piece), None)
    if at is None:
        return door.gone(seen, "unknown", 404)
    chosen = int(zoom) if zoom in {str(one) for one in ZOOMS} else ZOOMS[0]
    return seen.page(
        "exhibit",
        at="queue",
        words=seen.speech("desk_case"),
        scene=scene,
        head=case_view.head(scene),
        piece=pieces[at],
        before=pieces[at - 1] if at else None,
        after=pieces[at + 1] if at + 1 < len(pieces) else None,
        zoom=chosen,
        zooms=ZOOMS,
    )


@router.get("/{case}/evidence/{piece}/file", operation_id="desk_evidence_file")
async def get_file(request: Request, case: str, piece: str) -> Response:
    """Send a file to whoever has the case now. That it was read is written down before."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    return await send_file(seen, case, piece)


async def send_file(seen: Frame, case: str, piece: str) -> Response:
    """Send a file of a case to whoever may read it."""
    try:
        found = await _file(seen, case, piece)
        assert found.file is not None
        content = await uploads.read(found.file.hash, seen.edge.files)
    except Refusal as refusal:
        return door.refused(seen, refusal)
    media_type = found.file.media_type
    how = "attachment" if media_type == "application/pdf" else "inline"
    name = f"{encode('evidence', found.id)}.{_ENDINGS[media_type]}"
    headers = {**_FILE_HEADERS, "Content-Disposition": f'{how}; filename="{name}"'}
    return Response(content, headers=headers, media_type=media_type)


async def _file(seen: Frame, case: str, piece: str) -> Piece:
    case_id = case_id_of(case)
    try:
        evidence_id = decode("evidence", piece)
    except ValueError as error:
        raise CaseNotFound("No evidence with this id.") from error
    me = seen.me

    def work(connection: Connection) -> Piece:
        found = case_evidence.for_mediator(connection, case_id, me.mediator_id)
        now = moment_on(connection, found.platform_id)
        viewer = f"mediator:{me.mediator_id}"
        return views.see_file(connection, found.platform_id, case_id, evidence_id, viewer, now)

    return await seen.edge.run(db.SYSTEM, work)
