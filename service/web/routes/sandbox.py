"""The sandbox provider's own page: what a real provider's page is, with nothing real behind it.

Its address is sealed, as a real provider's cannot be guessed.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request
from sqlalchemy import Connection, RowMapping
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from ledger import units
from service import clock
from service.exchanges import sweep
from service.http.edge import Edge, edge_of
from service.messages import words
from service.messages.links import Found
from service.payments import payments
from service.payments.sandbox import Sandbox
from service.platforms import clocks, platforms
from service.sealing import SealBroken, Sealer
from service.web.member.scene import Scene
from service.web.member.todo import Button
from service.web.origin import is_ours
from service.web.render import HEADERS, respond
from service.web.routes import door
from service.web.words import Speech, amount, language, preferred

router = APIRouter(include_in_schema=False)

_PLACE: Final = "sandbox payment page"


def _sealer(edge: Edge) -> Sealer:
    assert edge.settings.code_key is not None
    return Sealer(edge.settings.code_key.get_secret_value())


@router.get("/l/{token}/sandbox-page", operation_id="open_sandbox_page_by_link")
async def open_page(request: Request, token: str) -> Response:
    """Lead to the sandbox's page of the payment that waits for the payer."""
    edge = edge_of(request)

    def work(_connection: Connection, _found: Found, scene: Scene) -> Response:
        waiting = [
            row["id"]
            for row in scene.payments
            if row["settled_at"] is None
            and (row["next_action"] or {}).get("type") == "sandbox_action"
        ]
        if not waiting or not scene.may_pay:
            return RedirectResponse(scene.link(), 303, HEADERS)
        place = [str(scene.exchange.platform_id), str(waiting[0]), scene.locale]
        sealed = _sealer(edge).seal(_PLACE, place).decode()
        return RedirectResponse(f"/sandbox/pay/{sealed}", 303, HEADERS)

    return await door.enter(request, token, work)


async def _enter(request: Request, token: str) -> tuple[UUID, RowMapping, str] | None:
    """Return the platform, the payment and the language behind a sealed address."""
    edge = edge_of(request)
    try:
        platform, payment, own = _sealer(edge).open(_PLACE, token.encode())
    except (SealBroken, UnicodeEncodeError):
        return None
    platform_id, payment_id = UUID(platform), UUID(payment)
    row = await edge.run(platform_id, lambda c: payments.find(c, platform_id, payment_id))
    return platform_id, row, str(own)


@router.get("/sandbox/pay/{token}", operation_id="show_sandbox_page")
async def show_page(request: Request, token: str) -> Response:
    """Show what is to be paid. Nothing changes by looking."""
    entered = await _enter(request, token)
    if entered is None:
        return door.closed(request, "unknown", 404)
    return await _page(request, token, *entered)


@router.post("/sandbox/pay/{token}/{outcome}", operation_id="act_on_sandbox_page")
async def act(request: Request, token: str, outcome: str) -> Response:
    """Let the payment succeed or fail, as the payer's bank would; once done, it stays so."""
    edge = edge_of(request)
    if not is_ours(request, edge.settings.public_url):
        return door.closed(request, "foreign", 403)
    entered = await _enter(request, token)
    if entered is None or outcome not in {"succeed", "fail"}:
        return door.closed(request, "unknown", 404)
    platform_id, row, _own = entered
    sandbox = edge.desk.providers[row["provider"]]
    if isinstance(sandbox, Sandbox) and row["provider_ref"] is not None:
        succeed = outcome == "succeed"
        await run_in_threadpool(sandbox.act, platform_id, row["provider_ref"], succeed=succeed)
        now = await edge.run(platform_id, lambda c: clocks.now_at(c, platform_id, clock.now()))
        await run_in_threadpool(sweep.submit, edge.desk, platform_id, row["id"], now)
        edge.wake()
    return RedirectResponse(f"/sandbox/pay/{token}", 303, HEADERS)


async def _page(
    request: Request, token: str, platform_id: UUID, row: RowMapping, own: str
) -> Response:
    locale = language(door.asked(request), own or preferred(""))

    def work(connection: Connection) -> Speech:
        unit = units.get(connection, platform_id, row["unit"])
        name = words.clean(platforms.find(connection, platform_id).name)
        facts = {"platform": name, "amount": amount(row["amount"], unit, locale)}
        return Speech(locale, "sandbox", facts)

    say = await edge_of(request).run(platform_id, work)
    here = f"/sandbox/pay/{token}"
    back = Button(str(row["return_url"] or "/"), say("back"), link=True, main=False)
    said = None
    if row["state"] == "requires_action":
        asked = f"?lang={locale}" if locale != own else ""
        buttons = [
            Button(f"{here}/succeed{asked}", say("succeed")),
            Button(f"{here}/fail{asked}", say("fail"), main=False),
            Button(back.address, say("wait"), link=True, main=False),
        ]
    else:
        ends = {"succeeded": "succeeded", "authorised": "succeeded", "failed": "failed"}
        said = say(ends.get(row["state"], "settled"))
        buttons = [Button(back.address, back.label, link=True)]
    return respond("sandbox.html", say, here=here, own=own, said=said, buttons=buttons)
