"""The page that a one-tap link opens, and the steps that its buttons take.

The token in the address is the credential. Looking never acts: mail scanners follow every link,
and send no forms.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from ledger.refusals import Refusal
from service import clock
from service.exchanges import helpers
from service.exchanges.decide import Rules
from service.http.edge import Edge, dumps, edge_of
from service.ids import spoken
from service.messages import links, words
from service.messages.links import Found
from service.platforms import clocks
from service.web import qr
from service.web.forms import fields
from service.web.member import taking
from service.web.member.review import REVIEWED, review
from service.web.member.scene import Scene
from service.web.member.todo import Button
from service.web.member.view import view
from service.web.render import HEADERS, respond
from service.web.routes import door
from service.web.words import Speech, language, preferred

router = APIRouter(include_in_schema=False)


def show(
    edge: Edge,
    scene: Scene,
    *,
    status: int = 200,
    error: str | None = None,
    done: str | None = None,
) -> Response:
    """Return the member's page."""
    shown = view(scene, error=error, done=done)
    return respond(
        "member.html",
        scene.say,
        status=status,
        here=scene.address,
        own=scene.own_locale,
        view=shown,
        key=dumps(edge.prover.public).decode(),
    )


def refuse(scene: Scene, name: str) -> Response:
    """Lead to the page that says why a step was not taken.

    It is asked for anew: loading it again, or coming back to it, sends no wrong code twice.
    """
    version = str(scene.exchange.version)
    return RedirectResponse(scene.link(refused=name, at=version), 303, HEADERS)


@router.get("/l/{token}", operation_id="open_link")
async def open_link(
    request: Request, token: str, done: str = "", refused: str = "", at: str = ""
) -> Response:
    """Show the exchange of a link to its member. Nothing changes by looking."""

    def work(_connection: Connection, _found: Found, scene: Scene) -> Response:
        error = taking.error_again(scene, refused, at)
        if error is not None:
            status = 422 if refused == "code_empty" else 409
            return show(edge_of(request), scene, status=status, error=error)
        noted = done in taking.STEPS and _just_done(scene, done)
        return show(edge_of(request), scene, done=scene.say(f"done.{done}") if noted else None)

    return await door.enter(request, token, work)


#: What the member's own last act looks like among the events, by the step that it was.
_NOTED = {
    "agree": "exchange.agreed",
    "decline": "exchange.declined",
    "cancel": "exchange.cancelled",
    "confirm": "exchange.confirmed",
    "withdraw_confirmation": "exchange.confirmation_withdrawn",
    "enter_code": "exchange.checkpoint_met",
    "renew_code": "exchange.code_renewed",
    "propose_cancellation": "exchange.cancellation_proposed",
    "accept_proposal": "exchange.proposal_accepted",
    "reject_proposal": "exchange.proposal_rejected",
    "withdraw_proposal": "exchange.proposal_withdrawn",
    "abandon_payment": "exchange.payment_abandoned",
}


def _just_done(scene: Scene, step: str) -> bool:
    """Tell whether the page may say so: an address that somebody made up proves nothing."""
    wanted = _NOTED[step]
    return any(
        event["type"] == wanted and event["data"].get("by") in {None, scene.role}
        for event in scene.events[-8:]
    )


@router.get("/l/{token}/review/{step}", operation_id="review_step_by_link")
async def review_step(request: Request, token: str, step: str) -> Response:
    """Show what a step means before it is taken."""

    def work(_connection: Connection, _found: Found, scene: Scene) -> Response:
        if step not in scene.actions:
            why = "refused" if scene.may(step) else "helper_may_not"
            return show(edge_of(request), scene, status=409, error=scene.say(f"error.{why}"))
        here = f"{scene.address}/review/{step}"
        found = review(scene, step)
        return respond("review.html", scene.say, here=here, own=scene.own_locale, view=found)

    if step not in REVIEWED:
        return door.closed(request, "unknown", 404)
    return await door.enter(request, token, work)


@router.post("/l/{token}/steps/{step}", operation_id="step_by_link")
async def take_step(request: Request, token: str, step: str) -> Response:
    """Take one step as the member, with the same checks as everywhere else."""
    if step not in taking.STEPS:
        return door.closed(request, "unknown", 404)
    form = await fields(request)
    edge = edge_of(request)

    def work(connection: Connection, found: Found, scene: Scene) -> Response:
        if step == "enter_code" and not form.get("code", "").strip():
            return refuse(scene, "code_empty")
        outcome = taking.take(connection, scene, Rules(scene.now, edge.codes), step, form)
        after = door.see(connection, found, token, door.asked(request))
        if isinstance(outcome, Refusal) and not taking.stands(after, step, form):
            return refuse(after, taking.error_name(after, outcome))
        links.used(connection, found, clock.now())
        # The page is asked for anew, so that reloading it sends no step again.
        return RedirectResponse(scene.link(done=step), 303, HEADERS)

    answer = await door.enter(request, token, work)
    edge.wake()
    return answer


@router.post("/l/{token}/code", operation_id="show_code_by_link")
async def show_code(request: Request, token: str) -> Response:
    """Show the member their hand-over code: to a person who asked, not to whoever looks."""
    edge = edge_of(request)

    def work(connection: Connection, found: Found, scene: Scene) -> Response:
        try:
            key = (scene.exchange.platform_id, scene.exchange.id, scene.who)
            rules = Rules(scene.now, edge.codes)
            clocks.hold(connection, scene.exchange.platform_id)
            _point, digits, locked = helpers.show_code(connection, *key, rules)
        except Refusal as refusal:
            return show(edge, scene, status=409, error=taking.error(scene, refusal))
        links.used(connection, found, clock.now())
        if locked:
            return show(edge, scene)
        return _slip(edge, scene, digits)

    return await door.enter(request, token, work)


@router.get("/l/{token}/code", operation_id="leave_code_by_link")
async def leave_code(request: Request, token: str) -> Response:
    """The code's page was asked for without its button, as by the switch of languages: go back."""

    def work(_connection: Connection, _found: Found, scene: Scene) -> Response:
        return RedirectResponse(scene.link(), 303, HEADERS)

    return await door.enter(request, token, work)


def _slip(edge: Edge, scene: Scene, digits: str) -> Response:
    """Return the page of a code: to be told, shown, or printed and handed over."""
    # What stands behind '#' stays in the browser: no log of a server ever holds a proof.
    address = f"{edge.settings.public_url.rstrip('/')}/code#{edge.prover.sign(scene.exchange)}"
    shown = {
        "title": scene.title,
        "number": spoken(scene.exchange.id),
        "name": words.clean(scene.member.name) if scene.member.name else scene.platform,
        "shown": f"{digits[:3]}\u202f{digits[3:]}",
        # A screen reader says the digits one by one.
        "spelled": " ".join(digits),
        "square": qr.draw(address),
        "back": Button(scene.link(), scene.say("back"), link=True, main=False),
    }
    here = f"{scene.address}/code"
    return respond("code.html", scene.say, here=here, own=scene.own_locale, view=shown)


@router.get("/code", operation_id="scanned_code")
async def scanned_code(request: Request) -> Response:
    """Say what to do with a code that was read from a square; the digits never come here."""
    own = preferred(request.headers.get("accept-language", ""))
    say = Speech(language(door.asked(request), own), "member", {})
    return respond("scanned.html", say, here="/code", own=own)
