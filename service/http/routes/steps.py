"""The steps of an exchange: one address each, named as in the table of steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from ledger.refusals import Refusal
from service.exchanges import helping, queries, sweep
from service.exchanges.advance import Done, advance
from service.exchanges.asking import call
from service.exchanges.commands import Command, Who
from service.exchanges.decide import Rules
from service.exchanges.fees import FeeRule
from service.exchanges.propose import check_terms, find_units
from service.exchanges.refusals import InvalidTerms, PaymentMethodRefused
from service.exchanges.steps import BY_NAME
from service.http import presenters
from service.http.auth import Actor, anyone
from service.http.edge import Edge, edge_of
from service.http.idempotency import Answer, KeyHeader, once
from service.http.jsonbody import StrictRoute
from service.http.laned import once_in_lane, once_in_two_lanes
from service.http.moment import moment_of
from service.http.problems import documented
from service.http.refusals import NotYourself
from service.http.routes.exchanges import draft, viewer
from service.http.routes.step_lanes import OFTEN, PAID, PAY, STEPS, Paying, shown
from service.http.schemas.base import ExchangeId
from service.http.schemas.exchanges import ExchangeOut
from service.http.schemas.steps import (
    AgreeBody,
    CheckpointStepBody,
    CounterOfferBody,
    EnterCodeBody,
    FundBody,
    ProposalStepBody,
    ProposeSettlementBody,
    StepBody,
)
from service.ids import decode

router = APIRouter(
    prefix="/v1/exchanges/{exchange}", tags=["Steps of an exchange"], route_class=StrictRoute
)

Doer = Annotated[Actor, Depends(anyone("exchanges:write"))]


def command_of(step: str, exchange: ExchangeId, actor: Actor, body: StepBody) -> Command:
    """Return the command of a step that a member takes, or the platform for them.

    Raises:
        Refusal: the actor may not act for whom the body names.
    """
    who = Who(actor.acting_for(body.member), actor.via)
    return Command(exchange, step, who, expected_version=body.version)


def _take(
    connection: Connection, edge: Edge, actor: Actor, command: Command, now: datetime
) -> Done:
    """Take one step; a member who is no party is told that there is nothing."""
    if actor.member_id is not None:
        queries.find(connection, actor.platform_id, command.exchange_id, actor.member_id)
    (outcome,) = advance(connection, actor.platform_id, [command], Rules(now, edge.codes))
    if isinstance(outcome, Refusal):
        raise outcome
    return outcome


async def take_step(request: Request, actor: Actor, key: str | None, command: Command) -> Response:
    """Take a step once, and answer the exchange as the actor sees it then."""
    edge = edge_of(request)
    if command.step in OFTEN:
        response = await once_in_lane(request, edge, actor, key, STEPS, command)
        edge.wake()
        return response

    def work(connection: Connection, now: datetime) -> Answer:
        done = _take(connection, edge, actor, command, now)
        answer = shown(actor, done, now)
        assert isinstance(answer, Answer)
        return answer

    response = await once(request, edge, actor, key, work)
    edge.wake()
    return response


_RESPONSES: Final = documented(400, 404, 409, 413, 415, 422)


def _route(step: str, summary: str) -> Callable[[Any], Any]:
    """Declare a step's address, documented from the table."""
    return router.post(
        f"/{step.replace('_', '-')}",
        operation_id=step,
        summary=summary,
        description=f"{BY_NAME[step].outcome} By: {BY_NAME[step].by.value.replace('_', ' ')}.",
        response_model=ExchangeOut,
        responses=_RESPONSES,
    )


@_route("agree", "Agree to the terms")
async def agree(
    request: Request, exchange: ExchangeId, body: AgreeBody, actor: Doer, key: KeyHeader = None
) -> Response:
    """The side that has not agreed yet."""
    command = replace(command_of("agree", exchange, actor, body), terms_hash=body.terms_hash)
    return await take_step(request, actor, key, command)


@_route("decline", "Decline the proposal")
async def decline(
    request: Request, exchange: ExchangeId, body: StepBody, actor: Doer, key: KeyHeader = None
) -> Response:
    """The side that has not agreed yet."""
    return await take_step(request, actor, key, command_of("decline", exchange, actor, body))


@_route("counter_offer", "Propose other terms")
async def counter_offer(
    request: Request,
    exchange: ExchangeId,
    body: CounterOfferBody,
    actor: Doer,
    key: KeyHeader = None,
) -> Response:
    """Either side, before agreement; the other then has to answer. Of another kind: propose anew.

    The fee is the platform's: a member cannot change it, and without `fee` it stays as it is.
    """
    edge = edge_of(request)
    command = command_of("counter_offer", exchange, actor, body)
    if actor.member_id is not None and body.terms.fee is not None:
        raise InvalidTerms(
            "The fee is for the platform to set: leave it out.", pointer="/terms/fee"
        )
    given = draft(body.terms)

    def work(connection: Connection, now: datetime) -> Answer:
        before = queries.find(connection, actor.platform_id, exchange, actor.member_id)
        asked = given
        if given.fee is None:
            asked = replace(given, fee=FeeRule(**before.terms["fee"]))
        found = find_units(connection, actor.platform_id, [asked])
        provider = edge.desk.providers.of(connection, actor.platform_id, actor.mode)
        try:
            checked = check_terms(asked, found, provider, now)
        except Refusal as refusal:
            if refusal.pointer is not None:
                refusal.pointer = f"/terms{refusal.pointer}"
            raise
        done = _take(connection, edge, actor, replace(command, terms=checked), now)
        return Answer(presenters.exchange(done.exchange, viewer(actor, done.exchange), now))

    return await once(request, edge, actor, key, work)


@_route("cancel", "Cancel before anything is held")
async def cancel(
    request: Request, exchange: ExchangeId, body: StepBody, actor: Doer, key: KeyHeader = None
) -> Response:
    """Either side alone."""
    return await take_step(request, actor, key, command_of("cancel", exchange, actor, body))


@_route("fund", "Pay: the payment is then held for nobody")
async def fund(
    request: Request, exchange: ExchangeId, body: FundBody, actor: Doer, key: KeyHeader = None
) -> Response:
    """The payer. Community units are held at once; money when the provider has it.

    A deposit that the bank only blocks is asked for first, in a payment of its own; the price
    follows when the block stands. Each may want the payer: see the exchange's payments.
    """
    return await _pay(request, exchange, body, actor, key, "fund")


@_route("authorise_again", "Have the deposit blocked anew")
async def authorise_again(
    request: Request, exchange: ExchangeId, body: FundBody, actor: Doer, key: KeyHeader = None
) -> Response:
    """The payer, when the bank would not block the deposit anew without them, or any time before.

    The old block stays until the new one stands.
    """
    return await _pay(request, exchange, body, actor, key, "authorise_again")


async def _pay(
    request: Request,
    exchange: UUID,
    body: FundBody,
    actor: Actor,
    key: str | None,
    step: str,
) -> Response:
    edge = edge_of(request)
    if body.hosted and body.return_url is None:
        raise PaymentMethodRefused(
            "The provider's page needs an address to send the payer back to.",
            pointer="/return_url",
        )
    command = replace(
        command_of(step, exchange, actor, body),
        payment_method=body.payment_method,
        hosted=body.hosted,
        return_url=body.return_url,
        save_method=body.save_method,
    )

    paying = Paying(command)

    async def proceed(payment: str) -> Paying:
        payment_id, ask = decode("payment", payment), paying.ask
        if ask is not None and ask.row["id"] == payment_id:
            return Paying(command, said=await run_in_threadpool(call, edge.desk, ask))
        # A deposit comes before its price; or the payment is an earlier request's, which died.
        now = await moment_of(edge, actor)
        await run_in_threadpool(sweep.submit, edge.desk, actor.platform_id, payment_id, now)
        return Paying(command)

    response = await once_in_two_lanes(request, edge, actor, key, (PAY, PAID), paying, proceed)
    edge.wake()
    return response


@_route("abandon_payment", "Give a payment up before it came")
async def abandon_payment(
    request: Request, exchange: ExchangeId, body: StepBody, actor: Doer, key: KeyHeader = None
) -> Response:
    """The payer, to try another way to pay. If the money comes all the same, it goes back."""
    return await take_step(
        request, actor, key, command_of("abandon_payment", exchange, actor, body)
    )


@_route("confirm", "Confirm that a checkpoint took place")
async def confirm(
    request: Request,
    exchange: ExchangeId,
    body: CheckpointStepBody,
    actor: Doer,
    key: KeyHeader = None,
) -> Response:
    """Either side, each for themselves; with both words, what hangs on it is paid."""
    command = command_of("confirm", exchange, actor, body)
    return await take_step(request, actor, key, replace(command, checkpoint=body.checkpoint))


@_route("withdraw_confirmation", "Take a confirmation back")
async def withdraw_confirmation(
    request: Request,
    exchange: ExchangeId,
    body: CheckpointStepBody,
    actor: Doer,
    key: KeyHeader = None,
) -> Response:
    """Until the other side has confirmed."""
    command = command_of("withdraw_confirmation", exchange, actor, body)
    return await take_step(request, actor, key, replace(command, checkpoint=body.checkpoint))


@_route("enter_code", "Enter the hand-over code")
async def enter_code(
    request: Request,
    exchange: ExchangeId,
    body: EnterCodeBody,
    actor: Doer,
    key: KeyHeader = None,
) -> Response:
    """The side that was told the code in person: both confirmations at once.

    With `operator`, at the desk of the platform, for somebody who brought the slip there.
    """
    command = command_of("enter_code", exchange, actor, body)
    if body.operator is not None:
        if actor.member_id is not None:
            raise NotYourself("Only the platform has a desk: leave it out.", pointer="/operator")
        at_desk = Who(command.who.member_id, helping.DESK, operator=body.operator)
        command = replace(command, who=at_desk)
    command = replace(command, checkpoint=body.checkpoint, code=body.code)
    return await take_step(request, actor, key, command)


@_route("renew_code", "Renew a locked hand-over code")
async def renew_code(
    request: Request, exchange: ExchangeId, body: StepBody, actor: Doer, key: KeyHeader = None
) -> Response:
    """The side that shows the code."""
    return await take_step(request, actor, key, command_of("renew_code", exchange, actor, body))


@_route("propose_cancellation", "Offer that everything held goes back")
async def propose_cancellation(
    request: Request, exchange: ExchangeId, body: StepBody, actor: Doer, key: KeyHeader = None
) -> Response:
    """Either side; the other has to accept."""
    return await take_step(
        request, actor, key, command_of("propose_cancellation", exchange, actor, body)
    )


@_route("propose_settlement", "Offer an exact split")
async def propose_settlement(
    request: Request,
    exchange: ExchangeId,
    body: ProposeSettlementBody,
    actor: Doer,
    key: KeyHeader = None,
) -> Response:
    """Either side; the other has to accept."""
    command = command_of("propose_settlement", exchange, actor, body)
    split = tuple(leg.to_payee for leg in body.legs)
    return await take_step(request, actor, key, replace(command, to_payee=split))


def _answers(step: str, summary: str) -> None:
    """The three answers to an open offer differ in nothing but their name."""

    async def answer(
        request: Request,
        exchange: ExchangeId,
        body: ProposalStepBody,
        actor: Doer,
        key: KeyHeader = None,
    ) -> Response:
        command = command_of(step, exchange, actor, body)
        return await take_step(request, actor, key, replace(command, proposal_id=body.proposal))

    _route(step, summary)(answer)


_answers("withdraw_proposal", "Take one's own offer back")
_answers("reject_proposal", "Reject the other side's offer")
_answers("accept_proposal", "Accept the other side's offer")
