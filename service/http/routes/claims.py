"""Claims about an exchange: the reasons that there are, and the steps that open a case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from disputes.outcomes import Side
from service.exchanges.commands import ClaimDraft, Command, Who
from service.exchanges.kinds import Kind
from service.exchanges.refusals import ClaimIncomplete
from service.exchanges.steps import BY_NAME
from service.http import shown_reasons
from service.http.auth import Actor, anyone, platform_key
from service.http.edge import json_response
from service.http.idempotency import KeyHeader
from service.http.jsonbody import StrictRoute
from service.http.problems import documented
from service.http.routes.steps import Doer, command_of, take_step
from service.http.schemas.base import ExchangeId
from service.http.schemas.claims import ClaimBody, ClaimLegBody, FlagBody, ReasonList
from service.http.schemas.exchanges import ExchangeOut

router = APIRouter(prefix="/v1", route_class=StrictRoute)

_FLAGGED: Final = "pressure_or_scam"


def _draft(draft: ClaimDraft, legs: Sequence[ClaimLegBody]) -> ClaimDraft:
    """Return the draft with the legs that a body names.

    Raises:
        ClaimIncomplete: one is named twice.
    """
    named = [one.leg for one in legs]
    for index, leg in enumerate(named):
        if leg in named[:index]:
            raise ClaimIncomplete(
                "Name each leg once, with how much of it is disputed.",
                pointer=f"/legs/{index}/leg",
            )
    amounts = {one.leg: one.amount for one in legs if one.amount is not None}
    return replace(draft, legs=tuple(named), amounts=amounts)


@router.get(
    "/claim-reasons",
    operation_id="list_claim_reasons",
    summary="List the reasons to claim",
    tags=["Cases"],
    response_model=ReasonList,
    responses=documented(422),
)
async def list_claim_reasons(
    _actor: Annotated[Actor, Depends(anyone("cases:read"))],
    kind: Annotated[Kind | None, Query(description="Of the exchange.")] = None,
    by: Annotated[Side | None, Query(description="The side that would claim.")] = None,
) -> Response:
    """What each asks of whom, how it can end with what effect, and what happens when.

    In the members' languages, for a form that a member fills in.
    """
    return json_response(shown_reasons.reasons(kind, by))


@router.post(
    "/exchanges/{exchange}/claim",
    operation_id="claim",
    summary="Claim that something is wrong",
    description=f"{BY_NAME['claim'].outcome} By: party. What is disputed waits for the case in "
    "`case`; the rest goes on as agreed. One case at a time.",
    tags=["Steps of an exchange"],
    response_model=ExchangeOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def claim(
    request: Request, exchange: ExchangeId, body: ClaimBody, actor: Doer, key: KeyHeader = None
) -> Response:
    """Either side."""
    draft = ClaimDraft(body.reason, answers=body.answers, text=body.text, gentle=body.more_time)
    command = command_of("claim", exchange, actor, body)
    command = replace(command, claim=_draft(draft, body.legs))
    return await take_step(request, actor, key, command)


@router.post(
    "/exchanges/{exchange}/flag",
    operation_id="flag",
    summary="Flag an exchange that looks like fraud",
    description=f"{BY_NAME['flag'].outcome} By: the platform, for neither side. It accuses nobody: "
    "a neutral person decides, or lets the exchange go on.",
    tags=["Steps of an exchange"],
    response_model=ExchangeOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def flag(
    request: Request,
    exchange: ExchangeId,
    body: FlagBody,
    actor: Annotated[Actor, Depends(platform_key("cases:write"))],
    key: KeyHeader = None,
) -> Response:
    """The platform."""
    draft = _draft(ClaimDraft(_FLAGGED, text=body.text), body.legs)
    command = Command(exchange, "flag", Who(None, actor.via), claim=draft)
    return await take_step(request, actor, key, command)
