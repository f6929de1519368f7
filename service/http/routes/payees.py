"""Members' own accounts at the payment provider, to be paid on; the sandbox's stand-in for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection, RowMapping
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from service import db
from service.exchanges import payouts
from service.http.auth import Actor, anyone, platform_key
from service.http.edge import Edge, edge_of, json_response
from service.http.idempotency import KeyHeader, check_key
from service.http.jsonbody import StrictRoute
from service.http.moment import moment_of
from service.http.pages import Cursor, Limit, page, uuid_after
from service.http.problems import documented
from service.http.refusals import InvalidBody, NotYourself
from service.http.schemas.base import MemberId
from service.http.schemas.payees import (
    AccountActBody,
    BankActBody,
    BankPayoutOut,
    BankPayoutPage,
    PayoutAccountBody,
    PayoutAccountOut,
    PayoutLinkBody,
    PayoutLinkOut,
)
from service.ids import encode
from service.payments import bank_payouts, payees
from service.payments.payee import (
    Payee,
    PayoutAccountNotFound,
    ProviderDeclined,
    ProviderSilent,
    Readiness,
    payout_view,
    readiness_of,
)
from service.payments.port import (
    Account,
    BankPayout,
    Provider,
    ProviderRefused,
    ProviderUnavailable,
)
from service.payments.providers import need
from service.payments.sandbox import Sandbox
from service.platforms import members
from service.platforms.members import Member

router = APIRouter(prefix="/v1", tags=["Payout accounts"], route_class=StrictRoute)

Reader = Annotated[Actor, Depends(anyone("payees:read"))]
Writer = Annotated[Actor, Depends(anyone("payees:write"))]
Rehearser = Annotated[Actor, Depends(platform_key("payees:write"))]

T = TypeVar("T")


def _own(actor: Actor, member: UUID) -> None:
    if actor.member_id not in {None, member}:
        raise NotYourself("This token acts for its own member alone.")


def _provider(connection: Connection, edge: Edge, actor: Actor) -> Provider:
    return need(edge.desk.providers.of(connection, actor.platform_id, actor.mode))


def _shown(member: Member, provider: str, one: Payee | None, ready: Readiness) -> dict[str, Any]:
    view = payout_view(ready, member.time_zone)
    return {
        "object": "payout_account",
        "member": encode("member", member.id),
        "provider": provider,
        "state": "none" if one is None else one.state,
        "country": None if one is None else one.country,
        **view,
        "bank_ready": one is not None and one.bank_ready,
        "submitted": one is not None and one.submitted,
        "disabled_reason": None if one is None else one.disabled_reason,
        "failure": None if one is None else one.failure,
        "provider_ref": None if one is None else one.account_ref,
        "opened_at": None if one is None else one.opened_at,
        "seen_at": None if one is None else one.seen_at,
    }


async def _show(edge: Edge, actor: Actor, member: UUID) -> Response:
    def work(connection: Connection) -> Response:
        found = members.find(connection, actor.platform_id, member)
        provider = _provider(connection, edge, actor)
        one = payees.find(connection, actor.platform_id, member, provider.name)
        ready = payees.readiness(connection, actor.platform_id, [member], provider)[member]
        return json_response(_shown(found, provider.name, one, ready))

    return await edge.run(actor.platform_id, work)


async def _ask(call: Callable[[], T]) -> T:
    """Call the provider outside of any transaction; what it will not do is the caller's to hear.

    Raises:
        ProviderSilent, ProviderDeclined
    """
    db.outside_transaction()
    try:
        return await run_in_threadpool(call)
    except ProviderUnavailable as error:
        raise ProviderSilent(
            "The payment provider does not answer now; send the same request again in a moment."
        ) from error
    except ProviderRefused as refusal:
        raise ProviderDeclined(str(refusal), failure=refusal.failure) from refusal


@router.put(
    "/members/{member}/payout-account",
    operation_id="open_payout_account",
    summary="Open a member's account at the payment provider",
    response_model=PayoutAccountOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def open_payout_account(
    request: Request, member: MemberId, body: PayoutAccountBody, actor: Writer
) -> Response:
    """One for each member; again answers the same. If the provider is slow, it is opened later.

    Released money is sent there. Until it is ready, what is released waits on the member's balance
    and is paid by itself as soon as it is.
    """
    _own(actor, member)
    edge = edge_of(request)
    now = await moment_of(edge, actor)

    def begin(connection: Connection) -> tuple[Provider, Payee]:
        provider = _provider(connection, edge, actor)
        return provider, payees.begin(
            connection, actor.platform_id, member, provider.name, body.country, now
        )

    provider, opening = await edge.run(actor.platform_id, begin)
    if opening.account_ref is None:
        try:
            await run_in_threadpool(
                payouts.open_account, edge.desk.engine, provider, actor.platform_id, member, now
            )
        except ProviderUnavailable:
            edge.wake()  # the row says what is to be done, and the sweep goes on with it
    return await _show(edge, actor, member)


@router.get(
    "/members/{member}/payout-account",
    operation_id="get_payout_account",
    summary="Read a member's account at the payment provider",
    response_model=PayoutAccountOut,
    responses=documented(404, 409),
)
async def get_payout_account(request: Request, member: MemberId, actor: Reader) -> Response:
    """Whether the member can be paid, and what the provider still wants until when."""
    _own(actor, member)
    return await _show(edge_of(request), actor, member)


@router.post(
    "/members/{member}/payout-account/link",
    operation_id="create_payout_account_link",
    summary="Get the provider's page for a member",
    response_model=PayoutLinkOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def create_link(
    request: Request, member: MemberId, body: PayoutLinkBody, actor: Writer
) -> Response:
    """Where the member tells the provider what is due. Nothing is stored; every call is a new link.

    The sandbox has no such page: its link leads straight to return_url, and
    POST /v1/sandbox/members/{member}/payout-account/act does what would happen there.
    """
    _own(actor, member)
    edge = edge_of(request)
    for pointer, address in (("/return_url", body.return_url), ("/refresh_url", body.refresh_url)):
        if actor.mode == "live" and not address.startswith("https:"):
            raise InvalidBody("A live platform's pages are https.", pointer=pointer)

    def find(connection: Connection) -> tuple[Provider, str]:
        members.find(connection, actor.platform_id, member)
        provider = _provider(connection, edge, actor)
        return provider, _ref(connection, actor, member, provider.name)

    provider, ref = await edge.run(actor.platform_id, find)
    url = await _ask(
        lambda: provider.account_link(actor.platform_id, ref, body.return_url, body.refresh_url)
    )
    return json_response({"url": url})


def _ref(connection: Connection, actor: Actor, member: UUID, provider: str) -> str:
    ref = payees.account_ref(connection, actor.platform_id, member, provider)
    if ref is None:
        raise PayoutAccountNotFound(
            "The member has no account there yet: PUT /v1/members/{member}/payout-account first."
        )
    return ref


@router.get(
    "/members/{member}/bank-payouts",
    operation_id="list_bank_payouts",
    summary="List a member's payouts to their bank",
    response_model=BankPayoutPage,
    responses=documented(400, 404, 422),
)
async def list_bank_payouts(
    request: Request, member: MemberId, actor: Reader, limit: Limit = 25, cursor: Cursor = None
) -> Response:
    """From their account at the provider: when it arrives, or why it did not."""
    _own(actor, member)

    def work(connection: Connection) -> Response:
        members.find(connection, actor.platform_id, member)
        rows = bank_payouts.page(
            connection, actor.platform_id, member, limit=limit + 1, after=uuid_after(cursor)
        )
        return page(request, rows, limit, _bank_payout, lambda row: (row["id"],))

    return await edge_of(request).run(actor.platform_id, work)


def _bank_payout(row: RowMapping) -> dict[str, Any]:
    fields = ("provider", "status", "amount", "unit", "arrives_at", "failure", "seen_at")
    shown = {name: row[name] for name in fields}
    return {"object": "bank_payout", "provider_ref": row["ref"], **shown}


async def _rehearsed(edge: Edge, actor: Actor, member: UUID) -> tuple[Sandbox, Member, Payee]:
    def find(connection: Connection) -> tuple[Member, Payee]:
        found = members.find(connection, actor.platform_id, member)
        one = payees.find(connection, actor.platform_id, member, Sandbox.name)
        if one is None or one.account_ref is None:
            raise PayoutAccountNotFound("The member has no account at the sandbox provider.")
        return found, one

    sandbox = edge.desk.providers[Sandbox.name]
    assert isinstance(sandbox, Sandbox)
    return sandbox, *await edge.run(actor.platform_id, find)


@router.post(
    "/sandbox/members/{member}/payout-account/act",
    operation_id="act_on_sandbox_payout_account",
    summary="Do what a member would do on the provider's page",
    response_model=PayoutAccountOut,
    responses=documented(400, 404, 413, 415, 422),
)
async def act(
    request: Request, member: MemberId, body: AccountActBody, actor: Rehearser
) -> Response:
    """Or what the provider would do: want more, or stop the account. We hear of it by an event.

    The answer shows the account as the sandbox provider has it now.
    """
    edge = edge_of(request)
    sandbox, found, one = await _rehearsed(edge, actor, member)
    ref = one.account_ref
    assert ref is not None
    seen: Account = await _ask(
        lambda: sandbox.act_on_account(actor.platform_id, ref, body.outcome, body.due, body.due_by)
    )
    edge.wake()
    there = replace(
        one,
        ready=seen.ready,
        bank_ready=seen.bank_ready,
        submitted=seen.submitted,
        due=seen.due,
        due_by=seen.due_by,
        disabled_reason=seen.disabled_reason,
    )
    return json_response(_shown(found, sandbox.name, there, readiness_of(there)))


@router.post(
    "/sandbox/members/{member}/bank-payouts",
    operation_id="send_to_sandbox_bank",
    summary="Let a member's money reach their bank, or come back",
    response_model=BankPayoutOut,
    responses=documented(400, 404, 409, 413, 415, 422),
)
async def send_to_bank(
    request: Request, member: MemberId, body: BankActBody, actor: Rehearser, key: KeyHeader = None
) -> Response:
    """What the provider and the bank do by themselves. We hear of it by an event."""
    edge = edge_of(request)
    bare = check_key(key)
    sandbox, _found, one = await _rehearsed(edge, actor, member)
    ref = one.account_ref
    assert ref is not None
    made: BankPayout = await _ask(
        lambda: sandbox.send_to_bank(
            actor.platform_id, ref, body.amount.amount, body.amount.unit, body.outcome, bare
        )
    )
    edge.wake()
    return json_response(
        {
            "object": "bank_payout",
            "provider": sandbox.name,
            "provider_ref": made.ref,
            "status": made.status,
            "amount": made.amount,
            "unit": made.unit,
            "arrives_at": made.arrives_at,
            "failure": made.failure,
            "seen_at": await moment_of(edge, actor),
        }
    )
