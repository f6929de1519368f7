"""A hand-over that was shown without a network: the proof or the digits come later, by script.

The page kept them and never said that anything moved; what this answers is the verdict.
"""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import Response

from ledger.refusals import Refusal
from service import clock
from service.exchanges.decide import Rules
from service.http.edge import edge_of, json_response
from service.messages import links
from service.messages.links import Found
from service.web import assets
from service.web.forms import fields
from service.web.member import proving, taking
from service.web.member.scene import Scene
from service.web.render import HEADERS
from service.web.routes import door

router = APIRouter(include_in_schema=False)

_WORKER_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; connect-src 'self'",
    # It is registered for one link, or for the page that squares lead to.
    "service-worker-allowed": "/",
    # Asked for anew each time: a worker of yesterday must not outlive what it belongs to.
    "cache-control": "no-cache",
    "cross-origin-resource-policy": "same-origin",
}


@router.get("/handover-worker.js", operation_id="handover_worker")
async def handover_worker() -> Response:
    """Return the worker that shows a member's page when there is no network."""
    script = f'importScripts("{assets.address("keeping.js")}");\n'.encode()
    script += assets.body("handover-worker.js")
    return Response(script, 200, _WORKER_HEADERS, "text/javascript; charset=utf-8")


@router.post("/l/{token}/proof", operation_id="prove_by_link")
async def prove(request: Request, token: str) -> Response:
    """Take what a phone kept of a hand-over, with the same checks as everywhere else."""
    form = await fields(request)
    edge = edge_of(request)

    def work(connection: Connection, found: Found, scene: Scene) -> Response:
        outcome = proving.take(connection, scene, Rules(scene.now, edge.codes), edge.prover, form)
        after = door.see(connection, found, token, door.asked(request))
        if isinstance(outcome, Refusal) and not proving.stands(after, edge.prover, form):
            said = {"verdict": "refused", "said": taking.error(after, outcome)}
            return json_response(said, headers=HEADERS)
        links.used(connection, found, clock.now())
        address = scene.link(done="enter_code")
        return json_response({"verdict": "done", "address": address}, headers=HEADERS)

    answer = await door.enter(request, token, work)
    edge.wake()
    return answer
