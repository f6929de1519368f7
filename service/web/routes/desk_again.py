"""A case to decide again, blind: what whoever decided it had, and nothing of what they decided.

What is said here moves nothing: it counts in statistics alone, and neither side is told.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import redecisions, views
from disputes.outcomes import Outcome
from disputes.refusals import CaseNotFound
from disputes.rulings import LEAST_REASONS
from ledger.refusals import Refusal
from service import db
from service.exchanges import case_evidence
from service.http.moment import moment_on
from service.http.statuses import STATUS
from service.ids import decode, encode
from service.messages import words as messages
from service.web.desk import case_view, door, drafts, exhibits, once
from service.web.desk.case_view import Scene
from service.web.desk.drafts import Draft
from service.web.desk.frame import Form, Frame
from service.web.routes.desk_case import evidence_page, exhibit_page, send_file

router = APIRouter(prefix="/desk/again", include_in_schema=False)

#: A step of its own in drafts: it rests on reasons alone.
_STEP = "again"


def _id_of(text: str) -> UUID:
    try:
        return decode("redecision", text)
    except ValueError as error:
        raise CaseNotFound("No decision with this id.") from error


async def _scene(seen: Frame, again: str) -> tuple[Scene, dict[str, Any]]:
    """Return a case to decide again, with its evidence; that it was seen is written down.

    Raises:
        CaseNotFound: it is not theirs, or they have decided it already.
    """
    me, id_ = seen.me, _id_of(again)

    def work(connection: Connection) -> tuple[Scene, dict[str, Any]]:
        one = redecisions.find(connection, id_, me.mediator_id)
        found = case_evidence.for_mediator(connection, one.case_id, me.mediator_id)
        address = f"/desk/again/{encode('redecision', one.id)}"
        scene = case_view.read_blind(connection, found, address, me, seen.tongue)
        viewer = f"mediator:{me.mediator_id}"
        pieces = views.see_list(connection, one.platform_id, one.case_id, viewer, scene.now)
        requests = exhibits.requested(connection, scene)
        return scene, {"pieces": pieces, "requests": requests, "reads": True}

    return await seen.edge.run(db.SYSTEM, work)


@router.get("/{again}", operation_id="desk_again_page")
async def show(request: Request, again: str) -> Response:
    """Show the case, both stories and the form."""
    seen = await door.look(request)
    return seen if isinstance(seen, Response) else await _show(seen, again, {})


@router.post("/{again}", operation_id="desk_again")
async def send(request: Request, again: str) -> Response:
    """Calculate what is said, or write it down for good."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    seen, form = came
    if "calculate" in form:
        return await _show(seen, again, form)
    try:
        scene, more = await _scene(seen, again)
        draft = drafts.read(form, scene, _STEP, whole=True)
        if draft.wrong:
            return _page(seen, scene, more, draft, status=422)
        to = await once.take(seen, form, _work(seen, again, draft))
    except CaseNotFound as refusal:
        return await _answered(seen, form, refusal)
    except Refusal as refusal:
        error = seen.refused(refusal)
        return await _show(seen, again, form, status=STATUS[type(refusal)], error=error)
    return seen.go(to)


def _work(seen: Frame, again: str, draft: Draft) -> Callable[[Connection, datetime], str]:
    me, id_ = seen.me, _id_of(again)

    def work(connection: Connection, _now: datetime) -> str:
        one = redecisions.find(connection, id_, me.mediator_id)
        found = case_evidence.for_mediator(connection, one.case_id, me.mediator_id)
        now = moment_on(connection, one.platform_id, hold=True)
        said = (Outcome(draft.outcome), draft.split, draft.text)
        redecisions.answer(connection, found, one.id, me.mediator_id, *said, now)
        return "/desk/inbox?done=again"

    return work


async def _answered(seen: Frame, form: Form, refusal: CaseNotFound) -> Response:
    """Answer as before a form that was carried out already; else there is no such case."""

    def work(_connection: Connection, _now: datetime) -> str:
        raise refusal

    try:
        return seen.go(await once.take(seen, form, work))
    except Refusal:
        return door.refused(seen, refusal)


async def _show(
    seen: Frame, again: str, form: Form, *, status: int = 200, error: str | None = None
) -> Response:
    try:
        scene, more = await _scene(seen, again)
    except Refusal as refusal:
        return door.refused(seen, refusal)
    draft = drafts.read(form, scene, _STEP, whole=False) if form else Draft()
    return _page(seen, scene, more, draft, status=status, error=error)


def _page(
    seen: Frame,
    scene: Scene,
    more: dict[str, Any],
    draft: Draft,
    *,
    status: int = 200,
    error: str | None = None,
) -> Response:
    words = seen.speech("desk_case", least=LEAST_REASONS)
    asked = {one.id: one for one in more["requests"]}
    return seen.page(
        "again",
        at="inbox",
        status=status,
        error=error,
        words=words,
        scene=scene,
        head=case_view.head(scene),
        stake=case_view.stake(scene),
        stories=case_view.stories(scene, more["pieces"], asked),
        evidence=exhibits.all_of(scene, more["pieces"]),
        terms=case_view.terms(scene),
        facts=case_view.facts(scene.case.file, seen.tongue),
        draft=draft,
        effect=drafts.effect(draft, scene, _STEP),
        outcomes=drafts.outcomes(scene, _STEP, messages.catalogue(seen.locale, "disputes")),
        lines=drafts.fields(scene),
        wrong={name: words(f"wrong.{code}") for name, code in draft.wrong.items()},
        least=LEAST_REASONS,
    )


@router.get("/{again}/evidence", operation_id="desk_again_evidence")
async def show_evidence(request: Request, again: str) -> Response:
    """Show everything that was brought, before and after beside each other."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    try:
        return evidence_page(seen, *await _scene(seen, again))
    except Refusal as refusal:
        return door.refused(seen, refusal)


@router.get("/{again}/evidence/{piece}", operation_id="desk_again_exhibit")
async def show_exhibit(request: Request, again: str, piece: str, zoom: str = "100") -> Response:
    """Show one piece as large as it is wanted."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    try:
        return exhibit_page(seen, *await _scene(seen, again), piece, zoom)
    except Refusal as refusal:
        return door.refused(seen, refusal)


@router.get("/{again}/evidence/{piece}/file", operation_id="desk_again_file")
async def get_file(request: Request, again: str, piece: str) -> Response:
    """Send a file to whoever decides again, until they have."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    me = seen.me
    try:
        id_ = _id_of(again)
        one = await seen.edge.run(db.SYSTEM, lambda c: redecisions.find(c, id_, me.mediator_id))
    except Refusal as refusal:
        return door.refused(seen, refusal)
    return await send_file(seen, encode("case", one.case_id), piece)
