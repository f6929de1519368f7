"""A mediator's own at the dispute desk: profile, ties, figures, strikes, second decisions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.responses import Response

from disputes import mediators, queue, redecisions, statistics, strikes, ties
from disputes.recusal import Tie, TieKind
from disputes.refusals import CaseNotFound
from service import clock, db
from service.exchanges import cases
from service.http import shown_mediators, shown_own, striking
from service.http.edge import edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.mediator_auth import Neutral, mediator_of
from service.http.moment import moment_on
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.schemas.base import CaseId, Instant, RedecisionId, StrikeId, TieId
from service.http.schemas.mediation_own import (
    OwnChanges,
    OwnStatisticsOut,
    RedecideBody,
    RedecidedOut,
    RedecisionFileOut,
    RedecisionPage,
    StrikeBody,
    StrikeOut,
    StrikesOut,
)
from service.http.schemas.mediator_desk import InterestBody, TieOut, TiePage
from service.http.schemas.mediators import MediatorOut
from service.mediators import accounts
from service.platforms import members, platforms

router = APIRouter(prefix="/v1/mediation", tags=["Mediation"], route_class=StrictRoute)

Anybody = Annotated[Neutral, Depends(mediator_of())]
Me = Annotated[Neutral, Depends(mediator_of("mediator", "supervisor"))]
Supervisor = Annotated[Neutral, Depends(mediator_of("supervisor"))]
#: How far figures look back unless they are asked otherwise.
_YEAR: Final = timedelta(days=365)
#: As many cases to decide again as are shown at once; nobody has more than a few.
_MOST: Final = 100


@router.get(
    "/me/profile",
    operation_id="get_own_profile",
    summary="Read your profile",
    response_model=MediatorOut,
    responses=documented(),
)
async def get_own_profile(request: Request, me: Anybody) -> Response:
    """What you are drawn by."""
    found = await edge_of(request).run(db.SYSTEM, lambda c: mediators.get(c, me.mediator_id))
    return json_response(shown_mediators.mediator(found))


@router.patch(
    "/me/profile",
    operation_id="change_own_profile",
    summary="Change your profile",
    response_model=MediatorOut,
    responses=documented(409, 413, 415),
)
async def change_own_profile(request: Request, body: OwnChanges, me: Anybody) -> Response:
    """What you speak and know, how much you take, and until when you are away.

    It holds from the next draw on. Name, roles and the most that you may take are the operator's.
    """
    changes, now = body.model_dump(exclude_unset=True), clock.now()
    changed = await edge_of(request).run(
        db.SYSTEM, lambda c: accounts.change(c, me.mediator_id, changes, now)
    )
    return json_response(shown_mediators.mediator(changed))


@router.get(
    "/me/statistics",
    operation_id="get_own_statistics",
    summary="Read your figures",
    response_model=OwnStatisticsOut,
    responses=documented(400),
)
async def get_own_statistics(
    request: Request, me: Me, since: Instant | None = None, until: Instant | None = None
) -> Response:
    """Of the last 365 days unless asked otherwise; nobody else's."""
    to = until or clock.now()
    since_ = since or to - _YEAR
    (found,) = await edge_of(request).run(
        db.SYSTEM, lambda c: statistics.of_mediators(c, since_, to, me.mediator_id)
    )
    return json_response(shown_own.figures(found, since_, to))


@router.get(
    "/interests",
    operation_id="list_own_interests",
    summary="List what ties you",
    response_model=TiePage,
    responses=documented(400),
)
async def list_own_interests(
    request: Request, me: Me, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """What you told yourself, oldest first, ended ones too."""
    found = await edge_of(request).run(
        db.SYSTEM,
        lambda c: ties.page(
            c, uuid_after(cursor), limit + 1, mediator_id=me.mediator_id, by="mediator"
        ),
    )
    return page(request, found, limit, shown_mediators.tie, lambda one: (one.id,))


@router.post(
    "/interests",
    operation_id="declare_interest",
    summary="Tell what ties you",
    status_code=201,
    response_model=TieOut,
    responses=documented(404, 409, 413, 415),
)
async def declare_interest(
    request: Request, body: InterestBody, me: Me, key: KeyHeader = None
) -> Response:
    """You are given nothing that it touches any more. A case that you have goes to somebody else,
    and until then you can do nothing in it. Neither side is told what ties you.
    """
    tie = Tie(TieKind(body.kind), body.platform, body.member)

    def work(connection: Connection, now: datetime) -> Answer:
        platforms.find(connection, body.platform)
        if body.member is not None:
            members.find(connection, body.platform, body.member)
        made = mediators.declare(connection, me.mediator_id, tie, body.note, now, by="mediator")
        return Answer(shown_mediators.tie(ties.get(connection, made)), 201)

    edge = edge_of(request)
    response = await once(request, edge, me, key, work)
    edge.wake()  # the worker draws others for what they had
    return response


@router.post(
    "/interests/{tie}/end",
    operation_id="end_own_interest",
    summary="End what ties you",
    response_model=TieOut,
    responses=documented(404, 409),
)
async def end_own_interest(request: Request, tie: TieId, me: Me, key: KeyHeader = None) -> Response:
    """What you told yourself; what others told of you is theirs to end. It stays on record."""

    def work(connection: Connection, now: datetime) -> Answer:
        found = ties.get(connection, tie)
        if (found.mediator_id, found.declared_by) != (me.mediator_id, "mediator"):
            raise ties.TieNotFound("No tie with this id is yours to end.")
        mediators.end_tie(connection, me.mediator_id, tie, now, by="mediator")
        return Answer(shown_mediators.tie(ties.get(connection, tie)))

    return await once(request, edge_of(request), me, key, work)


@router.get(
    "/redecisions",
    operation_id="list_redecisions",
    summary="List cases that you are to decide again",
    response_model=RedecisionPage,
    responses=documented(),
)
async def list_redecisions(request: Request, me: Me) -> Response:
    """A few decisions, taken by lot, are made again by somebody who does not know them."""
    found = await edge_of(request).run(
        db.SYSTEM, lambda c: redecisions.open_for(c, me.mediator_id, _MOST)
    )
    return json_response({"data": [shown_own.redecision(one) for one in found]})


@router.get(
    "/redecisions/{redecision}",
    operation_id="get_redecision",
    summary="Read a case that you are to decide again",
    response_model=RedecisionFileOut,
    responses=documented(404),
)
async def get_redecision(request: Request, redecision: RedecisionId, me: Me) -> Response:
    """The file as whoever decided had it, without a word of what was proposed or decided.

    Its evidence is read where that of any case of yours is, until you have answered.
    """

    def work(connection: Connection) -> dict[str, Any]:
        one = redecisions.find(connection, redecision, me.mediator_id)
        return shown_own.blind(one, cases.find(connection, one.platform_id, one.case_id))

    return json_response(await edge_of(request).run(db.SYSTEM, work))


@router.post(
    "/redecisions/{redecision}/decide",
    operation_id="decide_again",
    summary="Say what you would have decided",
    response_model=RedecidedOut,
    responses=documented(404, 409, 413, 415),
)
async def decide_again(
    request: Request, redecision: RedecisionId, body: RedecideBody, me: Me, key: KeyHeader = None
) -> Response:
    """Once. Nothing moves by it, and neither side is told: it counts in statistics alone."""

    def work(connection: Connection, _now: datetime) -> Answer:
        one = redecisions.find(connection, redecision, me.mediator_id)
        found = cases.find(connection, one.platform_id, one.case_id)
        now = moment_on(connection, one.platform_id, hold=True)
        said = (body.outcome, body.parts(), body.reasons)
        redecisions.answer(connection, found, one.id, me.mediator_id, *said, now)
        return Answer(shown_own.redecided(one, body.outcome))

    return await once(request, edge_of(request), me, key, work)


@router.post(
    "/cases/{case}/strike",
    operation_id="give_strike",
    summary="Find that a claim was made in bad faith",
    response_model=StrikeOut,
    responses=documented(404, 409, 413, 415),
)
async def give_strike(
    request: Request, case: CaseId, body: StrikeBody, me: Me, key: KeyHeader = None
) -> Response:
    """By whoever decided it, once both sides know the decision. To be wrong, or to prove too
    little, is none. It costs no money: after several, their own claims stay in talk for longer.
    """

    def work(connection: Connection, _now: datetime) -> Answer:
        one = striking.give(connection, me.mediator_id, case, body.reason)
        return Answer(shown_own.strike(one))

    return await once(request, edge_of(request), me, key, work)


@router.get(
    "/cases/{case}/strikes",
    operation_id="list_strikes",
    summary="List the strikes of whoever claimed",
    response_model=StrikesOut,
    responses=documented(404),
)
async def list_strikes(request: Request, case: CaseId, me: Supervisor) -> Response:
    """For a supervisor of the platform: on this case and on all others of the member."""

    def work(connection: Connection) -> list[strikes.Strike]:
        platform_id = queue.supervised(connection, me.mediator_id, case)
        if platform_id is None:
            raise CaseNotFound("No case with this id is yours to supervise.")
        claimant = strikes.claimant_of(cases.find(connection, platform_id, case))
        return strikes.of_member(connection, platform_id, claimant)

    found = await edge_of(request).run(db.SYSTEM, work)
    return json_response({"data": [shown_own.strike(one) for one in found]})


@router.post(
    "/strikes/{strike}/lift",
    operation_id="lift_strike",
    summary="Take a strike back",
    response_model=StrikeOut,
    responses=documented(404, 409),
)
async def lift_strike(
    request: Request, strike: StrikeId, me: Supervisor, key: KeyHeader = None
) -> Response:
    """By a supervisor of the platform. It counts no more, and stays on record as lifted."""

    def work(connection: Connection, _now: datetime) -> Answer:
        one = striking.lift(connection, me.mediator_id, strike)
        return Answer(shown_own.strike(one))

    return await once(request, edge_of(request), me, key, work)
