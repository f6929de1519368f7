"""Words for decisions: everybody at the desk reads them, supervisors write them.

What was written once stays as it was for those who used it: to change a template is to add
another and to retire the first, in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import templates
from disputes.templates import Template, TemplateInvalid, TemplateNotFound
from ledger.refusals import Refusal
from service import db
from service.http.statuses import STATUS
from service.ids import decode, encode, uuid7
from service.messages.words import LOCALES
from service.web.desk import door, once
from service.web.desk.frame import Form, Frame
from service.web.desk.tickets import REASON_CODES
from service.web.words import NAMES, catalogue

router = APIRouter(prefix="/desk/templates", include_in_schema=False)

_HOME: Final = "/desk/templates"
_LONGEST_TITLE: Final = 200
_LONGEST: Final = 20_000


def _may(seen: Frame) -> bool:
    return "supervisor" in seen.me.roles


def _id_of(text: str) -> UUID:
    try:
        return decode("template", text)
    except ValueError as error:
        raise TemplateNotFound("No template with this id.") from error


@router.get("", operation_id="desk_templates")
async def show(request: Request, done: str = "") -> Response:
    """Show the templates that are offered, those of each reason together."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    found = await seen.edge.run(db.SYSTEM, templates.find)
    rows = sorted(found, key=lambda one: (one.reason or "", one.outcome, one.language, one.title))
    return seen.page(
        "templates",
        at="templates",
        done=catalogue(seen.locale, "desk_own")["templates_done"].get(done),
        words=seen.speech("desk_own"),
        rows=[_shown(one, seen) for one in rows],
        may=_may(seen),
    )


def _shown(one: Template, seen: Frame) -> dict[str, Any]:
    return {
        "id": encode("template", one.id),
        "title": one.title,
        "language": NAMES.get(one.language, one.language),
        "code": one.language,
        "reason": seen.tongue.word("reasons", one.reason),
        "outcome": seen.tongue.word("outcomes", one.outcome),
        "text": one.text,
        "blanks": [name.replace("_", " ") for name in one.blanks],
        "at": seen.tongue.instant(one.created_at),
    }


@router.get("/new", operation_id="desk_new_template_page")
async def new(request: Request) -> Response:
    """Show an empty form."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    if not _may(seen):
        return door.gone(seen, "unknown", 404)
    return _form(seen, {"language": seen.locale})


@router.post("/new", operation_id="desk_new_template")
async def create(request: Request) -> Response:
    """Share new words."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    return await _write(*came, None)


@router.get("/{template}", operation_id="desk_template_page")
async def edit(request: Request, template: str) -> Response:
    """Show the form of a template as it is."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    if not _may(seen):
        return door.gone(seen, "unknown", 404)
    found = await seen.edge.run(db.SYSTEM, templates.find)
    one = next((one for one in found if encode("template", one.id) == template), None)
    if one is None:
        return door.gone(seen, "unknown", 404)
    fields = ("language", "reason", "outcome", "title", "text")
    return _form(seen, {name: getattr(one, name) or "" for name in fields}, template)


@router.post("/{template}", operation_id="desk_template")
async def change(request: Request, template: str) -> Response:
    """Put other words in a template's place."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    return await _write(*came, template)


@router.get("/{template}/retire", operation_id="desk_leave_template")
async def leave(request: Request, template: str) -> Response:  # noqa: ARG001 - part of the address
    """Lead to the list: the address was asked for without its button."""
    seen = await door.look(request)
    return seen if isinstance(seen, Response) else seen.go(_HOME)


@router.post("/{template}/retire", operation_id="desk_retire_template")
async def retire(request: Request, template: str) -> Response:
    """Offer a template no more."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    seen, form = came
    if not _may(seen):
        return door.gone(seen, "unknown", 404)

    def work(connection: Connection, now: datetime) -> str:
        templates.retire(connection, _id_of(template), now)
        return f"{_HOME}?done=retired"

    try:
        return seen.go(await once.take(seen, form, work))
    except Refusal as refusal:
        return door.refused(seen, refusal)


async def _write(seen: Frame, form: Form, old: str | None) -> Response:
    if not _may(seen):
        return door.gone(seen, "unknown", 404)
    wrong = _wrong(form)
    if wrong:
        return _form(seen, form, old, status=422, wrong=wrong)
    try:
        return seen.go(await once.take(seen, form, _work(seen, form, old)))
    except TemplateInvalid as refusal:
        name = (refusal.pointer or "").removeprefix("/")
        return _form(seen, form, old, status=422, wrong={name: f"{name}_unfit"})
    except Refusal as refusal:
        status, error = STATUS[type(refusal)], seen.refused(refusal)
        return _form(seen, form, old, status=status, error=error)


def _work(seen: Frame, form: Form, old: str | None) -> Callable[[Connection, datetime], str]:
    def work(connection: Connection, now: datetime) -> str:
        if old is not None:
            templates.retire(connection, _id_of(old), now)
        made = Template(
            uuid7(),
            form["language"],
            form.get("reason") or None,
            form["outcome"],
            form["title"].strip(),
            form["text"].strip(),
            now,
            seen.me.mediator_id,
        )
        templates.add(connection, made)
        return f"{_HOME}?done={'written' if old is None else 'changed'}"

    return work


def _wrong(form: Form) -> dict[str, str]:
    """Return what is wrong with a form, by field; what fits together is the domain's to say."""
    found = {
        "language": form.get("language") in LOCALES,
        "reason": form.get("reason", "") in {"", *REASON_CODES},
        "outcome": form.get("outcome") in set(templates.DECIDABLE),
        "title": 0 < len(form.get("title", "").strip()) <= _LONGEST_TITLE,
        "text": 0 < len(form.get("text", "").strip()) <= _LONGEST,
    }
    words = {"title": "title_field"}
    return {name: words.get(name, name) for name, fits in found.items() if not fits}


def _form(
    seen: Frame,
    said: Mapping[str, str],
    old: str | None = None,
    *,
    status: int = 200,
    error: str | None = None,
    wrong: Mapping[str, str] | None = None,
) -> Response:
    words = seen.speech("desk_own")
    return seen.page(
        "template",
        at="templates",
        status=status,
        error=error,
        words=words,
        form=dict(said),
        old=old,
        wrong={name: words(f"templates_wrong.{code}") for name, code in (wrong or {}).items()},
        choices={
            "language": [(one, NAMES[one]) for one in LOCALES],
            "reason": [(one, seen.tongue.word("reasons", one)) for one in REASON_CODES],
            "outcome": [
                (one.value, seen.tongue.word("outcomes", one))
                for one in sorted(templates.DECIDABLE)
            ],
        },
    )
