"""Carry out what a scripted member does, through the same use cases and checks as everybody's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from disputes import reasons
from disputes.outcomes import Side
from ledger.refusals import Refusal
from service import db
from service.exchanges import queries, sweep
from service.exchanges.advance import advance
from service.exchanges.commands import ClaimDraft, Command, Who
from service.exchanges.decide import Rules
from service.exchanges.desk import Desk
from service.exchanges.fees import FeeRule
from service.exchanges.kinds import LegRole, Role
from service.exchanges.model import Exchange, State
from service.exchanges.propose import check_terms, find_units
from service.exchanges.terms import CheckpointDraft, Draft, LegDraft
from service.payments.port import ProviderRefused, Status
from service.payments.sandbox_disputes import SandboxDisputes
from service.platforms import platforms
from service.sandbox.plans import DISPUTE, USUAL_PERCENT, Act

#: What a scripted member says to each question of a claim.
_ANSWER: Final = "As the script of this sandbox says."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an act: None, or why it was refused; and a payment that is to be submitted."""

    refusal: dict[str, str] | None = None
    payment_id: UUID | None = None


def take(
    connection: Connection, desk: Desk, exchange: Exchange, side: Role, act: Act, now: datetime
) -> Outcome:
    """Take one step of the table for the member on ``side``, in the caller's transaction."""
    member_id = exchange.member(side)
    command = Command(exchange.id, act.do, Who(member_id, "platform"))
    try:
        command = _with_facts(connection, desk, exchange, command, act, now)
        (outcome,) = advance(connection, exchange.platform_id, [command], Rules(now, desk.codes))
    except Refusal as refusal:
        return Outcome(_refusal(refusal))
    if isinstance(outcome, Refusal):
        return Outcome(_refusal(outcome))
    why = None if outcome.refusal is None else _refusal(outcome.refusal)
    return Outcome(why, outcome.payments[0].id if outcome.payments else None)


def _refusal(refusal: Refusal) -> dict[str, str]:
    return {"code": refusal.code, "detail": str(refusal)}


def _with_facts(
    connection: Connection,
    desk: Desk,
    exchange: Exchange,
    command: Command,
    act: Act,
    now: datetime,
) -> Command:
    """Add what the step needs to know, as the member would read it.

    Raises:
        Refusal: they could not have known it.
    """
    if (
        act.do in {"confirm", "withdraw_confirmation", "enter_code"}
        and exchange.current is not None
    ):
        command = replace(command, checkpoint=exchange.current.name)
    percent = USUAL_PERCENT.get(act.do, 100) if act.percent is None else act.percent
    if act.do == "agree":
        return replace(command, terms_hash=exchange.terms_hash)
    if act.do == "fund":
        return replace(command, payment_method=act.method)
    if act.do == "enter_code":
        assert command.who.member_id is not None
        side = exchange.role_of(command.who.member_id)
        assert side is not None
        _name, digits, _locked = queries.hand_over_code(
            exchange, exchange.member(side.other), desk.codes
        )
        return replace(command, code=digits)
    if act.do in {"accept_proposal", "reject_proposal"} and exchange.proposal is not None:
        return replace(command, proposal_id=exchange.proposal.id)
    if act.do == "propose_settlement":
        split = tuple(
            leg.amount * percent // 100 if leg.role is LegRole.PRICE else 0
            for leg in exchange.held_legs
        )
        return replace(command, to_payee=split)
    if act.do == "claim":
        return replace(command, claim=_claim(exchange, command))
    if act.do == "counter_offer":
        asked = _cheaper(exchange, percent)
        platform = platforms.find(connection, exchange.platform_id)
        found = find_units(connection, exchange.platform_id, [asked])
        provider = desk.providers.of(connection, exchange.platform_id, platform.mode)
        return replace(command, terms=check_terms(asked, found, provider, now))
    return command


def _claim(exchange: Exchange, command: Command) -> ClaimDraft:
    """Return a claim for the first reason that this side of such an exchange may give."""
    assert command.who.member_id is not None
    role = exchange.role_of(command.who.member_id)
    assert role is not None
    (code, *_) = reasons.open_to(exchange.kind, Side(role))
    answers = dict.fromkeys(reasons.REASONS[code].questions, _ANSWER)
    return ClaimDraft(code, answers=answers, text=_ANSWER)


def _cheaper(exchange: Exchange, percent: int) -> Draft:
    """Return the terms on the table with ``percent`` of each price."""
    terms = exchange.terms
    return Draft(
        kind=exchange.kind,
        title=terms["title"],
        legs=tuple(
            LegDraft(
                leg.role,
                max(1, leg.amount * percent // 100) if leg.role is LegRole.PRICE else leg.amount,
                leg.unit,
                leg.checkpoint,
            )
            for leg in exchange.legs
        ),
        checkpoints=tuple(CheckpointDraft(p.name, p.due_at) for p in exchange.checkpoints),
        description=terms["description"],
        meeting_point=terms["meeting_point"],
        fee=FeeRule(**terms["fee"]),
        windows=terms["windows"],
        deposit="automatic" if terms["deposit"] is None else terms["deposit"]["strategy"],
        chargeback_borne_by="platform"
        if terms["chargeback"] is None
        else terms["chargeback"]["borne_by"],
    )


def submit(desk: Desk, platform_id: UUID, payment_id: UUID, now: datetime) -> None:
    """Submit what a scripted payer pays, as the request of a real one does."""
    sweep.submit(desk, platform_id, payment_id, now)


def disputable(connection: Connection, exchange: Exchange) -> Any:
    """Return the collection that the payer's bank could take back, or None."""
    if exchange.state in {State.PROPOSED, State.AGREED, State.FUNDING, State.DECLINED}:
        return None
    return next(
        (
            row
            for row in queries.payments(connection, exchange.platform_id, exchange.id)
            if row["kind"] == "collect"
            and row["state"] == Status.SUCCEEDED
            and row["provider"] == "sandbox"
            and row["disputed_at"] is None
        ),
        None,
    )


def dispute(desk: Desk, exchange: Exchange, key: str) -> Outcome:
    """Let the payer ask their bank for their money back; the same ``key`` again does it once."""
    with db.transaction(desk.engine, exchange.platform_id) as connection:
        row = disputable(connection, exchange)
    if row is None:
        return Outcome({"code": "nothing_to_dispute", "detail": "Nothing was paid, or it is over."})
    bank = desk.providers["sandbox"]
    assert isinstance(bank, SandboxDisputes)
    db.outside_transaction()
    try:
        bank.contest(exchange.platform_id, row["provider_ref"], DISPUTE, key=key)
    except ProviderRefused as refusal:
        return Outcome({"code": refusal.failure, "detail": str(refusal)})
    return Outcome()


def is_collected(connection: Connection, exchange: Exchange) -> bool:
    """Tell whether a payment was collected that the payer's bank can take back."""
    return disputable(connection, exchange) is not None
