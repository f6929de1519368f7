"""What a mediator does in a case, by forms: each shown, tried, looked over, and then carried out.

Every form names the version of the case that it was written for: who decides has seen the latest.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import hand_over, mediators, queue, templates
from disputes.commands import Command
from disputes.model import Case
from disputes.outcomes import Side
from disputes.recusal import Tie, TieKind
from disputes.refusals import CaseNotFound
from disputes.rulings import LEAST_REASONS, REASON_CODES
from disputes.templates import Template
from ledger.refusals import Refusal
from service.exchanges import case_evidence
from service.exchanges.decide import Rules
from service.exchanges.refusals import StaleVersion
from service.http.case_desk import mine, take
from service.http.moment import moment_on
from service.http.statuses import STATUS
from service.ids import encode, uuid7
from service.messages import words as messages
from service.web.desk import case_view, door, drafts, exhibits, once
from service.web.desk.case_view import Scene
from service.web.desk.drafts import Draft
from service.web.desk.frame import Form, Frame
from service.web.routes.desk_case import scene_of, see_evidence

router = APIRouter(prefix="/desk/cases", include_in_schema=False)

#: The steps as addresses have them, and as the case's table does.
STEPS: Final = {
    "propose": "propose",
    "decide": "decide",
    "vote": "vote",
    "lift-flag": "lift_flag",
    "agree-with": "agree_with",
    "send-back": "send_back",
    "decline": "decline",
    "ask": "ask",
}
_WITH_OUTCOME: Final = frozenset({"propose", "decide", "vote"})
#: Shown once more as a whole before they are carried out: they cannot be taken back.
_LOOKED_OVER: Final = frozenset({"decide", "vote", "lift-flag"})
_LONGEST_WHY: Final = 5_000


@router.get("/{case}/do/{step}", operation_id="desk_step_page")
async def step_page(request: Request, case: str, step: str) -> Response:
    """Show the form of a step."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    return await _show(seen, case, step, {})


@router.post("/{case}/do/{step}", operation_id="desk_step")
async def send_step(request: Request, case: str, step: str) -> Response:
    """Calculate, look over, or carry out what a form says, by the button that sent it."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    seen, form = came
    if step not in STEPS:
        return door.gone(seen, "unknown", 404)
    if form.keys() & {"calculate", "insert", "edit"}:
        return await _show(seen, case, step, form)
    try:
        scene, more = await scene_of(seen, case, _around(step))
        wrong = _wrong(form, scene, step)
        if wrong:
            return _page(seen, scene, step, form, more, status=422, wrong=wrong)
        if step in _LOOKED_OVER and "sure" not in form and _is_open(scene, step):
            return _page(seen, scene, step, form, more, look_over=True)
        to = await once.take(seen, form, _work(seen, scene, form, step))
    except CaseNotFound as refusal:
        return await _again(seen, form, refusal)
    except Refusal as refusal:
        return await _refuse(seen, case, step, form, refusal)
    seen.edge.wake()
    return seen.go(to)


async def _again(seen: Frame, form: Form, refusal: CaseNotFound) -> Response:
    """Answer as before a form that has given its case away already; else there is no such case."""

    def work(_connection: Connection, _now: datetime) -> str:
        raise refusal

    try:
        return seen.go(await once.take(seen, form, work))
    except Refusal:
        return door.refused(seen, refusal)


async def _refuse(seen: Frame, case: str, step: str, form: Form, refusal: Refusal) -> Response:
    """Say why not, on the page of the form as the case is now, with all that was written."""
    error = seen.refused(refusal)
    return await _show(seen, case, step, form, status=STATUS[type(refusal)], error=error)


async def _show(
    seen: Frame,
    case: str,
    step: str,
    form: Form,
    *,
    status: int = 200,
    error: str | None = None,
) -> Response:
    if step not in STEPS:
        return door.gone(seen, "unknown", 404)
    try:
        scene, more = await scene_of(seen, case, _around(step))
    except Refusal as refusal:
        if error is not None:
            return seen.page("gone", status=status, name="no", error=error)
        return door.refused(seen, refusal)
    if error is None and not _is_open(scene, step):
        status, error = 409, seen.speech("desk")("refused.not_now_in_case")
    return _page(seen, scene, step, form, more, status=status, error=error)


def _is_open(scene: Scene, step: str) -> bool:
    """Tell whether a step is open to whoever looks, at this moment."""
    open_ = scene.steps()
    if step in {"decline", "ask"}:
        return scene.part is not None and bool(open_)
    return STEPS[step] in open_


def _around(step: str) -> Callable[[Connection, Scene], dict[str, Any]]:
    def more(connection: Connection, scene: Scene) -> dict[str, Any]:
        fitting = templates.find(connection, reason=scene.case.reason)
        found = see_evidence(connection, scene)
        return {"templates": fitting if step in {"decide", "vote"} else [], **found}

    return more


def _wrong(form: Form, scene: Scene, step: str) -> dict[str, str]:
    """Return what is wrong with a form, by its field."""
    if step in _WITH_OUTCOME:
        return dict(drafts.read(form, scene, step, whole=True).wrong)
    wrong: dict[str, str] = {}
    if step == "lift-flag":
        drafts.check_words(step, form.get("text", ""), form.get("reason_code", ""), wrong)
    if step in {"send-back", "decline"}:
        if not form.get("text", "").strip():
            wrong["text"] = "why"
        if len(form.get("text", "")) > _LONGEST_WHY:
            wrong["text"] = "text_too_long"
    if step == "ask" and _chosen(form, scene) is None:
        wrong["asked"] = "asked"
    return wrong


def _chosen(form: Form, scene: Scene) -> tuple[Side, dict[str, str | None]] | None:
    """Return whom a form asks for what, if that is on the case's list."""
    given = form.get("asked", "")
    for side in exhibits.askable(scene):
        if given in {code for code, _name in (*side["sorts"], *side["questions"])}:
            of, sort, code = given.split(".", 2)
            return Side(of), {"sort": None, "question": None, sort: code}
    return None


def _work(
    seen: Frame, scene: Scene, form: Form, step: str
) -> Callable[[Connection, datetime], str]:
    """Return the one piece of work that a form asks for, on the case as it was seen."""
    me, case_id = seen.me, scene.case.id

    def work(connection: Connection, _now: datetime) -> str:
        found, _part = mine(connection, case_id, me)
        if form.get("version") != str(found.version):
            raise StaleVersion("The case has gone on since this page was opened.")
        if step == "decline":
            _decline(connection, found, me.mediator_id, form["text"], form.get("tie", ""))
        elif step == "ask":
            _ask(connection, seen, scene, found, form)
        else:
            outcome = take(connection, seen.edge, found, _command(form, scene, step))
            if isinstance(outcome, Refusal):
                raise outcome
        if queue.part_in(connection, me.mediator_id, case_id) is None:
            return f"/desk/queue?done={step}"  # it is theirs no more
        return f"{scene.address}?done={step}"

    return work


def _command(form: Form, scene: Scene, step: str) -> Command:
    if step in _WITH_OUTCOME:
        return drafts.read(form, scene, step, whole=True).command(step, scene)
    return Command(
        STEPS[step],
        uuid7(),
        mediator_id=scene.me.mediator_id,
        reason_code=form.get("reason_code", ""),
        text=form.get("text", ""),
    )


def _decline(connection: Connection, found: Case, mediator_id: UUID, why: str, tied: str) -> None:
    """Give a case back; whoever says that they are tied to it is kept off others like it too."""
    now = moment_on(connection, found.platform_id, hold=True)
    key = (connection, found.platform_id, found.id, mediator_id)
    hand_over.decline(*key, why, os.urandom(32), now)
    members = {"payer": found.payer_id, "payee": found.payee_id, "platform": None}
    if tied in members:
        tie = Tie(TieKind.INTEREST, found.platform_id, members[tied])
        mediators.declare(connection, mediator_id, tie, why, now, "mediator")


def _ask(connection: Connection, seen: Frame, scene: Scene, found: Case, form: Form) -> None:
    rules = Rules(moment_on(connection, found.platform_id, hold=True), seen.edge.codes)
    chosen = _chosen(form, scene)
    assert chosen is not None  # looked at before
    side, asked = chosen
    case_evidence.ask(connection, found, uuid7(), seen.me.mediator_id, side, asked, rules)


def _inserted(form: Form, found: list[Template]) -> dict[str, str]:
    """Return a form with the words of the chosen template in it."""
    chosen = next(
        (one for one in found if encode("template", one.id) == form.get("template")), None
    )
    if chosen is None or "insert" not in form:
        return dict(form)
    text = "\n\n".join(part for part in (form.get("text", "").rstrip(), chosen.text) if part)
    return {"outcome": chosen.outcome, **form, "text": text}


def _page(
    seen: Frame,
    scene: Scene,
    step: str,
    form: Form,
    more: dict[str, Any],
    *,
    status: int = 200,
    error: str | None = None,
    wrong: dict[str, str] | None = None,
    look_over: bool = False,
) -> Response:
    """Return the page of a step: its form, or (``look_over``) the same to be read once more."""
    words, form = seen.speech("desk_case", least=LEAST_REASONS), _inserted(form, more["templates"])
    draft = Draft(text=form.get("text", ""), reason_code=form.get("reason_code", ""))
    effect, outcomes = None, []
    if step in _WITH_OUTCOME:
        draft = drafts.read(form, scene, step, whole=False)
        effect = drafts.effect(draft, scene, step)
        outcomes = drafts.outcomes(scene, step, messages.catalogue(seen.locale, "disputes"))
        if form and "insert" not in form and "edit" not in form:
            wrong = {**draft.wrong, **(wrong or {})}
    wrong = {name: words(f"wrong.{code}") for name, code in (wrong or {}).items()}
    asked = {one.id: one for one in more["requests"]}
    return seen.page(
        "step",
        at="queue",
        status=422 if wrong and status == 200 and "calculate" not in form else status,
        error=error,
        words=words,
        scene=scene,
        head=case_view.head(scene),
        step=step,
        is_open=_is_open(scene, step),
        draft=draft,
        effect=effect,
        outcomes=outcomes,
        grounds=[(code, seen.tongue.word("grounds", code)) for code in sorted(REASON_CODES)],
        wrong=wrong,
        least=LEAST_REASONS,
        lines=drafts.fields(scene),
        fitting=[_fitting(one, seen) for one in more["templates"]],
        askable=exhibits.askable(scene) if step == "ask" else [],
        chosen=form.get("asked", ""),
        tied=form.get("tie", ""),
        ruling=case_view.stake(scene)["ruling"],
        stories=case_view.stories(scene, more["pieces"], asked),
        look_over=look_over,
        version=scene.case.version,
    )


def _fitting(one: Template, seen: Frame) -> dict[str, str]:
    return {
        "id": encode("template", one.id),
        "title": f"{one.title} ({one.language})",
        "outcome": seen.tongue.word("outcomes", one.outcome),
    }
