"""A member's receipt by their link: a page to read or print, and the signed file."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from service import clock
from service.http.edge import edge_of
from service.http.routes.records import issuer_of, sealer_of
from service.ids import spoken
from service.messages.links import Found
from service.records.receipts import NoReceipt
from service.records.receipts import receipt as signed_receipt
from service.web.member.receipt import file_of, receipt
from service.web.member.scene import Scene
from service.web.render import HEADERS, respond
from service.web.routes import door

router = APIRouter(include_in_schema=False)


async def _with_receipt(
    request: Request, token: str, shown: Callable[[Scene, str], Response]
) -> Response:
    """Answer with what ``shown`` makes of the receipt; before there is one, lead back."""
    edge = edge_of(request)

    def work(connection: Connection, _found: Found, scene: Scene) -> Response:
        exchange = scene.exchange
        key = (exchange.platform_id, exchange.id, issuer_of(edge), clock.now(), scene.member.id)
        try:
            jws = signed_receipt(connection, sealer_of(edge), *key)
        except NoReceipt:
            return RedirectResponse(scene.link(), 303, HEADERS)
        return shown(scene, jws)

    return await door.enter(request, token, work)


@router.get("/l/{token}/receipt", operation_id="receipt_by_link")
async def show_receipt(request: Request, token: str) -> Response:
    """Show the receipt in the member's words, to be read, printed or kept."""

    def page(scene: Scene, jws: str) -> Response:
        found = receipt(scene, jws, spoken(scene.exchange.id))
        here = f"{scene.address}/receipt"
        return respond("receipt.html", scene.say, here=here, own=scene.own_locale, view=found)

    return await _with_receipt(request, token, page)


@router.get("/l/{token}/receipt/file", operation_id="receipt_file_by_link")
async def save_receipt(request: Request, token: str) -> Response:
    """Return the signed document itself, which anybody can check."""

    def file(scene: Scene, jws: str) -> Response:
        headers = {**HEADERS, "content-disposition": f'attachment; filename="{file_of(scene)}"'}
        return Response(jws, 200, headers, "application/jose")

    return await _with_receipt(request, token, file)
