"""Exchanges: propose, quote, create many, read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError
from sqlalchemy import Connection
from starlette.responses import Response

from ledger import accounts
from ledger.refusals import Refusal
from service.exchanges import money, queries
from service.exchanges.advance import Done
from service.exchanges.decide import Rules
from service.exchanges.fees import FeeRule
from service.exchanges.kinds import Kind, LegRole, Role
from service.exchanges.model import Exchange, State
from service.exchanges.propose import Proposal, check_terms, find_units, propose
from service.exchanges.terms import CheckpointDraft, Draft, LegDraft
from service.http import presenters
from service.http.auth import Actor, anyone, member_token, platform_key
from service.http.edge import Edge, edge_of, json_response, request_id
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.laned import Job, laned, once_in_lane
from service.http.moment import moment
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented, invalid_errors, of_refusal, problem_body
from service.http.refusals import ScopeMissing
from service.http.schemas.base import ExchangeId, Instant, MemberId
from service.http.schemas.exchanges import (
    BatchBody,
    BatchOut,
    CodeOut,
    ConfirmationList,
    ExchangeOut,
    ExchangePage,
    ProposeBody,
    QuoteOut,
    TermsBody,
)
from service.http.schemas.platforms import PaymentList, PostingList

router = APIRouter(prefix="/v1/exchanges", tags=["Exchanges"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(anyone("exchanges:read"))]


def draft(body: TermsBody) -> Draft:
    """Return the terms of a body as the domain takes them."""
    fee = None if body.fee is None else FeeRule(**body.fee.model_dump())
    return Draft(
        kind=body.kind,
        title=body.title,
        legs=tuple(
            LegDraft(leg.role, leg.amount.amount, leg.amount.unit, leg.checkpoint)
            for leg in body.legs
        ),
        checkpoints=tuple(CheckpointDraft(p.name, p.due_at) for p in body.checkpoints),
        description=body.description,
        meeting_point=body.meeting_point,
        fee=fee,
        windows={} if body.windows is None else body.windows.model_dump(),
        deposit=body.deposit,
        chargeback_borne_by=body.chargeback_borne_by,
    )


def _proposal(body: ProposeBody) -> Proposal:
    return Proposal(
        body.payer, body.payee, body.proposed_by, draft(body), body.external_id, body.both_agreed
    )


def viewer(actor: Actor, exchange: Exchange) -> Role | None:
    """Return the side that the actor sees the exchange from; None for the platform."""
    return None if actor.member_id is None else exchange.role_of(actor.member_id)


@router.post(
    "",
    operation_id="propose_exchange",
    summary="Propose an exchange",
    status_code=201,
    response_model=ExchangeOut,
    responses=documented(400, 409, 413, 415, 422),
)
async def propose_one(
    request: Request,
    body: ProposeBody,
    actor: Annotated[Actor, Depends(platform_key("exchanges:write"))],
    key: KeyHeader = None,
) -> Response:
    """Freeze terms between two members. With `both_agreed` it waits for the payment at once."""
    _vouches(actor, [body.both_agreed])
    return await once_in_lane(request, edge_of(request), actor, key, PROPOSE, _proposal(body))


def _proposed(
    connection: Connection, platform_id: UUID, jobs: Sequence[Job[Proposal]], now: datetime
) -> list[Answer | Refusal]:
    edge = jobs[0].edge
    outcomes = propose(
        connection,
        platform_id,
        [job.command for job in jobs],
        edge.desk.providers.of(connection, platform_id, jobs[0].actor.mode),
        Rules(now, edge.codes),
    )
    return [one if isinstance(one, Refusal) else _made(one, now) for one in outcomes]


def _made(done: Done, now: datetime) -> Answer:
    shown = presenters.exchange(done.exchange, None, now)
    return Answer(shown, 201, f"/v1/exchanges/{shown['id']}")


PROPOSE: Final = laned("propose", _proposed)


@router.post(
    "/batch",
    operation_id="propose_exchanges",
    summary="Propose up to 500 exchanges",
    response_model=BatchOut,
    responses=documented(400, 409, 413, 415, 422),
)
async def propose_many(
    request: Request,
    body: BatchBody,
    actor: Annotated[Actor, Depends(platform_key("exchanges:write"))],
    key: KeyHeader = None,
) -> Response:
    """Each is decided for itself: one outcome each, in order, an exchange or a problem."""
    edge = edge_of(request)
    asked = request_id(request)
    _vouches(actor, (given.get("both_agreed") for given in body.exchanges))

    def work(connection: Connection, now: datetime) -> Answer:
        return Answer({"outcomes": _batch(connection, edge, actor, body, now, asked)})

    return await once(request, edge, actor, key, work)


def _vouches(actor: Actor, agreed: Iterable[object]) -> None:
    """Saying that the members have agreed is acting for them.

    Raises:
        ScopeMissing: the key may not.
    """
    if any(agreed) and "members:act" not in actor.scopes:
        raise ScopeMissing("both_agreed acts for the members: members:act is missing.")


def _batch(
    connection: Connection, edge: Edge, actor: Actor, body: BatchBody, now: datetime, asked: str
) -> list[dict[str, Any]]:
    read: list[ProposeBody | dict[str, Any]] = []
    for index, given in enumerate(body.exchanges):
        try:
            read.append(ProposeBody.model_validate(given))
        except ValidationError as error:
            read.append(_invalid(error, given, index, asked))
    outcomes = iter(
        propose(
            connection,
            actor.platform_id,
            [_proposal(one) for one in read if isinstance(one, ProposeBody)],
            edge.desk.providers.of(connection, actor.platform_id, actor.mode),
            Rules(now, edge.codes),
        )
    )
    found: list[dict[str, Any]] = []
    for index, one in enumerate(read):
        outcome = one if isinstance(one, dict) else next(outcomes)
        if isinstance(outcome, Done):
            shown = presenters.exchange(outcome.exchange, None, now)
            found.append({"status": 201, "exchange": shown, "problem": None})
            continue
        problem = outcome if isinstance(outcome, dict) else of_refusal(outcome, asked)
        if isinstance(outcome, Refusal) and outcome.pointer is not None:
            problem["pointer"] = f"/exchanges/{index}{outcome.pointer}"
        found.append({"status": problem["status"], "exchange": None, "problem": problem})
    return found


def _invalid(
    error: ValidationError, given: dict[str, Any], index: int, asked: str
) -> dict[str, Any]:
    errors = invalid_errors(error.errors(), ("exchanges", index), given)
    return problem_body(
        422,
        "invalid_request",
        f"{errors[0]['pointer']}: {errors[0]['detail']}",
        asked,
        pointer=errors[0]["pointer"],
        errors=errors,
        facts={},
    )


@router.post(
    "/quote",
    operation_id="quote_exchange",
    summary="Quote terms without creating anything",
    response_model=QuoteOut,
    responses=documented(400, 409, 413, 415, 422),
)
async def quote(
    request: Request,
    body: TermsBody,
    actor: Annotated[Actor, Depends(platform_key("exchanges:read"))],
) -> Response:
    """Check terms and say what each side would pay and get, fees and defaults included."""
    edge = edge_of(request)
    asked = draft(body)

    def work(connection: Connection) -> Response:
        found = find_units(connection, actor.platform_id, [asked])
        provider = edge.desk.providers.of(connection, actor.platform_id, actor.mode)
        checked = check_terms(asked, found, provider, moment(connection, actor))
        pays: dict[str, int] = {}
        gets: dict[str, int] = {}
        fees: dict[str, int] = {}
        for leg in checked.legs:
            pays[leg.unit] = pays.get(leg.unit, 0) + leg.held
            if leg.role is LegRole.PRICE:
                gets[leg.unit] = gets.get(leg.unit, 0) + leg.amount - leg.payee_fee
            fees[leg.unit] = fees.get(leg.unit, 0) + leg.payer_fee + leg.payee_fee
        return json_response(
            {
                "terms": checked.terms,
                "terms_hash": checked.terms_hash,
                "payer_pays": _amounts(pays),
                "payee_gets": _amounts(gets),
                "fee": _amounts(fees),
            }
        )

    return await edge.run(actor.platform_id, work)


def _amounts(sums: dict[str, int]) -> list[dict[str, Any]]:
    return [{"amount": amount, "unit": unit} for unit, amount in sums.items() if amount]


@router.get(
    "",
    operation_id="list_exchanges",
    summary="List exchanges",
    response_model=ExchangePage,
    responses=documented(400, 422),
)
async def list_exchanges(
    request: Request,
    actor: Reader,
    limit: Limit = 25,
    cursor: Cursor = None,
    state: Annotated[list[State] | None, Query(description="One or more states.")] = None,
    kind: Kind | None = None,
    member: Annotated[MemberId | None, Query(description="Payer or payee.")] = None,
    external_id: Annotated[str | None, Query(max_length=200)] = None,
    created_from: Instant | None = None,
    created_until: Instant | None = None,
) -> Response:
    """Newest first. A member sees their own alone."""
    filters = queries.Filters(
        states=state,
        kind=kind,
        member_id=member if actor.member_id is None else actor.member_id,
        external_id=external_id,
        created_from=created_from,
        created_until=created_until,
    )
    found, now = await edge_of(request).run(
        actor.platform_id,
        lambda c: (
            queries.page(c, actor.platform_id, filters, limit=limit + 1, after=uuid_after(cursor)),
            moment(c, actor),
        ),
    )
    return page(
        request,
        found,
        limit,
        lambda one: presenters.exchange(one, viewer(actor, one), now),
        lambda one: (one.id,),
    )


@router.get(
    "/{exchange}",
    operation_id="get_exchange",
    summary="Read an exchange",
    response_model=ExchangeOut,
    responses=documented(404),
)
async def get_exchange(request: Request, exchange: ExchangeId, actor: Reader) -> Response:
    """Where it stands, what can be done next by whom, and what time will do."""
    found, now = await edge_of(request).run(
        actor.platform_id,
        lambda c: (
            queries.find(c, actor.platform_id, exchange, actor.member_id),
            moment(c, actor),
        ),
    )
    return json_response(presenters.exchange(found, viewer(actor, found), now))


@router.get(
    "/{exchange}/confirmations",
    operation_id="list_confirmations",
    summary="List every word given on an exchange",
    response_model=ConfirmationList,
    responses=documented(404),
)
async def list_confirmations(request: Request, exchange: ExchangeId, actor: Reader) -> Response:
    """Append-only facts: who confirmed or withdrew what, when, and how."""

    def work(connection: Connection) -> Response:
        queries.find(connection, actor.platform_id, exchange, actor.member_id)
        rows = queries.confirmations(connection, actor.platform_id, exchange)
        return json_response({"data": [presenters.confirmation(dict(row)) for row in rows]})

    return await edge_of(request).run(actor.platform_id, work)


@router.get(
    "/{exchange}/postings",
    operation_id="list_exchange_postings",
    summary="List what an exchange moved",
    response_model=PostingList,
    responses=documented(404),
)
async def list_postings(
    request: Request,
    exchange: ExchangeId,
    actor: Annotated[Actor, Depends(platform_key("books:read"))],
) -> Response:
    """The ledger's postings of this exchange, oldest first."""

    def work(connection: Connection) -> Response:
        queries.find(connection, actor.platform_id, exchange)
        found = accounts.postings(connection, actor.platform_id, money.reference(exchange))
        return json_response({"data": [presenters.posting(one) for one in found]})

    return await edge_of(request).run(actor.platform_id, work)


@router.get(
    "/{exchange}/payments",
    operation_id="list_exchange_payments",
    summary="List an exchange's payments",
    response_model=PaymentList,
    responses=documented(404),
)
async def list_payments(
    request: Request,
    exchange: ExchangeId,
    actor: Annotated[Actor, Depends(anyone("payments:read"))],
) -> Response:
    """Collections, refunds and payouts, oldest first. A member sees their own alone: what the
    provider still wants of the payer stands in `next_action`.
    """

    def work(connection: Connection) -> Response:
        queries.find(connection, actor.platform_id, exchange, actor.member_id)
        rows = [
            row
            for row in queries.payments(connection, actor.platform_id, exchange)
            if actor.member_id in {None, row["member_id"]}
        ]
        return json_response({"data": [presenters.payment(dict(row)) for row in rows]})

    return await edge_of(request).run(actor.platform_id, work)


@router.get(
    "/{exchange}/hand-over-code",
    operation_id="get_hand_over_code",
    summary="Show the hand-over code to its holder",
    response_model=CodeOut,
    responses=documented(404, 409),
)
async def hand_over_code(
    request: Request,
    exchange: ExchangeId,
    actor: Annotated[Actor, Depends(member_token("exchanges:read"))],
) -> Response:
    """Only to the member who gives something up at this checkpoint; never to the platform."""
    edge = edge_of(request)
    member_id = actor.member_id
    assert member_id is not None
    found = await edge.run(
        actor.platform_id, lambda c: queries.find(c, actor.platform_id, exchange, member_id)
    )
    checkpoint, digits, locked = queries.hand_over_code(found, member_id, edge.codes)
    return json_response({"checkpoint": checkpoint, "code": digits, "locked": locked})
