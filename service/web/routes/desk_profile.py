"""What somebody is drawn by, as far as it is theirs to say: languages, how many cases, absences."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request
from starlette.responses import Response

from disputes import mediators
from disputes.mediators import Mediator
from ledger.refusals import Refusal
from service import clock, db
from service.http.statuses import STATUS
from service.mediators import accounts
from service.messages.words import LOCALES
from service.web.desk import door
from service.web.desk.frame import Form, Frame
from service.web.desk.tongue import ZONE
from service.web.words import NAMES

router = APIRouter(prefix="/desk/profile", include_in_schema=False)

#: Nobody is away for longer: whoever is, ends their work or comes back to this page.
_LONGEST_AWAY: Final = timedelta(days=730)
_DAY: Final = timedelta(days=1)


@router.get("", operation_id="desk_profile")
async def show(request: Request, done: str = "") -> Response:
    """Show what somebody is drawn by, and let them change what is theirs to say."""
    seen = await door.look(request)
    return seen if isinstance(seen, Response) else await _show(seen, None, done=done)


async def _show(
    seen: Frame,
    form: Form | None,
    *,
    status: int = 200,
    error: str | None = None,
    done: str = "",
    wrong: dict[str, str] | None = None,
) -> Response:
    me = await seen.edge.run(db.SYSTEM, lambda c: mediators.get(c, seen.me.mediator_id))
    words = seen.speech("desk_profile", cap=me.caseload_cap)
    spoken = me.languages if form is None else {one for one in LOCALES if f"lang.{one}" in form}
    said = _said(me) if form is None else form
    return seen.page(
        "profile",
        at="profile",
        status=status,
        error=error,
        done=words("done") if done else None,
        words=words,
        me=me,
        is_away=me.away_until is not None and me.away_until > clock.now(),
        offered=[(one, NAMES[one], one in spoken) for one in LOCALES],
        others=sorted(NAMES.get(one, one) for one in me.languages - set(LOCALES)),
        filled={name: said.get(name, "") for name in ("wish", "away")},
        wrong={name: words(f"wrong.{code}") for name, code in (wrong or {}).items()},
    )


def _said(me: Mediator) -> dict[str, str]:
    """Return what the form's fields say of somebody as they are."""
    away = me.away_until
    last = None if away is None or away <= clock.now() else away - timedelta(microseconds=1)
    return {
        "wish": "" if me.caseload_wish is None else str(me.caseload_wish),
        "away": "" if last is None else last.astimezone(ZoneInfo(ZONE)).date().isoformat(),
    }


@router.post("", operation_id="desk_change_profile")
async def change(request: Request) -> Response:
    """Change it, from the next draw on. Sent twice, it says the same."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    seen, form = came
    me = await seen.edge.run(db.SYSTEM, lambda c: mediators.get(c, seen.me.mediator_id))
    now = clock.now()
    changes, wrong = _read(form, me, now)
    if wrong:
        return await _show(seen, form, status=422, wrong=wrong)
    try:
        await seen.edge.run(
            db.SYSTEM, lambda c: accounts.change(c, seen.me.mediator_id, changes, now)
        )
    except Refusal as refusal:
        return await _show(seen, form, status=STATUS[type(refusal)], error=seen.refused(refusal))
    return seen.go("/desk/profile?done=1")


def _read(form: Form, me: Mediator, now: datetime) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what a form changes, and what is wrong with it by field.

    Languages that no page of ours is written in stay as they are.
    """
    wrong: dict[str, str] = {}
    here = {one for one in LOCALES if f"lang.{one}" in form}
    languages = here | (me.languages - set(LOCALES))
    if not languages:
        wrong["languages"] = "languages"
    wish: int | None = None
    written = form.get("wish", "").strip()
    if written:
        if written.isascii() and written.isdigit() and len(written) <= 4:
            wish = int(written)
        if wish is None or wish > me.caseload_cap:
            wrong["wish"] = "wish"
    away: datetime | None = None
    written = form.get("away", "").strip()
    if written:
        away = _end_of(written)
        if away is None or not now < away <= now + _LONGEST_AWAY:
            wrong["away"] = "away"
    return {"languages": languages, "caseload_wish": wish, "away_until": away}, wrong


def _end_of(day: str) -> datetime | None:
    """Return when a day ends where the desk is; None for what is no day."""
    try:
        found = date.fromisoformat(day)
        return datetime.combine(found + _DAY, time(0), ZoneInfo(ZONE))
    except (ValueError, OverflowError):
        return None
