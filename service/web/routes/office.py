"""The office: the way in and out, and its first page."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from ledger.audit import audit
from service import db
from service.http.auth import by_key
from service.http.edge import edge_of
from service.http.limits import TooManyRequests
from service.http.refusals import NotSignedIn
from service.http.statuses import STATUS
from service.operations import proofs
from service.web.forms import fields
from service.web.office import overview, session
from service.web.office.session import PATH, SIGN_IN, Visit, enter, shown
from service.web.office.telling import Teller
from service.web.origin import is_ours
from service.web.render import HEADERS, respond
from service.web.words import Speech

router = APIRouter(prefix=PATH, include_in_schema=False)

_BOOKS: Final = "books"


def _there(asked: str | None) -> str:
    """Return where to go after the way in: a page of the office, and nothing else."""
    inside = asked is not None and (asked == PATH or asked.startswith(f"{PATH}/"))
    return asked if inside and asked is not None and "\\" not in asked else PATH


def _door(request: Request, status: int = 200, error: str | None = None) -> Response:
    say = Speech(session.chosen(request), "office", {})
    there = _there(request.query_params.get("next"))
    return respond(
        "office_sign_in.html", say, status=status, here=SIGN_IN, there=there, error=error
    )


@router.get("/sign-in", operation_id="open_office_sign_in")
async def sign_in(request: Request) -> Response:
    """Ask for a key."""
    return _door(request)


@router.post("/sign-in", operation_id="office_sign_in")
async def take_key(request: Request) -> Response:
    """Let a browser in that brings a key which works."""
    edge = edge_of(request)
    if not is_ours(request, edge.settings.public_url):
        return session.closed(request, "foreign", 403)
    said = await fields(request)
    secret = said.get("key", "").strip()
    try:
        await by_key(request, secret)
    except TooManyRequests as refusal:
        return session.closed(request, "refused", STATUS[type(refusal)], why=str(refusal))
    except NotSignedIn:
        return _door(request, 401, "operator" if secret.startswith("tk_operator_") else "unknown")
    response = RedirectResponse(_there(said.get("next")), 303, HEADERS)
    session.start(response, edge, secret)
    return response


@router.post("/sign-out", operation_id="office_sign_out")
async def sign_out(request: Request) -> Response:
    """Let the browser forget the key."""
    if not is_ours(request, edge_of(request).settings.public_url):
        return session.closed(request, "foreign", 403)
    response = RedirectResponse(SIGN_IN, 303, HEADERS)
    session.end(response)
    return response


@router.get("", operation_id="open_office")
async def first_page(request: Request) -> Response:
    """What is held, what belongs to whom, and whether the books hold."""
    edge = edge_of(request)
    proved_at = await edge.run(db.SYSTEM, lambda c: proofs.last(c, _BOOKS))
    done = request.query_params.get("proved")

    def work(connection: Connection, visit: Visit, now: datetime) -> Response:
        teller = Teller(connection, visit.actor.platform_id, visit.locale)
        found = overview.read(connection, visit.actor.platform_id, teller, now)
        return shown(
            connection,
            visit,
            "office.html",
            "overview",
            found=found,
            proved_at=None if proved_at is None else teller.at(proved_at),
            proved=int(done) if done is not None and done.isdecimal() else None,
        )

    return await enter(request, "books:read", work)


@router.post("/prove", operation_id="office_prove")
async def prove(request: Request) -> Response:
    """Prove the platform's books anew, from their first entry on, and show how many there were."""

    def work(connection: Connection, visit: Visit, _now: datetime) -> Response:
        report = audit(connection, visit.actor.platform_id)
        if report.problems:
            return session.closed(request, "broken", 500)
        return RedirectResponse(f"{PATH}?proved={report.entries}", 303, HEADERS)

    return await enter(request, "books:read", work)
