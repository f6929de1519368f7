"""One-tap links: the page they open, and the steps that its buttons take.

The token in the address is the credential; there is no cookie, so nothing that another site could
make a browser send. Looking never acts: mail scanners follow every link, and send no forms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ledger.refusals import Refusal
from service import clock, db
from service.exchanges import queries
from service.exchanges.advance import advance
from service.exchanges.commands import Command, Who
from service.exchanges.decide import Rules
from service.http.edge import Edge, edge_of
from service.messages import links, page
from service.messages.facts import recipient_of
from service.messages.links import Found, Standing
from service.platforms import clocks, members

router = APIRouter(include_in_schema=False)

_LONGEST_FORM: Final = 2_000


@dataclass(frozen=True, slots=True)
class _Shown:
    """What to answer: a page and its status."""

    html: str
    status: int = 200


def _answer(shown: _Shown) -> Response:
    return HTMLResponse(shown.html, shown.status, page.HEADERS)


async def _open(
    request: Request, token: str, work: Callable[[Connection, Found], _Shown]
) -> _Shown:
    """Run ``work`` in the platform of the link, or show that the link opens nothing."""
    edge = edge_of(request)
    found = await edge.run(db.SYSTEM, lambda c: links.find(c, token, clock.now()))
    if found.standing is Standing.UNKNOWN or found.platform_id is None:
        locale = page.preferred(request.headers.get("accept-language", ""))
        return _Shown(page.closed(locale, "unknown"), 404)
    if found.standing is Standing.ENDED:
        locale = await edge.run(found.platform_id, lambda c: _locale(c, found))
        return _Shown(page.closed(locale, "gone"), 410)
    return await edge.run(found.platform_id, lambda c: work(c, found))


def _locale(connection: Connection, found: Found) -> str:
    return recipient_of(_member(connection, found)).locale


def _member(connection: Connection, found: Found) -> members.Member:
    assert found.platform_id is not None
    assert found.member_id is not None
    return members.find(connection, found.platform_id, found.member_id)


def _show(
    connection: Connection,
    found: Found,
    token: str,
    *,
    refused: bool = False,
    code: str | None = None,
) -> str:
    assert found.platform_id is not None
    assert found.exchange_id is not None
    exchange = queries.find(connection, found.platform_id, found.exchange_id, found.member_id)
    now = clocks.now_at(connection, found.platform_id, clock.now())
    member = _member(connection, found)
    address = f"/l/{token}"
    return page.opened(connection, exchange, member, address, now, refused=refused, code=code)


@router.get("/l/{token}", operation_id="open_link")
async def open_link(request: Request, token: str) -> Response:
    """Show the exchange of a link to its member. Nothing changes by looking."""
    return _answer(await _open(request, token, lambda c, found: _Shown(_show(c, found, token))))


@router.post("/l/{token}/code", operation_id="show_code_by_link")
async def show_code(request: Request, token: str) -> Response:
    """Show the member their hand-over code: to a person who asked, not to whoever looks."""
    edge = edge_of(request)

    def work(connection: Connection, found: Found) -> _Shown:
        assert found.platform_id is not None
        assert found.exchange_id is not None
        assert found.member_id is not None
        exchange = queries.find(connection, found.platform_id, found.exchange_id, found.member_id)
        try:
            _point, code, locked = queries.hand_over_code(exchange, found.member_id, edge.codes)
        except Refusal:
            return _Shown(_show(connection, found, token, refused=True), 409)
        links.used(connection, found, clock.now())
        return _Shown(_show(connection, found, token, code=None if locked else code))

    return _answer(await _open(request, token, work))


@router.post("/l/{token}/steps/{step}", operation_id="step_by_link")
async def take_step(request: Request, token: str, step: str) -> Response:
    """Take one step as the member, with the same checks as everywhere else."""
    if step not in page.STEPS:
        locale = page.preferred(request.headers.get("accept-language", ""))
        return _answer(_Shown(page.closed(locale, "unknown"), 404))
    form = _form(await request.body())
    edge = edge_of(request)

    def work(connection: Connection, found: Found) -> _Shown:
        refusal = _take(connection, edge, found, step, form)
        if refusal is not None and not _stands(connection, found, step, form):
            return _Shown(_show(connection, found, token, refused=True), 409)
        links.used(connection, found, clock.now())
        return _Shown("", 303)

    shown = await _open(request, token, work)
    if shown.status != 303:
        return _answer(shown)
    edge.wake()
    # The page is asked for anew, so that reloading it sends no step again.
    return RedirectResponse(f"/l/{token}", 303, page.HEADERS)


def _take(
    connection: Connection, edge: Edge, found: Found, step: str, form: dict[str, str]
) -> Refusal | None:
    assert found.platform_id is not None
    assert found.exchange_id is not None
    version = form.get("version", "")
    command = Command(
        found.exchange_id,
        step,
        Who(found.member_id, "member"),
        expected_version=int(version) if version.isdecimal() and len(version) < 10 else None,
        terms_hash=form.get("terms_hash", ""),
        checkpoint=form.get("checkpoint"),
    )
    clocks.hold(connection, found.platform_id)
    now = clocks.now_at(connection, found.platform_id, clock.now())
    (outcome,) = advance(connection, found.platform_id, [command], Rules(now, edge.codes))
    return outcome if isinstance(outcome, Refusal) else outcome.refusal


def _stands(connection: Connection, found: Found, step: str, form: dict[str, str]) -> bool:
    """Tell whether the member's word was taken before: a second tap says the same once more."""
    assert found.platform_id is not None
    assert found.exchange_id is not None
    assert found.member_id is not None
    exchange = queries.find(connection, found.platform_id, found.exchange_id, found.member_id)
    role = exchange.role_of(found.member_id)
    assert role is not None
    if step == "agree":
        agreed = exchange.agreed_by(role) is not None
        return agreed and form.get("terms_hash") == exchange.terms_hash
    point = next((one for one in exchange.checkpoints if one.name == form.get("checkpoint")), None)
    return point is not None and point.confirmed_by(role) is not None


def _form(body: bytes) -> dict[str, str]:
    """Return the fields of a form; one that no page of ours sends has none."""
    try:
        fields = parse_qs(body[:_LONGEST_FORM].decode("ascii"), max_num_fields=10)
    except ValueError:
        return {}
    return {name: values[-1] for name, values in fields.items()}
