"""Acts that end an exchange otherwise than by its checkpoints: offers, silence, the hold limit.

Each act has the same shape, ``(exchange, command, role, now, codes) -> Decision``, so that
``decide`` can name it beside its step. Pure: no database, no clock, no provider.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from service.exchanges import claims, money
from service.exchanges.codes import CodeBook
from service.exchanges.commands import Command, Decision
from service.exchanges.deadlines import escalate_at, silence
from service.exchanges.kinds import Role
from service.exchanges.model import Exchange, Proposal, State
from service.exchanges.refusals import NoOpenProposal, SplitDoesNotSum
from service.ids import encode, uuid7
from service.policies.decent import next_decent_for
from service.policies.windows import OFFER_LIFE


def propose_cancellation(
    exchange: Exchange, _command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Offer that everything still held goes back to the payer."""
    return _propose(exchange, "cancellation", role, now, {leg.id: 0 for leg in exchange.held_legs})


def propose_settlement(
    exchange: Exchange, command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Offer an exact split of everything still held."""
    legs = exchange.held_legs
    given = command.to_payee or ()
    if len(given) != len(legs):
        raise SplitDoesNotSum(
            f"{len(legs)} legs are held; say for each, in their order, what goes to the payee.",
            pointer="/legs",
            legs=[encode("leg", leg.id) for leg in legs],
        )
    for index, (leg, amount) in enumerate(zip(legs, given, strict=True)):
        if not 0 <= amount <= leg.amount:
            raise SplitDoesNotSum(
                f"The payee can get 0 to {leg.amount} of this leg; the payer gets the rest.",
                pointer=f"/legs/{index}/to_payee",
                held=leg.amount,
            )
    split = {leg.id: amount for leg, amount in zip(legs, given, strict=True)}
    return _propose(exchange, "settlement", role, now, split)


def _propose(
    exchange: Exchange, kind: str, role: Role, now: datetime, split: dict[UUID, int]
) -> Decision:
    until = next_decent_for(now + OFFER_LIFE, exchange.around.places([role.other]))
    proposal = Proposal(uuid7(), kind, role, split, until)
    decision = Decision(replace(exchange, proposal=proposal))
    decision.note(
        f"exchange.{kind}_proposed",
        by=role,
        proposal=encode("proposal", proposal.id),
        to_payee={encode("leg", leg_id): amount for leg_id, amount in split.items()},
    )
    return decision


def withdraw_proposal(
    exchange: Exchange, command: Command, role: Role, _now: datetime, _codes: CodeBook
) -> Decision:
    """Take one's own offer back."""
    return _drop(exchange, command, role, "exchange.proposal_withdrawn")


def reject_proposal(
    exchange: Exchange, command: Command, role: Role, _now: datetime, _codes: CodeBook
) -> Decision:
    """Say no to the other side's offer."""
    return _drop(exchange, command, role, "exchange.proposal_rejected")


def _drop(exchange: Exchange, command: Command, role: Role, event: str) -> Decision:
    proposal = _open_proposal(exchange, command)
    decision = Decision(replace(exchange, proposal=None))
    decision.note(event, by=role, proposal=encode("proposal", proposal.id))
    return decision


def accept_proposal(
    exchange: Exchange, command: Command, role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Accept the other side's offer: it is carried out at once and ends the exchange."""
    proposal = _open_proposal(exchange, command)
    decision = Decision(replace(exchange, proposal=None))
    decision.note("exchange.proposal_accepted", by=role, proposal=encode("proposal", proposal.id))
    money.settle(decision, proposal.to_payee)
    if proposal.kind == "cancellation":
        decision.end(State.CANCELLED, now, "exchange.cancelled")
    else:
        decision.end(State.SETTLED, now, "exchange.settled")
    return decision


def _open_proposal(exchange: Exchange, command: Command) -> Proposal:
    proposal = exchange.proposal
    assert proposal is not None
    if proposal.id != command.proposal_id:
        raise NoOpenProposal("This offer is no longer open: another has taken its place.")
    return proposal


def escalate(
    exchange: Exchange, _command: Command, _role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """Silence, or the hold clock: a neutral person looks. Nothing moves."""
    decision = Decision(replace(exchange, state=State.IN_REVIEW, review_at=now))
    wait = silence(exchange)
    assert wait is not None
    decision.note(
        "exchange.in_review",
        reason="still_open" if now >= escalate_at(exchange) else "silence",
        unconfirmed=sorted(wait.whose),
        # Nothing may be held against somebody who was not reached.
        unreached=sorted(wait.whose & (exchange.around.unreached | exchange.around.on_its_way)),
    )
    claims.look_at_silence(decision, now)
    return decision


def reach_hold_limit(
    exchange: Exchange, _command: Command, _role: Role, now: datetime, _codes: CodeBook
) -> Decision:
    """The hard stop that the terms announced: what is still held goes back to the payer."""
    decision = Decision(replace(exchange, proposal=None))
    held = exchange.held_legs
    money.settle(decision, {leg.id: 0 for leg in held}, by_silence=True)
    if held:
        decision.end(State.REFUNDED, now, "exchange.refunded")
    else:
        decision.end(State.EXPIRED, now, "exchange.expired")
    return decision
