"""What is asked of a case and what a step changes: the values, and what all acts share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from disputes import clocks
from disputes.model import Case, Extra, Stage
from disputes.outcomes import Outcome, effect
from disputes.reasons import REASONS, SILENCE, Reason
from disputes.refusals import OutcomeNotOpen


@dataclass(frozen=True, slots=True)
class Command:
    """What somebody asks of a case. ``id`` names what it makes: an offer, a proposal, a ruling.

    One of ``member_id`` and ``mediator_id`` is set, none for the clock.
    """

    step: str
    id: UUID
    member_id: UUID | None = None
    mediator_id: UUID | None = None
    outcome: Outcome | None = None
    split: Mapping[UUID, int] | None = None
    text: str = ""
    reason_code: str = ""
    #: Whoever the member named to act for them and took the step; it stands in the journal.
    helper_id: UUID | None = None
    #: The offer or proposal that is answered.
    about: UUID | None = None
    #: A decision of this weight is read by a second mediator before it is told.
    needs_second: bool = False
    #: Of an offer: what is given beside what is disputed.
    extra: Extra | None = None
    #: Of the case as it was read: a step that was meant for another is refused.
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the case's journal: what happened, by whom."""

    type: str
    actor: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Move:
    """What a step changes. ``settlement`` is set when value is to find its outcome now."""

    case: Case
    entries: list[Entry] = field(default_factory=list)
    settlement: Mapping[UUID, int] | None = None
    #: What one side gives the other beside it, now.
    extra: Extra | None = None
    #: The claim is gone: what was frozen goes on as before.
    resumed: bool = False
    #: The case needs somebody who is not (any more) on it, other than these.
    draw: bool = False


def reason_of(case: Case) -> Reason:
    """Return the reason of a case as data."""
    return REASONS.get(case.reason, SILENCE)


def actor_of(case: Case, command: Command) -> str:
    """Return who acts as the journal names them: a side, a mediator, or the clock."""
    if command.mediator_id is not None:
        return f"mediator:{command.mediator_id}"
    side = None if command.member_id is None else case.side_of(command.member_id)
    return "clock" if side is None else str(side)


def by_helper(move: Move, case: Case, command: Command) -> Move:
    """Write down in the journal that a helper took the step for their side."""
    if command.helper_id is None:
        return move
    actor, hand = actor_of(case, command), {"helper": str(command.helper_id)}
    move.entries = [
        replace(one, data={**one.data, **hand}) if one.actor == actor else one
        for one in move.entries
    ]
    return move


def enter(case: Case, stage: Stage, now: datetime) -> Case:
    due_at = clocks.due(stage, now, case.decide_by, gentle=case.gentle)
    return replace(case, stage=stage, stage_since=now, due_at=due_at, offer=None, proposal=None)


#: Outcomes that something has to come of before they hold: the stage, and what the journal says.
_AWAITED: Final = {
    Outcome.RETURN_THEN_REFUND: (Stage.RETURNING, "return_awaited"),
    Outcome.REPAIR: (Stage.REPAIRING, "repair_awaited"),
}


def close(move: Move, outcome: Outcome, to_payee: Mapping[UUID, int], now: datetime) -> Move:
    """End the case with an outcome, or let the goods go back, or be mended, first."""
    if outcome in _AWAITED:
        stage, entry = _AWAITED[outcome]
        move.case = replace(enter(move.case, stage, now), outcome=outcome)
        move.entries.append(Entry(entry, "clock"))
        return move
    move.case = replace(
        move.case,
        stage=Stage.CLOSED,
        stage_since=now,
        outcome=outcome,
        settlement=to_payee,
        closed_at=now,
        offer=None,
        proposal=None,
    )
    move.settlement = to_payee
    move.entries.append(Entry("closed", "clock", {"outcome": outcome, "to_payee": said(to_payee)}))
    return move


def drop(case: Case, outcome: Outcome, entry: Entry, now: datetime) -> Move:
    """End the case without moving anything by it."""
    closed = replace(
        case,
        stage=Stage.CLOSED,
        stage_since=now,
        outcome=outcome,
        closed_at=now,
        offer=None,
        proposal=None,
    )
    return Move(closed, [entry], resumed=True)


def said(to_payee: Mapping[UUID, int]) -> dict[str, int]:
    return {str(line): amount for line, amount in to_payee.items()}


def effect_of(
    case: Case, command: Command, open_to: Collection[Outcome] | None = None
) -> tuple[Outcome, dict[UUID, int]]:
    """Return the outcome that a command names, and what the payee gets of each line by it.

    Args:
        open_to: what may be named; without it, what may be decided for the case's reason.

    Raises:
        OutcomeNotOpen, SplitInvalid
    """
    reason = reason_of(case)
    outcome = command.outcome
    allowed = reason.outcomes if open_to is None else open_to
    if outcome is None or outcome not in allowed:
        raise OutcomeNotOpen(
            f"What can be said here is: {', '.join(sorted(allowed))}.",
            pointer="/outcome",
            outcomes=sorted(allowed),
        )
    if outcome is Outcome.REPAIR and command.split is None:
        return outcome, {}
    return outcome, effect(outcome, case.lines, reason.presumed, command.split)
