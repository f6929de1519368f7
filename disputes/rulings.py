"""Acts of decision and appeal, and of goods that go back first.

Each act has the same shape, ``(case, command, now) -> Move``, so that ``acts`` can name it beside
its step. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from disputes import clocks
from disputes.commands import (
    Command,
    Entry,
    Move,
    actor_of,
    close,
    drop,
    effect_of,
    enter,
    reason_of,
    said,
)
from disputes.model import Appeal, Case, Cause, Ruling, Stage
from disputes.outcomes import UNUSUAL, Outcome, effect
from disputes.refusals import (
    AlreadyVoted,
    ChallengeUsed,
    GroundMissing,
    NotNowInCase,
    ReasonsMissing,
)

#: The reasons of a decision have at least so many characters: both sides are to understand them.
LEAST_REASONS: Final = 100
#: What a decision rests on: what was shown, what nobody denies, what was agreed, what the reason
#: presumes where nothing was shown, or that somebody did not come, did not answer, or deceived.
REASON_CODES: Final = frozenset(
    {"evidence", "facts", "terms", "not_proven", "no_show", "no_answer", "deceit"}
)
#: What other people look again for. To be of another mind than who decided is none of it.
GROUNDS: Final = frozenset({"new_evidence", "procedure"})


def _ruling(case: Case, command: Command, now: datetime) -> Ruling:
    assert command.mediator_id is not None
    outcome, to_payee = effect_of(case, command)
    check_reasons(command)
    by = (command.mediator_id,)
    return Ruling(command.id, by, outcome, to_payee, command.reason_code, command.text, now)


def check_reasons(command: Command) -> None:
    """Check that both sides will know why.

    Raises:
        ReasonsMissing: no code, or too few words.
    """
    if len(command.text.strip()) < LEAST_REASONS or command.reason_code not in REASON_CODES:
        raise ReasonsMissing(
            f"Give a reason code ({', '.join(sorted(REASON_CODES))}), and {LEAST_REASONS} "
            "characters that both sides will read and understand.",
            pointer="/reasons",
            codes=sorted(REASON_CODES),
        )


def decide(case: Case, command: Command, now: datetime) -> Move:
    """Write a reasoned decision; one of weight is read by a second mediator first."""
    ruling = _ruling(case, command, now)
    if command.needs_second or ruling.outcome in UNUSUAL:
        entered = enter(replace(case, ruling=ruling, second_id=None), Stage.SECOND_LOOK, now)
        written = Entry("decision_written", actor_of(case, command))
        return Move(entered, [written], draw=True)
    return _tell(case, ruling, command, now)


def _tell(case: Case, ruling: Ruling, command: Command, now: datetime) -> Move:
    told = {
        "outcome": ruling.outcome,
        "to_payee": said(ruling.to_payee),
        "reason_code": ruling.reason_code,
        "reasons": ruling.reasons,
    }
    entered = enter(replace(case, ruling=ruling), Stage.APPEALABLE, now)
    return Move(entered, [Entry("decided", actor_of(case, command), told)])


def agree_with(case: Case, command: Command, now: datetime) -> Move:
    """Agree with the decision: both sides are told."""
    assert case.ruling is not None
    return _tell(case, replace(case.ruling, seconded_by=command.mediator_id), command, now)


def send_back(case: Case, command: Command, now: datetime) -> Move:
    """Disagree: it is to be decided again."""
    entered = enter(replace(case, ruling=None, second_id=None), Stage.DECISION, now)
    sent = Entry("decision_sent_back", actor_of(case, command), {"text": command.text})
    return Move(entered, [sent])


def reassign(case: Case, _command: Command, now: datetime) -> Move:
    """No word in time: somebody else takes the case, and the stage's clock begins anew."""
    if case.stage is Stage.SECOND_LOOK:
        gone, without = case.second_id, replace(case, second_id=None)
    else:
        gone, without = case.mediator_id, replace(case, mediator_id=None)
    moved = replace(
        without,
        left=without.left | ({gone} if gone is not None else set()),
        stage_since=now,
        due_at=clocks.due(case.stage, now, case.decide_by, gentle=case.gentle),
    )
    return Move(moved, [Entry("reassigned", "clock", {"from": str(gone)})], draw=True)


def challenge(case: Case, command: Command, now: datetime) -> Move:
    """Ask for somebody else."""
    assert command.member_id is not None
    side = case.side_of(command.member_id)
    assert side is not None
    if case.challenges.get(side, 0):
        raise ChallengeUsed("Each side can ask once for somebody else.")
    used = {**case.challenges, side: 1}
    on_it = {case.mediator_id, case.second_id, *(case.appeal.panel if case.appeal else ())}
    if not on_it - {None}:
        raise NotNowInCase("Nobody is on this case yet: there is nobody to ask another one for.")
    moved = replace(
        case,
        challenges=used,
        mediator_id=None,
        second_id=None,
        proposal=None,
        left=case.left | {one for one in on_it if one is not None},
    )
    if case.stage is Stage.SECOND_LOOK:  # what was written by who is challenged is not kept
        moved = enter(replace(moved, ruling=None), Stage.DECISION, now)
    if case.appeal is not None and case.stage is Stage.APPEAL:
        moved = replace(moved, appeal=replace(case.appeal, panel=(), votes={}))
    return Move(moved, [Entry("challenged", side, {"text": command.text})], draw=True)


def appeal(case: Case, command: Command, now: datetime) -> Move:
    """Ask for other people: new facts, or an error of procedure."""
    assert command.member_id is not None
    side = case.side_of(command.member_id)
    assert side is not None
    if command.reason_code not in GROUNDS or not command.text.strip():
        raise GroundMissing(
            f"Say which it is ({', '.join(sorted(GROUNDS))}), and what is new or went wrong.",
            pointer="/ground" if command.reason_code not in GROUNDS else "/text",
            grounds=sorted(GROUNDS),
        )
    appeal = Appeal(side, command.reason_code, command.text, now)
    before = {one for one in (case.mediator_id, case.second_id) if one is not None}
    entered = replace(enter(case, Stage.APPEAL, now), appeal=appeal, left=case.left | before)
    told = {"ground": command.reason_code, "text": command.text}
    return Move(entered, [Entry("appealed", side, told)], draw=True)


def carry_out(case: Case, command: Command, now: datetime) -> Move:
    """The decision holds: nobody appealed, or no other was reached in time."""
    assert case.ruling is not None
    type_ = "appeal_time_over" if command.step == "end_appeal_time" else "appeal_not_heard"
    move = Move(case, [Entry(type_, "clock")])
    return close(move, case.ruling.outcome, case.ruling.to_payee, now)


def vote(case: Case, command: Command, now: datetime) -> Move:
    """Give one's word on the appeal; what most of the panel decide alike holds."""
    appeal = case.appeal
    assert appeal is not None
    assert command.mediator_id is not None
    if command.mediator_id in appeal.votes:
        raise AlreadyVoted("You have given your word on this appeal.")
    votes = {**appeal.votes, command.mediator_id: _ruling(case, command, now)}
    voted = replace(case, appeal=replace(appeal, votes=votes))
    move = Move(voted, [Entry("appeal_vote", actor_of(case, command))])
    # A seat that is empty for now is drawn again: the others alone do not outvote it.
    seats = max(len(appeal.panel), int(case.file.get("panel", 1)))
    agreed = _majority(seats, votes)
    if agreed is None and len(votes) < seats:
        return move
    ruling = agreed or case.ruling
    assert ruling is not None
    by = tuple(one for one, vote in votes.items() if _same(vote, ruling))
    final = replace(ruling, by=by) if by else ruling
    move.case = replace(voted, ruling=final)
    told = {
        "outcome": final.outcome,
        "to_payee": said(final.to_payee),
        "reasons": final.reasons,
        "stands": _same(final, case.ruling) if case.ruling is not None else False,
    }
    move.entries.append(Entry("appeal_decided", "panel", told))
    return close(move, final.outcome, final.to_payee, now)


def _same(one: Ruling, other: Ruling) -> bool:
    return (one.outcome, dict(one.to_payee)) == (other.outcome, dict(other.to_payee))


def _majority(seats: int, votes: Mapping[UUID, Ruling]) -> Ruling | None:
    """Return what more than half of the seats decide alike; without one the decision stands."""
    for vote in votes.values():
        if sum(_same(vote, other) for other in votes.values()) * 2 > seats:
            return vote
    return None


def mark_returned(case: Case, command: Command, now: datetime) -> Move:
    """Say that the goods went back, or that it is mended."""
    what = "returned" if case.stage is Stage.RETURNING else "repaired"
    said = Entry(what, actor_of(case, command), {"text": command.text})
    return Move(replace(case, returned_at=case.returned_at or now), [said])


def confirm_returned(case: Case, command: Command, now: datetime) -> Move:
    """Say that they came."""
    move = Move(case, [Entry("return_confirmed", actor_of(case, command))])
    return close(move, Outcome.TO_PAYER, {line.id: 0 for line in case.lines}, now)


def end_return(case: Case, _command: Command, now: datetime) -> Move:
    """Silence about goods that the payer says went back is no reason to pay: a neutral looks."""
    if case.returned_at is not None:
        entered = replace(enter(case, Stage.DECISION, now), outcome=None, ruling=None)
        if case.ruling is not None:  # whoever decided was done with it: others look
            before = {one for one in (case.mediator_id, case.second_id) if one is not None}
            entered = replace(entered, mediator_id=None, second_id=None, left=case.left | before)
        return Move(entered, [Entry("return_disputed", "clock")], draw=entered.mediator_id is None)
    move = Move(case, [Entry("not_returned", "clock")])
    return close(move, Outcome.TO_PAYEE, {line.id: line.amount for line in case.lines}, now)


def confirm_repaired(case: Case, command: Command, now: datetime) -> Move:
    """Say that it is mended: what was agreed at first holds again."""
    return drop(case, Outcome.REPAIR, Entry("repair_confirmed", actor_of(case, command)), now)


def end_repair(case: Case, command: Command, now: datetime) -> Move:
    """Not mended, or nobody says so: a neutral decides."""
    entered = replace(enter(case, Stage.DECISION, now), outcome=None, returned_at=None)
    disputed = Entry("repair_disputed", actor_of(case, command), {"text": command.text})
    return Move(entered, [disputed], draw=case.mediator_id is None)


def lift_flag(case: Case, command: Command, now: datetime) -> Move:
    """Nobody claims, and nothing is wrong: whoever looked says so, with reasons."""
    if case.claimant is not None or case.cause is not Cause.FRAUD:
        raise NotNowInCase("Only what was flagged without a claim can be let go on.")
    check_reasons(command)
    told = {"reason_code": command.reason_code, "reasons": command.text}
    return drop(case, Outcome.WITHDRAWN, Entry("flag_lifted", actor_of(case, command), told), now)


def moot(case: Case, command: Command, now: datetime) -> Move:
    """What the case is about was settled without it."""
    return drop(case, Outcome.MOOT, Entry("moot", "clock", {"why": command.reason_code}), now)


def reach_limit(case: Case, _command: Command, now: datetime) -> Move:
    """Nobody decided in time, or nobody agreed with who did: what the reason presumes holds."""
    move = Move(case, [Entry("limit_reached", "clock")])
    to_payee = effect(Outcome.CANNOT_DECIDE, case.lines, reason_of(case).presumed)
    return close(move, Outcome.CANNOT_DECIDE, to_payee, now)
