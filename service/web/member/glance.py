"""What a member's page says of a problem that is open: whether an answer is theirs, and by when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from disputes import requests, store
from disputes.outcomes import Side
from service.exchanges.kinds import Role
from service.http import shown_cases


@dataclass(frozen=True, slots=True)
class Glance:
    """A problem seen from the page of its exchange.

    ``turn`` names what waits for the member: ``asked``, ``proposal``, ``offer``, or ``mark`` for
    what they are to say of a return or a repair; None where nothing does. ``ends``: when what is
    open ends, and the stage, each with what comes of it, by language.
    """

    turn: str | None
    ends: Sequence[tuple[datetime, Mapping[str, str]]]


#: What is told on the problem's own page alone: a thing one may do, and the limit behind the rest.
_LATER: Final = frozenset({"call_mediator", "reach_limit"})
_MARKS: Final = frozenset(
    {"mark_returned", "mark_repaired", "confirm_returned", "confirm_repaired"}
)


def glance(
    connection: Connection, platform_id: UUID, case_id: UUID, role: Role, now: datetime
) -> Glance | None:
    """Return how an open problem stands for a side; None once it is over."""
    case = store.load(connection, platform_id, [case_id], lock=False)[case_id]
    if case.closed_at is not None:
        return None
    side = Side(role)
    shown = shown_cases.case(case, side, shown_cases.around(connection, platform_id, [case], now))
    asked = requests.of_case(connection, platform_id, case_id)
    offer, proposal = shown["offer"], shown["proposal"]
    steps = {one["step"] for one in shown["next_actions"]}
    turn = None
    if any(one.side is side and one.answered_at is None for one in asked):
        turn = "asked"
    elif proposal is not None and side not in proposal["accepted_by"]:
        turn = "proposal"
    elif offer is not None and offer["by"] != side:
        turn = "offer"
    elif steps & _MARKS:
        turn = "mark"
    ends = [
        (one["due_at"], one["words"]) for one in shown["deadlines"] if one["name"] not in _LATER
    ]
    return Glance(turn, ends)
