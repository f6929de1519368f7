"""Acts of direct talk and of mediation: offers, proposals, and how they end.

Each act has the same shape, ``(case, command, now) -> Move``, so that ``acts`` can name it beside
its step. Pure.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Final

from disputes import clocks
from disputes.commands import Command, Entry, Move, actor_of, close, drop, effect_of, enter, said
from disputes.model import Case, Offer, Proposal, Stage
from disputes.outcomes import AGREEABLE, Outcome, Side, SplitInvalid
from disputes.refusals import AlreadyAccepted, NothingOpen, TooSoon

#: Direct talk has at least this long before one side alone may call a neutral.
TALK_AT_LEAST: Final = timedelta(hours=48)


def make_offer(case: Case, command: Command, now: datetime) -> Move:
    """Offer the other side how to end it."""
    assert command.member_id is not None
    side = case.side_of(command.member_id)
    assert side is not None
    outcome, to_payee = effect_of(case, command, AGREEABLE)
    until = min(now + clocks.OFFER_LIFE, case.due_at)
    extra = command.extra
    if extra is not None and (outcome is not Outcome.SPLIT or extra.amount <= 0):
        raise SplitInvalid(
            "What is given beside comes with a split, and is more than nothing.", pointer="/extra"
        )
    offer = Offer(command.id, side, outcome, to_payee, command.text, until, extra)
    told = {"outcome": outcome, "to_payee": said(to_payee), "text": command.text}
    if extra is not None:
        told["extra"] = asdict(extra)
    return Move(replace(case, offer=offer), [Entry("offer_made", side, told)])


def drop_offer(case: Case, command: Command, _now: datetime) -> Move:
    """Take an offer back, or say no to it; one that is named must be the open one."""
    assert case.offer is not None
    if command.about not in {None, case.offer.id}:
        raise NothingOpen("This offer is no longer open: another has taken its place.")
    type_ = "offer_withdrawn" if command.step == "withdraw_offer" else "offer_rejected"
    return Move(replace(case, offer=None), [Entry(type_, actor_of(case, command))])


def accept_offer(case: Case, command: Command, now: datetime) -> Move:
    """Say yes to the open offer: it is carried out at once."""
    offer = case.offer
    assert offer is not None
    if command.about != offer.id:
        raise NothingOpen("This offer is no longer open: another has taken its place.")
    accepted = [Entry("offer_accepted", actor_of(case, command))]
    move = Move(case, accepted, extra=offer.extra)
    return close(move, offer.outcome, offer.to_payee, now)


def withdraw_claim(case: Case, command: Command, now: datetime) -> Move:
    """Take the claim back."""
    entry = Entry("claim_withdrawn", actor_of(case, command))
    return drop(case, Outcome.WITHDRAWN, entry, now)


def call_mediator(case: Case, command: Command, now: datetime) -> Move:
    """Ask for a neutral, once the other side had some time."""
    from_when = case.stage_since + TALK_AT_LEAST
    if now < from_when:
        raise TooSoon(
            "Give the other side a little time to answer first.", from_when=from_when.isoformat()
        )
    return to_mediation(case, command, now)


def to_mediation(case: Case, command: Command, now: datetime) -> Move:
    """A neutral joins: somebody is to be drawn."""
    type_ = "talk_ended" if command.step == "end_talk" else "mediator_called"
    entered = replace(enter(case, Stage.MEDIATION, now), mediator_id=None)
    return Move(entered, [Entry(type_, actor_of(case, command))], draw=True)


def propose(case: Case, command: Command, now: datetime) -> Move:
    """Propose to both how to end it."""
    assert command.mediator_id is not None
    outcome, to_payee = effect_of(case, command, AGREEABLE)
    until = min(now + clocks.OFFER_LIFE, case.due_at)
    proposal = Proposal(command.id, command.mediator_id, outcome, to_payee, command.text, until)
    told = {"outcome": outcome, "to_payee": said(to_payee), "text": command.text}
    made = Entry("proposal_made", actor_of(case, command), told)
    return Move(replace(case, proposal=proposal), [made])


def _open_proposal(case: Case, command: Command, now: datetime) -> Proposal:
    proposal = case.proposal
    if proposal is None or now >= proposal.expires_at or command.about != proposal.id:
        raise NothingOpen("This proposal is no longer open.")
    return proposal


def accept_proposal(case: Case, command: Command, now: datetime) -> Move:
    """Say yes to the proposal; it holds when both have."""
    proposal = _open_proposal(case, command, now)
    assert command.member_id is not None
    side = case.side_of(command.member_id)
    assert side is not None
    if side in proposal.accepted_by:
        raise AlreadyAccepted("You have accepted it already; the other side has not yet.")
    accepted = proposal.accepted_by | {side}
    move = Move(
        replace(case, proposal=replace(proposal, accepted_by=accepted)),
        [Entry("proposal_accepted", side)],
    )
    if accepted == frozenset(Side):
        return close(move, proposal.outcome, proposal.to_payee, now)
    return move


def reject_proposal(case: Case, command: Command, now: datetime) -> Move:
    """Say no to the proposal: the neutral decides."""
    _open_proposal(case, command, now)
    rejected = Entry("proposal_rejected", actor_of(case, command))
    return Move(enter(case, Stage.DECISION, now), [rejected], draw=case.mediator_id is None)


def end_mediation(case: Case, _command: Command, now: datetime) -> Move:
    """Not settled in time: the neutral decides."""
    ended = Entry("mediation_ended", "clock")
    return Move(enter(case, Stage.DECISION, now), [ended], draw=case.mediator_id is None)
