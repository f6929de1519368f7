"""The page of short reviews: read one after the other, decided in one go, each with reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import queue
from disputes.model import Cause, Stage
from disputes.queue import Filters, Ticket
from disputes.rulings import LEAST_REASONS, REASON_CODES
from ledger.refusals import Refusal
from service import db
from service.exchanges.refusals import StaleVersion
from service.http.case_desk import mine, take
from service.http.statuses import STATUS
from service.ids import decode, encode
from service.web.desk import door, once, reviews, tickets
from service.web.desk.frame import Form, Frame
from service.web.desk.reviews import PAGE, Said

router = APIRouter(prefix="/desk", include_in_schema=False)

#: Short reviews as the queue has them, without those that somebody else reads over now.
_TO_DECIDE: Final = Filters(
    stages=frozenset({Stage.MEDIATION, Stage.DECISION}), causes=frozenset({Cause.SILENCE})
)


@router.get("/reviews", operation_id="desk_reviews")
async def show_reviews(request: Request) -> Response:
    """Show those that are due first, each with its facts."""
    seen = await door.look(request)
    return seen if isinstance(seen, Response) else await _show(seen, {})


@router.post("/reviews", operation_id="desk_decide_reviews")
async def decide_reviews(request: Request) -> Response:
    """Decide those that are marked. What is wrong with one is said before any is decided."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    seen, form = came
    marked = _marked(form)
    if not marked:
        return await _show(seen, form, status=422, error="none")
    if any(one.wrong for one in marked.values()):
        return await _show(seen, form, status=422, error="wrong")
    try:
        to = await once.take(seen, form, _work(seen, marked))
    except Refusal as refusal:
        return await _show(seen, form, status=STATUS[type(refusal)], refusal=refusal)
    seen.edge.wake()
    return seen.go(to)


def _marked(form: Form) -> dict[UUID, Said]:
    """Return what is said of each case that is marked, in the order of their ids."""
    found = {}
    for name in form:
        id_, _, part = name.partition(".")
        if part == "take" and form[name]:
            try:
                case_id = decode("case", id_)
            except ValueError:
                continue
            found[case_id] = reviews.said(form, case_id, checked=True)
    # Two requests never wait for each other.
    return dict(sorted(found.items()))


def _work(seen: Frame, marked: dict[UUID, Said]) -> Callable[[Connection, datetime], str]:
    me = seen.me

    def one(connection: Connection, case_id: UUID, said: Said) -> Refusal | None:
        try:
            found, _part = mine(connection, case_id, me)
            if said.version != str(found.version):
                return StaleVersion("The case has gone on since this page was opened.")
            outcome = take(connection, seen.edge, found, said.command(me.mediator_id))
        except Refusal as refusal:
            return refusal
        return outcome if isinstance(outcome, Refusal) else None

    def work(connection: Connection, _now: datetime) -> str:
        refused = {}
        for case_id, said in marked.items():
            refusal = one(connection, case_id, said)
            if refusal is not None:
                refused[encode("case", case_id)] = refusal.code
        query = [("decided", str(len(marked) - len(refused)))]
        query += [("no", f"{id_}.{code}") for id_, code in refused.items()]
        return f"/desk/reviews?{urlencode(query)}"

    return work


async def _show(
    seen: Frame,
    form: Form,
    *,
    status: int = 200,
    error: str | None = None,
    refusal: Refusal | None = None,
) -> Response:
    me, words = seen.me, seen.speech("desk_queue")

    def work(connection: Connection) -> tuple[Sequence[reviews.Review], bool]:
        found = queue.page(connection, me.mediator_id, _TO_DECIDE, limit=PAGE + 1)
        around = tickets.houses(connection, found, seen.locale)
        now = reviews.versions(connection, found)
        return [_review(one, around, seen, form, now) for one in found[:PAGE]], len(found) > PAGE

    shown, more = await seen.edge.run(db.SYSTEM, work)
    said = None if error is None else words(f"reviews.error_{error}")
    return seen.page(
        "reviews",
        at="reviews",
        status=status,
        error=said if refusal is None else seen.refused(refusal),
        words=words,
        reviews=shown,
        more=more,
        least=LEAST_REASONS,
        grounds=[(code, seen.tongue.word("grounds", code)) for code in sorted(REASON_CODES)],
        case_words=seen.speech("desk_case", least=LEAST_REASONS),
        **_told(seen),
    )


def _review(
    one: Ticket, around: tickets.Houses, seen: Frame, form: Form, now: dict[UUID, int]
) -> reviews.Review:
    written = reviews.said(form, one.case_id, checked=bool(form))
    return reviews.review(one, around, seen.tongue, now[one.case_id], written)


def _told(seen: Frame) -> dict[str, Any]:
    """Return what came of those that were just decided, as the address says it."""
    query, words = seen.request.query_params, seen.speech("desk_queue")
    decided = query.get("decided", "")
    count = int(decided) if decided.isdecimal() and len(decided) < 3 else 0
    told = [words("reviews.decided", count=count)] if count else []
    refused = []
    for one in query.getlist("no")[:PAGE]:
        id_, _, code = one.partition(".")
        try:
            decode("case", id_)
        except ValueError:
            continue
        refused.append({"id": id_, "why": seen.why(code)})
    return {"told": told, "refused": refused}
