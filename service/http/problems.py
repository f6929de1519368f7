"""Errors as RFC 9457 problems: one table from each refusal to its status, and one shape for all.

``type`` is a URN that names the code; ``code`` repeats it for programs, ``detail`` is for people,
``pointer`` (RFC 6901) names the field at fault, ``facts`` helps to mend the request.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from psycopg import OperationalError
from psycopg.errors import (
    AdminShutdown,
    CannotConnectNow,
    DeadlockDetected,
    LockNotAvailable,
    QueryCanceled,
    SerializationFailure,
    TooManyConnections,
)
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path

from disputes import hand_over, mediators, outcomes, queue, reasons, redecisions, strikes
from disputes import refusals as cases
from ledger import refusals as books
from ledger.refusals import Refusal
from service.events import catalogue, endpoints, guard, replays, signing
from service.events.outbox import EventNotFound
from service.exchanges import evidence, leaving, losses, pauses, payouts, returns
from service.exchanges import refusals as exchanges
from service.http import hints
from service.http import refusals as http
from service.mediators import accounts, passwords, sessions, sign_in, throttle
from service.messages import bounces, links
from service.messages import store as messages
from service.operations import dead_letters, outages
from service.payments import connected, contests, reconcile, resolutions
from service.payments import payee as payees
from service.payments.payments import PaymentNotFound
from service.payments.port import ForgedEvent, NoProvider
from service.payments.vault import SecretsUnreadable
from service.platforms import keys, members, platforms, scopes, tokens
from service.sandbox import refusals as sandbox

_log = structlog.get_logger(__name__)

#: Ended by the database for want of time or place: the same request may do a moment later.
_PASSING: Final = (
    AdminShutdown,
    CannotConnectNow,
    DeadlockDetected,
    LockNotAvailable,
    QueryCanceled,
    SerializationFailure,
    TooManyConnections,
)

MEDIA_TYPE: Final = "application/problem+json"

#: The status of every refusal. A test fails for a refusal that is not here.
STATUS: Final[dict[type[Refusal], int]] = {
    http.BadRequest: 400,
    http.IdempotencyKeyMissing: 400,
    http.IdempotencyKeyInvalid: 400,
    http.InvalidCursor: 400,
    http.NotSignedIn: 401,
    tokens.BadToken: 401,
    http.ScopeMissing: 403,
    http.RoleMissing: 403,
    sign_in.SignInRefused: 401,
    sign_in.PasswordWrong: 422,
    sessions.SessionOver: 401,
    passwords.WeakPassword: 422,
    accounts.InvitationNotFound: 404,
    accounts.PasswordFirst: 409,
    accounts.CodeRefused: 422,
    accounts.MediatorEnded: 409,
    throttle.TooManyTries: 429,
    http.MemberOnly: 403,
    http.NotYourself: 403,
    exchanges.NotAParty: 403,
    exchanges.CodeNotYours: 403,
    exchanges.NotYourStep: 403,
    http.NotFound: 404,
    http.UnitNotFound: 404,
    platforms.PlatformNotFound: 404,
    keys.KeyNotFound: 404,
    members.MemberNotFound: 404,
    exchanges.ExchangeNotFound: 404,
    contests.ChargebackNotFound: 404,
    resolutions.DifferenceNotFound: 404,
    PaymentNotFound: 404,
    payees.PayoutAccountNotFound: 404,
    payees.UnknownProviderObject: 404,
    EventNotFound: 404,
    endpoints.EndpointNotFound: 404,
    replays.DeliveryNotFound: 404,
    messages.MessageNotFound: 404,
    links.LinkNotFound: 404,
    dead_letters.DeadLetterNotFound: 404,
    books.PostingNotFound: 404,
    sandbox.ScriptNotFound: 404,
    sandbox.LiveTimeIsReal: 409,
    sandbox.ClockIsMoving: 409,
    sandbox.TooManyScripts: 409,
    sandbox.ClockCannotGoBack: 422,
    sandbox.TooFarAhead: 422,
    http.IdempotencyKeyInUse: 409,
    members.ExternalIdTaken: 409,
    cases.CaseClosed: 409,
    cases.CaseNotFound: 404,
    cases.CaseOpen: 409,
    cases.NobodyEligible: 409,
    cases.NotNowInCase: 409,
    cases.TooSoon: 409,
    cases.NotYourCase: 404,
    cases.NotYourTurn: 403,
    cases.NothingOpen: 409,
    cases.AlreadyAccepted: 409,
    cases.AlreadyVoted: 409,
    cases.OutcomeNotOpen: 422,
    cases.ReasonsMissing: 422,
    cases.ChallengeUsed: 409,
    hand_over.NotAvailable: 409,
    mediators.MediatorEmailTaken: 409,
    mediators.MediatorInvalid: 422,
    mediators.MediatorNotFound: 404,
    mediators.PoolNotFound: 404,
    queue.SupervisorOnly: 403,
    redecisions.AlreadyRedecided: 409,
    strikes.CoolDown: 409,
    strikes.StrikeInvalid: 422,
    outcomes.SplitInvalid: 422,
    reasons.UnknownReason: 422,
    members.MemberErased: 409,
    pauses.PauseNotFound: 404,
    pauses.InvalidPause: 422,
    pauses.PauseOver: 409,
    leaving.MemberBusy: 409,
    keys.KeyEnded: 409,
    dead_letters.DeadLetterResolved: 409,
    outages.InvalidOutage: 422,
    books.UnitTaken: 409,
    books.AlreadyReversed: 409,
    books.CreditLimitPassed: 409,
    exchanges.ExternalIdTaken: 409,
    exchanges.StepNotAllowed: 409,
    exchanges.DeadlinePassed: 409,
    exchanges.ExchangeFrozen: 409,
    exchanges.StaleVersion: 409,
    exchanges.StaleTerms: 409,
    exchanges.CheckpointNotCurrent: 409,
    exchanges.AlreadyConfirmed: 409,
    exchanges.NothingToWithdraw: 409,
    exchanges.CodeLocked: 409,
    exchanges.CodeNotLocked: 409,
    exchanges.CodesUsedUp: 409,
    exchanges.NoOpenProposal: 409,
    exchanges.BelowCreditLimit: 409,
    exchanges.TooManySteps: 409,
    payouts.BalanceTooLow: 409,
    returns.ChargebackOpen: 409,
    losses.NothingMissing: 409,
    contests.ChargebackOver: 409,
    evidence.NothingToShow: 409,
    resolutions.DifferenceResolved: 409,
    resolutions.DifferenceInFlight: 409,
    resolutions.StillUnexplained: 409,
    resolutions.NothingToMove: 409,
    resolutions.MemberHasLess: 409,
    reconcile.DayNotOver: 409,
    payees.PayeeNotReady: 409,
    payees.PayoutAccountElsewhere: 409,
    payees.ProviderDeclined: 409,
    NoProvider: 409,
    connected.NotConnected: 409,
    connected.ConnectionInUse: 409,
    connected.AccountTaken: 409,
    connected.AnotherAccount: 409,
    connected.TooManySecrets: 409,
    SecretsUnreadable: 409,
    endpoints.TooManyEndpoints: 409,
    endpoints.SecretInUse: 409,
    replays.EndpointDisabled: 409,
    messages.MessageUnderWay: 409,
    http.BodyTooLarge: 413,
    http.WrongMediaType: 415,
    http.InvalidBody: 422,
    http.InvalidText: 422,
    http.IdempotencyKeyReused: 422,
    http.MemberRequired: 422,
    scopes.UnknownScope: 422,
    books.UnknownUnit: 422,
    books.InvalidUnit: 422,
    books.InvalidPosting: 422,
    returns.TooMuchBack: 422,
    resolutions.MemberUnclear: 422,
    resolutions.NotReversed: 422,
    exchanges.InvalidTerms: 422,
    exchanges.UnknownMember: 422,
    exchanges.ErasedMember: 422,
    exchanges.UnknownUnit: 422,
    exchanges.UnknownCheckpoint: 422,
    exchanges.WrongCode: 422,
    exchanges.SplitDoesNotSum: 422,
    exchanges.PaymentMethodRefused: 422,
    connected.WrongKeyMode: 422,
    connected.OverlapTooLong: 422,
    guard.AddressRefused: 422,
    signing.InvalidSecret: 422,
    catalogue.UnknownEventType: 422,
    replays.ReplayTooLarge: 422,
    ForgedEvent: 400,
    bounces.NotABounce: 400,
    payees.ProviderSilent: 503,
}

TITLES: Final = {
    400: "The request is not understood",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Not possible here",
    409: "Not possible now",
    413: "Too large",
    415: "Wrong kind of content",
    422: "The request cannot be carried out as it is",
    429: "Too often",
    500: "Our mistake",
    503: "Busy",
}


class Problem(BaseModel):
    """What every error looks like (RFC 9457)."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(examples=["urn:tierce:problem:stale_version"])
    title: str
    status: int
    detail: str = Field(description="What is wrong and how to mend it, for a developer.")
    code: str = Field(description="Stable name of the reason.", examples=["stale_version"])
    request_id: str
    pointer: str | None = Field(default=None, description="JSON Pointer to the field at fault.")
    errors: list[dict[str, str]] | None = Field(
        default=None, description="Every field at fault, when there are several."
    )
    facts: dict[str, Any] = Field(default_factory=dict, description="What helps to mend it.")


def problem_body(
    status: int, code: str, detail: str, request_id: str, **more: Any
) -> dict[str, Any]:
    """Return the JSON of a problem; parts that are None are left out."""
    body = {
        "type": f"urn:tierce:problem:{code}",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        **more,
    }
    return {name: value for name, value in body.items() if value is not None}


def of_refusal(refusal: Refusal, request_id: str) -> dict[str, Any]:
    """Return the problem of a refusal."""
    return problem_body(
        STATUS[type(refusal)],
        refusal.code,
        refusal.detail,
        request_id,
        pointer=refusal.pointer,
        facts=refusal.facts,
    )


def respond(body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """Return the response of a problem."""
    return Response(orjson.dumps(body), body["status"], headers, MEDIA_TYPE)


def _request_id(request: Request) -> str:
    return str(request.scope.get("tierce.request_id", ""))


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    body = of_refusal(error, _request_id(request))
    headers = {}
    if body["status"] == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="Tierce"'
    if isinstance(error, http.IdempotencyKeyInUse):
        headers["Retry-After"] = "1"
    if isinstance(error, throttle.TooManyTries):
        headers["Retry-After"] = str(error.facts["wait_seconds"])
    return respond(body, headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    """Pydantic's complaints: a path that names nothing is 404, the rest 422 with pointers."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["loc"][0] == "path" for one in found):
        return await _on_refusal(request, http.NotFound("There is nothing at this address."))
    errors = invalid_errors(found, body=error.body)
    return respond(
        problem_body(
            422,
            "invalid_request",
            f"{errors[0]['pointer'] or 'The request'}: {errors[0]['detail']}",
            _request_id(request),
            pointer=errors[0]["pointer"],
            errors=errors,
            facts={},
        )
    )


def invalid_errors(
    found: Sequence[Any], inside: tuple[int | str, ...] = (), body: Any = None
) -> list[dict[str, str]]:
    """Return pydantic's complaints about ``body`` as pointers and words.

    ``inside`` is where the body stands in a larger one.
    """
    return [
        {
            "pointer": _pointer(("body", *inside, *one["loc"]) if inside else one["loc"]),
            "detail": _words(one, body, one["loc"] if inside else one["loc"][1:]),
        }
        for one in found
    ]


_SHAPE: Final = re.compile(r"(literal|list|dict|tuple|function-\w+|constrained-\w+)\[")


def _pointer(location: tuple[int | str, ...]) -> str:
    """``("body", "legs", 0)`` → ``/legs/0``; other places keep their name: ``/query/limit``."""
    parts = location[1:] if location[0] == "body" else location
    # Of a field that takes several shapes, the checker names the shape beside the field.
    parts = tuple(part for part in parts if not _SHAPE.match(str(part)))
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def _words(error: Any, body: Any, location: tuple[int | str, ...]) -> str:
    if location[-1:] == ("amount",) and error["type"].startswith("int"):
        beside = body
        for part in location[:-1]:
            found = isinstance(beside, dict) or (isinstance(beside, list) and isinstance(part, int))
            beside = beside[part] if found else None
        return hints.amount(
            error["input"], beside.get("unit") if isinstance(beside, dict) else None
        )
    return str(error["msg"]).removeprefix("Value error, ")


async def _on_http(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: no such route, no such method."""
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    details = {
        404: "There is nothing at this address.",
        405: "This address does not take this method; see the Allow header.",
    }
    body = problem_body(
        error.status_code,
        codes.get(error.status_code, "http_error"),
        details.get(error.status_code, str(error.detail)),
        _request_id(request),
        facts={},
    )
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_allowed(request)))
    return respond(body, headers)


def _allowed(request: Request) -> set[str]:
    """Every method that some operation takes at this address.

    The framework names those of the first route that has the address, and there can be two.
    """
    methods: set[str] = set()
    for path, operations in request.app.openapi()["paths"].items():
        if compile_path(path)[0].match(request.scope["path"]):
            methods |= {method.upper() for method in operations}
    return methods


async def _on_database(request: Request, error: Exception) -> Response:
    """A row or a connection could not be had in time: say so, and when to come back."""
    orig = getattr(error, "orig", None)
    # Without a SQLSTATE the server never answered: it is down, or out of reach.
    unreachable = isinstance(orig, OperationalError) and orig.sqlstate is None
    if unreachable or isinstance(error, PoolTimeoutError) or isinstance(orig, _PASSING):
        _log.warning("busy", error=str(error))
        detail = "The service is busy; send the same request again, with the same key."
        return respond(
            problem_body(503, "busy", detail, _request_id(request), facts={}),
            {"Retry-After": "1"},
        )
    return of_bug(error, _request_id(request))


def of_bug(error: Exception, request_id: str) -> Response:
    """Return the response to a mistake of ours, and log what it was."""
    _log.error("unexpected_error", exc_info=error)
    detail = (
        "Something went wrong on our side. Send the same request again, with the same key; if it "
        "stays so, quote the request_id."
    )
    return respond(problem_body(500, "internal_error", detail, request_id, facts={}))


def install(app: FastAPI) -> None:
    """Register every handler. What none of them takes is answered by the outermost layer."""
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(DBAPIError, _on_database)
    app.add_exception_handler(PoolTimeoutError, _on_database)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses`` of a route: the problems it can answer with."""
    return {
        status: {
            "description": TITLES[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in sorted({400, 401, 403, 422, 500, 503, *statuses})
    }
