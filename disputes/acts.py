"""Take one step on one case: pure, from values to a move.

``check`` says whether a step is allowed; ``take`` checks, then carries it out. Who may be a
mediator of a case at all (ties, caseload) is decided where they are drawn: here it only matters
whether the case is theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from disputes import rulings, talk
from disputes.commands import Command, Move
from disputes.model import Case, Stage
from disputes.outcomes import Side
from disputes.refusals import (
    CaseClosed,
    NothingOpen,
    NotNowInCase,
    NotYourCase,
    NotYourTurn,
    StaleCase,
    TooSoon,
)
from disputes.steps import BY_NAME, By, Step

#: Steps without which the end of their stage moves value by itself.
_IN_TIME: Final = frozenset({"appeal", "vote", "mark_returned"})


def check(case: Case, step: Step, command: Command, now: datetime) -> None:
    """Check whether a step may be taken now.

    Raises:
        Refusal: why not, and what can be done.
    """
    if case.stage is Stage.CLOSED:
        raise CaseClosed("This case is closed.", outcome=case.outcome)
    if case.stage not in step.from_:
        raise NotNowInCase(
            f"'{step.name}' is not possible while the case is in {case.stage}.", stage=case.stage
        )
    if step.by is By.CLOCK:
        limit = case.decide_by if step.name == "reach_limit" else case.due_at
        if now < limit:
            raise TooSoon(f"'{step.name}' is not due yet.", due_at=limit.isoformat())
        return
    _check_time(case, step, now)
    if step.by in {By.MEDIATOR, By.SECOND, By.PANEL}:
        _check_neutral(case, step, command)
    elif step.by is not By.SYSTEM:
        _check_party(case, step, command, now)


def _check_time(case: Case, step: Step, now: datetime) -> None:
    """What time has decided, nobody decides otherwise because the clock has not come to it yet."""
    neutral = step.by in {By.MEDIATOR, By.SECOND}
    if neutral and case.stage in BY_NAME["reach_limit"].from_ and now >= case.decide_by:
        over = case.decide_by
    elif step.name in _IN_TIME and now >= case.due_at:
        over = case.due_at
    else:
        return
    raise NotNowInCase(
        f"The time for '{step.name}' was over at {over.isoformat()}.",
        stage=case.stage,
        over_at=over.isoformat(),
    )


def _check_neutral(case: Case, step: Step, command: Command) -> None:
    panel = () if case.appeal is None else case.appeal.panel
    theirs = {By.MEDIATOR: (case.mediator_id,), By.SECOND: (case.second_id,), By.PANEL: panel}
    if command.mediator_id is None or command.mediator_id not in theirs[step.by]:
        raise NotYourCase("This case is not assigned to you.")


def _check_party(case: Case, step: Step, command: Command, now: datetime) -> None:
    side = None if command.member_id is None else case.side_of(command.member_id)
    if side is None:
        raise NotYourCase("This member is on neither side of the case.")
    mine = {
        By.PARTY: True,
        By.CLAIMANT: case.claimant is side,
        By.OFFERER: case.offer is not None and case.offer.by is side,
        By.OFFEREE: case.offer is not None and case.offer.by is not side,
        By.PAYER: side is Side.PAYER,
        By.PAYEE: side is Side.PAYEE,
    }[step.by]
    if step.by in {By.OFFERER, By.OFFEREE} and (case.offer is None or now >= case.offer.expires_at):
        raise NothingOpen("There is no open offer: it was answered, replaced, or lapsed.")
    if not mine:
        raise NotYourTurn(f"'{step.name}' is for the other side to take.")


def take(case: Case, command: Command, now: datetime) -> Move:
    """Decide ``command`` on ``case``.

    Raises:
        Refusal: why not; nothing is to be written then.
    """
    step = BY_NAME[command.step]
    if command.expected_version not in {None, case.version}:
        raise StaleCase("The case has changed since you read it.", version=case.version)
    check(case, step, command, now)
    move = _ACTS[step.name](case, command, now)
    assert move.case.stage in step.to, (step.name, move.case.stage)
    move.case = replace(move.case, version=case.version + 1)
    return move


_ACTS: Final[dict[str, Callable[[Case, Command, datetime], Move]]] = {
    "make_offer": talk.make_offer,
    "withdraw_offer": talk.drop_offer,
    "reject_offer": talk.drop_offer,
    "accept_offer": talk.accept_offer,
    "withdraw_claim": talk.withdraw_claim,
    "call_mediator": talk.call_mediator,
    "end_talk": talk.to_mediation,
    "propose": talk.propose,
    "accept_proposal": talk.accept_proposal,
    "reject_proposal": talk.reject_proposal,
    "end_mediation": talk.end_mediation,
    "decide": rulings.decide,
    "agree_with": rulings.agree_with,
    "send_back": rulings.send_back,
    "reassign": rulings.reassign,
    "appeal": rulings.appeal,
    "end_appeal_time": rulings.carry_out,
    "vote": rulings.vote,
    "end_appeal": rulings.carry_out,
    "mark_returned": rulings.mark_returned,
    "confirm_returned": rulings.confirm_returned,
    "end_return": rulings.end_return,
    "mark_repaired": rulings.mark_returned,
    "confirm_repaired": rulings.confirm_repaired,
    "reject_repair": rulings.end_repair,
    "end_repair": rulings.end_repair,
    "reach_limit": rulings.reach_limit,
    "lift_flag": rulings.lift_flag,
    "moot": rulings.moot,
    "challenge": rulings.challenge,
}
