"""Pay from a member's page: on the provider's page, and back again.

Where the payer comes back to must not hold the link's token, for the provider is told it. A cookie
that is sent to that one address, and lasts an hour, says whose page it was; without it, the link in
the message still opens it.
"""

from __future__ import annotations

import re
from typing import Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from ledger.refusals import Refusal
from service import clock
from service.exchanges import sweep
from service.exchanges.advance import advance
from service.exchanges.commands import Command
from service.exchanges.decide import Rules
from service.exchanges.model import State
from service.http.edge import edge_of
from service.ids import encode
from service.messages import links
from service.messages.links import Found
from service.platforms import clocks
from service.web.forms import fields
from service.web.member import taking
from service.web.member.scene import Scene
from service.web.render import HEADERS
from service.web.routes import door
from service.web.routes.member import refuse

router = APIRouter(include_in_schema=False)

_COOKIE: Final = "tierce_back"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_EXCHANGE: Final = re.compile(r"ex_[0-9a-z]{1,40}")


@router.post("/l/{token}/pay", operation_id="pay_by_link")
async def pay(request: Request, token: str) -> Response:
    """Begin to pay: what is no money is held at once, money is asked for on the provider's page."""
    edge = edge_of(request)
    form = await fields(request)
    begun: list[Scene] = []

    def work(connection: Connection, found: Found, scene: Scene) -> Response:
        exchange = scene.exchange
        public = edge.settings.public_url.rstrip("/")
        version = form.get("version", "")
        command = Command(
            exchange.id,
            "fund",
            scene.who,
            expected_version=int(version) if version.isdecimal() and len(version) < 10 else None,
            hosted=True,
            return_url=f"{public}/back/{encode('exchange', exchange.id)}",
        )
        clocks.hold(connection, exchange.platform_id)
        rules = Rules(scene.now, edge.codes)
        (outcome,) = advance(connection, exchange.platform_id, [command], rules)
        after = door.see(connection, found, token, door.asked(request))
        if isinstance(outcome, Refusal) and after.exchange.state in {State.PROPOSED, State.AGREED}:
            return refuse(after, taking.error_name(after, outcome))
        links.used(connection, found, clock.now())
        begun.append(after)
        return RedirectResponse(scene.link(), 303, HEADERS)

    answer = await door.enter(request, token, work)
    if begun:
        await _ask(request, begun[0])
        answer.set_cookie(
            _COOKIE,
            token,
            max_age=3600,
            path=f"/back/{encode('exchange', begun[0].exchange.id)}",
            secure=edge.settings.public_url.startswith("https:"),
            httponly=True,
            samesite="lax",
        )
    edge.wake()
    return answer


async def _ask(request: Request, scene: Scene) -> None:
    """Ask the provider about what the exchange waits for: to open its page, or how it went."""
    edge = edge_of(request)
    for row in scene.payments:
        if row["kind"] == "collect" and row["settled_at"] is None:
            await run_in_threadpool(
                sweep.submit, edge.desk, scene.exchange.platform_id, row["id"], scene.now
            )


@router.get("/back/{exchange}", operation_id="come_back_from_payment")
async def come_back(request: Request, exchange: str) -> Response:
    """Bring the payer back to their page, after asking the provider how the payment went."""
    token = request.cookies.get(_COOKIE, "")
    if not _TOKEN.fullmatch(token) or not _EXCHANGE.fullmatch(exchange):
        return door.closed(request, "back", 200)
    seen: list[Scene] = []

    def work(_connection: Connection, _found: Found, scene: Scene) -> Response:
        seen.append(scene)
        return RedirectResponse(scene.link(), 303, HEADERS)

    answer = await door.enter(request, token, work)
    if seen:
        await _ask(request, seen[0])
        edge_of(request).wake()
    return answer
