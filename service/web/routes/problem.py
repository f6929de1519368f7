"""Report a problem from a member's page, and settle it: offers, evidence, a neutral person."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from disputes import evidence, views
from disputes.commands import Command as CaseCommand
from disputes.evidence import New
from disputes.evidence_rows import Piece
from disputes.model import Case
from disputes.outcomes import Side
from disputes.reasons import REASONS
from ledger.refusals import Refusal
from service import clock
from service.exchanges import case_evidence, cases
from service.exchanges.advance import advance
from service.exchanges.commands import ClaimDraft, Command
from service.exchanges.decide import Rules
from service.http import uploads
from service.http.edge import Edge, edge_of
from service.http.schemas.base import EvidenceId
from service.ids import encode, spoken, uuid7
from service.messages import links
from service.messages.links import Found
from service.platforms import clocks
from service.web.forms import fields
from service.web.member import case_review, problem, taking, told
from service.web.member.scene import Scene
from service.web.render import HEADERS, respond
from service.web.routes import door
from service.web.routes.member import show
from service.web.uploads import one_file

router = APIRouter(include_in_schema=False)

#: A file is a stranger's: it is shown as a picture alone, and runs nothing.
FILE_HEADERS: Final = {
    **HEADERS,
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
}
_STEPS: Final = problem.PLAIN | problem.SAYING | {"make_offer", "appeal"}


def _ask(
    scene: Scene,
    reason: str | None,
    error: str | None = None,
    form: Mapping[str, str] = MappingProxyType({}),
) -> Response:
    """Return the page that asks what is wrong, and then about it; what was written stays."""
    known = dict(problem.open_reasons(scene))
    chosen = reason if reason in known else None
    return respond(
        "problem.html",
        scene.say,
        status=200 if error is None else 422,
        here=f"{scene.address}/problem",
        own=scene.own_locale,
        scene=scene,
        view={"number": spoken(scene.exchange.id)},
        reasons=known.items(),
        chosen=chosen,
        chosen_words=known.get(chosen or ""),
        questions=[] if chosen is None else problem.questions(scene, chosen),
        error=error,
        form=form,
    )


def _case_page(
    connection: Connection,
    scene: Scene,
    case: Case,
    *,
    status: int = 200,
    error: str | None = None,
    done: str | None = None,
    tried: tuple[str, Mapping[str, str]] = ("", MappingProxyType({})),
) -> Response:
    """Return the page of a case; ``tried``: the step that was not taken, and what was written."""
    return respond(
        "case.html",
        scene.say,
        status=status,
        here=f"{scene.address}/case",
        own=scene.own_locale,
        scene=scene,
        view=problem.view(connection, scene, case),
        plain=[
            step for step in problem.PLAIN_IN_ORDER if not step.endswith(("_offer", "_proposal"))
        ],
        saying=sorted(problem.SAYING),
        error=error,
        done=done,
        step=tried[0],
        form=tried[1],
    )


@router.get("/l/{token}/problem", operation_id="ask_problem_by_link")
async def ask(request: Request, token: str, reason: str | None = None) -> Response:
    """Ask what is wrong. Nothing changes by looking."""

    def work(connection: Connection, _found: Found, scene: Scene) -> Response:
        if "claim" not in scene.actions:
            case = problem.last(connection, scene)
            there = scene.link() if case is None else scene.link("/case")
            return RedirectResponse(there, 303, HEADERS)
        return _ask(scene, reason)

    return await door.enter(request, token, work)


@router.post("/l/{token}/problem", operation_id="claim_by_link")
async def claim(request: Request, token: str) -> Response:
    """Report a problem: what it is about is frozen at once."""
    edge, form = edge_of(request), await fields(request)

    def work(connection: Connection, found: Found, scene: Scene) -> Response:
        reason = form.get("reason", "")
        if reason not in dict(problem.open_reasons(scene)):
            return _ask(scene, None, scene.say("claim_error.reason"))
        answers = {
            code: form.get(f"answer:{code}", "").strip() for code in REASONS[reason].questions
        }
        if not all(answers.values()) or any(len(one) > problem.LONGEST for one in answers.values()):
            return _ask(scene, reason, scene.say("claim_error.answers"), form)
        draft = ClaimDraft(
            reason,
            answers=answers,
            text=form.get("text", "").strip()[: problem.LONGEST],
            gentle=form.get("more_time") == "yes",
        )
        clocks.hold(connection, scene.exchange.platform_id)
        command = Command(scene.exchange.id, "claim", scene.who, claim=draft)
        rules = Rules(scene.now, edge.codes)
        (outcome,) = advance(connection, scene.exchange.platform_id, [command], rules)
        # A second press finds the case that the first has opened.
        if isinstance(outcome, Refusal) and problem.last(connection, scene) is None:
            return show(edge_of(request), scene, status=409, error=taking.error(scene, outcome))
        links.used(connection, found, clock.now())
        return RedirectResponse(scene.link("/case"), 303, HEADERS)

    answer = await door.enter(request, token, work)
    edge.wake()
    return answer


@router.get("/l/{token}/case", operation_id="open_case_by_link")
async def open_case(request: Request, token: str, done: str = "") -> Response:
    """Show how the problem stands, and what can be done about it."""

    def work(connection: Connection, _found: Found, scene: Scene) -> Response:
        case = problem.last(connection, scene)
        if case is None:
            return RedirectResponse(scene.link(), 303, HEADERS)
        noted = scene.say("case.noted") if done == "yes" else None
        return _case_page(connection, scene, case, done=noted)

    return await door.enter(request, token, work)


@router.get("/l/{token}/case/review/{step}", operation_id="review_case_step_by_link")
async def review_step(request: Request, token: str, step: str) -> Response:
    """Show what a step of the case means before it is taken."""
    if step not in problem.PLAIN:
        return door.closed(request, "unknown", 404)

    def work(connection: Connection, _found: Found, scene: Scene) -> Response:
        case = problem.last(connection, scene)
        if case is None:
            return RedirectResponse(scene.link(), 303, HEADERS)
        shown = problem.view(connection, scene, case)
        if step not in shown.steps:
            error = scene.say("error.refused")
            return _case_page(connection, scene, case, status=409, error=error)
        here = f"{scene.address}/case/review/{step}"
        found = case_review.review(scene, shown, step)
        return respond("review.html", scene.say, here=here, own=scene.own_locale, view=found)

    return await door.enter(request, token, work)


@router.post("/l/{token}/case/steps/{step}", operation_id="case_step_by_link")
async def take_step(request: Request, token: str, step: str) -> Response:
    """Take one step of the case as the member, with the same checks as everywhere else."""
    if step not in _STEPS:
        return door.closed(request, "unknown", 404)
    edge, form = edge_of(request), await fields(request)

    def work(connection: Connection, found: Found, scene: Scene) -> Response:
        case = problem.last(connection, scene)
        if case is None:
            return RedirectResponse(scene.link(), 303, HEADERS)
        said = problem.said(case, scene.units, step, form)
        if isinstance(said, str):
            wrong = scene.say(f"case_error.{said}")
            tried = (step, form)
            return _case_page(connection, scene, case, status=422, error=wrong, tried=tried)
        clocks.hold(connection, scene.exchange.platform_id)
        command = CaseCommand(
            step, uuid7(), member_id=scene.member.id, helper_id=scene.who.helper_id, **said
        )
        rules = Rules(scene.now, edge.codes)
        wanted = [(case.id, command)]
        (outcome,) = cases.act(connection, scene.exchange.platform_id, wanted, rules)
        after = problem.last(connection, scene) or case
        if isinstance(outcome, Refusal) and not case_review.stands(
            connection, scene, after, step, form
        ):
            known = _said(scene, outcome.code, "error.refused")
            return _case_page(connection, scene, after, status=409, error=known)
        links.used(connection, found, clock.now())
        return RedirectResponse(scene.link("/case", done="yes"), 303, HEADERS)

    answer = await door.enter(request, token, work)
    edge.wake()
    return answer


@router.post("/l/{token}/case/evidence", operation_id="bring_evidence_by_link")
async def bring(request: Request, token: str, asked: str = "") -> Response:
    """Add words, or a photograph from the camera: one of the two for each form.

    ``asked``: the request of a neutral that it answers.
    """
    edge = edge_of(request)
    photo = await one_file(request, "photo")
    form = await fields(request) if photo is None else {}
    kept, error = None, None
    if photo is not None:
        # Made safe and stored before the transaction that names it, and only for who may bring it.
        allowed = await door.enter(request, token, _may_bring)
        if allowed.status_code != 204:
            return allowed
        try:
            kept = await uploads.keep(photo, edge.files, _check_file)
        except Refusal as refusal:
            error = refusal.code

    def work(connection: Connection, found: Found, scene: Scene) -> Response:
        case = problem.last(connection, scene)
        if case is None:
            return RedirectResponse(scene.link(), 303, HEADERS)
        text = form.get("text", "").strip()[: problem.LONGEST]
        wrong = error or ("evidence_empty" if kept is None and not text else None)
        if wrong is None:
            wrong = _brought(connection, edge, scene, case, (kept, text, asked))
        if wrong is not None:
            said = _said(scene, wrong, "case_error.file")
            return _case_page(connection, scene, case, status=422, error=said)
        links.used(connection, found, clock.now())
        return RedirectResponse(scene.link("/case", done="yes"), 303, HEADERS)

    answer = await door.enter(request, token, work)
    if kept is not None:
        await uploads.ensure(kept, edge.files)
    edge.wake()
    return answer


@router.get("/l/{token}/case/evidence/{piece}", operation_id="see_evidence_by_link")
async def see(request: Request, token: str, piece: EvidenceId) -> Response:
    """Send a file of the case to one of its two sides; that it was seen is written down first."""
    seen: list[Piece] = []

    def work(connection: Connection, _found: Found, scene: Scene) -> Response:
        case = problem.last(connection, scene)
        if case is None:
            return RedirectResponse(scene.link(), 303, HEADERS)
        key = (connection, case.platform_id, case.id, piece)
        try:
            seen.append(views.see_file(*key, str(Side(scene.role)), scene.now))
        except Refusal:
            return RedirectResponse(scene.link("/case"), 303, HEADERS)
        return Response(status_code=204)

    answer = await door.enter(request, token, work)
    if not seen or seen[0].file is None:
        return answer
    content = await uploads.read(seen[0].file.hash, edge_of(request).files)
    return Response(content, headers=FILE_HEADERS, media_type=seen[0].file.media_type)


def _said(scene: Scene, code: str, otherwise: str) -> str:
    """Return how to mend what was refused, in the member's words."""
    names = (f"case_error.{code}", f"error.{code}", otherwise)
    return scene.say(next(name for name in names if scene.say.has(name)))


def _may_bring(connection: Connection, _found: Found, scene: Scene) -> Response:
    case = problem.last(connection, scene)
    if case is None or case.closed_at is not None:
        return RedirectResponse(scene.link("/case"), 303, HEADERS)
    if not scene.may("claim"):
        error = scene.say("error.helper_may_not")
        return _case_page(connection, scene, case, status=409, error=error)
    evidence.check_room(connection, case, evidence.author_of(case, scene.member.id), 0)
    return Response(status_code=204)


def _check_file(media_type: str) -> None:
    evidence.check_sort("payer", _sort_of(media_type), said=None, data={}, media_type=media_type)


def _brought(
    connection: Connection,
    edge: Edge,
    scene: Scene,
    case: Case,
    brought: tuple[uploads.Upload | None, str, str],
) -> str | None:
    """Add the piece; return the code of what is wrong with it."""
    kept, text, asked = brought
    file = None if kept is None else kept.file
    open_ = told.waiting(connection, case, Side(scene.role))
    request = next((one for one in open_ if encode("evidence_request", one.id) == asked), None)
    sort = "text" if file is None else _sort_of(file.media_type)
    if sort == "document" and (request is None or request.sort != "document"):
        return "file_type_refused"
    author = evidence.author_of(case, scene.member.id)
    if request is None:
        hash_ = None if file is None else file.original_hash
        for one in evidence.of_case(connection, case.platform_id, case.id):
            same = hash_ == (None if one.file is None else one.file.original_hash)
            # A second press of the same button brings nothing more.
            if same and one.author == author and (one.text or "") == text:
                return None
        if asked:
            return "request_answered"
    new = New(
        id=uuid7(),
        case_id=case.id,
        sort=sort if request is None or file is None else request.sort or sort,
        member_id=scene.member.id,
        via=scene.who.via,
        helper_id=scene.who.helper_id,
        text=text or None,
        file=file,
        keep_days=edge.settings.evidence_days,
        request_id=None if request is None else request.id,
    )
    try:
        case_evidence.add(connection, scene.exchange.platform_id, new, Rules(scene.now, edge.codes))
    except Refusal as refusal:
        return refusal.code
    return None


def _sort_of(media_type: str) -> str:
    return "document" if media_type == "application/pdf" else "photo"
