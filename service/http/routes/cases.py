"""Cases as their two sides meet them: to read, to settle, to appeal."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import journal as journals
from disputes import search
from disputes.commands import Command
from disputes.model import Case, Extra, Stage
from disputes.outcomes import Outcome, SplitInvalid
from disputes.steps import BY_NAME
from ledger.refusals import Refusal
from service.exchanges import cases
from service.exchanges.case_evidence import for_member
from service.exchanges.decide import Rules
from service.exchanges.refusals import ExtraInvalid
from service.http import shown_cases
from service.http.auth import Actor, anyone
from service.http.dispute_words import notice
from service.http.edge import edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.moment import moment
from service.http.pages import Cursor, Limit, decode_cursor, page, uuid_after, whole
from service.http.problems import documented
from service.http.schemas.base import CaseId, ExchangeId, MemberId
from service.http.schemas.cases import (
    AnswerCaseProposalBody,
    AnswerOfferBody,
    AppealBody,
    CaseOut,
    CasePage,
    CaseStepBody,
    DisputedLegBody,
    JournalPage,
    MakeOfferBody,
    SayingBody,
)
from service.ids import encode, uuid7

router = APIRouter(prefix="/v1/cases", tags=["Cases"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(anyone("cases:read"))]
Doer = Annotated[Actor, Depends(anyone("cases:write"))]


def _shown(
    connection: Connection, actor: Actor, found: Collection[Case], now: datetime
) -> list[dict[str, Any]]:
    """Return cases as the actor sees them; what is to be known beside them is asked for once."""
    beside = shown_cases.around(connection, actor.platform_id, found, now)
    me = actor.member_id
    return [shown_cases.case(one, None if me is None else one.side_of(me), beside) for one in found]


@router.get(
    "",
    operation_id="list_cases",
    summary="List cases",
    response_model=CasePage,
    responses=documented(400, 422),
)
async def list_cases(
    request: Request,
    actor: Reader,
    limit: Limit = 25,
    cursor: Cursor = None,
    stage: Annotated[list[Stage] | None, Query(description="One or more stages.")] = None,
    open_: Annotated[bool | None, Query(alias="open", description="Not closed yet.")] = None,
    exchange: ExchangeId | None = None,
    member: Annotated[MemberId | None, Query(description="Payer or payee.")] = None,
    reason: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Newest first. A member sees their own alone."""
    filters = search.Filters(
        stages=stage,
        open=open_,
        subject_id=exchange,
        member_id=member if actor.member_id is None else actor.member_id,
        reason=reason,
    )

    def work(connection: Connection) -> list[dict[str, Any]]:
        after = uuid_after(cursor)
        key = (connection, actor.platform_id, filters)
        found = search.page(*key, limit=limit + 1, after=after)
        ids.extend(one.id for one in found)
        return _shown(connection, actor, found, moment(connection, actor))

    ids: list[UUID] = []
    shown = await edge_of(request).run(actor.scope, work)
    position = {one["id"]: id_ for one, id_ in zip(shown, ids, strict=True)}
    return page(request, shown, limit, dict, lambda one: (position[one["id"]],))


@router.get(
    "/{case}",
    operation_id="get_case",
    summary="Read a case",
    response_model=CaseOut,
    responses=documented(404),
)
async def get_case(request: Request, case: CaseId, actor: Reader) -> Response:
    """Where it stands, what can be done next by whom, and what time will do.

    To a member who is on neither side there is none.
    """

    def work(connection: Connection) -> dict[str, Any]:
        found = for_member(connection, actor.platform_id, case, actor.member_id)
        (shown,) = _shown(connection, actor, [found], moment(connection, actor))
        return shown

    return json_response(await edge_of(request).run(actor.scope, work))


@router.get(
    "/{case}/journal",
    operation_id="list_case_journal",
    summary="Read the journal of a case",
    response_model=JournalPage,
    responses=documented(400, 404, 422),
)
async def list_case_journal(
    request: Request, case: CaseId, actor: Reader, limit: Limit = 100, cursor: Cursor = None
) -> Response:
    """Everything that happened, oldest first, in lines that nobody can change unseen."""

    def work(connection: Connection) -> list[journals.Line]:
        for_member(connection, actor.platform_id, case, actor.member_id)
        return journals.read(connection, actor.platform_id, case)

    (after,) = decode_cursor(cursor, whole) or (0,)
    lines = await edge_of(request).run(actor.scope, work)
    later = [line for line in lines if line.sequence > after][: limit + 1]
    shown = shown_cases.journal(later)
    return page(request, shown, limit, dict, lambda one: (one["sequence"],), notice=notice())


async def _step(
    request: Request,
    case: UUID,
    body: CaseStepBody,
    actor: Actor,
    key: str | None,
    step: str,
    **said: Any,
) -> Response:
    """Take a step of a case once, and answer the case as the actor sees it then."""
    edge = edge_of(request)
    command = Command(
        step,
        uuid7(),
        member_id=actor.acting_for(body.member),
        expected_version=body.version,
        **said,
    )

    def work(connection: Connection, now: datetime) -> Answer:
        for_member(connection, actor.platform_id, case, actor.member_id)
        rules = Rules(now, edge.codes)
        try:
            (outcome,) = cases.act(connection, actor.platform_id, [(case, command)], rules)
        except ExtraInvalid as refusal:
            raise _spoken(refusal) from None
        if isinstance(outcome, Refusal):
            raise _spoken(outcome)
        (shown,) = _shown(connection, actor, [outcome], now)
        return Answer(shown)

    response = await once(request, edge, actor, key, work)
    edge.wake()
    return response


def _spoken(refusal: Refusal) -> Refusal:
    """Return a refusal that names parts of the body and of what is disputed as the API does."""
    if isinstance(refusal, ExtraInvalid):
        refusal.pointer = "/extra/amount/unit"
    if isinstance(refusal, SplitInvalid):
        refusal.pointer = refusal.pointer or "/split"
        if "lines" in refusal.facts:
            refusal.facts["lines"] = [encode("leg", UUID(one)) for one in refusal.facts["lines"]]
        if "line" in refusal.facts:
            refusal.facts["line"] = encode("leg", UUID(refusal.facts["line"]))
    return refusal


def _split(lines: list[DisputedLegBody] | None) -> dict[UUID, int] | None:
    """Return what the payee gets by leg.

    Raises:
        SplitInvalid: a leg is named twice.
    """
    if lines is None:
        return None
    found: dict[UUID, int] = {}
    for index, line in enumerate(lines):
        if line.leg in found:
            raise SplitInvalid("Name each leg once.", pointer=f"/split/{index}/leg")
        found[line.leg] = line.to_payee
    return found


_RESPONSES: Final = documented(400, 404, 409, 413, 415, 422)


def _route(step: str, summary: str, operation: str | None = None) -> Callable[[Any], Any]:
    """Declare a step's address, documented from the table."""
    row = BY_NAME[step]
    return router.post(
        f"/{{case}}/{step.replace('_', '-')}",
        operation_id=operation or step,
        summary=summary,
        description=f"{row.outcome} By: {row.by.value.replace('_', ' ')}.",
        response_model=CaseOut,
        responses=_RESPONSES,
    )


@_route("make_offer", "Offer how to end a case")
async def make_offer(
    request: Request, case: CaseId, body: MakeOfferBody, actor: Doer, key: KeyHeader = None
) -> Response:
    """Either side; a new offer takes the place of the one before."""
    extra = body.extra
    said = {
        "outcome": Outcome(body.outcome),
        "split": _split(body.split),
        "text": body.text,
        "extra": extra and Extra(extra.by, extra.amount.unit, extra.amount.amount),
    }
    return await _step(request, case, body, actor, key, "make_offer", **said)


def _answers_offer(step: str, summary: str) -> None:
    async def answer(
        request: Request, case: CaseId, body: AnswerOfferBody, actor: Doer, key: KeyHeader = None
    ) -> Response:
        return await _step(request, case, body, actor, key, step, about=body.offer)

    _route(step, summary)(answer)


_answers_offer("withdraw_offer", "Take one's own offer back")
_answers_offer("reject_offer", "Say no to an offer")
_answers_offer("accept_offer", "Say yes to an offer")


def _answers_proposal(step: str, summary: str, operation: str) -> None:
    async def answer(
        request: Request,
        case: CaseId,
        body: AnswerCaseProposalBody,
        actor: Doer,
        key: KeyHeader = None,
    ) -> Response:
        return await _step(request, case, body, actor, key, step, about=body.proposal)

    _route(step, summary, operation)(answer)


_answers_proposal("accept_proposal", "Say yes to the neutral's proposal", "accept_case_proposal")
_answers_proposal("reject_proposal", "Say no to the neutral's proposal", "reject_case_proposal")


@_route("appeal", "Ask for other people")
async def appeal(
    request: Request, case: CaseId, body: AppealBody, actor: Doer, key: KeyHeader = None
) -> Response:
    """Once a case, within the time that the decision leaves, before anything moves."""
    said = {"reason_code": body.ground, "text": body.text}
    return await _step(request, case, body, actor, key, "appeal", **said)


def _plain(step: str, summary: str) -> None:
    async def take(
        request: Request, case: CaseId, body: CaseStepBody, actor: Doer, key: KeyHeader = None
    ) -> Response:
        return await _step(request, case, body, actor, key, step)

    _route(step, summary)(take)


_plain("withdraw_claim", "Take a claim back")
_plain("call_mediator", "Ask for a neutral person")
_plain("confirm_returned", "Say that it came back")
_plain("confirm_repaired", "Say that it is mended")


def _with_words(step: str, summary: str) -> None:
    async def take(
        request: Request, case: CaseId, body: SayingBody, actor: Doer, key: KeyHeader = None
    ) -> Response:
        return await _step(request, case, body, actor, key, step, text=body.text)

    _route(step, summary)(take)


_with_words("mark_returned", "Say that it was sent back")
_with_words("mark_repaired", "Say that it was mended")
_with_words("reject_repair", "Say that it is not mended")
_with_words("challenge", "Ask for another neutral person")
