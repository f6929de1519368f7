"""Members: who takes part, their tokens, balances and payouts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from sqlalchemy import Connection
from starlette.responses import Response

from ledger import accounts
from service import clock
from service.exchanges import money, pauses, payouts
from service.exchanges.leaving import leave
from service.http import presenters
from service.http.auth import Actor, platform_key
from service.http.edge import edge_of, json_response
from service.http.idempotency import Answer, KeyHeader, once, replace_kept
from service.http.jsonbody import StrictRoute
from service.http.moment import moment
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.routes.books import balances_of, known_unit, statement_page
from service.http.schemas.base import Instant, MemberId, UnitCode
from service.http.schemas.platforms import (
    BalanceList,
    CreditLimitBody,
    CreditLimitOut,
    MemberBody,
    MemberChanges,
    MemberOut,
    MemberPage,
    PaymentOut,
    PayoutBody,
    StatementPage,
    TokenBody,
    TokenOut,
)
from service.ids import encode
from service.messages import store as messages
from service.payments import payments
from service.payments.providers import need
from service.platforms import helpers, members
from service.platforms.members import Member

router = APIRouter(prefix="/v1/members", tags=["Members"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(platform_key("members:read"))]
Writer = Annotated[Actor, Depends(platform_key("members:write"))]
BookReader = Annotated[Actor, Depends(platform_key("books:read"))]


@router.post(
    "",
    operation_id="create_member",
    summary="Add a member",
    status_code=201,
    response_model=MemberOut,
    responses=documented(400, 409, 413, 415, 422),
)
async def create_member(
    request: Request, body: MemberBody, actor: Writer, key: KeyHeader = None
) -> Response:
    """`external_id` is your own id of the person; name, e-mail and phone can be erased later."""

    def work(connection: Connection, now: datetime) -> Answer:
        made = members.create(connection, actor.platform_id, now=now, **body.model_dump())
        shown = presenters.member(made)
        return Answer(shown, 201, f"/v1/members/{shown['id']}")

    return await once(request, edge_of(request), actor, key, work)


@router.get(
    "",
    operation_id="list_members",
    summary="List members",
    response_model=MemberPage,
    responses=documented(400, 422),
)
async def list_members(
    request: Request,
    actor: Reader,
    limit: Limit = 25,
    cursor: Cursor = None,
    external_id: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Newest first; by `external_id` to find one."""
    found = await edge_of(request).run(
        actor.platform_id,
        lambda c: members.page(
            c,
            actor.platform_id,
            limit=limit + 1,
            after=uuid_after(cursor),
            external_id=external_id,
        ),
    )
    return page(request, found, limit, presenters.member, lambda one: (one.id,))


@router.get(
    "/{member}",
    operation_id="get_member",
    summary="Read a member",
    response_model=MemberOut,
    responses=documented(404),
)
async def get_member(request: Request, member: MemberId, actor: Reader) -> Response:
    """With the personal data that the platform gave."""
    found = await edge_of(request).run(
        actor.platform_id, lambda c: members.find(c, actor.platform_id, member)
    )
    return json_response(presenters.member(found))


@router.patch(
    "/{member}",
    operation_id="change_member",
    summary="Change a member",
    response_model=MemberOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def change_member(
    request: Request, member: MemberId, body: MemberChanges, actor: Writer
) -> Response:
    """Only what is sent changes."""
    changes = body.model_dump(exclude_unset=True)

    def work(connection: Connection) -> Member:
        changed = members.change(connection, actor.platform_id, member, changes)
        if changes.keys() & {"time_zone", "country"}:
            now = moment(connection, actor)
            pauses.look_again(connection, actor.platform_id, member, now)
        return changed

    changed = await edge_of(request).run(actor.platform_id, work)
    return json_response(presenters.member(changed))


@router.post(
    "/{member}/erase",
    operation_id="erase_member",
    summary="Erase a member's personal data",
    response_model=MemberOut,
    responses=documented(400, 404, 409),
)
async def erase_member(
    request: Request, member: MemberId, actor: Writer, key: KeyHeader = None
) -> Response:
    """Name, e-mail, phone and `external_id` go for good; the books keep the bare id.

    Refused while the member has an open exchange or a balance that is not zero.
    """

    def work(connection: Connection, now: datetime) -> Answer:
        shown = presenters.member(members.erase(connection, actor.platform_id, member, now))
        leave(connection, actor.platform_id, member)
        helpers.forget(connection, actor.platform_id, member, now)
        messages.forget(connection, actor.platform_id, member, now)
        replace_kept(connection, actor, f"/v1/members/{shown['id']}", shown)
        return Answer(shown)

    return await once(request, edge_of(request), actor, key, work)


@router.post(
    "/{member}/tokens",
    operation_id="create_member_token",
    summary="Make a token by which a member acts",
    status_code=201,
    response_model=TokenOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def create_token(
    request: Request,
    member: MemberId,
    body: TokenBody,
    actor: Annotated[Actor, Depends(platform_key("members:act"))],
) -> Response:
    """A short-lived ES256 JWT; verify it with /.well-known/jwks.json. Nothing is stored."""
    edge = edge_of(request)
    found = await edge.run(actor.platform_id, lambda c: members.find(c, actor.platform_id, member))
    if found.erased_at is not None:
        raise members.MemberErased("This member's personal data was erased.")
    token, ends = edge.signer.issue(
        actor.platform_id, member, clock.now(), timedelta(seconds=body.ttl_seconds)
    )
    return json_response({"token": token, "expires_at": ends}, 201)


@router.get(
    "/{member}/balances",
    operation_id="list_member_balances",
    summary="Read a member's balances",
    response_model=BalanceList,
    responses=documented(404, 422),
)
async def member_balances(
    request: Request, member: MemberId, actor: BookReader, at: Instant | None = None
) -> Response:
    """What the platform owes the member, by unit; below zero, what the member owes."""

    def work(connection: Connection) -> Response:
        members.find(connection, actor.platform_id, member)
        paths = [money.member_account(member)]
        return balances_of(accounts.balances(connection, actor.platform_id, paths, at), at)

    return await edge_of(request).run(actor.platform_id, work)


@router.get(
    "/{member}/statement",
    operation_id="get_member_statement",
    summary="Read a member's statement",
    response_model=StatementPage,
    responses=documented(400, 404, 422),
)
async def member_statement(
    request: Request,
    member: MemberId,
    unit: UnitCode,
    actor: BookReader,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Response:
    """Newest first, with the balance after each line."""

    def work(connection: Connection) -> Response:
        members.find(connection, actor.platform_id, member)
        path = money.member_account(member)
        return statement_page(request, connection, actor.platform_id, path, unit, limit, cursor)

    return await edge_of(request).run(actor.platform_id, work)


@router.put(
    "/{member}/credit-limits/{unit}",
    operation_id="set_credit_limit",
    summary="Set a member's own credit limit",
    response_model=CreditLimitOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def set_credit_limit(
    request: Request,
    member: MemberId,
    unit: Annotated[str, Path(max_length=12)],
    body: CreditLimitBody,
    actor: Writer,
) -> Response:
    """How far the member may go below zero in a unit of the community."""

    def work(connection: Connection) -> Response:
        members.find(connection, actor.platform_id, member)
        known_unit(connection, actor.platform_id, unit)
        path = money.member_account(member)
        accounts.set_credit_limit(
            connection, actor.platform_id, path, unit, body.limit, moment(connection, actor)
        )
        shown = {"member": encode("member", member), "unit": unit, "limit": body.limit}
        return json_response(shown)

    return await edge_of(request).run(actor.platform_id, work)


@router.post(
    "/{member}/payouts",
    operation_id="create_payout",
    summary="Pay a member's balance out",
    status_code=201,
    response_model=PaymentOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def create_payout(
    request: Request,
    member: MemberId,
    body: PayoutBody,
    actor: Annotated[Actor, Depends(platform_key("payments:write"))],
    key: KeyHeader = None,
) -> Response:
    """Releases are paid out by themselves; this is for what came back from a failed one."""
    edge = edge_of(request)

    def work(connection: Connection, now: datetime) -> Answer:
        provider = need(edge.desk.providers.of(connection, actor.platform_id, actor.mode))
        payment_id = payouts.pay_out(
            connection,
            actor.platform_id,
            member,
            body.amount.amount,
            body.amount.unit,
            provider,
            now,
        )
        row = payments.find(connection, actor.platform_id, payment_id)
        shown = presenters.payment(dict(row))
        return Answer(shown, 201, f"/v1/payments/{shown['id']}")

    response = await once(request, edge, actor, key, work)
    edge.wake()
    return response
