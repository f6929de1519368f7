"""Pages on which mediators get in and out: password and code, and an invitation before it."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from ledger.refusals import Refusal
from service.http import accounts
from service.http.statuses import STATUS
from service.mediators.accounts import Invitation
from service.web import qr
from service.web.desk import door, frame, session
from service.web.desk.door import KEPT
from service.web.desk.frame import Frame
from service.web.render import HEADERS

router = APIRouter(prefix="/desk", include_in_schema=False)
#: After every other page of the desk.
nowhere = APIRouter(prefix="/desk", include_in_schema=False)

_LONGEST: Final = 200
_LONGEST_URI: Final = 600


@router.get("", operation_id="desk")
async def desk() -> Response:
    """Lead to the queue."""
    return RedirectResponse("/desk/queue", 303, HEADERS)


@router.get("/sign-in", operation_id="desk_sign_in_page")
async def sign_in_page(request: Request, to: str = "") -> Response:
    """Ask for address, password and code; whoever is signed in goes on."""
    seen = await frame.enter(request)
    if seen.visit is not None and "lang" not in request.query_params:
        return seen.go(door.local(to))
    return door.sign_in(seen, to=to)


@router.post("/sign-in", operation_id="desk_sign_in")
async def sign_in(request: Request) -> Response:
    """Open a session; what somebody had sent when theirs was over goes on from here."""
    seen = await frame.enter(request)
    if frame.is_foreign(request):
        return door.gone(seen, "foreign", 403)
    form = await frame.fields(request)
    kept = {name.removeprefix(KEPT): said for name, said in form.items() if name.startswith(KEPT)}
    to, email = door.local(form.get("to", "")), form.get("email", "")[:_LONGEST]
    edge, network = seen.edge, accounts.network_of(request)
    password, code = form.get("password", ""), _digits(form.get("code", ""))
    try:
        opened = await accounts.open_session(edge, network, email, password, code)
    except Refusal as refusal:
        status, error = STATUS[type(refusal)], seen.refused(refusal)
        return door.sign_in(seen, status=status, to=to, error=error, kept=kept, email=email)
    response = seen.page("kept", to=to, kept=kept) if kept else seen.go(to)
    session.begin(response, edge, opened.mediator_id, opened.id, opened.expires_at)
    return response


@router.post("/sign-out", operation_id="desk_sign_out")
async def sign_out(request: Request) -> Response:
    """End the session, here and everywhere."""
    seen = await frame.enter(request)
    if frame.is_foreign(request):
        return door.gone(seen, "foreign", 403)
    if seen.visit is not None:
        await accounts.end_session(seen.edge, seen.me)
    response = RedirectResponse("/desk/signed-out", 303, HEADERS)
    session.end(response, seen.edge.settings)
    return response


@router.get("/signed-out", operation_id="desk_signed_out")
async def signed_out(request: Request) -> Response:
    """Say that the session has ended."""
    return door.gone(await frame.enter(request), "signed_out", 200)


@router.post("/stay", operation_id="desk_stay")
async def stay(request: Request) -> Response:
    """Stay signed in: any page does that, and this one changes nothing else."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    seen, form = came
    return seen.go(door.local(form.get("to", "")))


@router.get("/stay", operation_id="desk_leave_stay")
async def leave_stay(request: Request) -> Response:
    """Lead to the queue: the address was asked for without its button."""
    seen = await door.look(request)
    return seen if isinstance(seen, Response) else seen.go("/desk/queue")


@router.get("/account", operation_id="desk_account_page")
async def account_page(request: Request, done: str = "") -> Response:
    """Show who is signed in, and let them change their password."""
    seen = await door.look(request)
    if isinstance(seen, Response):
        return seen
    said = seen.speech("desk")("account.changed") if done else None
    return _account(seen, done=said)


@router.post("/account", operation_id="desk_change_password")
async def change_password(request: Request) -> Response:
    """Change the password, for whoever knows the present one."""
    came = await door.send(request)
    if isinstance(came, Response):
        return came
    seen, form = came
    current, wanted = form.get("current", ""), form.get("password", "")
    try:
        await accounts.change_password(
            seen.edge, accounts.network_of(request), seen.me, current, wanted
        )
    except Refusal as refusal:
        return _account(seen, status=STATUS[type(refusal)], error=seen.refused(refusal))
    return seen.go("/desk/account?done=1")


def _account(
    seen: Frame, *, status: int = 200, error: str | None = None, done: str | None = None
) -> Response:
    return seen.page("account", at="account", status=status, error=error, done=done, me=seen.me)


@router.get("/invitations/{token}", operation_id="desk_invitation_page")
async def invitation_page(request: Request, token: str) -> Response:
    """Ask for a password. Nothing changes by looking."""
    seen = await frame.enter(request)
    try:
        invitation = await accounts.invited(seen.edge, token[:_LONGEST])
    except Refusal:
        return door.gone(seen, "invitation", 404)
    return seen.page("invitation", invitation=invitation, square=None, uri=None, key=None)


@router.post("/invitations/{token}", operation_id="desk_take_up_invitation")
async def take_up(request: Request, token: str) -> Response:
    """Choose a password, then show that the authenticator knows the secret."""
    seen = await frame.enter(request)
    if frame.is_foreign(request):
        return door.gone(seen, "foreign", 403)
    form, edge, token = await frame.fields(request), seen.edge, token[:_LONGEST]
    uri = form.get("uri") or None
    try:
        invitation = await accounts.invited(edge, token)
        if "code" in form:
            network = accounts.network_of(request)
            await accounts.confirm(edge, network, token, _digits(form["code"]))
            return seen.go("/desk/opened")
        invitation, uri = await accounts.choose(edge, token, form.get("password", ""))
    except Refusal as refusal:
        if refusal.code == "invitation_not_found":
            return door.gone(seen, "invitation", 404)
        status, error = STATUS[type(refusal)], seen.refused(refusal)
        # A code that was mistyped is typed again: the square stays as it is.
        shown = uri if refusal.code == "code_refused" else None
        return _square(seen, invitation, shown, status=status, error=error)
    return _square(seen, invitation, uri)


@router.get("/opened", operation_id="desk_opened")
async def opened(request: Request) -> Response:
    """Say that the account is open, with the way in."""
    return door.gone(await frame.enter(request), "opened", 200)


def _square(
    seen: Frame,
    invitation: Invitation,
    uri: str | None,
    *,
    status: int = 200,
    error: str | None = None,
) -> Response:
    """Return the page of the authenticator's square, or (without one) that of the password."""
    if uri is None or not uri.startswith("otpauth://totp/") or len(uri) > _LONGEST_URI:
        parts: dict[str, Any] = {"square": None, "uri": None, "key": None}
    else:
        (key,) = parse_qs(urlsplit(uri).query).get("secret", [""])
        shown = " ".join(key[at : at + 4] for at in range(0, len(key), 4))
        parts = {"square": qr.draw(uri), "uri": uri, "key": shown}
    return seen.page("invitation", status=status, error=error, invitation=invitation, **parts)


def _digits(code: str) -> str:
    """Return a code without the spaces that people write in it."""
    return "".join(code.split())[:_LONGEST]


@nowhere.get("/{rest:path}", operation_id="desk_nowhere")
async def show_nowhere(request: Request) -> Response:
    """Say to people, in words, that there is nothing at an address."""
    seen = await door.look(request)
    return seen if isinstance(seen, Response) else door.gone(seen, "unknown", 404)
