"""Pages of what waits: the queue, what is to be read or voted on, and one's own numbers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import hand_over, queue, redecisions, statistics
from disputes.model import Cause, Stage
from disputes.queue import Filters, Sort, Ticket, Whose
from disputes.redecisions import Open
from ledger.refusals import Refusal
from service import clock, db
from service.http.case_desk import position_of, ticket_after
from service.http.pages import encode_cursor
from service.http.refusals import InvalidCursor
from service.http.statuses import STATUS
from service.ids import encode
from service.web.desk import door, once, tickets
from service.web.desk.frame import Frame
from service.web.desk.tickets import DUE, PAGE, REASON_CODES, STAGES, Asked
from service.web.words import catalogue

router = APIRouter(prefix="/desk", include_in_schema=False)

#: How far back one's own numbers go.
QUARTER: Final = timedelta(days=91)


def _after(cursor: str | None) -> Ticket | None:
    """Return where the page before ended; what is no cursor of ours asks for the first page."""
    try:
        return ticket_after(cursor or None)
    except InvalidCursor:
        return None


@router.get("/queue", operation_id="desk_queue")
async def show_queue(request: Request) -> Response:
    """Show what waits for whoever is at the desk, or (for supervisors) for somebody."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    return await _queue(seen)


async def _queue(seen: Frame, *, status: int = 200, error: str | None = None) -> Response:
    query, me = seen.request.query_params, seen.me
    supervises = "supervisor" in me.roles
    asked = tickets.asked(query, supervises=supervises)
    last = _after(query.get("cursor"))

    def work(connection: Connection) -> dict[str, Any]:
        filters = asked.filters(clock.now())
        found = queue.page(
            connection, me.mediator_id, filters, asked.sort, after=last, limit=PAGE + 1
        )
        around = tickets.houses(connection, found, seen.locale)
        more = len(found) > PAGE
        return {
            "rows": [tickets.row(one, around, seen.tongue) for one in found[:PAGE]],
            "next_cursor": encode_cursor(*position_of(found[PAGE - 1])) if more else None,
            "platforms": tickets.served(connection, me.mediator_id),
        }

    found = await seen.edge.run(db.SYSTEM, work)
    known = catalogue(seen.locale, "desk_queue")["done"]
    return seen.page(
        "queue",
        at="queue",
        status=status,
        error=error,
        done=known.get(query.get("done", "")),
        asked=asked,
        is_first=last is None,
        choices=_choices(asked, supervises=supervises),
        words=seen.speech("desk_queue"),
        **found,
    )


def _choices(asked: Asked, *, supervises: bool) -> dict[str, Any]:
    """Return what the form of the queue offers."""
    return {
        "whose": [(one.value, one is asked.whose) for one in (Whose if supervises else ())],
        "sort": [(one.value, one is asked.sort) for one in Sort if one is not Sort.AMOUNT],
        "due": [(one, one == asked.due) for one in DUE],
        "stage": [(one.value, one == asked.stage) for one in STAGES],
        "cause": [(one.value, one == asked.cause) for one in Cause],
        "reason": [(one, one == asked.reason) for one in REASON_CODES],
    }


@router.post("/claim-next", operation_id="desk_claim_next")
async def claim_next(request: Request) -> Response:
    """Take the case that is due first of those that wait."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    seen, form = came

    def work(connection: Connection, now: datetime) -> str:
        found = hand_over.claim_next(connection, seen.me.mediator_id, now)
        if found is None:
            return "/desk/queue?done=claimed_none"
        return f"/desk/cases/{encode('case', found.id)}?done=claimed"

    try:
        to = await once.take(seen, form, work)
    except Refusal as refusal:
        return await _queue(seen, status=STATUS[type(refusal)], error=seen.refused(refusal))
    seen.edge.wake()
    return seen.go(to)


@router.get("/claim-next", operation_id="desk_leave_claim_next")
async def leave_claim_next(request: Request) -> Response:
    """Lead to the queue: the address was asked for without its button."""
    seen = await door.look(request)
    return seen if isinstance(seen, Response) else seen.go("/desk/queue")


@router.get("/inbox", operation_id="desk_inbox")
async def inbox(request: Request) -> Response:
    """Show decisions to be read before anybody is told of them, and appeals to be voted on."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    me = seen.me

    def work(connection: Connection) -> dict[str, Any]:
        shown = {}
        for name, stage, part in (
            ("second", Stage.SECOND_LOOK, "second"),
            ("panel", Stage.APPEAL, "panel"),
        ):
            filters = Filters(stages=frozenset({stage}))
            found = queue.page(connection, me.mediator_id, filters, limit=2 * PAGE)
            own = [one for one in found if one.part == part]
            around = tickets.houses(connection, own, seen.locale)
            shown[name] = [tickets.row(one, around, seen.tongue) for one in own]
        names = {id_: name for id_, name, _trial in tickets.served(connection, me.mediator_id)}
        again = redecisions.open_for(connection, me.mediator_id, PAGE)
        return {**shown, "again": [_again(one, names, seen) for one in again]}

    found = await seen.edge.run(db.SYSTEM, work)
    known = catalogue(seen.locale, "desk_queue")["done"]
    done = known.get(seen.request.query_params.get("done", ""))
    return seen.page("inbox", at="inbox", done=done, words=seen.speech("desk_queue"), **found)


def _again(one: Open, names: dict[str, str], seen: Frame) -> dict[str, str]:
    """Return a case to decide again as a line of the inbox, without a word of what it is about."""
    return {
        "address": f"/desk/again/{encode('redecision', one.id)}",
        "platform": names.get(encode("platform", one.platform_id), ""),
        "at": seen.tongue.instant(one.at),
    }


@router.get("/keys", operation_id="desk_keys")
async def keys(request: Request) -> Response:
    """List the keys that lead somewhere, with the switch that turns them off."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    return seen.page("keys", at="keys", words=seen.speech("desk_own"))


@router.get("/numbers", operation_id="desk_numbers")
async def numbers(request: Request) -> Response:
    """Show how somebody's own work has gone."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    until = clock.now()
    since = until - QUARTER
    found = await seen.edge.run(
        db.SYSTEM, lambda c: statistics.of_mediators(c, since, until, seen.me.mediator_id)
    )
    return seen.page(
        "numbers", at="numbers", words=seen.speech("desk_queue"), figures=found[0], since=since
    )
