"""Whoever turns out to be tied to a case that they have leaves it, and somebody else takes it.

Ties are asked for when somebody is drawn or claims. One that is declared later is found here, in
the next round; until then whoever is tied can do nothing in the case (:func:`draw.is_tied`).
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
from disputes.commands import Entry, Move, enter
from disputes.hand_over import seat
from disputes.model import Case, Stage
from disputes.refusals import NobodyEligible

_TIED: Final = text("SELECT case_id, mediator_id FROM disputes.tied(:platform_id, NULL)")
_HELD: Final = text(
    "SELECT id FROM disputes.case WHERE platform_id = :platform_id AND id = ANY(:ids) "
    "AND closed_at IS NULL ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED"
)
#: What the journal says of why: that there is a tie, and never to whom.
WHY: Final = "A tie to this case."


def run(
    connection: Connection,
    platform_id: UUID,
    new_seed: Callable[[], bytes],
    now: datetime,
    limit: int,
) -> list[Case]:
    """Take those who are tied off their cases of a platform, draw others, and return the cases.

    Args:
        new_seed: gives random bytes, others for each draw.
    """
    tied: dict[UUID, set[UUID]] = {}
    for row in connection.execute(_TIED, {"platform_id": platform_id}):
        tied.setdefault(row.case_id, set()).add(row.mediator_id)
    values = {"platform_id": platform_id, "ids": list(tied), "limit": limit}
    held = list(connection.scalars(_HELD, values)) if tied else []
    moves = []
    for case in store.load(connection, platform_id, held, lock=True).values():
        gone = tied[case.id] & assignments.people_on(case)
        if gone:  # else they have left it since
            moves.append(_moved(connection, case, gone, new_seed(), now))
    store.update(connection, platform_id, moves, now)
    return [move.case for move in moves]


def _moved(connection: Connection, case: Case, gone: set[UUID], seed: bytes, now: datetime) -> Move:
    without = replace(leave(case, gone, now), version=case.version + 1)
    for one in gone:
        assignments.end(connection, case, one, "declined", now)
    entries = [Entry("declined", f"mediator:{one}", {"reason": WHY}) for one in sorted(gone)]
    part, wanted = part_of(without)
    if without.stage is Stage.APPEAL:
        assert without.appeal is not None
        wanted -= len(without.appeal.panel)
    if without.stage in {Stage.RETURNING, Stage.REPAIRING} or wanted < 1 or not _is_open(without):
        return Move(without, entries)
    try:
        people = draw.draw(connection, without, part, seed, now, wanted)
    except NobodyEligible as refusal:
        entries.append(Entry("nobody_eligible", "draw", {"part": part, **refusal.facts}))
        return Move(without, entries)
    given = {"part": part, "people": [str(one) for one in people]}
    return Move(seat(without, part, people), [*entries, Entry("assigned", "draw", given)])


def _is_open(case: Case) -> bool:
    """Tell whether somebody is missing: one may leave of whom nothing more was wanted."""
    if case.stage is Stage.SECOND_LOOK:
        return case.second_id is None
    return case.stage is Stage.APPEAL or case.mediator_id is None


def leave(case: Case, gone: set[UUID], now: datetime) -> Case:
    """Return the case without these people, and without what only their word stands for. Pure.

    A decision that one of them wrote and nobody was told of is made again by somebody else; a vote
    on an appeal is not counted.
    """
    without = replace(case, left=case.left | gone)
    if case.second_id in gone:
        without = replace(without, second_id=None)
    if case.mediator_id in gone:
        without = replace(without, mediator_id=None, proposal=None)
        if case.stage is Stage.SECOND_LOOK:
            without = replace(without, ruling=None, second_id=None)
            without = enter(without, Stage.DECISION, now)
    if case.stage is Stage.APPEAL and case.appeal is not None:
        panel = tuple(one for one in case.appeal.panel if one not in gone)
        votes = {one: vote for one, vote in case.appeal.votes.items() if one not in gone}
        without = replace(without, appeal=replace(case.appeal, panel=panel, votes=votes))
    return without
