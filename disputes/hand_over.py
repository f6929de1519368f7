"""A case finds somebody after its step: claimed as the next, drawn again, or handed back.

The locks are taken in one order everywhere: the case, then whoever takes it. A claim holds its
mediator first and therefore never waits for a case: what another holds is passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from disputes import assignments, draw, store
from disputes.cases import part_of
from disputes.commands import Entry, Move
from disputes.model import Case, Stage
from disputes.queue import WAITS
from disputes.recusal import Part
from disputes.refusals import (
    AlreadyVoted,
    CaseNotFound,
    NobodyEligible,
    NotNowInCase,
    NotYourCase,
    ReasonsMissing,
)
from ledger.refusals import Refusal

#: Of cases that wait, one who asks for the next is compared with so many at most.
LOOK_AT: Final = 100
#: Reasons that say nothing of the case: whoever has one takes none.
_OF_THE_PERSON: Final = ("role", "away", "caseload_full")

_NEXT: Final = text(
    "SELECT c.platform_id, c.id FROM disputes.case AS c "  # noqa: S608 - our own condition
    f"WHERE {WAITS} AND c.stage <> 'appeal' AND c.due_at > :now "
    "AND c.platform_id IN (SELECT p.platform_id FROM disputes.pool_platform AS p "
    "JOIN disputes.pool_member AS m ON m.pool_id = p.pool_id WHERE m.mediator_id = :mediator_id) "
    "ORDER BY c.due_at, c.id LIMIT :limit"
)
_STILL: Final = text(
    f"SELECT EXISTS (SELECT FROM (SELECT c.id FROM disputes.case AS c WHERE {WAITS} "  # noqa: S608
    "AND c.platform_id = :platform_id AND c.id = :id FOR NO KEY UPDATE SKIP LOCKED) AS one)"
)


class NotAvailable(Refusal):
    """Whoever asks for a case is away, has enough of them, or has not the role."""

    code = "mediator_not_available"


def seat(case: Case, part: Part, people: tuple[UUID, ...]) -> Case:
    """Return the case with people in a part of it. Pure."""
    if part is Part.SECOND:
        return replace(case, second_id=people[0])
    if part is Part.PANEL:
        assert case.appeal is not None
        panel = (*case.appeal.panel, *people)
        return replace(case, appeal=replace(case.appeal, panel=panel))
    return replace(case, mediator_id=people[0])


def _assigned(case: Case, part: Part, people: tuple[UUID, ...], how: str) -> Move:
    given = {"part": part, "people": [str(one) for one in people]}
    seated = seat(replace(case, version=case.version + 1), part, people)
    return Move(seated, [Entry("assigned", how, given)])


def claim_next(connection: Connection, mediator_id: UUID, now: datetime) -> Case | None:
    """Give a mediator the case that is due first among those that wait and that they may take.

    Whoever claims at the same moment gets another case. Runs across platforms. Panels are drawn
    and never claimed.

    Returns:
        The case, assigned and written; None when none waits that they may take.

    Raises:
        NotAvailable: they are away, have enough cases, or have not the role.
    """
    draw.hold(connection, [mediator_id])
    values = {"mediator_id": mediator_id, "now": now, "limit": LOOK_AT}
    for row in connection.execute(_NEXT, values).all():
        case = store.load(connection, row.platform_id, [row.id], lock=False)[row.id]
        if not _may(connection, case, mediator_id, now):
            continue
        key = {"platform_id": row.platform_id, "id": row.id}
        if not connection.execute(_STILL, key).scalar_one():
            continue  # somebody else has it, or is about to
        case = store.load(connection, row.platform_id, [row.id], lock=True)[row.id]
        part, _ = part_of(case)
        if part is Part.PANEL or not _may(connection, case, mediator_id, now):
            continue  # it went on between the two looks
        move = _assigned(case, part, (mediator_id,), f"mediator:{mediator_id}")
        assignments.end_left(connection, case.platform_id, [case], now)
        assignments.add(
            connection,
            case,
            part,
            [mediator_id],
            now,
            seed=None,
            eligible=[mediator_id],
            excluded={},
        )
        store.update(connection, case.platform_id, [move], now)
        return move.case
    return None


def _may(connection: Connection, case: Case, mediator_id: UUID, now: datetime) -> bool:
    part, _ = part_of(case)
    found = draw.field(connection, case, part, now)
    why = [one for one in found.excluded.get(mediator_id, ()) if one in _OF_THE_PERSON]
    if why and not (part is Part.MEDIATOR and why == ["role"]):
        raise NotAvailable("You take no new cases now.", reasons=why)
    return mediator_id in found.eligible


def draw_again(
    connection: Connection,
    platform_id: UUID,
    new_seed: Callable[[], bytes],
    now: datetime,
    limit: int,
) -> list[Case]:
    """Draw for cases of a platform that wait for somebody; return those that found one.

    A case for which there is still nobody stays as it is, without a word in its journal.

    Args:
        new_seed: gives random bytes, others for each draw.
    """
    query = text(
        f"SELECT c.id FROM disputes.case AS c WHERE {WAITS} "  # noqa: S608
        "AND c.platform_id = :platform_id ORDER BY c.due_at, c.id LIMIT :limit "
        "FOR NO KEY UPDATE SKIP LOCKED"
    )
    ids = list(connection.scalars(query, {"platform_id": platform_id, "limit": limit}))
    moves = []
    for case in store.load(connection, platform_id, ids, lock=True).values():
        part, how_many = part_of(case)
        if part is Part.PANEL and case.appeal is not None:  # those who sit on it stay
            how_many -= len(case.appeal.panel)
        try:
            people = draw.draw(connection, case, part, new_seed(), now, how_many)
        except NobodyEligible:
            continue
        moves.append(_assigned(case, part, people, "draw"))
    store.update(connection, platform_id, moves, now)
    return [move.case for move in moves]


def decline(
    connection: Connection,
    platform_id: UUID,
    case_id: UUID,
    mediator_id: UUID,
    reason: str,
    seed: bytes,
    now: datetime,
) -> Case:
    """Give a case back; somebody else is drawn at once, and it waits when there is nobody.

    Raises:
        CaseNotFound, NotYourCase: no such case, or it is not assigned to them.
        NotNowInCase: it does not wait for a neutral.
        AlreadyVoted: they have given their word on the appeal.
        ReasonsMissing: no reason.
    """
    case = store.load(connection, platform_id, [case_id], lock=True).get(case_id)
    if case is None:
        raise CaseNotFound("No case with this id.")
    if not reason.strip():
        raise ReasonsMissing("Say why; it stands in the case's journal.", pointer="/reason")
    part, without = _without(case, mediator_id)
    assignments.end(connection, case, mediator_id, "declined", now)
    without = replace(without, version=case.version + 1)
    declined = Entry("declined", f"mediator:{mediator_id}", {"reason": reason})
    return _passed_on(connection, without, part, declined, seed, now)


def leave(
    connection: Connection,
    platform_id: UUID,
    case_id: UUID,
    mediator_id: UUID,
    seed: bytes,
    now: datetime,
) -> Case | None:
    """Take a case from somebody whose work has ended; another is drawn where one is wanted now.

    What they have decided, and a word that they gave on an appeal, stands. Runs inside the case's
    platform.

    Returns:
        The case as it is then; None when nothing in it is theirs to do any more.
    """
    case = store.load(connection, platform_id, [case_id], lock=True).get(case_id)
    if case is None or mediator_id not in assignments.people_on(case):
        return None
    gone = Entry("declined", "operator", {"from": str(mediator_id), "reason": "work_ended"})
    acts = {Stage.MEDIATION, Stage.DECISION, Stage.APPEAL}
    waited_for = case.stage in acts or mediator_id == case.second_id
    if not waited_for:  # their decision is being read, or what it asks for is on its way
        left = case.left | {mediator_id}
        moved = replace(case, version=case.version + 1, mediator_id=None, left=left)
        assignments.end(connection, case, mediator_id, "left", now)
        store.update(connection, platform_id, [Move(moved, [gone])], now)
        return moved
    try:
        part, without = _without(case, mediator_id)
    except AlreadyVoted:
        return None
    assignments.end(connection, case, mediator_id, "left", now)
    without = replace(without, version=case.version + 1)
    return _passed_on(connection, without, part, gone, seed, now)


def _passed_on(
    connection: Connection, without: Case, part: Part, first: Entry, seed: bytes, now: datetime
) -> Case:
    """Draw somebody else for a case that was given back, and write both; or it waits."""
    entries = [first]
    try:
        people = draw.draw(connection, without, part, seed, now)
    except NobodyEligible as refusal:
        entries.append(Entry("nobody_eligible", "draw", {"part": part, **refusal.facts}))
        move = Move(without, entries)
    else:
        given = {"part": part, "people": [str(one) for one in people]}
        move = Move(seat(without, part, people), [*entries, Entry("assigned", "draw", given)])
    store.update(connection, without.platform_id, [move], now)
    return move.case


def _without(case: Case, mediator_id: UUID) -> tuple[Part, Case]:
    part, _ = part_of(case)
    left = replace(case, left=case.left | {mediator_id})
    if mediator_id not in assignments.people_on(case):
        raise NotYourCase("This case is not assigned to you.")
    if case.stage is Stage.APPEAL:
        assert case.appeal is not None
        if mediator_id in case.appeal.votes:
            raise AlreadyVoted("You have given your word on this appeal.")
        panel = tuple(one for one in case.appeal.panel if one != mediator_id)
        return part, replace(left, appeal=replace(case.appeal, panel=panel))
    if case.stage is Stage.SECOND_LOOK and mediator_id == case.second_id:
        return part, replace(left, second_id=None)
    if case.stage in {Stage.MEDIATION, Stage.DECISION}:
        return part, replace(left, mediator_id=None, proposal=None)
    raise NotNowInCase("Nothing in this case waits for you now.", stage=case.stage)
