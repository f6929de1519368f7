"""Cases as neutrals meet them: which are theirs, and how a step of one is taken."""

from __future__ import annotations

import os
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection

from disputes import assignments, hand_over, queue
from disputes.commands import Command
from disputes.model import Case, Cause, Stage
from disputes.queue import Ticket
from disputes.recusal import Part
from disputes.refusals import CaseNotFound
from ledger.refusals import Refusal
from service import db
from service.exchanges import cases
from service.exchanges.decide import Rules
from service.http.edge import Edge
from service.http.mediator_auth import Neutral
from service.http.moment import moment_on
from service.http.pages import decode_cursor, whole

_SINCE: Final = datetime.fromisoformat


def mine(connection: Connection, case_id: UUID, me: Neutral) -> tuple[Case, Part | None]:
    """Return a case that is theirs, or (without a part) one that they supervise.

    Raises:
        CaseNotFound: to anybody else there is none.
    """
    found = queue.part_in(connection, me.mediator_id, case_id)
    part = None if found is None else found[1]
    platform_id = None if found is None else found[0]
    if platform_id is None and "supervisor" in me.roles:
        platform_id = queue.supervised(connection, me.mediator_id, case_id)
    if platform_id is None:
        raise CaseNotFound("No case with this id is yours.")
    return cases.find(connection, platform_id, case_id), part


def take(connection: Connection, edge: Edge, found: Case, command: Command) -> Case | Refusal:
    """Take a step of a case, at its platform's time."""
    now = moment_on(connection, found.platform_id, hold=True)
    rules = Rules(now, edge.codes)
    (outcome,) = cases.act(connection, found.platform_id, [(found.id, command)], rules)
    return outcome


async def pass_on(edge: Edge, mediator_id: UUID) -> None:
    """Give all that somebody has to others, whose work has ended: in a transaction for each case.

    They are drawn no more by then. Cut short, the next call goes on, and so does each case's clock.
    """
    found = await edge.run(db.SYSTEM, lambda c: assignments.open_of(c, mediator_id))
    for platform_id, case_id in found:
        await edge.run(platform_id, partial(_leave, mediator_id, platform_id, case_id))


def _leave(mediator_id: UUID, platform_id: UUID, case_id: UUID, connection: Connection) -> None:
    now = moment_on(connection, platform_id, hold=True)
    hand_over.leave(connection, platform_id, case_id, mediator_id, os.urandom(32), now)


def ticket_after(cursor: str | None) -> Ticket | None:
    """Return the last ticket of the page before, as far as the order of a queue asks for it.

    Raises:
        InvalidCursor: it is not one that a page of a queue gave.
    """
    found = decode_cursor(cursor, UUID, _SINCE, _SINCE, whole, bool)
    if found is None:
        return None
    case_id, due_at, opened_at, amount, gentle = found
    nil = UUID(int=0)
    return Ticket(
        platform_id=nil,
        case_id=case_id,
        stage=Stage.DECISION,
        cause=Cause.CLAIM,
        kind="",
        reason="",
        opened_at=opened_at,
        due_at=due_at,
        decide_by=due_at,
        gentle=gentle,
        unit="",
        amount=amount,
        part=None,
        file=None,
    )


def position_of(one: Ticket) -> tuple[Any, ...]:
    """Return where a page of a queue ends that ends with this ticket."""
    return (
        str(one.case_id),
        one.due_at.isoformat(),
        one.opened_at.isoformat(),
        one.amount,
        one.gentle,
    )
