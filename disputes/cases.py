"""Open cases and take steps on them, many in one transaction: lock, decide, draw, write.

The callers join a case to its subject: they say what is disputed, and carry a settlement out in
the same transaction in which it is decided.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from disputes import assignments, clocks, store, strikes
from disputes.acts import take
from disputes.commands import Command, Entry, Move, by_helper, reason_of
from disputes.draw import is_tied
from disputes.model import Case, Cause, Stage
from disputes.outcomes import AGREEABLE, Line, Outcome, Presumed, Side, effect
from disputes.reasons import Reason
from disputes.recusal import Part
from disputes.refusals import CaseNotFound, CaseOpen, NobodyEligible, NotYourCase
from disputes.steps import STEPS, By
from ledger.refusals import Refusal

#: Finds people for a part of a case: how many. Raises NobodyEligible.
Draw = Callable[[Connection, Case, Part, int], tuple[UUID, ...]]


@dataclass(frozen=True, slots=True)
class NewCase:
    """What a case is about, as the caller knows it.

    ``agreed`` is what both sides agreed to (public JSON), ``answers`` what the claimant answered to
    the reason's questions.
    """

    id: UUID
    subject_id: UUID
    kind: str
    cause: Cause
    reason: Reason
    claimant: Side | None
    payer_id: UUID
    payee_id: UUID
    lines: tuple[Line, ...]
    decide_by: datetime
    agreed: Mapping[str, Any]
    answers: Mapping[str, str]
    text: str = ""
    gentle: bool = False
    #: What had happened by then, as the platform's books know it (public JSON).
    facts: Mapping[str, Any] = field(default_factory=dict)
    #: Whether a second person reads the decision, and how many hear an appeal.
    second: bool = False
    panel: int = 1
    #: Whoever the claimant named to act for them and reported it; it stands in the journal.
    helper_id: UUID | None = None


def case_file(new: NewCase) -> dict[str, Any]:
    """Return what is frozen when a case is opened: both sides read the same, and can prove it.

    The question, what was agreed, and the closed list of how it can end, each outcome with what the
    payee would get of every line in minor units.
    """
    lines = {line.id: line for line in new.lines}
    return {
        "subject": str(new.subject_id),
        "kind": new.kind,
        "question": new.reason.code,
        "answers": dict(new.answers),
        "text": new.text,
        "agreed": dict(new.agreed),
        "facts": dict(new.facts),
        "second": new.second,
        "panel": new.panel,
        "lines": [
            {"id": str(line.id), "unit": line.unit, "amount": line.amount}
            for line in lines.values()
        ],
        "evidence_needed": sorted(new.reason.needs),
        "evidence_that_may_be_asked": sorted(new.reason.helps),
        "presumed": new.reason.presumed,
        "outcomes": [
            _outcome(outcome, new.lines, new.reason)
            for outcome in Outcome
            if outcome in new.reason.outcomes
        ],
        "agreeable": sorted(AGREEABLE),
    }


def _outcome(outcome: Outcome, lines: Sequence[Line], reason: Reason) -> dict[str, Any]:
    if outcome is Outcome.SPLIT:
        return {"outcome": outcome, "to_payee": "as decided for each line"}
    found = effect(outcome, lines, reason.presumed)
    return {"outcome": outcome, "to_payee": {str(line): part for line, part in found.items()}}


def fingerprint(file: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the canonical JSON of a case's file, in hexadecimal."""
    return hashlib.sha256(orjson.dumps(file, option=orjson.OPT_SORT_KEYS)).hexdigest()


def open_cases(
    connection: Connection,
    platform_id: UUID,
    wanted: Sequence[NewCase],
    draw: Draw,
    now: datetime,
) -> list[Case | Refusal]:
    """Open each case with its file, its first stage, its deadline and, where due, its mediator.

    Answers one outcome each, in order. What has an open case already is refused.
    """
    taken = _open_subjects(connection, platform_id, [new.subject_id for new in wanted])
    outcomes: list[Case | Refusal] = []
    moves: list[Move] = []
    for new in wanted:
        if new.subject_id in taken:
            outcomes.append(CaseOpen("There is an open case on this already."))
            continue
        taken.add(new.subject_id)
        move = _drawn(connection, _new(platform_id, new, now), draw)
        moves.append(move)
        outcomes.append(move.case)
    store.insert(connection, platform_id, moves, now)
    written = {move.case.id: move.case for move in moves}
    return [one if isinstance(one, Refusal) else written[one.id] for one in outcomes]


def _open_subjects(
    connection: Connection, platform_id: UUID, subjects: Sequence[UUID]
) -> set[UUID]:
    return set(
        connection.scalars(
            text(
                "SELECT subject_id FROM disputes.case WHERE platform_id = :platform_id "
                "AND subject_id = ANY(:subjects) AND closed_at IS NULL"
            ),
            {"platform_id": platform_id, "subjects": list(subjects)},
        )
    )


def _new(platform_id: UUID, new: NewCase, now: datetime) -> Move:
    file = orjson.loads(orjson.dumps(case_file(new)))
    at_once = new.reason.at_once
    stage = Stage.MEDIATION if at_once and new.claimant is not None else Stage.TALK
    if new.claimant is None:
        stage = Stage.DECISION  # nobody claims: a short review by a neutral
    case = Case(
        platform_id=platform_id,
        id=new.id,
        subject_id=new.subject_id,
        kind=new.kind,
        cause=new.cause,
        reason=new.reason.code,
        claimant=new.claimant,
        payer_id=new.payer_id,
        payee_id=new.payee_id,
        lines=new.lines,
        stage=stage,
        stage_since=now,
        due_at=clocks.due(stage, now, new.decide_by, gentle=new.gentle),
        decide_by=new.decide_by,
        opened_at=now,
        version=1,
        file=file,
        file_hash=fingerprint(file),
        gentle=new.gentle,
    )
    hand = {} if new.helper_id is None else {"helper": str(new.helper_id)}
    opened = Entry(
        "opened",
        str(new.claimant or new.cause),
        {"reason": new.reason.code, "cause": new.cause, "file_hash": case.file_hash, **hand},
    )
    return Move(case, [opened], draw=stage is not Stage.TALK)


def act(
    connection: Connection,
    platform_id: UUID,
    commands: Sequence[tuple[UUID, Command]],
    draw: Draw,
    now: datetime,
) -> list[Move | Refusal]:
    """Take each step; answer one outcome each, in order. One's refusal does not touch another.

    A case may be named once in a batch. A move with a ``settlement`` or ``resumed`` is for the
    caller to carry out in the same transaction.

    Raises:
        store.LostWrite: a bug of ours; the caller's transaction must roll back.
    """
    found = store.load(connection, platform_id, [one for one, _ in commands], lock=True)
    outcomes: list[Move | Refusal] = []
    seen: set[UUID] = set()
    for case_id, command in commands:
        case = found.get(case_id)
        if case is None or case_id in seen:
            outcomes.append(CaseNotFound("No case with this id, or it is named twice."))
            continue
        seen.add(case_id)
        try:
            move = take(case, replace(command, needs_second=bool(case.file.get("second"))), now)
            if command.step == "call_mediator" and command.member_id is not None:
                strikes.check_call(connection, case, command.member_id, now)
            if command.mediator_id is not None and is_tied(connection, case, command.mediator_id):
                raise NotYourCase("You are tied to this case: it goes to somebody else.")
            outcomes.append(_drawn(connection, by_helper(move, case, command), draw))
        except Refusal as refusal:
            outcomes.append(refusal)
    moved = [one for one in outcomes if isinstance(one, Move)]
    store.update(connection, platform_id, moved, now)
    assignments.end_left(connection, platform_id, [move.case for move in moved], now)
    return outcomes


def part_of(case: Case) -> tuple[Part, int]:
    """Return which part of a case is to be taken at its stage, and by how many."""
    if case.stage is Stage.SECOND_LOOK:
        return Part.SECOND, 1
    if case.stage is Stage.APPEAL:
        return Part.PANEL, int(case.file.get("panel", 1))
    return Part.MEDIATOR, 1


def _drawn(connection: Connection, move: Move, draw: Draw) -> Move:
    """Find somebody for a case that wants somebody; without anybody it waits in the queue."""
    if not move.draw:
        return move
    case = move.case
    part, wanted = part_of(case)
    try:
        people = draw(connection, case, part, wanted)
    except NobodyEligible as refusal:
        move.entries.append(Entry("nobody_eligible", "draw", {"part": part, **refusal.facts}))
        return move
    if part is Part.PANEL:
        assert case.appeal is not None
        move.case = replace(case, appeal=replace(case.appeal, panel=people))
    elif part is Part.SECOND:
        move.case = replace(case, second_id=people[0])
    else:
        move.case = replace(case, mediator_id=people[0])
    drawn = {"part": part, "people": [str(one) for one in people]}
    move.entries.append(Entry("assigned", "draw", drawn))
    return move


_DUE: Final = text(
    "SELECT id FROM disputes.case WHERE platform_id = :platform_id AND closed_at IS NULL "
    "AND least(due_at, decide_by) <= :now ORDER BY due_at LIMIT :limit "
    "FOR NO KEY UPDATE SKIP LOCKED"
)


def due(
    connection: Connection, platform_id: UUID, now: datetime, limit: int
) -> list[tuple[UUID, str]]:
    """Return cases whose clock has something to do, locked, each with the step to take.

    The limit of what may be held comes first; else the one step that ends the present stage.
    """
    values = {"platform_id": platform_id, "now": now, "limit": limit}
    ids = list(connection.scalars(_DUE, values))
    cases = store.load(connection, platform_id, ids, lock=True)
    return [(case.id, name) for case in cases.values() if (name := clock_step(case, now))]


def clock_step(case: Case, now: datetime) -> str | None:
    """Return the step that the clock may take on a case now, or None."""
    names = [one.name for one in STEPS if one.by is By.CLOCK and case.stage in one.from_]
    if "reach_limit" in names and now >= case.decide_by:
        return "reach_limit"
    rest = [name for name in names if name != "reach_limit"]
    return rest[0] if rest and now >= case.due_at else None


def presumed(case: Case) -> Presumed:
    """Return who gets what is disputed when nobody can tell."""
    return reason_of(case).presumed
