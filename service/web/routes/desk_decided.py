"""What somebody decided, and what is found of claims that were made in bad faith."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import own_work, strikes
from disputes.own_work import Decided
from disputes.refusals import CaseNotFound
from disputes.strikes import REASONS, StrikeNotFound
from ledger.refusals import Refusal
from service import db
from service.http import striking
from service.http.statuses import STATUS
from service.ids import decode, encode
from service.messages.words import clean
from service.web.desk import door, once, tickets
from service.web.desk.frame import Frame
from service.web.routes.desk_case import case_id_of
from service.web.words import catalogue

router = APIRouter(prefix="/desk/decided", include_in_schema=False)

#: As many as are shown: the newest. What is older is in the platform's records.
_MOST: Final = 100
_CODES: Final = tuple(sorted(REASONS))


@router.get("", operation_id="desk_decided")
async def show(request: Request, done: str = "") -> Response:
    """Show what somebody has decided, and to supervisors the strikes that stand."""
    seen = await door.look(request)
    return seen if isinstance(seen, Response) else await _show(seen, done=done)


async def _show(
    seen: Frame, *, status: int = 200, error: str | None = None, done: str = ""
) -> Response:
    me, supervises = seen.me.mediator_id, "supervisor" in seen.me.roles

    def work(connection: Connection) -> dict[str, Any]:
        served = tickets.served(connection, me)
        names = {id_: name for id_, name, _trial in served}
        struck = own_work.struck(connection, me, _MOST) if supervises else []
        decided = own_work.decided(connection, me, _MOST)
        return {
            "rows": [_shown(one, names, seen) for one in decided],
            "struck": [_shown(one, names, seen) for one in struck],
        }

    found = await seen.edge.run(db.SYSTEM, work)
    return seen.page(
        "decided",
        at="decided",
        status=status,
        error=error,
        done=catalogue(seen.locale, "desk_decided")["done"].get(done),
        words=seen.speech("desk_decided"),
        supervises=supervises,
        **found,
    )


def _shown(one: Decided, names: dict[str, str], seen: Frame) -> dict[str, Any]:
    tongue, strike = seen.tongue, one.strike
    return {
        "id": encode("case", one.case_id),
        "title": clean(one.title),
        "platform": names.get(encode("platform", one.platform_id), ""),
        "reason": tongue.word("reasons", one.reason),
        "claimant": tongue.word("sides", one.claimant),
        "outcome": tongue.word("outcomes", one.outcome),
        "at": tongue.instant(one.at),
        "strike": None
        if strike is None
        else {
            "id": encode("strike", strike.id),
            "reason": tongue.word("grounds", strike.reason),
            "at": tongue.instant(strike.at),
            "until": tongue.instant(strike.expires_at),
            "lifted": tongue.instant(strike.lifted_at),
        },
    }


@router.get("/{case}", operation_id="desk_strike_page")
async def strike_page(request: Request, case: str) -> Response:
    """Show the form that finds a claim in bad faith, with what that means."""
    seen = await door.look(request)
    return seen if isinstance(seen, Response) else await _form(seen, case)


async def _form(
    seen: Frame, case: str, *, status: int = 200, error: str | None = None, wrong: str = ""
) -> Response:
    me = seen.me.mediator_id
    try:
        case_id = case_id_of(case)
    except CaseNotFound:
        return door.gone(seen, "unknown", 404)

    def work(connection: Connection) -> dict[str, Any] | None:
        names = {id_: name for id_, name, _trial in tickets.served(connection, me)}
        found = own_work.decided(connection, me, 1, case_id)
        open_ = [one for one in found if one.claimant is not None]
        return _shown(open_[0], names, seen) if open_ else None

    one = await seen.edge.run(db.SYSTEM, work)
    if one is None:
        return door.gone(seen, "unknown", 404)
    words = seen.speech("desk_decided", strikes=strikes.RULE.strikes, days=_days())
    return seen.page(
        "strike",
        at="decided",
        status=status,
        error=error,
        words=words,
        one=one,
        reasons=[(code, seen.tongue.word("grounds", code)) for code in _CODES],
        wrong={"reason": words(wrong)} if wrong else {},
    )


def _days() -> dict[str, int]:
    """Return in days how long a strike counts, and how long it lets somebody wait."""
    rule = strikes.RULE
    return {"within": rule.within.days, "wait": rule.wait.days}


@router.post("/{case}", operation_id="desk_strike")
async def give(request: Request, case: str) -> Response:
    """Find that a claim was made in bad faith."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    seen, form = came
    reason = form.get("reason", "")
    if reason not in REASONS:
        return await _form(seen, case, status=422, wrong="strike.choose")

    def work(connection: Connection, _now: datetime) -> str:
        striking.give(connection, seen.me.mediator_id, case_id_of(case), reason)
        return "/desk/decided?done=struck"

    try:
        return seen.go(await once.take(seen, form, work))
    except CaseNotFound:
        return door.gone(seen, "unknown", 404)
    except Refusal as refusal:
        status, error = STATUS[type(refusal)], seen.refused(refusal)
        return await _form(seen, case, status=status, error=error)


@router.get("/strikes/{strike}/lift", operation_id="desk_leave_lift")
async def leave_lift(request: Request, strike: str) -> Response:  # noqa: ARG001 - of the address
    """Lead to the list: the address was asked for without its button."""
    seen = await door.look(request)
    return seen if isinstance(seen, Response) else seen.go("/desk/decided")


@router.post("/strikes/{strike}/lift", operation_id="desk_lift_strike")
async def lift(request: Request, strike: str) -> Response:
    """Take a strike back, as a supervisor. It counts no more, and stays on record."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    seen, form = came

    def work(connection: Connection, _now: datetime) -> str:
        try:
            strike_id = decode("strike", strike)
        except ValueError as error:
            raise StrikeNotFound("No strike with this id.") from error
        striking.lift(connection, seen.me.mediator_id, strike_id)
        return "/desk/decided?done=lifted"

    try:
        return seen.go(await once.take(seen, form, work))
    except Refusal as refusal:
        status, error = STATUS[type(refusal)], seen.refused(refusal)
        return await _show(seen, status=status, error=error)
