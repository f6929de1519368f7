"""The dispute desk: a mediator's queue, their cases, and what they write in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import hand_over, journal, queue
from disputes.cases import part_of
from disputes.commands import Command, effect_of
from disputes.model import Case, Cause, Stage
from disputes.outcomes import AGREEABLE, Outcome
from disputes.queue import Filters, Sort, Ticket, Whose
from disputes.recusal import Part
from ledger.refusals import Refusal
from service import db
from service.http import problems, shown_desk
from service.http.case_desk import mine, position_of, take, ticket_after
from service.http.edge import edge_of, json_response, request_id
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.mediator_auth import Neutral, mediator_of
from service.http.moment import moment_on
from service.http.pages import Cursor, Limit, page
from service.http.problems import documented
from service.http.schemas.base import CaseId, PlatformId
from service.http.schemas.mediation_cases import (
    DecideBody,
    DecideReviewsBody,
    DeskCaseOut,
    EffectBody,
    EffectOut,
    LiftFlagBody,
    ProposeToBothBody,
    ReviewAnswersOut,
    SayWhyBody,
    TicketPage,
)
from service.ids import encode, uuid7

router = APIRouter(prefix="/v1/mediation", tags=["Mediation"], route_class=StrictRoute)

Me = Annotated[Neutral, Depends(mediator_of("mediator", "supervisor"))]


@router.get(
    "/queue",
    operation_id="list_case_queue",
    summary="List cases that wait for a neutral",
    response_model=TicketPage,
    responses=documented(400),
)
async def list_case_queue(
    request: Request,
    me: Me,
    whose: Whose = Whose.MINE,
    sort: Sort = Sort.DUE,
    platform: PlatformId | None = None,
    stage: Annotated[list[Stage] | None, Query(description="Any of these.")] = None,
    cause: Annotated[list[Cause] | None, Query(description="Any of these.")] = None,
    reason: Annotated[list[str] | None, Query(max_length=20, description="Any of these.")] = None,
    gentle: bool | None = None,
    due_before: datetime | None = None,
    unit: Annotated[str | None, Query(max_length=20)] = None,
    least_amount: Annotated[int | None, Query(ge=1, description="Minor units.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Yours; a supervisor also sees those that `wait` for somebody, and `all` they serve.

    Amounts of different units cannot be compared: sort by `amount` with a `unit`.
    """
    filters = Filters(
        whose=whose,
        platform_id=platform,
        stages=frozenset(stage or ()),
        causes=frozenset(cause or ()),
        reasons=frozenset(reason or ()),
        gentle=gentle,
        due_before=due_before,
        unit=unit,
        least_amount=least_amount,
    )
    after = ticket_after(cursor)

    def work(connection: Connection) -> list[Ticket]:
        return queue.page(connection, me.mediator_id, filters, sort, after=after, limit=limit + 1)

    found = await edge_of(request).run(db.SYSTEM, work)
    return page(request, found, limit, shown_desk.ticket, position_of)


@router.get(
    "/short-reviews",
    operation_id="list_short_reviews",
    summary="List your short reviews with their facts",
    response_model=TicketPage,
    responses=documented(400),
)
async def list_short_reviews(
    request: Request, me: Me, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Exchanges in which nobody answered: what was agreed, and each word, code and reminder."""
    after = ticket_after(cursor)

    def work(connection: Connection) -> list[Ticket]:
        return queue.short_reviews(connection, me.mediator_id, after=after, limit=limit + 1)

    found = await edge_of(request).run(db.SYSTEM, work)
    return page(request, found, limit, shown_desk.ticket, position_of)


def _shown(connection: Connection, found: Case, me: Neutral, part: Part | None) -> dict[str, Any]:
    now = moment_on(connection, found.platform_id)
    lines = journal.read(connection, found.platform_id, found.id)
    return shown_desk.case(found, me.mediator_id, part, lines, now)


@router.post(
    "/queue/claim-next",
    operation_id="claim_next_case",
    summary="Take the next case that you may take",
    response_model=DeskCaseOut | None,
    responses=documented(409, 413, 415),
)
async def claim_next_case(request: Request, me: Me, key: KeyHeader = None) -> Response:
    """The one that is due first; whoever asks at the same moment gets another. Null: none waits."""
    edge = edge_of(request)

    def work(connection: Connection, now: datetime) -> Answer:
        found = hand_over.claim_next(connection, me.mediator_id, now)
        if found is None:
            return Answer(None)
        return Answer(_shown(connection, found, me, part_of(found)[0]))

    response = await once(request, edge, me, key, work)
    edge.wake()
    return response


@router.get(
    "/cases/{case}",
    operation_id="get_desk_case",
    summary="Read a case of yours",
    response_model=DeskCaseOut,
    responses=documented(404),
)
async def get_desk_case(request: Request, case: CaseId, me: Me) -> Response:
    """What was agreed and asked, what happened, and what you can do. Sides have no names here."""

    def work(connection: Connection) -> dict[str, Any]:
        found, part = mine(connection, case, me)
        return _shown(connection, found, me, part)

    return json_response(await edge_of(request).run(db.SYSTEM, work))


@router.post(
    "/cases/{case}/effect",
    operation_id="calculate_effect",
    summary="Calculate what an outcome would move",
    response_model=EffectOut,
    responses=documented(404, 413, 415),
)
async def calculate_effect(request: Request, case: CaseId, body: EffectBody, me: Me) -> Response:
    """For each leg, and summed by unit to exactly what is disputed. Nothing moves."""

    def work(connection: Connection) -> dict[str, Any]:
        found, _ = mine(connection, case, me)
        asked = Command("decide", found.id, outcome=body.outcome, split=body.parts())
        open_to = AGREEABLE | {Outcome(one["outcome"]) for one in found.file["outcomes"]}
        outcome, to_payee = effect_of(found, asked, open_to)
        return shown_desk.effect(outcome, found.lines, to_payee)

    return json_response(await edge_of(request).run(db.SYSTEM, work))


async def _step(
    request: Request, case: UUID, me: Neutral, key: str | None, step: str, **said: Any
) -> Response:
    """Take a step of a case; whoever it is not assigned to is told that there is none."""
    edge = edge_of(request)
    command = Command(step, uuid7(), mediator_id=me.mediator_id, **said)

    def work(connection: Connection, _now: datetime) -> Answer:
        found, part = mine(connection, case, me)
        outcome = take(connection, edge, found, command)
        if isinstance(outcome, Refusal):
            raise outcome
        return Answer(_shown(connection, outcome, me, part))

    response = await once(request, edge, me, key, work)
    edge.wake()
    return response


def _route(step: str, summary: str, operation: str) -> Callable[[Any], Any]:
    return router.post(
        f"/cases/{{case}}/{step}",
        operation_id=operation,
        summary=summary,
        response_model=DeskCaseOut,
        responses=documented(404, 409, 413, 415),
    )


@_route("propose", "Propose to both how to end it", "propose_to_both")
async def propose_to_both(
    request: Request, case: CaseId, body: ProposeToBothBody, me: Me, key: KeyHeader = None
) -> Response:
    """In mediation. It holds when both have accepted it; one no, and you decide."""
    said = {"outcome": body.outcome, "split": body.parts(), "text": body.text}
    return await _step(request, case, me, key, "propose", **said)


def _decision(body: DecideBody) -> dict[str, Any]:
    return {
        "outcome": body.outcome,
        "split": body.parts(),
        "reason_code": body.reason_code,
        "text": body.reasons,
    }


@_route("decide", "Decide", "decide_case")
async def decide_case(
    request: Request, case: CaseId, body: DecideBody, me: Me, key: KeyHeader = None
) -> Response:
    """One of the outcomes in the file, with reasons that both sides read.

    Where it weighs, or the outcome is unusual, a second person reads it before anybody is told.
    Nothing moves before the time to appeal is over.
    """
    return await _step(request, case, me, key, "decide", **_decision(body))


@_route("vote", "Give your word on an appeal", "vote_on_appeal")
async def vote_on_appeal(
    request: Request, case: CaseId, body: DecideBody, me: Me, key: KeyHeader = None
) -> Response:
    """What most of the panel decide alike holds; without such, the first decision."""
    return await _step(request, case, me, key, "vote", **_decision(body))


@_route("agree-with", "Agree with a colleague's decision", "agree_with_decision")
async def agree_with_decision(
    request: Request, case: CaseId, me: Me, key: KeyHeader = None
) -> Response:
    """As its second reader: both sides are told of it now."""
    return await _step(request, case, me, key, "agree_with")


@_route("send-back", "Send a colleague's decision back", "send_decision_back")
async def send_decision_back(
    request: Request, case: CaseId, body: SayWhyBody, me: Me, key: KeyHeader = None
) -> Response:
    """As its second reader: it is decided again, with what you say in mind."""
    return await _step(request, case, me, key, "send_back", text=body.reason)


@_route("lift-flag", "Let go on what was flagged", "lift_flag")
async def lift_flag(
    request: Request, case: CaseId, body: LiftFlagBody, me: Me, key: KeyHeader = None
) -> Response:
    """Nobody claims, and nothing is wrong: the exchange goes on as agreed."""
    said = {"reason_code": body.reason_code, "text": body.reasons}
    return await _step(request, case, me, key, "lift_flag", **said)


@_route("decline", "Give a case back", "decline_case")
async def decline_case(
    request: Request, case: CaseId, body: SayWhyBody, me: Me, key: KeyHeader = None
) -> Response:
    """Somebody else is drawn at once. You do not get this case again."""
    edge = edge_of(request)

    def work(connection: Connection, _now: datetime) -> Answer:
        found, _ = mine(connection, case, me)
        now = moment_on(connection, found.platform_id, hold=True)
        key_ = (connection, found.platform_id, case, me.mediator_id)
        moved = hand_over.decline(*key_, body.reason, os.urandom(32), now)
        return Answer(_shown(connection, moved, me, None))

    response = await once(request, edge, me, key, work)
    edge.wake()  # the worker tells the platform: that asks for the exchange before its case
    return response


@router.post(
    "/short-reviews/decide",
    operation_id="decide_short_reviews",
    summary="Decide several short reviews",
    response_model=ReviewAnswersOut,
    responses=documented(409, 413, 415),
)
async def decide_short_reviews(
    request: Request, body: DecideReviewsBody, me: Me, key: KeyHeader = None
) -> Response:
    """Each has its own reasons and its own answer: one's refusal does not touch another."""
    edge = edge_of(request)

    def one(connection: Connection, case_id: UUID, command: Command) -> Case | Refusal:
        try:
            found, _ = mine(connection, case_id, me)
            return take(connection, edge, found, command)
        except Refusal as refusal:
            return refusal

    def work(connection: Connection, _now: datetime) -> Answer:
        # In the order of their ids, so that two requests never wait for each other.
        order = sorted(range(len(body.decisions)), key=lambda at: body.decisions[at].case)
        found: dict[int, Case | Refusal] = {}
        for at in order:
            said = body.decisions[at]
            command = Command("decide", uuid7(), mediator_id=me.mediator_id, **_decision(said))
            found[at] = one(connection, said.case, command)
        return Answer(
            {
                "data": [
                    _answer(request, said.case, found[at]) for at, said in enumerate(body.decisions)
                ]
            }
        )

    response = await once(request, edge, me, key, work)
    edge.wake()
    return response


def _answer(request: Request, case_id: UUID, outcome: Case | Refusal) -> dict[str, Any]:
    if isinstance(outcome, Refusal):
        problem = problems.of_refusal(outcome, request_id(request))
        return {"case": encode("case", case_id), "stage": None, "problem": problem}
    return {"case": encode("case", case_id), "stage": outcome.stage, "problem": None}
